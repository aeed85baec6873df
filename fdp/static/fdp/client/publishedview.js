// What was published on a topic: page by page, the newest first; new ones come in by themselves.

import { element, put } from "../../mlink/rows.js";
import { readForm } from "./form.js";
import { failedNote } from "./notes.js";
import * as places from "./places.js";
import * as pubsub from "./pubsub.js";
import { bareOf, called, count, speak, summary, when } from "./says.js";
import { Unanswered } from "./session.js";
import { topicHead } from "./topicview.js";
import { fromText } from "./xml.js";

export function publishedView(app, topic, signal) {
  const head = topicHead(app, topic, "published", signal);
  const box = element("div");
  new Published(app, topic, box, signal).start();
  return { title: `Published · ${topic.title}`, heading: head.heading, nodes: [...head.nodes, box] };
}

class Published {
  #app;
  #topic;
  #box;
  #signal;
  #forms = [];
  #older = "";
  #count = 0;
  #isBusy = false;
  #search = element("input", { type: "search", id: "form-search", autocomplete: "off", spellcheck: false });
  #list = element("ol", { className: "published" });
  #state = element("p", { className: "quiet small", role: "status" });
  #more = element("button", { type: "button", className: "button plain", textContent: "Older forms" });
  #rows = new Map();
  #template = null;

  constructor(app, topic, box, signal) {
    this.#app = app;
    this.#topic = topic;
    this.#box = box;
    this.#signal = signal;
    this.#search.addEventListener("input", () => this.#draw());
    this.#more.addEventListener("click", () => this.#readOlder());
    const mine =
      (act) =>
      ({ detail }) =>
        detail.topic === topic && act(detail);
    app.topics.addEventListener(
      "published",
      mine(({ form }) => this.#add(form)),
      { signal },
    );
    app.topics.addEventListener(
      "retracted",
      mine(({ ids, all }) => this.#remove(ids, all)),
      { signal },
    );
    app.session.addEventListener("state", () => app.session.state === "online" && this.#again(), { signal });
    let wasTold = topic.subscription?.state === "subscribed";
    const look = () => {
      const isTold = topic.subscription?.state === "subscribed";
      // What came before one was told is not in the list.
      if (isTold && !wasTold) this.#again();
      wasTold = isTold;
    };
    app.topics.addEventListener("change", look, { signal });
  }

  /** Read the newest ones anew, where they were read before. */
  async #again() {
    if (!this.#box.contains(this.#list)) return;
    try {
      await this.#read();
    } catch (error) {
      if (!this.#signal.aborted && !(error instanceof Unanswered)) this.#failed(error);
    }
  }

  async start() {
    this.#box.replaceChildren(
      element("p", { className: "quiet", role: "status", textContent: "Reading the published forms …" }),
    );
    try {
      await this.#app.online(this.#signal);
      await this.#read();
    } catch (error) {
      if (!this.#signal.aborted) this.#failed(error);
    }
  }

  async #read() {
    const [page, template] = await Promise.all([
      pubsub.fetchPublished(this.#app.session, this.#topic),
      this.#findTemplate(),
    ]);
    this.#template = template;
    if (this.#signal.aborted) return;
    this.#take(page);
    if (!this.#box.contains(this.#list)) this.#build();
    this.#draw();
    await this.#app.topics.saw(this.#topic, this.#forms[0]?.id ?? "");
  }

  /** The newest page, before what was read of older ones as far as it follows. */
  #take(page) {
    const at = this.#forms.findIndex((form) => form.id === page.forms.at(-1)?.id);
    const rest = at < 0 ? [] : this.#forms.slice(at + 1);
    this.#forms = [...page.forms, ...rest];
    if (!rest.length) this.#older = page.older;
    this.#count = page.count;
  }

  #build() {
    const words = "Search in the forms shown";
    this.#search.placeholder = words;
    const label = element("label", { className: "unseen", htmlFor: "form-search", textContent: words });
    this.#box.replaceChildren(
      element("div", { className: "published-search" }, label, this.#search),
      this.#state,
      this.#list,
      element("p", { className: "page-link" }, this.#more),
    );
  }

  /** The newest template, for the words of its options. */
  async #findTemplate() {
    try {
      const found = await pubsub.fetchTemplate(this.#app.session, this.#topic);
      return found ? readForm(fromText(found.xml)) : null;
    } catch {
      return null;
    }
  }

  async #readOlder() {
    this.#isBusy = true;
    this.#draw();
    try {
      const page = await pubsub.fetchPublished(this.#app.session, this.#topic, this.#older);
      const known = new Set(this.#forms.map((form) => form.id));
      const added = page.forms.filter((form) => !known.has(form.id));
      this.#forms.push(...added);
      this.#older = page.older;
      this.#count = page.count;
      this.#draw();
      // The keyboard goes on where the new ones begin.
      if (added.length) this.#rows.get(added[0].id)?.link.focus();
    } catch (error) {
      speak("Not read.");
      put(this.#state, `Older forms could not be read: ${error.message}`);
    } finally {
      this.#isBusy = false;
      this.#drawMore();
    }
  }

  #add(form) {
    if (!this.#box.contains(this.#list)) return;
    this.#forms = [form, ...this.#forms.filter((one) => one.id !== form.id)];
    this.#count++;
    this.#draw(form.id);
    if (!document.hidden) this.#app.topics.saw(this.#topic, form.id);
  }

  #remove(ids, all) {
    const before = this.#forms.length;
    this.#forms = all ? [] : this.#forms.filter((form) => !ids.includes(form.id));
    this.#count = all ? 0 : Math.max(this.#forms.length, this.#count - (before - this.#forms.length));
    if (all) this.#older = "";
    this.#draw();
  }

  #draw(fresh = "") {
    const words = this.#search.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    const shown = this.#forms.filter((form) => {
      const text = [
        called(form),
        form.publisher,
        ...form.fields.flatMap((field) => form.values.get(field.var) ?? []),
        summary(form, this.#template),
      ]
        .join(" ")
        .toLowerCase();
      return words.every((word) => text.includes(word));
    });
    const byId = new Map(this.#forms.map((form) => [form.id, form]));
    const amendedBy = new Map(
      this.#forms
        .filter((form) => form.amends)
        .reverse()
        .map((form) => [form.amends, form]),
    );
    for (const [id, row] of this.#rows) {
      if (!byId.has(id)) {
        row.node.remove();
        this.#rows.delete(id);
      }
    }
    for (const form of shown) {
      if (!this.#rows.has(form.id))
        this.#rows.set(form.id, makeRow(this.#topic, form, form.id === fresh, this.#template));
      fillRow(this.#rows.get(form.id), form, byId, amendedBy);
      this.#list.append(this.#rows.get(form.id).node);
    }
    for (const [id, row] of this.#rows) if (!shown.some((form) => form.id === id)) row.node.remove();
    const loaded =
      this.#forms.length < this.#count
        ? `${this.#forms.length} of ${count(this.#count, "form")}`
        : count(this.#count, "form");
    put(
      this.#state,
      !this.#count && !this.#forms.length
        ? "Nothing is published here yet."
        : words.length
          ? `${shown.length} found in the ${this.#forms.length} shown${this.#older ? "; there are older ones" : ""}`
          : loaded,
    );
    this.#drawMore();
  }

  #drawMore() {
    this.#more.hidden = !this.#older;
    this.#more.disabled = this.#isBusy;
    put(this.#more, this.#isBusy ? "Reading …" : "Older forms");
  }

  #failed(error) {
    if (pubsub.isForbidden(error)) {
      this.#box.replaceChildren(
        element(
          "p",
          { className: "note" },
          "You may fill in this form, but not read what is published. ",
          element("a", { href: places.fill(this.#topic), textContent: "Fill it in" }),
        ),
      );
      return;
    }
    const text = pubsub.isGone(error)
      ? "This form was withdrawn."
      : `The published forms could not be read: ${error.message}`;
    this.#box.replaceChildren(failedNote(text, () => this.start()));
  }
}

function makeRow(topic, form, isFresh, template) {
  const tags = element("span", { className: "topic-tags" });
  const top = element(
    "span",
    { className: "topic-top" },
    element("span", { className: "topic-title", textContent: called(form) }),
    tags,
    element("time", { className: "quiet small push", textContent: when(form.published) }),
  );
  const about = element("span", { className: "topic-about", textContent: summary(form, template) });
  const by = element("span", { className: "quiet small", textContent: form.publisher ? bareOf(form.publisher) : "" });
  const link = element("a", { href: places.form(topic, form.id) }, top, about, by);
  const node = element("li", { className: isFresh ? "fresh" : "" }, link);
  node.dataset.item = form.id;
  return { node, link, tags };
}

function fillRow(row, form, byId, amendedBy) {
  const original = byId.get(form.amends);
  const later = amendedBy.get(form.id);
  const texts = [
    form.amends ? `amends ${original ? called(original) : "an earlier form"}` : "",
    later ? `amended by ${called(later)}` : "",
  ].filter(Boolean);
  row.tags.replaceChildren(
    ...texts.map((text) =>
      element("span", { className: `tag ${text.startsWith("amended") ? "warn" : ""}`, textContent: text }),
    ),
  );
}
