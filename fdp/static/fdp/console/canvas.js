// The form as it is being made: a card for each part, which opens to its properties, with a handle to move it by.

import { element, put as putText } from "../../mlink/rows.js";
import { draggable, movableByKeys } from "./drag.js";
import { properties, typeWords } from "./properties.js";
import { fits, find, hasLayout, partsOf, placeOf, places, put, remove } from "./tree.js";

const ROOT = "pages";

export class Canvas {
  /** `host` as for properties, with announce(text), selected (an id), and before(): what to call before a change of the structure. */
  constructor(root, host) {
    this.root = root;
    this.host = host;
    this.held = null;
  }

  get tree() {
    return this.host.tree;
  }

  /** Make everything anew; `focus` is { id, what } to be focused then. */
  render(focus = null) {
    const laid = hasLayout(this.tree);
    const list = element("ol", { className: "pages-list" });
    list.dataset.list = ROOT;
    list.append(...this.tree.pages.map((page) => this.page(page, laid)));
    this.root.replaceChildren(list);
    if (focus) this.focus(focus);
  }

  focus({ id, what }) {
    const card = this.root.querySelector(`[data-id="${id}"]`);
    if (!card) return;
    const own = (selector) => [...card.querySelectorAll(selector)].find((one) => one.closest("[data-id]") === card);
    const found =
      what === "handle"
        ? own(".handle")
        : what
          ? (own(`[data-focus="${what}"]`) ?? own(`[data-prop="${what}"] :is(input, select, textarea)`))
          : (own(".properties :is(input, select, textarea)") ?? own(".handle"));
    found?.focus();
    if (found?.select && !what) found.select();
  }

  page(page, laid) {
    const item = element("li", { className: laid ? "page-card" : "page-card plain" });
    item.dataset.id = page.id;
    if (laid) item.append(this.header(page));
    if (laid && this.host.selected === page.id) item.append(this.properties(page));
    item.append(
      this.parts(
        page,
        laid ? "Drag parts to this page" : "The form is empty. Drag a field to this place, or press one of them.",
      ),
    );
    return item;
  }

  parts(owner, emptyWords) {
    const list = element("ol", { className: "parts-list" });
    list.dataset.list = owner.id;
    list.append(...owner.parts.map((node) => this.part(node)));
    if (owner.parts.length === 0) list.append(element("li", { className: "empty-list", textContent: emptyWords }));
    return list;
  }

  part(node) {
    const item = element("li", { className: `part-card is-${node.kind}` });
    item.dataset.id = node.id;
    item.append(this.header(node));
    const problem = element("p", { className: "error", hidden: true });
    problem.dataset.problem = "";
    item.append(problem);
    if (this.host.selected === node.id) {
      item.classList.add("selected");
      item.append(this.properties(node));
    }
    if (node.kind === "section")
      item.append(this.parts(node, "Drag fields into this section. An empty section is not saved."));
    return item;
  }

  name(node) {
    if (node.kind === "field") return node.field.label || node.field.var || "(no label)";
    if (node.kind === "text") return node.text.split("\n")[0] || "(no text)";
    return node.label || (node.kind === "page" ? "" : "(no title)");
  }

  /** The name of a part was changed: show it without making anything anew. */
  rename(node) {
    const card = this.root.querySelector(`[data-id="${node.id}"]`);
    if (!card) return;
    const name = this.name(node);
    putText(card.querySelector(".part-name"), name);
    for (const one of card.querySelectorAll(":scope > .part-head [data-does]"))
      one.setAttribute("aria-label", `${one.dataset.does} ${name || this.words(node)}`);
    card.querySelector(".required-mark").hidden = !(node.kind === "field" && node.field.required);
  }

  /** What kind of part it is. */
  words(node) {
    if (node.kind === "page") return `Page ${this.tree.pages.indexOf(node) + 1}`;
    return node.kind === "field" ? typeWords(node.field.type) : node.kind === "section" ? "Section" : "Text";
  }

  /** A small button of a part's head; what it does is part of its name, which follows the part's. */
  act(does, className, name) {
    const made = element("button", { type: "button", className, title: does });
    made.dataset.does = does;
    made.setAttribute("aria-label", `${does} ${name}`);
    return made;
  }

  header(node) {
    const words = this.words(node);
    const name = this.name(node);
    const shown = () => this.name(node) || words;
    const selected = this.host.selected === node.id;
    const handle = this.act("Move", "handle", shown());
    handle.setAttribute("aria-pressed", String(this.held?.node === node));
    handle.append(element("span", { className: "grip", ariaHidden: "true" }));
    this.wireHandle(handle, node, shown);
    const title = element(
      "button",
      { type: "button", className: "part-title" },
      element("span", { className: "part-name", textContent: name }),
      element("span", {
        className: "required-mark",
        textContent: " *",
        hidden: !(node.kind === "field" && node.field.required),
      }),
      element("span", { className: "part-type", textContent: words }),
    );
    title.setAttribute("aria-expanded", String(selected));
    title.addEventListener("click", () => {
      this.host.selected = selected ? "" : node.id;
      this.render(selected ? { id: node.id, what: "handle" } : { id: node.id });
    });
    const twice = this.act("Duplicate", "part-act twice", shown());
    twice.append(element("span", { className: "twice-icon", ariaHidden: "true" }));
    twice.hidden = node.kind !== "field";
    twice.addEventListener("click", () => this.host.duplicate(node));
    const gone = this.act("Remove", "part-act", shown());
    gone.textContent = "✕";
    gone.addEventListener("click", () => {
      this.host.before();
      const { owner, index } = placeOf(this.tree, node);
      remove(this.tree, node);
      const next = partsOf(this.tree, owner)[Math.min(index, partsOf(this.tree, owner).length - 1)];
      this.host.announce(`${shown()} is removed.`);
      this.host.changed();
      this.render(next ? { id: next.id, what: "handle" } : null);
    });
    return element("div", { className: "part-head" }, handle, title, twice, gone);
  }

  properties(node) {
    const box = element("div", { className: "properties" }, ...properties(node, this.host));
    return box;
  }

  /** Whether a node may be dropped into the list with this name. */
  accepts(node) {
    return (list) => fits(this.tree, node, list === ROOT ? null : (find(this.tree, list)?.node ?? null));
  }

  /** Drop a node, known or new, into a list. */
  drop(node, list, index) {
    this.host.before();
    put(this.tree, node, { owner: list === ROOT ? null : find(this.tree, list).node, index });
    this.host.changed();
  }

  wireHandle(handle, node, shown) {
    draggable(handle, this.root, () => ({
      label: shown(),
      skip: handle.closest("[data-id]"),
      accepts: this.accepts(node),
      drop: (list, index) => {
        this.drop(node, list, index);
        this.host.announce(`${shown()}: ${this.where(node)}`);
        this.render({ id: node.id, what: "handle" });
      },
    }));
    movableByKeys(handle, {
      isHeld: () => this.held?.node === node,
      hold: () => {
        this.host.before();
        this.held = { node, from: placeOf(this.tree, node) };
        handle.setAttribute("aria-pressed", "true");
        this.host.announce(
          `${shown()} is taken. Move it with the arrow keys, put it down with space, escape puts it back.`,
        );
      },
      step: (by) => {
        const all = places(this.tree, node);
        const now = placeOf(this.tree, node);
        const at = all.findIndex((one) => one.owner === now.owner && one.index === now.index);
        const next = all[at + by];
        if (!next) return;
        put(this.tree, node, next);
        this.host.announce(this.where(node));
        this.again(node);
      },
      release: () => {
        this.held = null;
        this.host.changed();
        this.host.announce(`${shown()} is put down: ${this.where(node)}`);
        this.render({ id: node.id, what: "handle" });
      },
      cancel: () => {
        put(this.tree, node, this.held.from);
        this.held = null;
        this.host.changed();
        this.host.announce(`${shown()} is back where it was.`);
        this.render({ id: node.id, what: "handle" });
      },
    });
    handle.addEventListener("blur", () => {
      if (this.held?.node !== node || this.stepping) return;
      this.held = null;
      handle.setAttribute("aria-pressed", "false");
      this.host.changed();
    });
  }

  /** Make everything anew while a part is held: losing the focus by that is no letting go. */
  again(node) {
    this.stepping = true;
    this.render({ id: node.id, what: "handle" });
    this.stepping = false;
  }

  /** Where a node stands, in words. */
  where(node) {
    const { owner, index } = placeOf(this.tree, node);
    const count = partsOf(this.tree, owner).length;
    const inside =
      owner === null || (owner.kind === "page" && !hasLayout(this.tree))
        ? ""
        : ` in ${owner.kind} ${owner.label || (owner.kind === "page" ? this.tree.pages.indexOf(owner) + 1 : "without title")}`;
    return `place ${index + 1} of ${count}${inside}.`;
  }

  /** Show the complaint of the server at a node, or none. */
  complain(node, rest, sentence) {
    for (const one of this.root.querySelectorAll("[data-problem]")) one.hidden = true;
    for (const one of this.root.querySelectorAll(".is-wrong")) one.classList.remove("is-wrong");
    for (const one of this.root.querySelectorAll("[aria-invalid]")) one.removeAttribute("aria-invalid");
    for (const one of this.root.querySelectorAll(".complaint")) one.remove();
    if (!node || !sentence) return;
    const card = this.root.querySelector(`[data-id="${node.id}"]`);
    if (!card) return;
    card.classList.add("is-wrong");
    const place = [...card.querySelectorAll("[data-prop]")]
      .filter(
        (one) =>
          one.closest("[data-id]") === card &&
          (rest === one.dataset.prop ||
            rest.startsWith(`${one.dataset.prop}.`) ||
            rest.startsWith(`${one.dataset.prop}[`)),
      )
      .sort((one, other) => other.dataset.prop.length - one.dataset.prop.length)[0];
    if (place) {
      const details = place.closest("details");
      if (details) details.open = true;
      place.querySelector("input, select, textarea")?.setAttribute("aria-invalid", "true");
      place.append(element("p", { className: "error complaint", textContent: sentence }));
      return;
    }
    const problem = card.querySelector("[data-problem]");
    if (problem) {
      problem.hidden = false;
      problem.textContent = sentence;
    }
  }

  /** Open a part and go to it. */
  open(node) {
    this.host.selected = node.id;
    this.render({ id: node.id });
  }
}
