// The list of sessions, renewed once a second.

import { listen } from "./live.js";
import { element, put, renew, sendInPlace } from "./rows.js";

const table = document.getElementById("sessions");
const nobody = document.getElementById("nobody");
const count = document.getElementById("count");
const token = document.querySelector("#end-form input[name=csrfmiddlewaretoken]").value;
const COLUMNS = [
  ...("several" in table.dataset ? [["node", "Node", false]] : []),
  ["address", "From", false],
  ["transport", "Transport", false],
  ["tls", "TLS", false],
  ["since", "Since", false],
  ["presence", "Presence", false],
  ["unacked", "Unacked", true],
  ["queue", "Queue", true],
];

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
  COLUMNS.forEach(([key], index) => put(row.cells[index + 1], String(session[key])));
}

listen(table.dataset.socket, (data) => {
  renew(table.tBodies[0], data.list, "jid", makeRow, fillRow);
  nobody.hidden = data.list.length > 0;
  count.textContent = `${data.total} connected${data.total > data.list.length ? `, the first ${data.list.length} shown` : ""}`;
});

sendInPlace(table, "Ending …", "Not ended: again");
