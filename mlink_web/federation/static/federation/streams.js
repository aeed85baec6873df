// The streams to and from other servers and what waits for them, renewed once a second.

import { listen } from "../mlink/live.js";
import { element, put, renew, sendInPlace } from "../mlink/rows.js";

const page = document.getElementById("federation");
const streams = document.getElementById("streams");
const queues = document.getElementById("queues");
const token = document.querySelector("#token input[name=csrfmiddlewaretoken]").value;

const STREAM = [
  ["direction", "Direction", false, "state"],
  ["authentication", "Proof", false, "certificate"],
  ["tls", "TLS", false],
  ["since", "Since", false],
  ["stanzas", "Stanzas in / out", true],
  ["bytes", "Bytes in / out", true],
  ["unacked", "Unacked", true],
];
const QUEUE = [
  ["state", "State", false],
  ["queued", "Stanzas", true],
  ["bytes", "Bytes", true],
  ["oldest", "Oldest", false],
  ["next", "Next try", false],
  ["error", "Failed because", false],
];

function figure(name, className = "") {
  const made = element("span", { className });
  made.dataset.figure = name;
  return made;
}

function cells(row, columns) {
  for (const [name, label, number, under] of columns) {
    const cell = element("td", { className: name === "error" ? "why" : number ? "number" : "" });
    cell.dataset.label = label;
    if (under) cell.append(element("span", {}, figure(name), " ", figure(under, "ours")));
    else cell.dataset.figure = name;
    row.append(cell);
  }
}

/** A form with hidden values and one button, as the server writes it into the page. */
function form(action, values, button) {
  const fields = Object.entries({ csrfmiddlewaretoken: token, ...values });
  return element("form", { method: "post", action }, ...fields.map(([name, value]) => element("input", { type: "hidden", name, value })), button);
}

/** The question that opens under the button that asks it. */
function sure(text, label, what) {
  const summary = element("summary", { className: "button danger tight", textContent: text });
  summary.setAttribute("aria-label", label);
  return element("details", { className: "sure" }, summary, what);
}

function makeStream(one) {
  const head = element("th", { scope: "row" }, figure("remote"), " ", element("span", { className: "ours" }, "with ", figure("local")), figure("place", "ours"), figure("pairs", "ours"), figure("address", "ours"));
  const row = element("tr", {}, head);
  row.dataset.id = one.id;
  cells(row, STREAM);
  const now = element("button", { className: "button danger tight", textContent: "Close now" });
  const closing = form(streams.dataset.act, { id: one.id, about: one.remote }, now);
  row.append(element("td", { className: "act" }, sure("Close …", `Close the stream with ${one.remote} …`, closing)));
  return row;
}

function fill(row, one, names) {
  for (const name of names) put(row.querySelector(`[data-figure=${name}]`), String(one[name]) || "–");
}

/** What stands there only where there is something to say. */
function fillUnder(row, one, name) {
  const under = row.querySelector(`[data-figure=${name}]`);
  put(under, one[name]);
  under.hidden = !one[name];
}

function fillStream(row, one) {
  fill(row, one, ["remote", "local", "address", ...STREAM.map(([name]) => name)]);
  for (const name of ["place", "pairs", "state", "certificate"]) fillUnder(row, one, name);
  row.querySelector("[data-figure=tls]").title = one.cipher;
  row.querySelector("[data-figure=certificate]").title = one.reason;
}

function makeQueue(one) {
  const head = element("th", { scope: "row" }, figure("remote"), " ", element("span", { className: "ours" }, "from ", figure("local")), figure("place", "ours"));
  const row = element("tr", {}, head);
  row.dataset.key = one.key;
  cells(row, QUEUE);
  const pair = { local: one.local, remote: one.remote, node: one.node };
  const test = element("a", { className: "button plain tight", textContent: "Test", href: `${queues.dataset.test}?domain=${encodeURIComponent(one.remote)}` });
  test.setAttribute("aria-label", `Test ${one.remote}`);
  const again = element("button", { className: "button plain tight", textContent: "Try now" });
  again.setAttribute("aria-label", `Try ${one.remote} now`);
  const now = element("button", { className: "button danger tight", textContent: "Send back now" });
  const back = sure("Send back …", `Send back what waits for ${one.remote} …`, form(queues.dataset.drop, pair, now));
  row.append(element("td", { className: "act" }, element("div", { className: "acts" }, test, form(queues.dataset.retry, pair, again), back)));
  return row;
}

function fillQueue(row, one) {
  fill(row, one, ["remote", "local", ...QUEUE.map(([name]) => name)]);
  fillUnder(row, one, "place");
}

const some = (count, one) => `${count} ${one}${count === 1 ? "" : "s"}`;

listen(page.dataset.socket, (data) => {
  renew(streams.tBodies[0], data.streams, "id", makeStream, fillStream);
  renew(queues.tBodies[0], data.queues, "key", makeQueue, fillQueue);
  streams.hidden = data.streams.length === 0;
  queues.hidden = data.queues.length === 0;
  document.getElementById("no-streams").hidden = !streams.hidden;
  document.getElementById("no-queues").hidden = !queues.hidden;
  const more = data.stream_total > data.streams.length ? `, the first ${data.streams.length} shown` : "";
  put(document.getElementById("stream-count"), `${some(data.stream_total, "stream")}${more}`);
  put(document.getElementById("queue-count"), `${some(data.waiting, "stanza")} for ${some(data.queue_total, "pair")} of domains`);
});

sendInPlace(streams, "Closing …", "Not closed: again");
sendInPlace(queues, "Doing it …", "Not done: again");
