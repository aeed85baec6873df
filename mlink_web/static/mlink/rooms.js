// Live pages of rooms, renewed once a second: the numbers of occupants in the list, and who is in one room. Rows are
// kept and changed in place, so that the keyboard focus survives a renewal. All text goes in as text, never as markup.

import { listen } from "./live.js";

const rooms = document.getElementById("rooms");
const occupants = document.getElementById("occupants");
const COLUMNS = [
  ["jids", "Addresses"],
  ["role", "Role"],
  ["affiliation", "Affiliation"],
];

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

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

/** Make the rows equal to `list`, which comes sorted. */
function show(list) {
  const body = occupants.tBodies[0];
  const old = new Map([...body.rows].map((row) => [row.dataset.nick, row]));
  let next = body.rows[0] ?? null;
  for (const one of list) {
    let row = old.get(one.nick);
    old.delete(one.nick);
    row ??= makeRow(one);
    COLUMNS.forEach(([key], index) => put(row.cells[index + 1], one[key]));
    if (row === next) next = next.nextElementSibling;
    else body.insertBefore(row, next);
  }
  for (const row of old.values()) row.remove();
}

if (occupants) {
  listen(occupants.dataset.socket, (data) => {
    show(data.list);
    occupants.hidden = data.list.length === 0;
    document.getElementById("nobody").hidden = data.list.length > 0;
    const more = data.total > data.list.length ? `, the first ${data.list.length} shown` : "";
    put(document.getElementById("count"), `${data.total} occupant${data.total === 1 ? "" : "s"}${more}`);
  });
  // With a script there is no need to load the page anew after each click; without one the form is sent as it is.
  occupants.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = event.target.querySelector("button");
    button.disabled = true;
    button.textContent = "Kicking …";
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
      button.textContent = "Not kicked: again";
      button.title = error.message;
    }
  });
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
