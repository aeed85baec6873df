// A test of another server whose steps appear as they end. Without a script the form is sent and the page comes back
// with all of them.

import { element, put } from "../mlink/rows.js";

const form = document.getElementById("probe");
const outcome = document.getElementById("outcome");
const steps = document.getElementById("steps");
const verdict = document.getElementById("verdict");
const button = form.querySelector("button");
// What is looked at after a step; the steps that only come sometimes are not announced.
const NEXT = { peer: "dns", dns: "tcp", dane: "tcp", tcp: "tls", tls: "certificate", certificate: "authentication", revocation: "authentication" };

/** The line of what is being done now; it is replaced by what was found. */
function waiting(name) {
  const label = name ? steps.dataset[name] : "Another address";
  const item = element("li", { className: "running" }, element("h3", { textContent: label }), element("p", { className: "quiet", textContent: name ? "Looking …" : "Looking for another way …" }));
  steps.append(item);
}

function found(step) {
  const title = element("h3", {}, `${step.label} `, element("span", { className: "unseen", textContent: step.ok ? "works" : "fails" }));
  const item = element("li", { className: step.ok ? "good" : "bad" }, title, element("p", { className: "long", textContent: step.text }));
  if (step.advice) item.append(element("p", { className: "advice", textContent: step.advice }));
  if (step.details.length) {
    const facts = element("dl", { className: "facts small" });
    for (const [name, text] of step.details) facts.append(element("dt", { textContent: name }), element("dd", { textContent: text }));
    item.append(element("details", {}, element("summary", { textContent: "Details" }), facts));
  }
  steps.querySelector(".running")?.remove();
  steps.append(item);
}

function end(text, ok) {
  steps.querySelector(".running")?.remove();
  verdict.className = `note ${ok ? "good" : "bad"}`;
  put(verdict, text);
  verdict.hidden = false;
  button.disabled = false;
  put(button, "Start the test");
}

form.addEventListener("submit", (event) => {
  if (!form.elements.domain.value.trim()) return;
  event.preventDefault();
  button.disabled = true;
  put(button, "Testing …");
  steps.replaceChildren();
  verdict.hidden = true;
  outcome.querySelector(".row")?.remove();
  outcome.hidden = false;
  waiting("peer");
  const url = new URL(form.dataset.socket, location.href);
  url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  url.search = new URLSearchParams({ domain: form.elements.domain.value, sender: form.elements.sender.value });
  const socket = new WebSocket(url);
  let over = false;
  socket.addEventListener("message", (message) => {
    const data = JSON.parse(message.data);
    if (data.step) {
      found(data.step);
      if (!data.step.ok) waiting("");
      else if (NEXT[data.step.step]) waiting(NEXT[data.step.step]);
      return;
    }
    over = true;
    end(data.error || data.done.text, !data.error && data.done.ok);
    socket.close();
  });
  socket.addEventListener("close", (event) => {
    if (over) return;
    over = true;
    end(event.code === 4401 ? "You are signed out: reload the page." : "The connection to this server broke off. Start the test again.", false);
  });
});
