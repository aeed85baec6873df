// A form to fill in: its pages and sections, its fields with help and errors, and which field is wrong.

import { element, put } from "../../mlink/rows.js";
import { controlFor, isUtc } from "./controls.js";
import { nameOf, startValues } from "./form.js";
import { mediaElements } from "./media.js";
import { hint, wrongWith } from "./validation.js";

const PAUSE_MS = 500;
let number = 0;

export class FormView {
  /** The element to put into the page. */
  node = element("div", { className: "form-body" });
  #form;
  #options;
  #fields = new Map();
  #hidden = new Map();
  #pages = [];
  #steps = null;
  #shown = 0;

  /** `options`: `onInput()`, `load(cid)` and `hosts` for media. */
  constructor(form, options) {
    this.#form = form;
    this.#options = options;
    for (const text of form.instructions)
      this.node.append(element("p", { className: "instructions", textContent: text }));
    if (form.fields.some((field) => field.required && field.type !== "boolean")) {
      this.node.append(
        element(
          "p",
          { className: "quiet small" },
          element("span", { className: "needed", textContent: "*" }),
          " must be filled in",
        ),
      );
    }
    for (const field of form.fields) if (field.type === "hidden") this.#hidden.set(field.var, field.values);
    if (form.pages.length) this.#placePages(form.pages);
    else
      this.#pages.push(
        this.#page(form.fields.filter((field) => field.type !== "hidden").map((field) => this.#field(field))),
      );
    this.node.append(...this.#pages);
    this.write(startValues(form));
    this.goTo(0);
  }

  get pages() {
    return this.#pages.length;
  }

  get page() {
    return this.#shown;
  }

  /** The values as they stand, by name of field. */
  read() {
    const values = new Map(this.#hidden);
    for (const [name, { control }] of this.#fields) values.set(name, control.read());
    return values;
  }

  /** Put values into the fields; what the form has no field for is left out. */
  write(values) {
    for (const [name, { control, field }] of this.#fields) if (values.has(name)) control.write(values.get(name), field);
    for (const name of this.#hidden.keys()) if (values.has(name)) this.#hidden.set(name, values.get(name));
  }

  /** Look at all fields, or those of one page, mark the wrong ones, go to the first; returns how many there are. */
  check(page = null) {
    const wrong = [];
    for (const [name, entry] of this.#fields) {
      if (page !== null && entry.page !== page) continue;
      if (this.#tell(entry, wrongWith(entry.field, entry.control.read()))) wrong.push(name);
    }
    if (wrong.length) this.#focus(this.#inOrder(wrong)[0]);
    return wrong.length;
  }

  /** Show what the server said at the field that its text names, "<label or name>: reason"; false where it names none. */
  showRefusal(text) {
    const found = [...this.#fields]
      .map(([name, entry]) => {
        const label = [nameOf(entry.field), name].find((known) => known && text.startsWith(`${known}:`));
        return label ? { name, entry, label } : null;
      })
      .filter(Boolean)
      .sort((a, b) => b.label.length - a.label.length)[0];
    if (!found) return false;
    const reason = text.slice(found.label.length + 1).trim() || text;
    this.#tell(found.entry, `${reason[0].toUpperCase()}${reason.slice(1)}`);
    this.#focus(found.name);
    return true;
  }

  /** Show one of the pages. */
  goTo(page, focus = false) {
    this.#shown = page;
    this.#pages.forEach((one, at) => {
      one.hidden = at !== page;
    });
    this.#steps?.querySelectorAll("button").forEach((button, at) => {
      if (at === page) button.setAttribute("aria-current", "step");
      else button.removeAttribute("aria-current");
    });
    this.node.dispatchEvent(new Event("page"));
    if (focus) this.#pages[page].focus();
  }

  #inOrder(names) {
    const place = (name) => this.#fields.get(name);
    return names.sort(
      (a, b) =>
        place(a).page - place(b).page ||
        (place(a).node.compareDocumentPosition(place(b).node) & Node.DOCUMENT_POSITION_FOLLOWING ? -1 : 1),
    );
  }

  #focus(name) {
    const { page, control } = this.#fields.get(name);
    if (page !== this.#shown) this.goTo(page);
    control.focus();
  }

  #placePages(pages) {
    const byName = new Map(this.#form.fields.map((field) => [field.var, field]));
    const many = pages.length > 1;
    pages.forEach(({ label, parts }, at) => {
      const title = label || (many ? `Page ${at + 1}` : "");
      const nodes = this.#parts(parts, byName, at, 3);
      const made = this.#page(nodes, title && element("h3", { textContent: many ? `${at + 1}. ${title}` : title }));
      if (many) {
        made.tabIndex = -1;
        made.setAttribute("role", "group");
        made.setAttribute("aria-label", `Page ${at + 1} of ${pages.length}: ${title}`);
      }
      this.#pages.push(made);
    });
    if (!many) return;
    const steps = pages.map(({ label }, at) => {
      const button = element(
        "button",
        { type: "button", className: "step" },
        element("span", { className: "step-number", textContent: String(at + 1) }),
        element("span", { textContent: label || `Page ${at + 1}` }),
      );
      button.addEventListener("click", () => this.goTo(at, true));
      return element("li", {}, button);
    });
    this.#steps = element("ol", { className: "steps" }, ...steps);
    const around = element("nav", {}, this.#steps);
    around.setAttribute("aria-label", "Pages of the form");
    this.node.append(around);
  }

  #page(nodes, heading = null) {
    return element("div", { className: "form-page" }, ...(heading ? [heading] : []), ...nodes);
  }

  #parts(parts, byName, page, level) {
    return parts.map((part) => {
      if (part.kind === "text") return element("p", { className: "instructions", textContent: part.text });
      if (part.kind === "field") return this.#field(byName.get(part.var), page);
      const box = element("fieldset", { className: "section" });
      if (part.label) box.append(element("legend", { textContent: part.label }));
      box.append(...this.#parts(part.parts, byName, page, level + 1));
      return box;
    });
  }

  #field(field, page = 0) {
    if (field.type === "fixed") {
      const box = element(
        "div",
        { className: "fixed" },
        ...field.values.map((text) => element("p", { textContent: text })),
      );
      if (field.label) box.prepend(element("p", {}, element("strong", { textContent: field.label })));
      return box;
    }
    if (field.type === "hidden") return element("span", { hidden: true });
    const id = `field-${++number}`;
    const control = controlFor(field, id);
    // A control of the browser for dates shows by itself how they are written.
    const isNative = control.node.querySelector("[type=date], [type=time], [type=datetime-local]") !== null;
    const own = Intl.DateTimeFormat().resolvedOptions().timeZone;
    const zone =
      isNative && field.validate.datatype === "xs:dateTime"
        ? isUtc(field)
          ? "In UTC."
          : `In your time zone, ${own}.`
        : "";
    const help = [field.desc, hint(field, isNative), zone].filter(Boolean).join(" ");
    const helpNode = element("p", { className: "help", id: `${id}-help`, textContent: help });
    const error = element("p", { className: "error", id: `${id}-error`, hidden: true, ariaLive: "polite" });
    const box = element(
      "div",
      { className: "field" },
      ...mediaElements(field, nameOf(field), this.#options.load, this.#options.hosts),
      control.node,
      helpNode,
      error,
    );
    if (field.type === "text-private") helpNode.textContent = `${help} Not kept in drafts.`.trim();
    helpNode.hidden = !helpNode.textContent;
    box.dataset.var = field.var;
    const entry = { field, control, page, node: box, error, help: helpNode, timer: 0 };
    this.#fields.set(field.var, entry);
    this.#describe(entry);
    box.addEventListener("input", () => this.#typed(entry));
    box.addEventListener("change", () => this.#typed(entry));
    box.addEventListener("focusout", (event) => {
      if (box.contains(event.relatedTarget)) return;
      clearTimeout(entry.timer);
      // Passing through an empty field on the way is no mistake.
      if (control.read().length) this.#tell(entry, wrongWith(field, control.read()));
    });
    return box;
  }

  /** What became right is right at once; what is wrong may only be unfinished, so it is said when typing rests. */
  #typed(entry) {
    clearTimeout(entry.timer);
    const wrong = wrongWith(entry.field, entry.control.read());
    if (!wrong || !entry.error.hidden) this.#tell(entry, wrong);
    else entry.timer = setTimeout(() => this.#tell(entry, wrongWith(entry.field, entry.control.read())), PAUSE_MS);
    this.#options.onInput?.();
  }

  #tell(entry, wrong) {
    clearTimeout(entry.timer);
    put(entry.error, wrong);
    entry.error.hidden = !wrong;
    this.#describe(entry);
    return Boolean(wrong);
  }

  #describe(entry) {
    const isWrong = !entry.error.hidden;
    const ids = [isWrong ? entry.error.id : "", entry.help.hidden ? "" : entry.help.id].filter(Boolean);
    entry.control.describe(ids, isWrong);
  }
}
