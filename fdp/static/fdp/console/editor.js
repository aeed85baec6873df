// The editor of a form: palette, canvas and preview over the text area that the page sends. See tree.js for the model.

import { element, put } from "../../mlink/rows.js";
import { Canvas } from "./canvas.js";
import { draggable } from "./drag.js";
import { Preview } from "./preview.js";
import {
  freeName,
  find,
  load,
  newField,
  newPage,
  newSection,
  newText,
  partsOf,
  placeOf,
  put as place,
  save,
} from "./tree.js";

const UNDO_STEPS = 100;
const form = document.getElementById("editor");
const source = document.getElementById("id_definition");
const byId = (id) => document.getElementById(id);
const read = (id) => JSON.parse(byId(id).textContent);

// What the palette offers: words, what it makes, and a note on hover.
const OPTIONS = [
  { value: "option1", label: "" },
  { value: "option2", label: "" },
];
const checked = (datatype) => ({
  datatype,
  method: "basic",
  min: null,
  max: null,
  regex: null,
  list_min: null,
  list_max: null,
});
const PALETTE = [
  ["Line of text", () => newField({ type: "text-single", label: "Line of text" })],
  ["Several lines", () => newField({ type: "text-multi", label: "Several lines" })],
  ["Number", () => newField({ type: "text-single", label: "Number", validate: checked("xs:integer") })],
  ["Date and time", () => newField({ type: "text-single", label: "Date and time", validate: checked("xs:dateTime") })],
  ["Yes or no", () => newField({ type: "boolean", label: "Yes or no" })],
  ["One of a list", () => newField({ type: "list-single", label: "One of a list", options: OPTIONS })],
  ["Several of a list", () => newField({ type: "list-multi", label: "Several of a list", options: OPTIONS })],
  ["Address", () => newField({ type: "jid-single", label: "Address" })],
  ["Addresses", () => newField({ type: "jid-multi", label: "Addresses" })],
  ["Private text", () => newField({ type: "text-private", label: "Private text" })],
  ["Text to read", () => newText("Text to read")],
  ["Hidden", () => newField({ type: "hidden", label: "" })],
  ["Section", () => newSection("Section")],
  ["Page", () => newPage("Page")],
];

class Editor {
  constructor() {
    this.types = read("field-types");
    this.datatypes = read("datatypes");
    this.selected = "";
    this.history = [];
    this.sending = false;
    this.tree = load(JSON.parse(source.value));
    this.canvas = new Canvas(byId("canvas"), this);
    this.preview = new Preview(byId("preview"), byId("state"), {
      definition: () => save(this.tree).definition,
      address: form.dataset.check,
      token: form.querySelector("[name=csrfmiddlewaretoken]").value,
      told: (answer) => this.told(answer),
    });
    this.saved = JSON.stringify(save(this.tree).definition);
    this.said = byId("dirty").textContent;
  }

  start() {
    byId("surface").hidden = false;
    byId("plain").hidden = true;
    this.fillHead();
    this.makePalette();
    this.makeViews();
    this.canvas.render();
    this.preview.ask();
    byId("preview-check").addEventListener("click", () => {
      this.preview.checkAll(save(this.tree).definition.fields.map((field) => field.var));
    });
    form.addEventListener("submit", (event) => this.send(event));
    window.addEventListener("beforeunload", (event) => {
      if (this.isDirty() && !this.sending) event.preventDefault();
    });
    document.addEventListener("keydown", (event) => {
      const typing = event.target.closest("input, textarea, select");
      if ((event.ctrlKey || event.metaKey) && event.key === "z" && !event.shiftKey && !typing) {
        event.preventDefault();
        this.undo();
      }
    });
  }

  // What Canvas and properties need of their host.

  announce(text) {
    put(byId("announce"), text);
  }

  rename(node) {
    this.canvas.rename(node);
  }

  /** The structure is about to change: remember how it was. */
  before() {
    this.history.push(JSON.stringify(save(this.tree).definition));
    if (this.history.length > UNDO_STEPS) this.history.shift();
    byId("undo").disabled = false;
  }

  undo() {
    const last = this.history.pop();
    byId("undo").disabled = this.history.length === 0;
    if (last === undefined) return;
    this.replace(JSON.parse(last));
    this.announce("The last step is undone.");
  }

  /** Something was changed: the text that is sent follows, and the server is asked. */
  changed() {
    source.value = JSON.stringify(save(this.tree).definition, null, 2);
    if (document.activeElement !== byId("json")) byId("json").value = source.value;
    const dirty = this.isDirty();
    put(byId("dirty"), dirty ? "Not saved yet." : this.said);
    byId("trouble").hidden = true;
    this.preview.soon();
  }

  renew(node, focus) {
    this.canvas.render({ id: node.id, what: focus });
  }

  duplicate(node) {
    this.before();
    const copy = newField(node.field);
    copy.field.var = freeName(this.tree, node.field.label || node.field.var, null);
    const { owner, index } = placeOf(this.tree, node);
    place(this.tree, copy, { owner, index: index + 1 });
    this.changed();
    this.canvas.open(copy);
  }

  isDirty() {
    return JSON.stringify(save(this.tree).definition) !== this.saved;
  }

  replace(definition) {
    this.tree = load(definition);
    this.selected = "";
    this.fillHead();
    this.canvas.render();
    this.changed();
  }

  fillHead() {
    const title = byId("form-title");
    const instructions = byId("form-instructions");
    title.value = this.tree.title;
    instructions.value = this.tree.instructions;
    title.oninput = () => {
      this.tree.title = title.value;
      this.changed();
    };
    instructions.oninput = () => {
      this.tree.instructions = instructions.value;
      this.changed();
    };
  }

  makePalette() {
    for (const [words, make] of PALETTE) {
      const chip = element("button", { type: "button", className: "chip", textContent: words });
      chip.addEventListener("click", () => this.add(make()));
      draggable(chip, byId("canvas"), () => {
        const node = make();
        return {
          label: words,
          skip: null,
          accepts: this.canvas.accepts(node),
          drop: (list, index) => {
            this.name(node);
            this.canvas.drop(node, list, index);
            this.announce(`${words}: ${this.canvas.where(node)}`);
            this.canvas.open(node);
          },
        };
      });
      byId("palette").append(element("li", {}, chip));
    }
  }

  name(node) {
    if (node.kind !== "field") return;
    node.fresh = true;
    node.field.var = freeName(this.tree, node.field.label, node.field);
  }

  /** A part from the palette without dragging: after what is selected, else at the end. */
  add(node) {
    this.before();
    this.name(node);
    const selected = this.selected ? find(this.tree, this.selected) : null;
    if (node.kind === "page") {
      let page = selected;
      while (page && page.node.kind !== "page") page = page.owner ? find(this.tree, page.owner.id) : null;
      place(this.tree, node, {
        owner: null,
        index: page ? this.tree.pages.indexOf(page.node) + 1 : this.tree.pages.length,
      });
    } else if (selected && selected.node.parts) {
      place(this.tree, node, { owner: selected.node, index: selected.node.parts.length });
    } else if (selected) {
      place(this.tree, node, { owner: selected.owner, index: selected.parts.indexOf(selected.node) + 1 });
    } else {
      const page = this.tree.pages.at(-1);
      place(this.tree, node, { owner: page, index: page.parts.length });
    }
    this.changed();
    const { owner, index } = placeOf(this.tree, node);
    this.announce(`Added: place ${index + 1} of ${partsOf(this.tree, owner).length}.`);
    this.canvas.open(node);
  }

  makeViews() {
    const tabs = [...form.querySelectorAll("[role=tab]")];
    const show = (tab) => {
      for (const one of tabs) {
        const on = one === tab;
        one.setAttribute("aria-selected", String(on));
        one.tabIndex = on ? 0 : -1;
        byId(one.getAttribute("aria-controls")).hidden = !on;
      }
      if (tab.id === "tab-json") byId("json").value = JSON.stringify(save(this.tree).definition, null, 2);
    };
    tabs.forEach((tab, index) => {
      tab.addEventListener("click", () => show(tab));
      tab.addEventListener("keydown", (event) => {
        const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (!by) return;
        const next = tabs[(index + by + tabs.length) % tabs.length];
        show(next);
        next.focus();
      });
    });
    const undo = element("button", {
      type: "button",
      id: "undo",
      className: "button plain tight push",
      textContent: "Undo",
      disabled: true,
    });
    undo.addEventListener("click", () => this.undo());
    tabs[0].parentElement.after(undo);
    const json = byId("json");
    json.addEventListener("input", () => {
      let definition;
      try {
        definition = JSON.parse(json.value);
        load(definition);
      } catch (error) {
        json.setAttribute("aria-invalid", "true");
        this.trouble(`This is no form in JSON: ${error.message}`);
        return;
      }
      json.removeAttribute("aria-invalid");
      this.replace(definition);
    });
  }

  // What the server says.

  told(answer) {
    const { node, rest } = answer.error ? save(this.tree).nodeAt(answer.path) : { node: null, rest: "" };
    this.canvas.complain(node, rest, answer.error ?? "");
    if (answer.error) this.trouble(this.words(node, answer));
    else {
      byId("trouble").hidden = true;
      put(byId("xml"), answer.xml);
    }
  }

  words(node, answer) {
    return node ? `${this.canvas.name(node) || "A part of the form"}: ${answer.error}` : answer.error;
  }

  trouble(sentence) {
    put(byId("trouble"), sentence);
    byId("trouble").hidden = false;
  }

  async send(event) {
    event.preventDefault();
    const button = byId("save");
    button.disabled = true;
    source.value = JSON.stringify(save(this.tree).definition);
    try {
      const response = await fetch(form.action || location.href, {
        method: "POST",
        body: new FormData(form),
        headers: { Accept: "application/json" },
      });
      const answer = await response.json();
      if (response.ok) {
        this.sending = true;
        location.assign(answer.where);
        return;
      }
      const { node, rest } = save(this.tree).nodeAt(answer.path ?? "");
      if (node) this.canvas.open(node);
      this.canvas.complain(node, rest, answer.error);
      this.trouble(this.words(node, answer));
    } catch (error) {
      this.trouble(`Nothing was saved: ${error.message}`);
    }
    button.disabled = false;
  }
}

// A text that is no form stays in the text area, where it can be put right.
let editor = null;
try {
  editor = new Editor();
} catch {
  byId("plain").hidden = false;
}
editor?.start();
