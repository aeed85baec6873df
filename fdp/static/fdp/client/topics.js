// The topics that the server shows to this person, as they were seen last and as they are: title, subscription, what is new.
//
// Events: `change`; `alert` with `{topic, form}` in `detail` for each form that was published while the page is open;
// `gone` with a topic.

import * as pubsub from "./pubsub.js";
import { Refused, Unanswered } from "./session.js";

const AT_ONCE = 6;
const KNOWN_IDS = 500;
const LONGEST_PAUSE = 60_000;
/** How long a description is taken as it was read: after each break a thousand topics need not be asked again. */
const FRESH_MS = 600_000;

export function keyOf({ service, suffix }) {
  return `${service} ${suffix}`;
}

export class Topics extends EventTarget {
  /** What is going on, as a sentence; "" when all is known. */
  doing = "";
  /** Why the list may be incomplete, as a sentence. */
  problem = "";
  /** When the list was read last. */
  read = 0;
  #known = new Map();
  #session;
  #kept;
  #own = new Set();
  #refreshing = null;
  #again = 0;
  #pause = 0;

  constructor(session, kept) {
    super();
    this.#session = session;
    this.#kept = kept;
    session.addEventListener("state", () => session.state === "online" && this.refresh());
    session.addEventListener("message", (event) => this.#heard(event.detail));
  }

  /** The topics by title. */
  get list() {
    return [...this.#known.values()].sort((a, b) => a.title.localeCompare(b.title) || a.suffix.localeCompare(b.suffix));
  }

  get(service, suffix) {
    return this.#known.get(keyOf({ service, suffix })) ?? null;
  }

  get unseen() {
    return this.list.reduce((sum, topic) => sum + topic.unseen, 0);
  }

  /** Forms with this id come from here: no news. */
  isOwn(id) {
    return this.#own.has(id);
  }

  noteOwn(id) {
    this.#own.add(id);
  }

  /** What was seen the last time. */
  async load() {
    for (const topic of await this.#kept.all("topics")) this.#known.set(keyOf(topic), { ...fresh(topic), ...topic });
    this.#changed();
  }

  /** Ask the server for everything; one run at a time. */
  refresh() {
    this.#refreshing ??= this.#refresh().finally(() => {
      this.#refreshing = null;
    });
    return this.#refreshing;
  }

  async #refresh() {
    this.#say("Looking for forms …");
    this.problem = "";
    clearTimeout(this.#again);
    try {
      const services = await pubsub.findServices(this.#session);
      const lists = await Promise.all(services.map((service) => this.#readService(service)));
      const answered = new Set(services.filter((_, at) => lists[at]));
      const there = new Set(lists.flat().filter(Boolean).map(keyOf));
      for (const topic of this.list) {
        // A service that did not answer says nothing about its topics.
        const isStale = !services.includes(topic.service) || answered.has(topic.service);
        if (isStale && !there.has(keyOf(topic))) await this.#lose(topic);
      }
      await this.#describeAll();
      this.read = Date.now();
      if (!this.problem) this.#pause = 0;
    } catch (error) {
      if (!(error instanceof Unanswered)) this.problem = `The topics could not be read: ${error.message}`;
    } finally {
      this.#say("");
    }
  }

  async #readService(service) {
    try {
      const [topics, subscriptions] = await Promise.all([
        pubsub.findTopics(this.#session, service, (count) => this.#say(`Looking for forms … ${count} so far`)),
        pubsub.fetchSubscriptions(this.#session, service),
      ]);
      for (const topic of topics) {
        const known = this.#known.get(keyOf(topic)) ?? fresh(topic);
        Object.assign(known, topic, { subscription: subscriptions.get(topic.suffix) ?? null, isGone: false });
        this.#known.set(keyOf(topic), known);
      }
      this.#changed();
      return topics;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.problem = `${service} does not answer: ${error.message}`;
      if (error.kind === "wait") this.#askAgain();
      return null;
    }
  }

  /** The service is not ready, as right after its start. */
  #askAgain() {
    clearTimeout(this.#again);
    this.#pause = Math.min(this.#pause ? this.#pause * 2 : 1000, LONGEST_PAUSE);
    this.#again = setTimeout(() => this.#session.state === "online" && this.refresh(), this.#pause);
  }

  /** Descriptions, and what came while the page was closed; a few questions at a time. */
  async #describeAll() {
    const waiting = this.list;
    const total = waiting.length;
    let finished = 0;
    const work = async () => {
      for (let topic = waiting.shift(); topic; topic = waiting.shift()) {
        await this.#look(topic);
        this.#say(`Reading ${++finished} of ${total} topics …`);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    await this.#keep(this.list);
  }

  async #look(topic) {
    try {
      if (Date.now() - topic.described > FRESH_MS) await this.#describe(topic);
      if (topic.subscription?.state === "subscribed") await this.#catchUp(topic);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (pubsub.isGone(error)) await this.#lose(topic);
    }
  }

  async #describe(topic) {
    Object.assign(topic, await pubsub.describe(this.#session, topic), { described: Date.now() });
  }

  /** Count what was published since the topic was looked at last. */
  async #catchUp(topic) {
    const { forms } = await pubsub.fetchPublished(this.#session, topic);
    const at = forms.findIndex((form) => form.id === topic.seen);
    const news = (topic.seen === null ? [] : at < 0 ? forms : forms.slice(0, at)).filter(
      (form) => !this.#own.has(form.id),
    );
    if (topic.seen === null) topic.seen = forms[0]?.id ?? "";
    topic.unseen = news.length;
    for (const form of news.reverse()) {
      if (!topic.ids.has(form.id)) this.#announce(topic, form, true);
    }
  }

  /** Whether the topic is still there, with its newest title; `gone` is told otherwise. */
  async check(topic) {
    try {
      await this.#describe(topic);
      return true;
    } catch (error) {
      if (pubsub.isGone(error)) await this.#lose(topic);
      return !pubsub.isGone(error);
    }
  }

  /** Note that a topic is gone, as somebody learnt from the server. */
  async lose(topic) {
    await this.#lose(topic);
  }

  async #lose(topic) {
    topic.isGone = true;
    topic.unseen = 0;
    this.#known.delete(keyOf(topic));
    await this.#kept.change([], [["topics", [topic.service, topic.suffix]]]);
    this.dispatchEvent(new CustomEvent("gone", { detail: topic }));
    this.#changed();
  }

  /** Ask to be told about new forms; rejects with Refused. */
  async subscribe(topic) {
    // The server may send the last form along: it is not new.
    const { forms } = await pubsub.fetchPublished(this.#session, topic);
    for (const form of forms) topic.ids.add(form.id);
    topic.subscription = await pubsub.subscribe(this.#session, topic);
    topic.seen = forms[0]?.id ?? "";
    await this.#keep([topic]);
    this.#changed();
  }

  async unsubscribe(topic) {
    await pubsub.unsubscribe(this.#session, topic, topic.subscription?.subid);
    Object.assign(topic, { subscription: null, unseen: 0, seen: null });
    await this.#keep([topic]);
    this.#changed();
  }

  /** Everything up to this form was looked at. */
  async saw(topic, newest) {
    if (!topic.unseen && topic.seen === (newest ?? "")) return;
    topic.unseen = 0;
    if (newest !== undefined) topic.seen = newest;
    await this.#keep([topic]);
    this.#changed();
  }

  #heard(message) {
    const event = pubsub.readEvent(message);
    const topic = event && this.#known.get(keyOf(event));
    if (!topic) return;
    if (event.isGone) {
      this.#lose(topic);
      return;
    }
    if (event.isSubscription) {
      topic.subscription = event.isSubscription.state === "none" ? null : event.isSubscription;
      this.#changed();
    }
    for (const form of event.forms) {
      if (topic.ids.has(form.id)) continue;
      const isNews = !this.#own.has(form.id) && !event.isDelayed;
      if (isNews) topic.unseen++;
      if (isNews) this.#announce(topic, form, false);
      else topic.ids.add(form.id);
      this.dispatchEvent(new CustomEvent("published", { detail: { topic, form } }));
    }
    if (event.retracted.length || event.isPurged) {
      this.dispatchEvent(
        new CustomEvent("retracted", { detail: { topic, ids: event.retracted, all: event.isPurged } }),
      );
    }
  }

  #announce(topic, form, isOld) {
    topic.ids.add(form.id);
    if (topic.ids.size > KNOWN_IDS) topic.ids.delete(topic.ids.values().next().value);
    this.dispatchEvent(new CustomEvent("alert", { detail: { topic, form, isOld } }));
    this.#changed();
  }

  async #keep(topics) {
    const rows = topics.map(({ service, suffix, title, description, described, seen, subscription }) => [
      "topics",
      { service, suffix, title, description, described, seen, subscription },
    ]);
    await this.#kept.change(rows);
  }

  #say(text) {
    if (this.doing === text) return;
    this.doing = text;
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

function fresh({ service, suffix, title }) {
  return {
    service,
    suffix,
    title,
    description: "",
    described: 0,
    subscription: null,
    unseen: 0,
    seen: null,
    ids: new Set(),
    isGone: false,
  };
}
