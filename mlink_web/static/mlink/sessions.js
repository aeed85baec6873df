// The list of sessions, renewed once a second. Rows are kept and changed in place, so that the keyboard focus, a text
// selection and a half-made click survive a renewal. All text goes in as text, never as markup.

import { listen } from "./live.js";

const table = document.getElementById("sessions");
const body = table.tBodies[0];
const nobody = document.getElementById("nobody");
const count = document.getElementById("count");
const token = document.querySelector("#end-form input[name=csrfmiddlewaretoken]").value;
const COLUMNS = [
  ["address", "From", false],
  ["transport", "Transport", false],
  ["tls", "TLS", false],
  ["since", "Since", false],
  ["presence", "Presence", false],
  ["unacked", "Unacked", true],
  ["queue", "Queue", true],
];

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

/** The form that ends one session: the same as the server writes into the page. */
function endForm(jid) {
  const button = element("button", { className: "button danger tight", textContent: "End session" });
  button.setAttribute("aria-label", `End session of ${jid}`);
  return element(
    "form",
    { method: "post", action: table.dataset.end },
    element("input", { type: "hidden", name: "csrfmiddlewaretoken", value: token }),
    element("input", { type: "hidden", name: "jid", value: jid }),
    button,
  );
}

function makeRow(session) {
  const head = element("th", { scope: "row" }, session.bare, element("wbr"), element("span", { className: "resource", textContent: `/${session.resource}` }));
  const row = element("tr", {}, head);
  row.dataset.jid = session.jid;
  for (const [, label, number] of COLUMNS) {
    const cell = element("td", { className: number ? "number" : "" });
    cell.dataset.label = label;
    row.append(cell);
  }
  row.append(element("td", { className: "act" }, endForm(session.jid)));
  return row;
}

function fillRow(row, session) {
  COLUMNS.forEach(([key], index) => {
    const cell = row.cells[index + 1];
    const text = String(session[key]);
    if (cell.textContent !== text) cell.textContent = text;
  });
}

/** Make the rows equal to `list`, which comes sorted. */
function show(list) {
  const old = new Map([...body.rows].map((row) => [row.dataset.jid, row]));
  let next = body.rows[0] ?? null;
  for (const session of list) {
    let row = old.get(session.jid);
    old.delete(session.jid);
    row ??= makeRow(session);
    fillRow(row, session);
    if (row === next) next = next.nextElementSibling;
    else body.insertBefore(row, next);
  }
  for (const row of old.values()) row.remove();
}

listen(table.dataset.socket, (data) => {
  show(data.list);
  nobody.hidden = data.list.length > 0;
  count.textContent = `${data.total} connected${data.total > data.list.length ? `, the first ${data.list.length} shown` : ""}`;
});

// With a script there is no need to load the page anew after each click; without one the form is sent as it is.
table.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = event.target.querySelector("button");
  button.disabled = true;
  button.textContent = "Ending …";
  try {
    const answer = await fetch(event.target.action, {
      method: "POST",
      body: new FormData(event.target),
      headers: { Accept: "application/json" },
    });
    const result = await answer.json();
    if (!answer.ok) throw new Error(result.error);
  } catch (error) {
    button.disabled = false;
    button.textContent = "Not ended: again";
    button.title = error.message;
  }
});
