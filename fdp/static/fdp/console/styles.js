// The stylesheets of a topic: the preview follows what is typed.

import { guard } from "./guard.js";

const PAUSE = 700;
const form = document.getElementById("styles");
const button = document.getElementById("preview-button");
const xslt = document.getElementById("id_xslt");
let timer = 0;

function soon() {
  clearTimeout(timer);
  timer = setTimeout(() => form.requestSubmit(button), PAUSE);
}

guard(form);
if (button) {
  for (const area of form.querySelectorAll("textarea")) area.addEventListener("input", soon);
  document.getElementById("sample").addEventListener("change", () => form.requestSubmit(button));
  form.requestSubmit(button);
}
const starter = document.getElementById("starter");
starter.hidden = Boolean(xslt.value.trim());
starter.addEventListener("click", () => {
  xslt.value = JSON.parse(document.getElementById("starter-text").textContent);
  starter.hidden = true;
  xslt.focus();
  if (button) soon();
});
document.querySelector("[data-focus]")?.focus();
