// Live pages of rooms, renewed once a second: the numbers of occupants in the list, and who is in one room.

import { listen } from "./live.js";
import { element, put, renew, sendInPlace } from "./rows.js";

const rooms = document.getElementById("rooms");
const occupants = document.getElementById("occupants");
const COLUMNS = [
  ["jids", "Addresses"],
  ["role", "Role"],
  ["affiliation", "Affiliation"],
];

/** The form that kicks one occupant: the same as the server writes into the page. */
function kickForm(nick) {
  const token = document.querySelector("#token input[name=csrfmiddlewaretoken]").value;
  const button = element("button", { className: "button danger tight", textContent: "Kick" });
  button.setAttribute("aria-label", `Kick ${nick}`);
  return element(
    "form",
    { method: "post", action: occupants.dataset.kick },
    element("input", { type: "hidden", name: "csrfmiddlewaretoken", value: token }),
    element("input", { type: "hidden", name: "nick", value: nick }),
    button,
  );
}

function makeRow(one) {
  const row = element("tr", {}, element("th", { scope: "row", textContent: one.nick }));
  row.dataset.nick = one.nick;
  for (const [, label] of COLUMNS) {
    const cell = element("td");
    cell.dataset.label = label;
    row.append(cell);
  }
  row.append(element("td", { className: "act" }, kickForm(one.nick)));
  return row;
}

function fillRow(row, one) {
  COLUMNS.forEach(([key], index) => put(row.cells[index + 1], one[key]));
}

if (occupants) {
  listen(occupants.dataset.socket, (data) => {
    renew(occupants.tBodies[0], data.list, "nick", makeRow, fillRow);
    occupants.hidden = data.list.length === 0;
    document.getElementById("nobody").hidden = data.list.length > 0;
    const more = data.total > data.list.length ? `, the first ${data.list.length} shown` : "";
    put(document.getElementById("count"), `${data.total} occupant${data.total === 1 ? "" : "s"}${more}`);
  });
  sendInPlace(occupants, "Kicking …", "Not kicked: again");
}

if (rooms) {
  listen(rooms.dataset.socket, (data) => {
    put(document.getElementById("total"), String(data.total));
    for (const row of rooms.tBodies[0].rows) {
      const cell = row.querySelector("[data-figure=occupants]");
      if (row.dataset.room in data.rooms) put(cell, String(data.rooms[row.dataset.room]));
    }
  });
}
