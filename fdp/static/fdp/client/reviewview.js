// One published form, to read, print and amend: in the look that its topic gives it, else in ours.

import { element } from "../../mlink/rows.js";
import { nameOf, readForm, shownValues } from "./form.js";
import { failedNote } from "./notes.js";
import * as places from "./places.js";
import * as pubsub from "./pubsub.js";
import { bareOf, called, fully } from "./says.js";
import { topicHead } from "./topicview.js";
import { fromText } from "./xml.js";

export function reviewView(app, topic, id, signal) {
  const head = topicHead(app, topic, "published", signal);
  const box = element("div", { className: "review" });
  const open = async () => {
    box.replaceChildren(element("p", { className: "quiet", role: "status", textContent: "Reading the form …" }));
    try {
      await app.online(signal);
      const form = await pubsub.fetchOne(app.session, topic, id);
      if (signal.aborted) return;
      if (form) await show(app, topic, form, box, signal);
      else box.replaceChildren(element("p", { className: "note", textContent: "This form is not there any more." }));
    } catch (error) {
      if (signal.aborted) return;
      const text = pubsub.isForbidden(error)
        ? "You may not read what is published here."
        : pubsub.isGone(error)
          ? "This form is not there any more."
          : `The form could not be read: ${error.message}`;
      box.replaceChildren(failedNote(text, open));
    }
  };
  open();
  return { title: `Published form · ${topic.title}`, heading: head.heading, nodes: [...head.nodes, box] };
}

async function show(app, topic, form, box, signal) {
  const original = form.amends ? await pubsub.fetchOne(app.session, topic, form.amends).catch(() => null) : null;
  if (signal.aborted) return;
  const facts = element("dl", { className: "facts" });
  const fact = (name, ...content) => facts.append(element("dt", { textContent: name }), element("dd", {}, ...content));
  if (form.publisher) fact("Published by", bareOf(form.publisher));
  if (form.published) fact("Published", fully(form.published));
  if (form.amends)
    fact(
      "Amends",
      original
        ? element("a", { href: places.form(topic, form.amends), textContent: called(original) })
        : "an earlier form",
    );
  const title = element("h3", { textContent: `${topic.title}, ${called(form)}` });
  const paper = element("div", { className: "paper" });
  const print = element("button", { type: "button", className: "button plain tight", textContent: "Print" });
  const amend = element("a", {
    className: "button plain tight",
    href: places.amend(topic, form.id),
    textContent: "Amend",
  });
  // The server lets only its author amend a form, and those who run it.
  amend.hidden = bareOf(form.publisher) !== app.session.bare && !app.config.is_operator;
  const buttons = element(
    "div",
    { className: "row review-buttons" },
    element("a", { href: places.published(topic), textContent: "All published forms" }),
    element("span", { className: "push" }),
    amend,
    print,
  );
  const template = await templateOf(app, topic, form);
  if (signal.aborted) return;
  let frame = null;
  print.addEventListener("click", () => (frame?.contentWindow ?? window).print());
  box.replaceChildren(buttons, element("article", { className: "card" }, title, facts, paper));
  paper.append(plainRendering(form, template));
  frame = await styledRendering(app, topic, form, signal);
  if (frame && !signal.aborted) paper.firstElementChild.hidden = true;
  if (frame && !signal.aborted) frame.hidden = false;

  async function styledRendering() {
    if (!app.config.render_url) return null;
    const name = "rendering";
    const made = element("iframe", { name, title: `${topic.title}, ${called(form)}`, hidden: true });
    // No scripts, no forms, no windows. Its origin is ours, which without scripts nobody can use but this page: to print it.
    made.sandbox = "allow-same-origin allow-modals";
    paper.append(made);
    const post = element("form", { method: "post", action: app.config.render_url, target: name, hidden: true });
    const values = {
      service: topic.service,
      suffix: topic.suffix,
      item: form.id,
      xml: form.xml,
      csrfmiddlewaretoken: app.config.csrf,
    };
    for (const [key, value] of Object.entries(values))
      post.append(element("input", { type: "hidden", name: key, value }));
    paper.append(post);
    const isStyled = await new Promise((resolve) => {
      signal.addEventListener("abort", () => resolve(false));
      made.addEventListener("load", () => {
        // A frame says so too when it is still empty.
        const root = made.contentDocument?.documentElement;
        if (made.contentDocument?.URL === "about:blank") return;
        resolve(root?.dataset.rendering === "styled");
      });
      post.submit();
    });
    post.remove();
    if (!isStyled) {
      made.remove();
      return null;
    }
    made.hidden = false;
    fit(made);
    new ResizeObserver(() => fit(made)).observe(paper);
    return made;
  }
}

/** As high as what it holds. */
function fit(frame) {
  const root = frame.contentDocument?.documentElement;
  if (root) frame.style.height = `${Math.max(120, root.scrollHeight + 2)}px`;
}

/** The template that a form was filled in with, for its labels and order; the newest where that one is gone. */
async function templateOf(app, topic, form) {
  try {
    const found =
      (form.version && (await pubsub.fetchTemplate(app.session, topic, form.version))) ||
      (await pubsub.fetchTemplate(app.session, topic));
    return found ? readForm(fromText(found.xml)) : null;
  } catch {
    return null;
  }
}

/** Our own look: names and values in the order of the template, by its pages and sections. */
export function plainRendering(form, template) {
  const own = readForm(fromText(form.xml));
  const fields = new Map(
    [...own.fields, ...(template?.fields ?? [])]
      .filter((field) => field.var && field.type !== "hidden" && !field.var.startsWith("fdp#"))
      .map((field) => [field.var, field]),
  );
  const box = element("div", { className: "plain-form" });
  const list = (names) => {
    const rows = names.filter((name) => fields.has(name) && fields.get(name).type !== "fixed" && form.values.has(name));
    return rows.length
      ? [element("dl", { className: "facts" }, ...rows.flatMap((name) => row(fields.get(name), form.values.get(name))))]
      : [];
  };
  if (!template?.pages.length) {
    box.append(...list([...fields.keys()]));
    return box;
  }
  const walk = (parts, level) => {
    const names = parts.filter((part) => part.kind === "field").map((part) => part.var);
    const sections = parts.filter((part) => part.kind === "section");
    return [...list(names), ...sections.flatMap((part) => titled(part, level))];
  };
  const titled = (part, level) => {
    const inner = walk(part.parts, Math.min(level + 1, 6));
    return inner.length && part.label ? [element(`h${level}`, { textContent: part.label }), ...inner] : inner;
  };
  for (const page of template.pages) box.append(...titled(page, 4));
  return box;
}

function row(field, values) {
  const shown = shownValues(field, values);
  const texts = field.type === "text-multi" ? [shown.join("\n")] : shown;
  const lines = texts.map((text) => element("span", { className: "value", textContent: text }));
  return [element("dt", { textContent: nameOf(field) }), element("dd", {}, ...lines)];
}
