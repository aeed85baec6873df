// The rules of a topic: rows are added and removed in place, and a kind without a value asks for none.

import { guard } from "./guard.js";

const form = document.getElementById("rules");
const VALUELESS = ["", "everybody", "local"];

function follow(row) {
  const kind = row.querySelector("select");
  const value = row.querySelector("input:not([type=checkbox], [type=hidden])");
  const show = () => {
    const none = VALUELESS.includes(kind.value);
    value.closest(".field").hidden = none;
    if (none) value.value = "";
  };
  kind.addEventListener("change", show);
  show();
  const drop = row.querySelector(".drop input");
  const button = Object.assign(document.createElement("button"), {
    type: "button",
    className: "button danger tight",
    textContent: "Remove",
  });
  button.setAttribute("aria-label", `Remove rule ${kind.selectedOptions[0]?.textContent ?? ""} ${value.value}`.trim());
  button.addEventListener("click", () => {
    drop.checked = true;
    row.hidden = true;
    row.closest(".rule-list").querySelector("[data-add]").focus();
  });
  drop.closest(".field").hidden = true;
  row.append(button);
  // A refused page comes back with what was removed on it.
  if (drop.checked) row.hidden = true;
}

for (const list of form.querySelectorAll(".rule-list")) {
  const rows = list.querySelector(".rule-rows");
  const total = list.querySelector("[name$=TOTAL_FORMS]");
  const template = list.querySelector("template");
  for (const row of rows.children) follow(row);
  // The empty row at the end is for pages without scripts.
  const last = rows.lastElementChild;
  if (last && !last.querySelector("select").value && !last.querySelector(".error")) last.hidden = true;
  const add = list.querySelector("[data-add]");
  add.hidden = false;
  add.addEventListener("click", () => {
    const hidden = [...rows.children].find((row) => row.hidden && !row.querySelector(".drop input").checked);
    const row = hidden ?? document.importNode(template.content, true).firstElementChild;
    if (!hidden) {
      const number = Number(total.value);
      row.innerHTML = row.innerHTML.replaceAll("__prefix__", String(number));
      row.setAttribute("aria-label", `Rule ${number + 1}`);
      total.value = String(number + 1);
      rows.append(row);
      follow(row);
    }
    row.hidden = false;
    row.querySelector("select").focus();
  });
}
guard(form);
document.querySelector("[data-focus]")?.focus();
