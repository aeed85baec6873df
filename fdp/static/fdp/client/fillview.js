// Filling in a form: a new one, or an amendment of a published one. What is typed is a draft until it is published.

import { element, put } from "../../mlink/rows.js";
import { isSecret } from "./controls.js";
import { Draft, draftsOf } from "./drafts.js";
import { readForm, writeSubmission } from "./form.js";
import { FormView } from "./formview.js";
import { draftKey } from "./kept.js";
import { newId } from "./outbox.js";
import * as places from "./places.js";
import * as pubsub from "./pubsub.js";
import { count, speak, when } from "./says.js";
import { topicHead } from "./topicview.js";
import { draftAsText } from "./text.js";
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
    on(app.session, "state", () => this.#connected());
    on(app.topics, "gone", ({ detail }) => detail.service === topic.service && detail.suffix === topic.suffix && this.#gone());
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
      const newest = this.#topic.isGone ? null : await this.#newest();
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

  /** The newest template, as the server has it, or as it was seen last. */
  async #newest() {
    const { app, topic } = { app: this.#app, topic: this.#topic };
    const known = (await app.kept.all("templates", topic)).sort((a, b) => b.seen - a.seen)[0] ?? null;
    if (known && app.session.state !== "online") return known;
    await app.online(this.#signal);
    try {
      return await this.#fetchNewest();
    } catch (error) {
      if (known && error.name === "Unanswered") return known;
      throw error;
    }
  }

  async #fetchNewest() {
    const found = await pubsub.fetchTemplate(this.#app.session, this.#topic);
    if (!found) return null;
    const { service, suffix } = this.#topic;
    const old = (await this.#app.kept.all("templates", this.#topic)).filter((one) => one.version !== found.version);
    await this.#app.kept.change([["templates", { service, suffix, ...found, seen: Date.now() }]], old.map((one) => ["templates", [service, suffix, one.version]]));
    return found;
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
    this.#draft = new Draft(this.#app.kept, { topic: this.#topic, template: this.#template, amends: this.#amends }, () => this.#openValues(), (state, detail) => this.#tellDraft(state, detail));
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
    parts.discard = element("button", { type: "button", className: "button plain tight", textContent: "Discard draft", hidden: !draft });
    parts.discard.addEventListener("click", () => this.#discard());
    parts.publish = element("button", { type: "submit", className: "button", textContent: this.#amends ? "Publish the amendment" : "Publish" });
    parts.back = element("button", { type: "button", className: "button plain", textContent: "Back" });
    parts.next = element("button", { type: "button", className: "button", textContent: "Next page" });
    parts.back.addEventListener("click", () => this.#view.goTo(this.#view.page - 1, true));
    parts.next.addEventListener("click", () => this.#view.check(this.#view.page) || this.#view.goTo(this.#view.page + 1, true));
    parts.progress = element("p", { className: "sending", role: "status", hidden: true });
    const form = element("form", { noValidate: true, className: "card fill-form", autocomplete: "off" });
    form.setAttribute("aria-label", this.#form.title || this.#topic.title);
    if (this.#form.title && this.#form.title !== this.#topic.title) form.append(element("p", { className: "form-title", textContent: this.#form.title }));
    form.append(parts.wrong, this.#view.node, element("div", { className: "row form-end" }, parts.back, parts.next, parts.publish, parts.progress), element("div", { className: "row draft-row" }, parts.draft, parts.discard));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.#view.page < this.#view.pages - 1 && event.submitter !== parts.publish) parts.next.click();
      else this.#publish();
    });
    this.#view.node.addEventListener("page", () => this.#turned());
    parts.form = form;
    if (this.#amends) parts.notice.append(this.#amendLine());
    this.#box.replaceChildren(parts.notice, form);
    this.#turned();
    if (draft) this.#tellDraft("restored", draft);
  }

  #amendLine() {
    const link = element("a", { href: places.form(this.#topic, this.#amends), textContent: this.#original?.serial ? `No. ${this.#original.serial}` : "a published form" });
    return element("p", { className: "note" }, "You amend ", link, ". It stays as it is; yours is published as its amendment.");
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
      saving: "", restored: detail?.saved ? `Your draft of ${when(detail.saved)} is back.` : "", saved: detail?.saved ? `Draft saved at ${when(detail.saved)}.` : "",
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
    const x = writeSubmission(this.#form, values, { "fdp#version": this.#template.version, "fdp#amends": this.#amends });
    const { service, suffix, title } = this.#topic;
    const entry = { id, service, suffix, title, version: this.#template.version, amends: this.#amends, xml: toText(x), values: [...this.#openValues()], template: this.#template.xml, created: Date.now() };
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
    const note = element("div", { className: "note good done", tabIndex: -1 });
    const text = element("p", {}, element("strong", { textContent: this.#amends ? "The amendment is published." : "Published." }));
    const buttons = element("p", { className: "row" });
    if (!this.#amends) {
      const again = element("button", { type: "button", className: "button plain tight", textContent: "Fill in another" });
      again.addEventListener("click", async () => {
        await this.start();
        this.#view?.node.querySelector("input, select, textarea")?.focus();
      });
      buttons.append(again);
    }
    note.append(text, buttons);
    this.#box.replaceChildren(note);
    note.focus();
    speak(this.#amends ? "The amendment is published." : "Published.");
    try {
      const stored = await pubsub.fetchOne(this.#app.session, this.#topic, id);
      if (stored?.serial) text.append(` It is number ${stored.serial}.`);
      if (stored) buttons.prepend(element("a", { className: "button tight", href: places.form(this.#topic, id), textContent: "Show it" }));
    } catch {
      // Who may not read what is published knows at least that it is.
    }
  }

  /** No connection: it is kept. */
  #waits(entry) {
    if (this.#box.querySelector(".kept")) return;
    const note = element("div", { className: "note warn kept", tabIndex: -1 },
      element("p", {}, element("strong", { textContent: entry.error ? "The server cannot take it now." : "You are not connected." }), " The form is kept on this device and sent once that is possible, even if you close this page and come back later."),
      element("p", {}, element("a", { href: places.outbox(), textContent: "What waits to be sent" })));
    this.#box.replaceChildren(note);
    note.focus();
  }

  /** The server said no: the form is a draft again, with the reason where it belongs. */
  async #refused(entry) {
    this.#sending = "";
    const { service, suffix, title, version, amends, values, template } = entry;
    await this.#app.outbox.remove(entry.id, { service, suffix, title, version, amends, values, xml: template, saved: Date.now() });
    await this.#app.readDrafts();
    if (!this.#parts.form.isConnected) this.#box.replaceChildren(this.#parts.notice, this.#parts.form);
    this.#parts.publish.disabled = false;
    this.#parts.discard.hidden = false;
    this.#progress("");
    if (entry.isGone) await this.#app.topics.lose(this.#topic);
    else if (entry.condition === "forbidden") this.#complain("You may not publish this form. Your text is kept as a draft.");
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
    const copy = element("button", { type: "button", className: "button plain tight", textContent: "Copy my text" });
    const told = element("span", { role: "status" });
    const text = element("textarea", { readOnly: true, rows: 6, hidden: true });
    text.setAttribute("aria-label", "My text");
    copy.addEventListener("click", async () => {
      text.value = draftAsText(this.#form, this.#openValues());
      try {
        await navigator.clipboard.writeText(text.value);
        told.textContent = "Copied.";
      } catch {
        text.hidden = false;
        text.select();
        told.textContent = "Press Ctrl+C to copy.";
      }
    });
    const note = element("div", { className: "note bad", role: "alert" },
      element("p", {}, element("strong", { textContent: "This form was withdrawn." }), " It cannot be published any more. What you typed stays here as a draft, so that you can copy it or discard it."),
      element("p", { className: "row" }, copy, told), text);
    this.#parts.goneNote = note;
    this.#parts.notice.replaceChildren(note);
    for (const button of [this.#parts.publish, this.#parts.next]) button.disabled = button === this.#parts.publish;
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
    const button = element("button", { type: "button", className: "button tight", textContent: "Take my text over" });
    button.addEventListener("click", async () => {
      const values = this.#view.read();
      await this.#draft.drop();
      this.#template = newest;
      this.#parts = {};
      this.#show(null);
      this.#view.write(values);
      this.#isTouched = true;
      await this.#draft.save();
      this.#view.goTo(0, true);
    });
    this.#parts.notice.append(element("div", { className: "note warn", role: "status" },
      element("p", { textContent: `There is a newer version of this form (${newest.version}). You began with ${this.#template.version}, which you can still finish.` }), element("p", {}, button)));
  }

  #connected() {
    if (this.#app.session.state !== "online") return;
    this.#look();
  }

  /** Whether the topic is still there, and its template still the newest. */
  async #look() {
    if (this.#app.session.state !== "online" || this.#topic.isGone || !this.#view || this.#sending || this.#isDone) return;
    try {
      if (!(await this.#app.topics.check(this.#topic)) || this.#signal.aborted) return;
      const newest = await this.#fetchNewest();
      if (newest && newest.version !== this.#template.version && !this.#signal.aborted && !this.#sending && !this.#isDone) this.#offerNewer(newest);
    } catch (error) {
      if (pubsub.isGone(error)) await this.#app.topics.lose(this.#topic);
    }
  }

  #nothing() {
    this.#box.replaceChildren(element("p", { className: "note", textContent: this.#topic.isGone ? "This form was withdrawn." : "There is no form to fill in here yet." }));
  }

  #failed(error) {
    const text = pubsub.isForbidden(error) ? "You may not fill in this form." : pubsub.isGone(error) ? "This form was withdrawn." : `The form could not be opened: ${error.message}`;
    const again = element("button", { type: "button", className: "button plain tight", textContent: "Try again" });
    again.addEventListener("click", () => this.start());
    this.#box.replaceChildren(element("div", { className: "note bad", role: "alert" }, element("p", { textContent: text }), element("p", {}, again)));
  }
}

