// Drafts: what is typed is kept in this browser while it is typed, one for each topic and version, and restored.

import { draftKey } from "./kept.js";

const PAUSE_MS = 250;

export class Draft {
  #kept;
  #topic;
  #template;
  #amends;
  #read;
  #onState;
  #timer = 0;
  #saving = Promise.resolve();
  #dropped = false;

  /** `read()` gives the values; `onState(state, draft)` is told of `saving`, `saved` and `failed`. */
  constructor(kept, { topic, template, amends = "" }, read, onState) {
    this.#kept = kept;
    this.#topic = topic;
    this.#template = template;
    this.#amends = amends;
    this.#read = read;
    this.#onState = onState;
  }

  get key() {
    return draftKey(this.#topic, this.#template.version, this.#amends);
  }

  /** Something was typed. */
  touch() {
    this.#dropped = false;
    this.#onState("saving");
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.save(), PAUSE_MS);
  }

  /** Store what is there now. */
  save() {
    clearTimeout(this.#timer);
    if (this.#dropped) return this.#saving;
    const { service, suffix, title } = this.#topic;
    const draft = {
      service,
      suffix,
      title,
      version: this.#template.version,
      amends: this.#amends,
      xml: this.#template.xml,
      values: [...this.#read()],
      saved: Date.now(),
    };
    this.#saving = this.#saving
      .then(() => this.#kept.change([["drafts", draft]]))
      .then(() => this.#onState("saved", draft))
      .catch((error) => this.#onState("failed", error));
    return this.#saving;
  }

  /** Store at once what was typed a moment ago. */
  flush() {
    if (!this.#timer || this.#dropped) return;
    this.save();
    this.#timer = 0;
  }

  /** Nothing of it is kept any more, unless something is typed again. */
  async drop(remove = true) {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#dropped = true;
    await this.#saving;
    if (remove) await this.#kept.change([], [["drafts", this.key]]);
  }
}

/** The drafts of a topic that are no amendments, the newest first. */
export async function draftsOf(kept, topic) {
  const all = await kept.all("drafts", topic);
  return all.filter((draft) => !draft.amends).sort((a, b) => b.saved - a.saved);
}

/** The draft that an entry of the outbox was. */
export function asDraft(entry) {
  const { service, suffix, title, version, amends, values, template } = entry;
  return { service, suffix, title, version, amends, values, xml: template, saved: Date.now() };
}
