// The list of topics at the side: found by words, with what is new and what is begun.

import { element, put } from "../../mlink/rows.js";
import * as places from "./places.js";
import { MOST_TOPICS } from "./pubsub.js";
import { count } from "./says.js";
import { keyOf } from "./topics.js";

const list = document.getElementById("topics");
const search = document.getElementById("topic-search");
const state = document.getElementById("topics-state");
const waiting = document.getElementById("waiting");
const look = document.getElementById("look");
const REST_MS = 60_000;
const DRAW_MS = 30;

/** Keep the list as it is in `app.topics`. */
export function showTopics(app) {
  const rows = new Map();
  let isDue = false;
  // A thousand topics say a thousand times that something has changed.
  const draw = () => {
    if (isDue) return;
    isDue = true;
    setTimeout(drawNow, DRAW_MS);
  };
  const drawNow = () => {
    isDue = false;
    const words = search.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    const all = app.topics.list;
    const shown = all.filter((topic) => {
      const text = `${topic.title} ${topic.description} ${topic.suffix}`.toLowerCase();
      return words.every((word) => text.includes(word));
    });
    const here = places.here();
    let next = list.firstElementChild;
    const left = new Set(rows.keys());
    for (const topic of shown) {
      const key = keyOf(topic);
      left.delete(key);
      if (!rows.has(key)) rows.set(key, makeRow(topic));
      const row = rows.get(key);
      fillRow(row, topic, app, here.service === topic.service && here.suffix === topic.suffix);
      if (row.node === next) next = next.nextElementSibling;
      else list.insertBefore(row.node, next);
    }
    for (const key of left) {
      rows.get(key).node.remove();
      rows.delete(key);
    }
    put(state, stateText(app, all.length, shown.length));
    state.hidden = !state.textContent;
    look.disabled = Boolean(app.topics.doing) || app.session.state !== "online";
    drawWaiting(app);
  };
  search.addEventListener("input", drawNow);
  look.addEventListener("click", () => app.topics.refresh());
  // Topics come and go without a word; whoever returns to the page sees those of now.
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && app.session.state === "online" && Date.now() - app.topics.read > REST_MS)
      app.topics.refresh();
  });
  window.addEventListener("hashchange", draw);
  app.topics.addEventListener("change", draw);
  app.outbox.addEventListener("change", draw);
  app.addEventListener("drafts", draw);
  app.session.addEventListener("state", draw);
  drawNow();
}

function stateText(app, all, shown) {
  if (app.topics.doing) return app.topics.doing;
  if (app.topics.problem) return app.topics.problem;
  if (all >= MOST_TOPICS && shown === all) return `There are more than ${MOST_TOPICS} forms: not all are shown.`;
  if (!all)
    return app.session.state === "online"
      ? "There are no forms for you here yet."
      : "The forms appear once you are connected.";
  if (!shown) return "No form has these words.";
  return shown < all ? `${shown} of ${count(all, "form")}` : "";
}

function makeRow(topic) {
  const title = element("span", { className: "topic-title" });
  const news = element("span", { className: "tag good", hidden: true });
  const draft = element("span", { className: "tag", textContent: "draft", hidden: true });
  const description = element("span", { className: "topic-about quiet small" });
  const link = element(
    "a",
    { href: places.fill(topic) },
    element("span", { className: "topic-top" }, title, element("span", { className: "topic-tags" }, draft, news)),
    description,
  );
  return { node: element("li", {}, link), link, title, news, draft, description };
}

function fillRow(row, topic, app, isHere) {
  put(row.title, topic.title);
  put(row.description, topic.description);
  put(row.news, `${topic.unseen} new`);
  row.news.hidden = !topic.unseen;
  row.draft.hidden = !app.drafts.some((draft) => keyOf(draft) === keyOf(topic));
  // News are what one wants to see then.
  row.link.href = topic.unseen ? places.published(topic) : places.fill(topic);
  if (isHere) row.link.setAttribute("aria-current", "true");
  else row.link.removeAttribute("aria-current");
}

function drawWaiting(app) {
  const refused = app.outbox.entries.filter((entry) => entry.state === "refused").length;
  const parts = [
    app.outbox.waiting ? `${count(app.outbox.waiting, "form")} to be sent` : "",
    refused ? `${refused} refused` : "",
  ];
  put(waiting.firstElementChild, parts.filter(Boolean).join(", "));
  waiting.hidden = !app.outbox.entries.length;
}
