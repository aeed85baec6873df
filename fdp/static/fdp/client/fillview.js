// Filling in a form: a new one, or an amendment of a published one. What is typed is a draft until it is published.

import { element, put } from "../../mlink/rows.js";
import { isSecret } from "./controls.js";
import { asDraft, Draft, draftsOf } from "./drafts.js";
import { readForm, writeSubmission } from "./form.js";
import { FormView } from "./formview.js";
import { draftKey } from "./kept.js";
import { amendNote, failedNote, newerNote, publishedNote, waitingNote, withdrawnNote } from "./notes.js";
import { newId } from "./outbox.js";
import * as places from "./places.js";
import * as pubsub from "./pubsub.js";
import { count, speak, when } from "./says.js";
import { fetchNewest, newestTemplate } from "./templates.js";
import { draftAsText } from "./text.js";
import { topicHead } from "./topicview.js";
import { fromText, toText } from "./xml.js";

const LOOK_MS = 60_000;

export function fillView(app, topic, amends, signal) {
  const head = topicHead(app, topic, amends ? "published" : "fill", signal);
  const box = element("div", { className: "filling" });
  const filling = new Filling(app, topic, amends, box, signal);
  filling.start();
  return { title: amends ? `Amend · ${topic.title}` : topic.title, heading: head.heading, nodes: [...head.nodes, box] };
}

class Filling {
  #app;
  #topic;
  #amends;
  #box;
  #signal;
  #template = null;
  #form = null;
  #view = null;
  #draft = null;
  #original = null;
  #isTouched = false;
  #sending = "";
  #isKept = false;
  #isDone = false;
  #parts = {};

  constructor(app, topic, amends, box, signal) {
    this.#app = app;
    this.#topic = topic;
    this.#amends = amends;
    this.#box = box;
    this.#signal = signal;
    const on = (target, name, act) => target.addEventListener(name, act, { signal });
    on(app.session, "state", () => this.#look());
    on(
      app.topics,
      "gone",
      ({ detail }) => detail.service === topic.service && detail.suffix === topic.suffix && this.#gone(),
    );
    on(app.outbox, "change", () => this.#follow());
    on(app.outbox, "waiting", ({ detail }) => detail.id === this.#sending && this.#waits(detail));
    on(document, "visibilitychange", () => (document.hidden ? this.#draft?.flush() : this.#look()));
    on(window, "pagehide", () => this.#draft?.flush());
    const timer = setInterval(() => this.#look(), LOOK_MS);
    signal.addEventListener("abort", () => {
      clearInterval(timer);
      this.#draft?.flush();
    });
  }

  /** Find the template and what was typed before, then show the form. */
  async start() {
    this.#box.replaceChildren(element("p", { className: "quiet", role: "status", textContent: "Opening the form …" }));
    this.#isDone = false;
    try {
      const draft = await this.#oldDraft();
      if (this.#amends && !draft) this.#original = await this.#findOriginal();
      const newest = this.#topic.isGone ? null : await newestTemplate(this.#app, this.#topic, this.#signal);
      if (this.#signal.aborted) return;
      this.#template = draft ? { version: draft.version, xml: draft.xml } : newest;
      if (!this.#template) return this.#nothing();
      this.#show(draft);
      if (newest && newest.version !== this.#template.version) this.#offerNewer(newest);
      if (this.#topic.isGone) this.#gone();
    } catch (error) {
      if (!this.#signal.aborted) this.#failed(error);
    }
  }

  async #oldDraft() {
    if (!this.#amends) return (await draftsOf(this.#app.kept, this.#topic))[0] ?? null;
    const all = await this.#app.kept.all("drafts", this.#topic);
    return all.find((draft) => draft.amends === this.#amends) ?? null;
  }

  async #findOriginal() {
    await this.#app.online(this.#signal, this.#amends);
    const original = await pubsub.fetchOne(this.#app.session, this.#topic, this.#amends);
    if (!original) throw new Error("The form that you want to amend is not there any more.");
    return original;
  }

  #show(draft) {
    this.#form = readForm(fromText(this.#template.xml));
    this.#view = new FormView(this.#form, {
      onInput: () => {
        this.#isTouched = true;
        this.#draft.touch();
      },
      load: (cid) => pubsub.fetchData(this.#app.session, this.#topic.service, cid),
      hosts: this.#app.config.media_hosts,
    });
    this.#draft = new Draft(
      this.#app.kept,
      { topic: this.#topic, template: this.#template, amends: this.#amends },
      () => this.#openValues(),
      (state, detail) => this.#tellDraft(state, detail),
    );
    if (this.#original) this.#view.write(this.#original.values);
    if (draft) this.#view.write(new Map(draft.values));
    this.#isTouched = Boolean(draft);
    this.#build(draft);
    const said = this.#app.said;
    if (said?.key === draftKey(this.#topic, this.#template.version, this.#amends).join(" ")) {
      this.#app.said = null;
      this.#showRefusal(said.text);
    }
  }

  /** What may be kept in the browser: secrets may not. */
  #openValues() {
    const values = this.#view.read();
    for (const field of this.#form.fields) if (isSecret(field)) values.delete(field.var);
    return values;
  }

  #build(draft) {
    const parts = this.#parts;
    parts.notice = element("div", { className: "notices" });
    parts.wrong = element("p", { className: "note bad", role: "alert", hidden: true });
    parts.draft = element("p", { className: "quiet small draft-line", role: "status" });
    parts.discard = element("button", {
      type: "button",
      className: "button plain tight",
      textContent: "Discard draft",
      hidden: !draft,
    });
    parts.discard.addEventListener("click", () => this.#discard());
    parts.publish = element("button", {
      type: "submit",
      className: "button",
      textContent: this.#amends ? "Publish the amendment" : "Publish",
    });
    parts.back = element("button", { type: "button", className: "button plain", textContent: "Back" });
    parts.next = element("button", { type: "button", className: "button", textContent: "Next page" });
    parts.back.addEventListener("click", () => this.#view.goTo(this.#view.page - 1, true));
    parts.next.addEventListener(
      "click",
      () => this.#view.check(this.#view.page) || this.#view.goTo(this.#view.page + 1, true),
    );
    parts.progress = element("p", { className: "sending", role: "status", hidden: true });
    const form = element("form", { noValidate: true, className: "card fill-form", autocomplete: "off" });
    form.setAttribute("aria-label", this.#form.title || this.#topic.title);
    if (this.#form.title && this.#form.title !== this.#topic.title)
      form.append(element("p", { className: "form-title", textContent: this.#form.title }));
    form.append(
      parts.wrong,
      this.#view.node,
      element("div", { className: "row form-end" }, parts.back, parts.next, parts.publish, parts.progress),
      element("div", { className: "row draft-row" }, parts.draft, parts.discard),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.#view.page < this.#view.pages - 1 && event.submitter !== parts.publish) parts.next.click();
      else this.#publish();
    });
    this.#view.node.addEventListener("page", () => this.#turned());
    parts.form = form;
    if (this.#amends) parts.notice.append(amendNote(this.#topic, this.#amends, this.#original?.serial));
    this.#box.replaceChildren(parts.notice, form);
    this.#turned();
    if (draft) this.#tellDraft("restored", draft);
  }

  #turned() {
    const { page, pages } = this.#view;
    const isLast = page === pages - 1;
    this.#parts.back.hidden = page === 0;
    this.#parts.next.hidden = isLast;
    this.#parts.publish.hidden = !isLast;
  }

  #tellDraft(state, detail) {
    const { draft, discard } = this.#parts;
    const text = {
      saving: "",
      restored: detail?.saved ? `Your draft of ${when(detail.saved)} is back.` : "",
      saved: detail?.saved ? `Draft saved at ${when(detail.saved)}.` : "",
      failed: "The draft could not be kept: this browser has no room for it or does not allow it.",
    }[state];
    if (text) put(draft, text);
    if (state !== "saving") discard.hidden = state === "failed";
    if (state === "saved") this.#app.readDrafts();
  }

  async #discard() {
    await this.#draft.drop();
    await this.#app.readDrafts();
    if (this.#topic.isGone) {
      location.hash = places.home();
      return;
    }
    speak("The draft is discarded.");
    await this.start();
    this.#focusFirst();
  }

  #focusFirst() {
    this.#view?.node.querySelector("input, select, textarea")?.focus();
  }

  async #publish() {
    const { wrong, publish } = this.#parts;
    if (this.#sending || this.#topic.isGone) return;
    const number = this.#view.check();
    wrong.hidden = !number;
    if (number) {
      put(wrong, `${count(number, "field needs", "fields need")} your attention.`);
      return;
    }
    const id = newId();
    const values = this.#view.read();
    const x = writeSubmission(this.#form, values, {
      "fdp#version": this.#template.version,
      "fdp#amends": this.#amends,
    });
    const { service, suffix, title } = this.#topic;
    const entry = {
      id,
      service,
      suffix,
      title,
      version: this.#template.version,
      amends: this.#amends,
      xml: toText(x),
      values: [...this.#openValues()],
      template: this.#template.xml,
      created: Date.now(),
    };
    this.#sending = id;
    this.#isKept = false;
    publish.disabled = true;
    this.#app.topics.noteOwn(id);
    this.#progress("Publishing …");
    try {
      await this.#draft.drop(false);
      await this.#app.outbox.add(entry, this.#draft.key);
      this.#isKept = true;
      await this.#app.readDrafts();
    } catch (error) {
      // Without a store it cannot be promised that the form arrives once: say so and keep it in the page.
      this.#sending = "";
      publish.disabled = false;
      this.#progress("");
      this.#complain(`The form could not be kept in this browser, so it was not sent: ${error.message}`);
    }
  }

  #progress(text) {
    const { progress } = this.#parts;
    progress.hidden = !text;
    progress.replaceChildren(...(text ? [element("span", { className: "spinner" }), text] : []));
  }

  /** What became of the form, whichever tab has sent it. */
  #follow() {
    if (!this.#sending || !this.#isKept) return;
    const entry = this.#app.outbox.entries.find((one) => one.id === this.#sending);
    if (!entry) this.#sent(this.#sending);
    else if (entry.state === "refused") this.#refused(entry);
  }

  /** The server has it. */
  async #sent(id) {
    this.#sending = "";
    this.#isDone = true;
    const words = this.#amends ? "The amendment is published." : "Published.";
    const again = async () => {
      await this.start();
      this.#focusFirst();
    };
    const { node, tell } = publishedNote(words, this.#amends ? null : again);
    this.#box.replaceChildren(node);
    node.focus();
    speak(words);
    try {
      const stored = await pubsub.fetchOne(this.#app.session, this.#topic, id);
      if (stored) tell(stored, places.form(this.#topic, id));
    } catch {
      // Who may not read what is published knows at least that it is.
    }
  }

  /** No connection: it is kept. */
  #waits(entry) {
    if (this.#box.querySelector(".kept")) return;
    const node = waitingNote(Boolean(entry.error));
    this.#box.replaceChildren(node);
    node.focus();
  }

  /** The server said no: the form is a draft again, with the reason where it belongs. */
  async #refused(entry) {
    this.#sending = "";
    await this.#app.outbox.remove(entry.id, asDraft(entry));
    await this.#app.readDrafts();
    if (!this.#parts.form.isConnected) this.#box.replaceChildren(this.#parts.notice, this.#parts.form);
    this.#parts.publish.disabled = false;
    this.#parts.discard.hidden = false;
    this.#progress("");
    if (entry.isGone) await this.#app.topics.lose(this.#topic);
    else if (entry.condition === "forbidden")
      this.#complain("You may not publish this form. Your text is kept as a draft.");
    else this.#showRefusal(entry.error);
  }

  #showRefusal(text) {
    if (!this.#view.showRefusal(text)) this.#complain(`The server did not take the form: ${text}`);
    else {
      put(this.#parts.wrong, "The server did not take the form. Please look at the marked field.");
      this.#parts.wrong.hidden = false;
    }
  }

  #complain(text) {
    put(this.#parts.wrong, text);
    this.#parts.wrong.hidden = false;
    this.#parts.wrong.scrollIntoView({ block: "nearest" });
  }

  /** The topic is gone while somebody writes: nothing of the text may be lost. */
  #gone() {
    this.#topic.isGone = true;
    if (!this.#view || this.#parts.goneNote?.isConnected) return;
    if (this.#isTouched) this.#draft.save();
    this.#parts.goneNote = withdrawnNote(() => draftAsText(this.#form, this.#openValues()));
    this.#parts.notice.replaceChildren(this.#parts.goneNote);
    this.#parts.publish.disabled = true;
    this.#parts.discard.hidden = false;
    this.#progress("");
  }

  /** There is a newer template than the one that was begun. */
  #offerNewer(newest) {
    if (this.#topic.isGone || this.#parts.newer === newest.version) return;
    if (!this.#isTouched) {
      this.#template = newest;
      this.#show(null);
      return;
    }
    this.#parts.newer = newest.version;
    const take = async () => {
      const values = this.#view.read();
      await this.#draft.drop();
      this.#template = newest;
      this.#parts = {};
      this.#show(null);
      this.#view.write(values);
      this.#isTouched = true;
      await this.#draft.save();
      this.#view.goTo(0, true);
    };
    this.#parts.notice.append(newerNote(newest.version, this.#template.version, take));
  }

  /** Whether the topic is still there, and its template still the newest. */
  async #look() {
    const isOver = () => this.#signal.aborted || this.#topic.isGone || !this.#view || this.#sending || this.#isDone;
    if (this.#app.session.state !== "online" || isOver()) return;
    try {
      if (!(await this.#app.topics.check(this.#topic)) || isOver()) return;
      const newest = await fetchNewest(this.#app, this.#topic);
      if (newest && !isOver() && newest.version !== this.#template.version) this.#offerNewer(newest);
    } catch (error) {
      if (pubsub.isGone(error)) await this.#app.topics.lose(this.#topic);
    }
  }

  #nothing() {
    this.#box.replaceChildren(
      element("p", {
        className: "note",
        textContent: this.#topic.isGone ? "This form was withdrawn." : "There is no form to fill in here yet.",
      }),
    );
  }

  #failed(error) {
    const text = pubsub.isForbidden(error)
      ? "You may not fill in this form."
      : pubsub.isGone(error)
        ? "This form was withdrawn."
        : `The form could not be opened: ${error.message}`;
    const note = failedNote(text, () => this.start());
    this.#box.replaceChildren(note);
    // What failed for want of a connection is tried again when there is one.
    const again = () => {
      if (this.#app.session.state !== "online") return;
      this.#app.session.removeEventListener("state", again);
      if (note.isConnected) this.start();
    };
    this.#app.session.addEventListener("state", again, { signal: this.#signal });
  }
}
