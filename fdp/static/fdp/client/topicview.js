// What stands above each view of a topic: its name, whether one is subscribed, and the way between its views.

import { element, put } from "../../mlink/rows.js";
import * as places from "./places.js";
import { isForbidden } from "./pubsub.js";
import { Unanswered } from "./session.js";
import { speak } from "./says.js";

/** The head of a topic: `{heading, nodes}`; `current` is `fill` or `published`. */
export function topicHead(app, topic, current, signal) {
  const heading = element("h2", { tabIndex: -1, textContent: topic.title });
  const about = element("p", { className: "quiet topic-description" });
  const told = element("p", { className: "error", role: "alert", hidden: true });
  const button = element("button", { type: "button", className: "button plain tight" });
  const state = element("span", { className: "quiet small" });
  const tab = (name, href, text) => {
    const link = element("a", { href, textContent: text });
    if (name === current) link.setAttribute("aria-current", "page");
    return link;
  };
  const list = tab("published", places.published(topic), "Published forms");
  const news = element("span", { className: "tag good", hidden: true });
  list.append(" ", news);
  const tabs = element(
    "nav",
    { className: "tabs" },
    element("ul", {}, element("li", {}, tab("fill", places.fill(topic), "Fill in")), element("li", {}, list)),
  );
  tabs.setAttribute("aria-label", topic.title);

  const draw = () => {
    put(heading, topic.title);
    put(about, topic.description);
    about.hidden = !topic.description;
    const { subscription } = topic;
    const isPending = subscription?.state === "pending";
    put(button, subscription ? "Unsubscribe" : "Subscribe");
    put(
      state,
      isPending ? "An owner must agree to your subscription." : subscription ? "You are told about new forms." : "",
    );
    state.hidden = !state.textContent;
    button.hidden = Boolean(topic.isGone);
    button.disabled = button.dataset.busy === "yes" || app.session.state !== "online";
    put(news, `${topic.unseen} new`);
    news.hidden = !topic.unseen;
  };
  button.addEventListener("click", async () => {
    const wasSubscribed = Boolean(topic.subscription);
    button.dataset.busy = "yes";
    told.hidden = true;
    draw();
    try {
      await (wasSubscribed ? app.topics.unsubscribe(topic) : app.topics.subscribe(topic));
      speak(
        wasSubscribed
          ? "Unsubscribed."
          : topic.subscription?.state === "pending"
            ? "Asked for."
            : "Subscribed. You are told about new forms.",
      );
    } catch (error) {
      told.textContent = isForbidden(error)
        ? "You may not read what is published here."
        : error instanceof Unanswered
          ? "There is no connection. Try again once it is back."
          : `Not done: ${error.message}`;
      told.hidden = false;
    } finally {
      delete button.dataset.busy;
      draw();
      button.focus();
    }
  });
  app.topics.addEventListener("change", draw, { signal });
  app.session.addEventListener("state", draw, { signal });
  draw();
  const top = element(
    "div",
    { className: "topic-head" },
    element("a", { className: "to-topics", href: places.home(), textContent: "All forms" }),
    element("div", { className: "row spread" }, heading, element("div", { className: "row" }, state, button)),
    about,
    told,
  );
  return { heading, nodes: [top, tabs] };
}

/** What is shown for a topic that we know nothing of: not yet, or not any more. */
export function unknownTopic(app, signal) {
  const heading = element("h2", { tabIndex: -1, textContent: "Form" });
  const text = element("p", { className: "note" });
  const draw = () => {
    const isSure = app.session.state === "online" && !app.topics.doing;
    put(
      text,
      isSure
        ? "There is no such form, or it is not open to you."
        : app.session.state === "offline"
          ? "This form was not opened on this device before; it needs the connection."
          : "Looking for the form …",
    );
  };
  app.topics.addEventListener("change", draw, { signal });
  app.session.addEventListener("state", draw, { signal });
  draw();
  return {
    title: "Form",
    heading,
    nodes: [element("a", { className: "to-topics", href: places.home(), textContent: "All forms" }), heading, text],
  };
}
