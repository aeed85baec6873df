// The state of the configured components, renewed once a second. Rows come and go with the page: what is configured
// changes seldom.

import { listen } from "../mlink/live.js";
import { put, sendInPlace } from "../mlink/rows.js";

const page = document.getElementById("components");
const list = document.getElementById("list");
const FIGURES = ["words", "since", "stanzas", "bytes", "waiting", "bounced"];
const MARKS = { connected: "tag good", away: "tag warn" };

function fill(row, one) {
  for (const name of FIGURES) put(row.querySelector(`[data-figure=${name}]`), one[name]);
  row.querySelector("[data-figure=words]").className = MARKS[one.state] ?? "tag";
  const from = row.querySelector("[data-figure=from]");
  put(from, [one.address, one.tls].filter(Boolean).join(", "));
  from.hidden = !one.address;
  const kick = row.querySelector("[data-kick]");
  const gone = one.state !== "connected";
  if (gone && !kick.hidden) {
    // The button of a connection that has ended is fresh when the next one comes.
    kick.open = false;
    const button = kick.querySelector("button");
    button.disabled = false;
    button.textContent = "Disconnect now";
  }
  kick.hidden = gone;
}

if (list) {
  listen(page.dataset.socket, (data) => {
    for (const one of data.components) {
      const row = list.querySelector(`tr[data-pk="${one.pk}"]`);
      if (row) fill(row, one);
    }
    put(document.getElementById("connected"), String(data.connected));
  });
  sendInPlace(list, "Disconnecting …", "Not done: again");
} else {
  document.getElementById("live").hidden = true;
}
