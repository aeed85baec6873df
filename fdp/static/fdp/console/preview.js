// The form beside the editor, as people will fill it in. The server makes it and judges what is filled in: the same code
// that judges a published form. What was entered survives a change of the form, because it is kept by field.

import { put } from "../../mlink/rows.js";

const PAUSE = 350;

export class Preview {
  /** `host` has definition(): the one to check, address, token, and told(answer): what the server says of it. */
  constructor(root, state, host) {
    this.root = root;
    this.state = state;
    this.host = host;
    this.shown = "";
    this.entered = new Map();
    this.touched = new Set();
    this.timer = 0;
    this.turn = 0;
    root.addEventListener("input", () => this.collect());
    root.addEventListener("change", (event) => {
      this.collect();
      const field = event.target.closest("[data-var]");
      if (field) this.touched.add(field.dataset.var);
      this.soon();
    });
  }

  /** Ask the server when nothing more happens for a moment. */
  soon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.ask(), PAUSE);
    this.say("checking …", "");
  }

  say(text, state) {
    put(this.state, text);
    this.state.dataset.state = state;
  }

  collect() {
    for (const field of this.root.querySelectorAll("[data-var]")) {
      const name = field.dataset.input;
      const found = {};
      for (const input of field.querySelectorAll("input, select, textarea")) {
        if (!input.name || (["checkbox", "radio"].includes(input.type) && !input.checked)) continue;
        (found[input.name.slice(name.length)] ??= []).push(input.value);
      }
      this.entered.set(field.dataset.var, found);
    }
  }

  /** Every field counts as touched: what is missing is said too. */
  checkAll(vars) {
    this.collect();
    for (const one of vars) this.touched.add(one);
    return this.ask();
  }

  async ask() {
    clearTimeout(this.timer);
    const turn = ++this.turn;
    const definition = this.host.definition();
    const text = JSON.stringify(definition);
    const body = new FormData();
    body.append("csrfmiddlewaretoken", this.host.token);
    body.append("definition", text);
    if (this.touched.size > 0) {
      body.append("filled", "1");
      definition.fields.forEach((field, index) => {
        const found = this.entered.get(field.var) ?? { "": field.values };
        for (const [rest, values] of Object.entries(found))
          for (const value of values) body.append(`f.${index}${rest}`, value);
      });
    }
    let answer;
    try {
      const response = await fetch(this.host.address, {
        method: "POST",
        body,
        headers: { Accept: "application/json" },
      });
      if (!response.ok) throw new Error(`the server answers ${response.status}`);
      answer = await response.json();
    } catch (error) {
      if (turn === this.turn) this.say(`not checked: ${error.message}`, "off");
      return;
    }
    // An older answer says nothing about what stands there now.
    if (turn !== this.turn) return;
    this.host.told(answer);
    if (answer.error) {
      this.say("the form has an error", "off");
      return;
    }
    if (text !== this.shown) this.show(answer.html, text);
    this.mark(answer.errors);
  }

  show(html, text) {
    const focused = this.root.contains(document.activeElement) ? document.activeElement.id : "";
    // Made by our own template, which escapes whatever the form holds.
    this.root.innerHTML = html;
    this.shown = text;
    if (focused) document.getElementById(focused)?.focus();
  }

  mark(errors) {
    let wrong = 0;
    for (const field of this.root.querySelectorAll("[data-var]")) {
      const sentence = this.touched.has(field.dataset.var) ? (errors[field.dataset.input] ?? "") : "";
      const place = field.querySelector("[data-error]");
      put(place, sentence);
      place.hidden = !sentence;
      if (sentence) wrong += 1;
      for (const input of field.querySelectorAll("input:not([type=hidden]), select, textarea")) {
        if (sentence) input.setAttribute("aria-invalid", "true");
        else input.removeAttribute("aria-invalid");
      }
    }
    if (wrong) this.say(`${wrong} field${wrong > 1 ? "s" : ""} to correct`, "off");
    else if (this.touched.size > 0 && Object.keys(errors).length === 0) this.say("would be accepted", "on");
    else this.say("up to date", "on");
  }
}
