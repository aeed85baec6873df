// Publish-subscribe (XEP-0060) as forms use it (XEP-0346): services, topics, templates, submissions, subscriptions.

import { readForm, readValues } from "./form.js";
import * as ns from "./namespaces.js";
import { Refused } from "./session.js";
import { child, children, childText, make, toText } from "./xml.js";

const PAGE = 20;
const NODES_OF_A_PAGE = 100;
export const MOST_TOPICS = 1000;

function pubsub(...parts) {
  return make(ns.PUBSUB, "pubsub", {}, ...parts);
}

function page({ before, after, max }) {
  const parts = [withText("max", String(max))];
  if (before !== undefined) parts.push(withText("before", before));
  if (after) parts.push(withText("after", after));
  return make(ns.RSM, "set", {}, ...parts);
}

function withText(name, text) {
  const element = make(ns.RSM, name);
  if (text) element.textContent = text;
  return element;
}

/** Whether the server says that one may not, in one of the ways of XEP-0060. */
export function isForbidden(error) {
  return (
    error instanceof Refused &&
    ["forbidden", "not-authorized", "not-allowed", "registration-required", "subscription-required"].includes(
      error.condition,
    )
  );
}

/** Whether the server says that there is no such node or item. */
export function isGone(error) {
  return error instanceof Refused && (error.condition === "item-not-found" || error.condition === "gone");
}

/** Addresses of the form services of one's own domain. */
export async function findServices(session) {
  const answer = await session.iq("get", session.domain, make(ns.DISCO_ITEMS, "query"));
  const addresses = children(answer.firstElementChild, ns.DISCO_ITEMS, "item")
    .filter((item) => !item.getAttribute("node"))
    .map((item) => item.getAttribute("jid"));
  const checked = await Promise.all(
    addresses.map(async (address) => ((await isFormService(session, address)) ? address : null)),
  );
  return checked.filter(Boolean);
}

async function isFormService(session, address) {
  try {
    const answer = await session.iq("get", address, make(ns.DISCO_INFO, "query"));
    const identities = children(answer.firstElementChild, ns.DISCO_INFO, "identity");
    return identities.some((one) => one.getAttribute("category") === "pubsub" && one.getAttribute("type") === ns.FDP);
  } catch (error) {
    if (error instanceof Refused) return false;
    throw error;
  }
}

/** The topics of a service that one may see: `{service, suffix, title}`. `onPage` is told how many there are so far. */
export async function findTopics(session, service, onPage = () => {}) {
  const found = new Map();
  let after = "";
  for (;;) {
    const query = make(ns.DISCO_ITEMS, "query", {}, page({ after, max: NODES_OF_A_PAGE }));
    const answer = (await session.iq("get", service, query)).firstElementChild;
    const items = children(answer, ns.DISCO_ITEMS, "item");
    for (const item of items) {
      const node = item.getAttribute("node") ?? "";
      if (!node.startsWith(ns.TEMPLATE)) continue;
      const suffix = node.slice(ns.TEMPLATE.length);
      found.set(suffix, { service, suffix, title: item.getAttribute("name") || suffix });
    }
    onPage(found.size);
    const set = child(answer, ns.RSM, "set");
    const last = set ? childText(set, ns.RSM, "last") : "";
    const count = set ? Number(childText(set, ns.RSM, "count")) : 0;
    const start = Number((set && child(set, ns.RSM, "first")?.getAttribute("index")) ?? Number.NaN);
    const isLast = !last || last === after || !items.length || start + items.length >= count;
    if (isLast || found.size >= MOST_TOPICS) return [...found.values()];
    after = last;
  }
}

/** What a topic says about itself: `{title, description}`; rejects where it is gone. */
export async function describe(session, topic) {
  const query = make(ns.DISCO_INFO, "query", { node: ns.TEMPLATE + topic.suffix });
  const answer = (await session.iq("get", topic.service, query)).firstElementChild;
  const x = children(answer, ns.DATA, "x")[0];
  const values = x ? readValues(x) : new Map();
  const text = (name) => values.get(name)?.join("\n") ?? "";
  const identity = children(answer, ns.DISCO_INFO, "identity").find((one) => one.getAttribute("name"));
  return {
    title: text("pubsub#title") || identity?.getAttribute("name") || topic.title || topic.suffix,
    description: text("pubsub#description"),
  };
}

function itemsOf(answer, node) {
  const box = child(answer, ns.PUBSUB, "pubsub");
  const items = box && child(box, ns.PUBSUB, "items");
  if (!items || items.getAttribute("node") !== node) return { items: [], set: null };
  return { items: children(items, ns.PUBSUB, "item"), set: child(box, ns.RSM, "set") };
}

/** A version of a topic's template, the newest without a name: `{version, xml}`, or null where there is none. */
export async function fetchTemplate(session, topic, version = "") {
  const node = ns.TEMPLATE + topic.suffix;
  const wanted = version ? make(ns.PUBSUB, "item", { id: version }) : null;
  const request = pubsub(make(ns.PUBSUB, "items", { node, max_items: version ? null : "1" }, wanted));
  const { items } = itemsOf(await session.iq("get", topic.service, request), node);
  const item = items.at(-1);
  const x = item && child(item, ns.DATA, "x");
  return x ? { version: item.getAttribute("id"), xml: toText(x) } : null;
}

/** A published form as it stands in an item, of an answer or an event; null where it is none. */
export function readItem(item) {
  const x = [...item.children].find((one) => one.namespaceURI === ns.DATA && one.localName === "x");
  if (!x) return null;
  const values = readValues(x);
  const { title, fields } = readForm(x);
  const mark = (name) => values.get(`fdp#${name}`)?.[0] ?? "";
  return {
    id: item.getAttribute("id"),
    publisher: item.getAttribute("publisher") ?? "",
    serial: mark("serial"),
    version: mark("version"),
    amends: mark("amends"),
    published: mark("published"),
    title,
    // What people see in lists and find by words: no marks of the service, no secrets.
    fields: fields.filter((field) => field.var && !["fixed", "hidden", "text-private"].includes(field.type)),
    values,
    xml: toText(x),
  };
}

/** A page of published forms, the newest first: `{forms, count, older}`; `older` goes into `before` for the next page. */
export async function fetchPublished(session, topic, before = "") {
  const node = ns.SUBMITTED + topic.suffix;
  const request = pubsub(make(ns.PUBSUB, "items", { node }), page({ before, max: PAGE }));
  const { items, set } = itemsOf(await session.iq("get", topic.service, request), node);
  const first = set ? childText(set, ns.RSM, "first") : "";
  const index = set && child(set, ns.RSM, "first")?.getAttribute("index");
  // A page of large forms may come in parts, so its length says nothing where its place is known.
  const isLast = !first || (index ? index === "0" : items.length < PAGE);
  return {
    forms: items.map(readItem).filter(Boolean).reverse(),
    count: Number(set ? childText(set, ns.RSM, "count") : items.length) || items.length,
    older: isLast ? "" : first,
  };
}

/** One published form, or null. */
export async function fetchOne(session, topic, id) {
  const node = ns.SUBMITTED + topic.suffix;
  const request = pubsub(make(ns.PUBSUB, "items", { node }, make(ns.PUBSUB, "item", { id })));
  const { items } = itemsOf(await session.iq("get", topic.service, request), node);
  const item = items.find((one) => one.getAttribute("id") === id);
  return item ? readItem(item) : null;
}

/** Publish a form under an id of our own. */
export async function publish(session, topic, id, x) {
  const item = make(ns.PUBSUB, "item", { id }, x);
  await session.iq(
    "set",
    topic.service,
    pubsub(make(ns.PUBSUB, "publish", { node: ns.SUBMITTED + topic.suffix }, item)),
  );
}

/** One's subscriptions to published forms of a service: suffix to `{state, subid}`. */
export async function fetchSubscriptions(session, service) {
  const answer = await session.iq("get", service, pubsub(make(ns.PUBSUB, "subscriptions")));
  const list = child(answer.firstElementChild, ns.PUBSUB, "subscriptions");
  const found = new Map();
  for (const one of list ? children(list, ns.PUBSUB, "subscription") : []) {
    const node = one.getAttribute("node") ?? "";
    if (node.startsWith(ns.SUBMITTED) && one.getAttribute("jid") === session.bare) {
      found.set(node.slice(ns.SUBMITTED.length), {
        state: one.getAttribute("subscription"),
        subid: one.getAttribute("subid") ?? "",
      });
    }
  }
  return found;
}

/** Subscribe; resolves to `{state, subid}`, where the state is `subscribed` or `pending`. */
export async function subscribe(session, topic) {
  const request = pubsub(make(ns.PUBSUB, "subscribe", { node: ns.SUBMITTED + topic.suffix, jid: session.bare }));
  const answer = await session.iq("set", topic.service, request);
  const one = child(answer.firstElementChild ?? request, ns.PUBSUB, "subscription");
  return { state: one?.getAttribute("subscription") ?? "subscribed", subid: one?.getAttribute("subid") ?? "" };
}

/** End a subscription; one that is not there any more is ended. */
export async function unsubscribe(session, topic, subid) {
  const node = ns.SUBMITTED + topic.suffix;
  try {
    await session.iq(
      "set",
      topic.service,
      pubsub(make(ns.PUBSUB, "unsubscribe", { node, jid: session.bare, subid: subid || null })),
    );
  } catch (error) {
    if (!(error instanceof Refused && error.pubsub === "not-subscribed")) throw error;
  }
}

/** What a message says about published forms: `{service, suffix, forms, retracted, gone}`, or null. */
export function readEvent(message) {
  const event = child(message, ns.PUBSUB_EVENT, "event");
  const part = event?.firstElementChild;
  const node = part?.getAttribute("node") ?? "";
  if (!node.startsWith(ns.SUBMITTED) || part.namespaceURI !== ns.PUBSUB_EVENT) return null;
  const ids = (name) => children(part, ns.PUBSUB_EVENT, name).map((one) => one.getAttribute("id"));
  const isDelayed = child(message, ns.DELAY, "delay") !== null;
  return {
    service: message.getAttribute("from"),
    suffix: node.slice(ns.SUBMITTED.length),
    forms: children(part, ns.PUBSUB_EVENT, "item").map(readItem).filter(Boolean),
    retracted: ids("retract"),
    isGone: part.localName === "delete",
    isPurged: part.localName === "purge",
    isSubscription:
      part.localName === "subscription"
        ? { state: part.getAttribute("subscription"), subid: part.getAttribute("subid") ?? "" }
        : null,
    isDelayed,
  };
}

/** Data that a form refers to by `cid:` (XEP-0231), as an address that a page may show. */
export async function fetchData(session, service, cid) {
  const answer = await session.iq("get", service, make(ns.BOB, "data", { cid }));
  const data = child(answer, ns.BOB, "data");
  return data ? `data:${data.getAttribute("type")};base64,${data.textContent.replace(/\s/g, "")}` : "";
}
