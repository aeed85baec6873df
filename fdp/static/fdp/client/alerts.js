// New forms of others, told at once: in the list of the start view, by a count, aloud, and by the browser if it may.

import { element, put } from "../../mlink/rows.js";
import * as places from "./places.js";
import { bareOf, called, count, speak, summary, when } from "./says.js";

const MOST = 50;
const button = document.getElementById("notify");

export class Alerts extends EventTarget {
  /** The newest first: `{topic, form, at}`. */
  list = [];
  #app;

  constructor(app) {
    super();
    this.#app = app;
    app.topics.addEventListener("alert", (event) => this.#add(event.detail));
    app.topics.addEventListener("gone", ({ detail }) => this.#remove((alert) => alert.topic === detail));
    app.topics.addEventListener("retracted", ({ detail }) =>
      this.#remove((alert) => alert.topic === detail.topic && (detail.all || detail.ids.includes(alert.form.id))),
    );
    app.topics.addEventListener("change", () => this.#count());
    this.#offer();
  }

  #add({ topic, form, isOld }) {
    this.list.unshift({ topic, form, at: Date.now(), isOld });
    this.list.length = Math.min(this.list.length, MOST);
    this.dispatchEvent(new Event("change"));
    if (isOld) return;
    const text = `New form: ${topic.title}, ${called(form)}${form.publisher ? ` by ${bareOf(form.publisher)}` : ""}`;
    speak(text);
    if (document.hidden) notify(topic, form, text);
  }

  #remove(isGone) {
    const before = this.list.length;
    this.list = this.list.filter((alert) => !isGone(alert));
    if (this.list.length !== before) this.dispatchEvent(new Event("change"));
  }

  /** How much is new stands in the title of the page too. */
  #count() {
    const { unseen } = this.#app.topics;
    const mark = document.getElementById("unseen");
    put(mark, unseen ? `${unseen} new` : "");
    mark.hidden = !unseen;
    this.#app.retitle();
  }

  /** The browser asks only after a click, and only where it can. */
  #offer() {
    if (!("Notification" in window) || !window.isSecureContext) return;
    const draw = () => {
      button.hidden = Notification.permission === "granted";
      button.disabled = Notification.permission === "denied";
      put(
        button,
        Notification.permission === "denied" ? "Notifications are blocked by the browser" : "Notify me of new forms",
      );
    };
    button.addEventListener("click", async () => {
      await Notification.requestPermission();
      draw();
      speak(Notification.permission === "granted" ? "Notifications are on." : "Notifications stay off.");
      document.getElementById("content").focus({ preventScroll: true });
    });
    draw();
  }
}

async function notify(topic, form, text) {
  if (!("Notification" in window) || Notification.permission !== "granted") return;
  const options = {
    body: summary(form),
    tag: `${topic.service} ${topic.suffix} ${form.id}`,
    icon: "/static/mlink/mark.svg",
    data: places.form(topic, form.id),
  };
  try {
    // Phones know only those of the service worker.
    const worker = await navigator.serviceWorker?.getRegistration("/forms/");
    if (worker?.active) await worker.showNotification(text, options);
    else {
      const shown = new Notification(text, options);
      shown.addEventListener("click", () => {
        window.focus();
        location.hash = places.form(topic, form.id);
      });
    }
  } catch (error) {
    console.warn("no notification:", error);
  }
}

/** The list of new forms for the start view; renews itself until `signal` ends it. */
export function alertList(app, signal) {
  const list = element("ol", { className: "alerts" });
  const empty = element("p", {
    className: "quiet",
    textContent: "Nothing new. Subscribe to a form, and what others publish appears here at once.",
  });
  const box = element("div", {}, list, empty);
  const rows = new Map();
  const draw = () => {
    empty.hidden = app.alerts.list.length > 0;
    const kept = new Set(app.alerts.list);
    for (const [alert, row] of rows) {
      if (!kept.has(alert)) {
        row.remove();
        rows.delete(alert);
      }
    }
    for (const alert of [...app.alerts.list].reverse()) {
      if (rows.has(alert)) continue;
      const { topic, form, at, isOld } = alert;
      const top = element(
        "span",
        { className: "topic-top" },
        element("span", { className: "topic-title", textContent: `${topic.title}, ${called(form)}` }),
        element("time", {
          className: "quiet small",
          textContent: isOld && !form.published ? "" : when(form.published || at),
        }),
      );
      const about = element("span", {
        className: "quiet small topic-about",
        textContent: [form.publisher ? bareOf(form.publisher) : "", summary(form)].filter(Boolean).join(": "),
      });
      const row = element("li", {}, element("a", { href: places.form(topic, form.id) }, top, about));
      row.dataset.item = form.id;
      rows.set(alert, row);
      list.prepend(row);
    }
  };
  app.alerts.addEventListener("change", draw, { signal });
  draw();
  return box;
}

/** "3 new forms" for the heading of the list. */
export function alertCount(app) {
  return app.topics.unseen ? count(app.topics.unseen, "new form") : "New forms";
}
