// Forms on their way. Whatever is published is stored first, under the id that it will have on the server, and leaves the
// store only when the server has it: neither a lost connection nor a closed page loses it, and it is stored there once.
//
// Events: `change`, after which `entries` says what became of each; `sent`, `refused` and `waiting` with the entry in
// `detail`, in the tab that sends.

import { isForbidden, isGone, fetchOne, publish } from "./pubsub.js";
import { Refused, Unanswered } from "./session.js";
import { fromText } from "./xml.js";

const LONGEST_PAUSE = 60_000;
/** Forms that may wait in one browser. */
const MOST = 500;

export class Outbox extends EventTarget {
  /** What waits or was refused, the oldest first: `{id, service, suffix, title, version, amends, xml, values, template,
   * created, state, tried, error}`. */
  entries = [];
  #session;
  #kept;
  #timer = 0;
  #pause = 0;
  #others;
  /** Added while this page is open and not sent yet: nobody can have them. */
  #unsent = new Set();

  constructor(session, kept) {
    super();
    this.#session = session;
    this.#kept = kept;
    this.#others = new BroadcastChannel(`fdp ${session.bare}`);
    this.#others.addEventListener("message", () => this.load());
    session.addEventListener("state", () => session.state === "online" && this.flush());
  }

  /** Read what is stored. */
  async load() {
    const all = await this.#kept.all("outbox");
    this.entries = all.sort((a, b) => a.created - b.created);
    this.dispatchEvent(new Event("change"));
  }

  /** How many wait to be sent. */
  get waiting() {
    return this.entries.filter((entry) => entry.state === "waiting").length;
  }

  /** Keep a form and send it; the draft that it was goes in the same step. Resolves once it is stored here. */
  async add(entry, draft) {
    if (this.entries.length >= MOST) throw new Error(`${MOST} forms wait here already`);
    const isOnline = this.#session.state === "online";
    this.#unsent.add(entry.id);
    await this.#kept.change(
      [["outbox", { ...entry, state: "waiting", tried: isOnline, error: "" }]],
      draft ? [["drafts", draft]] : [],
    );
    this.#others.postMessage("changed");
    this.flush();
  }

  /** Take an entry out, for good or because it is a draft again. */
  async remove(id, draft = null) {
    await this.#kept.change(draft ? [["drafts", draft]] : [], [["outbox", id]]);
    await this.#changed();
  }

  /** Send what waits, one after the other, in one tab at a time. */
  async flush() {
    clearTimeout(this.#timer);
    if (navigator.locks) await navigator.locks.request(`fdp outbox ${this.#session.bare}`, () => this.#sendAll());
    else await this.#sendAll();
  }

  async #sendAll() {
    await this.load();
    for (const entry of this.entries.filter((one) => one.state === "waiting")) {
      if (this.#session.state !== "online") {
        this.#tell("waiting", entry);
        continue;
      }
      try {
        await this.#send(entry);
        this.#pause = 0;
      } catch (error) {
        if (error instanceof Unanswered) {
          this.#tell("waiting", entry);
        } else if (error instanceof Refused && error.kind === "wait") {
          this.#tell("waiting", { ...entry, error: error.message });
          this.#pause = Math.min(this.#pause ? this.#pause * 2 : 2000, LONGEST_PAUSE);
          this.#timer = setTimeout(() => this.flush(), this.#pause);
          return;
        } else {
          await this.#refused(entry, error);
        }
      }
    }
  }

  async #send(entry) {
    // It went off once and no answer came: it may have arrived. Who may not read sends it again under its id.
    const isNew = this.#unsent.delete(entry.id);
    if (isNew || !entry.tried || !(await this.#isStored(entry))) {
      if (!entry.tried) await this.#kept.change([["outbox", { ...entry, tried: true }]]);
      await publish(this.#session, entry, entry.id, fromText(entry.xml));
    }
    await this.#kept.change([], [["outbox", entry.id]]);
    await this.#changed();
    this.#tell("sent", entry);
  }

  async #isStored(entry) {
    try {
      return (await fetchOne(this.#session, entry, entry.id)) !== null;
    } catch (error) {
      if (isForbidden(error) || isGone(error)) return false;
      throw error;
    }
  }

  async #refused(entry, error) {
    const gone = isGone(error);
    const changed = {
      ...entry,
      state: "refused",
      error: error.message,
      condition: error.condition ?? "",
      isGone: gone,
    };
    await this.#kept.change([["outbox", changed]]);
    await this.#changed();
    this.#tell("refused", changed);
  }

  async #changed() {
    await this.load();
    this.#others.postMessage("changed");
  }

  #tell(name, entry) {
    this.dispatchEvent(new CustomEvent(name, { detail: entry }));
  }
}

/** A new id for a form. */
export function newId() {
  if (crypto.randomUUID) return crypto.randomUUID();
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
