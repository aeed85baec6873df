// The forms page: connects, keeps what people need of it (topics, drafts, outbox, alerts), and shows the view that the
// address names.

import { Alerts } from "./alerts.js";
import { fillView } from "./fillview.js";
import { homeView } from "./homeview.js";
import { Kept } from "./kept.js";
import { showLink } from "./link.js";
import { showMail } from "./mail.js";
import { Outbox } from "./outbox.js";
import { outboxView } from "./outboxview.js";
import * as places from "./places.js";
import { publishedView } from "./publishedview.js";
import { reviewView } from "./reviewview.js";
import { Session, Unanswered } from "./session.js";
import { showTopics } from "./topiclist.js";
import { Topics } from "./topics.js";
import { unknownTopic } from "./topicview.js";

const desk = document.getElementById("desk");
const page = document.getElementById("forms");

class App extends EventTarget {
  drafts = [];
  /** What the server said about a form that is a draft again: `{key, text}`. */
  said = null;
  #view = null;
  #end = null;
  #place = "";

  async start() {
    this.config = JSON.parse(document.getElementById("forms-config").textContent);
    this.session = new Session(this.config);
    this.kept = await Kept.open(this.config.jid);
    this.topics = new Topics(this.session, this.kept);
    this.outbox = new Outbox(this.session, this.kept);
    this.alerts = new Alerts(this);
    await Promise.all([this.topics.load(), this.outbox.load(), this.readDrafts()]);
    this.outbox.addEventListener("sent", ({ detail }) => this.topics.noteOwn(detail.id));
    for (const entry of this.outbox.entries) this.topics.noteOwn(entry.id);
    showLink(this);
    showMail(this.session);
    showTopics(this);
    this.#leaveFirst();
    page.hidden = false;
    document.getElementById("starting").remove();
    window.addEventListener("hashchange", () => this.#show(true));
    // A topic that was not known when the view opened may be known now; one that is open goes on.
    this.topics.addEventListener("change", () => this.#isUnknown() && this.#show(false));
    this.#show(false);
    this.session.start();
  }

  /** Resolves once there is a connection; rejects when the view is left, or at once when there is none. */
  online(signal) {
    if (this.session.state === "online") return Promise.resolve();
    return new Promise((resolve, reject) => {
      const look = () => {
        if (this.session.state === "online") resolve();
        else if (this.session.state === "signed-out" || this.session.state === "offline")
          reject(new Unanswered("There is no connection."));
      };
      this.session.addEventListener("state", look, { signal });
      signal.addEventListener("abort", () => reject(new Unanswered("left")));
      look();
    });
  }

  async readDrafts() {
    this.drafts = await this.kept.all("drafts");
    this.dispatchEvent(new Event("drafts"));
  }

  /** The title of the page, with how much is new. */
  retitle() {
    const { unseen } = this.topics;
    document.title = `${unseen ? `(${unseen}) ` : ""}${this.#view?.title ? `${this.#view.title} · ` : ""}Forms · mlink`;
  }

  #isUnknown() {
    const place = places.here();
    return Boolean(place.service) && this.#place === `${location.hash} unknown` && this.#topicOf(place) !== null;
  }

  /** The topic of a place. One that is gone is still one while there is a draft of it. */
  #topicOf({ service, suffix }) {
    const known = this.topics.get(service, suffix);
    if (known) return known;
    const isSure = this.session.state === "online" && !this.topics.doing;
    const draft = isSure ? this.drafts.find((one) => one.service === service && one.suffix === suffix) : null;
    return draft
      ? {
          service,
          suffix,
          title: draft.title,
          description: "",
          subscription: null,
          unseen: 0,
          seen: null,
          ids: new Set(),
          isGone: true,
        }
      : null;
  }

  #show(moves) {
    this.#end?.abort();
    this.#end = new AbortController();
    const { signal } = this.#end;
    const place = places.here();
    const topic = place.service ? this.#topicOf(place) : null;
    this.#place = `${location.hash}${place.service && !topic ? " unknown" : ""}`;
    this.#view = this.#make(place, topic, signal);
    page.classList.toggle("reading", place.name !== "home");
    desk.replaceChildren(...this.#view.nodes);
    this.retitle();
    if (!moves) return;
    this.#view.heading.tabIndex = -1;
    this.#view.heading.focus({ preventScroll: true });
    window.scrollTo({ top: 0 });
  }

  #make(place, topic, signal) {
    if (place.name === "home") return homeView(this, signal);
    if (place.name === "outbox") return outboxView(this, signal);
    if (!topic) return unknownTopic(this, signal);
    if (place.name === "published") return publishedView(this, topic, signal);
    if (place.name === "form") return reviewView(this, topic, place.id, signal);
    return fillView(this, topic, place.name === "amend" ? place.id : "", signal);
  }

  /** Say good-bye before the cookie goes; `leaving.js` has asked whether it may. */
  #leaveFirst() {
    const form = document.querySelector(".who form");
    form?.addEventListener("submit", async (event) => {
      event.preventDefault();
      await this.session.stop();
      form.submit();
    });
  }
}

async function register(config) {
  if (!("serviceWorker" in navigator)) return;
  try {
    await navigator.serviceWorker.register(config.worker_url, { scope: "/forms/" });
  } catch (error) {
    console.warn("without a service worker the page does not open offline:", error);
  }
}

const app = new App();
try {
  await app.start();
  await register(app.config);
  navigator.serviceWorker?.addEventListener("message", ({ data }) => {
    if (typeof data?.place === "string") location.hash = data.place;
  });
} catch (error) {
  console.error(error);
  const starting = document.getElementById("starting");
  if (starting)
    starting.textContent = "The forms could not be opened. They need a browser that may keep data for this site.";
}
