// The XMPP session of the page, with strophe.js: found by host-meta (XEP-0156), WebSocket first and BOSH where that fails,
// signed in with a one-time password, back by itself after a break.
//
// Events: `state` (see `state`), `message` with the element in `detail`.

import * as ns from "./namespaces.js";
import { child, childText, make } from "./xml.js";

const { Strophe } = window;
const WEBSOCKET = "urn:xmpp:alt-connections:websocket";
const BOSH = "urn:xmpp:alt-connections:xbosh";
const ANSWER_MS = 30_000;
const CONNECT_MS = 15_000;
const QUIET_MS = 30_000;
const LONGEST_WAIT = 15_000;

/** The server refused: `condition`, its `pubsub` condition, and the server's own words in `message`. */
export class Refused extends Error {
  constructor(iq) {
    const error = child(iq, ns.CLIENT, "error");
    const parts = error ? [...error.children] : [];
    const text = error ? childText(error, ns.STANZAS, "text") : "";
    const condition =
      parts.find((one) => one.namespaceURI === ns.STANZAS && one.localName !== "text")?.localName ??
      "undefined-condition";
    super(text || condition.replaceAll("-", " "));
    this.name = "Refused";
    this.condition = condition;
    this.text = text;
    this.kind = error?.getAttribute("type") ?? "";
    this.pubsub = parts.find((one) => one.namespaceURI === ns.PUBSUB_ERRORS)?.localName ?? "";
  }
}

/** There was no answer: whether the request was carried out is not known. */
export class Unanswered extends Error {
  constructor(message = "The connection was lost.") {
    super(message);
    this.name = "Unanswered";
  }
}

export class Session extends EventTarget {
  /** `connecting`, `online`, `offline`, `signed-out`. */
  state = "connecting";
  jid = "";
  #config;
  #connection = null;
  #pending = new Map();
  #number = 0;
  #attempt = 0;
  #wait = 0;
  #timer = 0;
  #heard = 0;
  #useBosh = false;
  #stopped = false;

  /** `config` has `jid`, `credentials_url`, `host_meta_url`, `websocket_url`, `bosh_url` and `only` (a transport, or ""). */
  constructor(config) {
    super();
    this.#config = config;
    this.bare = config.jid;
    this.domain = Strophe.getDomainFromJid(config.jid);
    window.addEventListener("online", () => this.#now());
    document.addEventListener("visibilitychange", () => document.hidden || this.#now());
    window.addEventListener("offline", () => this.#drop("The network is gone."));
    setInterval(() => this.#watch(), QUIET_MS);
  }

  /** Connect, and stay connected. */
  start() {
    this.#connect();
  }

  /** Say good-bye and stay away; resolves once the server knows, or soon. */
  async stop() {
    this.#stopped = true;
    clearTimeout(this.#timer);
    const connection = this.#connection;
    if (this.state !== "online" || !connection) return;
    this.#connection = null;
    this.#fail();
    const gone = new Promise((resolve) => connection.addHandler(() => resolve(false), null, "presence", "unavailable"));
    connection.send(make(ns.CLIENT, "presence", { type: "unavailable" }));
    connection.flush();
    connection.disconnect();
    await Promise.race([gone, new Promise((resolve) => setTimeout(resolve, 500))]);
  }

  /** Ask; resolves to the result, rejects with Refused or Unanswered. `to` null is one's own account. */
  iq(type, to, payload) {
    if (this.state !== "online") return Promise.reject(new Unanswered("There is no connection."));
    const id = `f${++this.#number}-${Math.random().toString(36).slice(2, 8)}`;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#drop("The server does not answer.");
        this.#now();
      }, ANSWER_MS);
      this.#pending.set(id, { to, resolve, reject, timer });
      this.#connection.send(make(ns.CLIENT, "iq", { type, to, id }, payload));
      this.#connection.flush();
    });
  }

  async #connect() {
    clearTimeout(this.#timer);
    const attempt = ++this.#attempt;
    this.#become("connecting");
    try {
      const [found, credentials] = await Promise.all([this.#discover(), this.#credentials()]);
      if (attempt !== this.#attempt) return;
      const address = this.#useBosh ? found.bosh : found.websocket;
      await this.#open(address, credentials, attempt);
    } catch (error) {
      if (attempt === this.#attempt) this.#failed(error);
    }
  }

  /** Where to connect; the addresses written into the page serve where host-meta cannot be had. */
  async #discover() {
    const { websocket_url: websocket, bosh_url: bosh, host_meta_url: where } = this.#config;
    if (this.#config.only) this.#useBosh = this.#config.only === "bosh";
    try {
      const answer = await fetch(where, { headers: { Accept: "application/json" } });
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      const { links = [] } = await answer.json();
      return { websocket: usable(links, WEBSOCKET, "wss:") ?? websocket, bosh: usable(links, BOSH, "https:") ?? bosh };
    } catch {
      return { websocket, bosh };
    }
  }

  async #credentials() {
    const answer = await fetch(this.#config.credentials_url, { headers: { Accept: "application/json" } });
    if (answer.status === 401) throw new SignedOut();
    if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).error ?? `status ${answer.status}`);
    const credentials = await answer.json();
    // Somebody else has signed in meanwhile in this browser: what is kept here is not theirs.
    if (credentials.jid !== this.#config.jid) throw new SignedOut();
    return credentials;
  }

  #open(address, { jid, password }, attempt) {
    return new Promise((resolve, reject) => {
      const connection = new Strophe.Connection(address);
      const timer = setTimeout(() => {
        connection.disconnect();
        reject(new Error("The server did not answer in time."));
      }, CONNECT_MS);
      const over = (error) => {
        clearTimeout(timer);
        reject(error);
        if (this.#connection === connection) this.#lost();
      };
      connection.xmlInput = () => {
        this.#heard = performance.now();
      };
      connection.connect(`${jid}/forms-${Math.random().toString(36).slice(2, 10)}`, password, (status, why) => {
        if (status === Strophe.Status.CONNECTED) {
          clearTimeout(timer);
          if (attempt !== this.#attempt) return void connection.disconnect();
          this.#opened(connection);
          resolve();
        } else if (status === Strophe.Status.CONNFAIL || status === Strophe.Status.AUTHFAIL) {
          over(new Error(String(why ?? "not connected")));
        } else if (status === Strophe.Status.DISCONNECTED) {
          over(new Error("disconnected"));
        }
      });
    });
  }

  #opened(connection) {
    this.#connection = connection;
    this.#wait = 0;
    this.jid = connection.jid;
    connection.addHandler((iq) => this.#answered(iq), null, "iq", ["result", "error"]);
    connection.addHandler((iq) => this.#pinged(iq), ns.PING, "iq", "get");
    connection.addHandler(
      (message) => {
        this.dispatchEvent(new CustomEvent("message", { detail: message }));
        return true;
      },
      null,
      "message",
    );
    // Alerts go to those who are there; away, because nobody chats here.
    const show = make(ns.CLIENT, "show");
    show.textContent = "away";
    connection.send(make(ns.CLIENT, "presence", {}, show));
    this.#become("online");
  }

  #answered(iq) {
    const id = iq.getAttribute("id");
    const asked = this.#pending.get(id);
    const from = iq.getAttribute("from");
    if (!asked || (asked.to ? from !== asked.to : from && ![this.bare, this.jid, this.domain].includes(from)))
      return true;
    this.#pending.delete(id);
    clearTimeout(asked.timer);
    if (iq.getAttribute("type") === "result") asked.resolve(iq);
    else asked.reject(new Refused(iq));
    return true;
  }

  #pinged(iq) {
    this.#connection?.send(
      make(ns.CLIENT, "iq", { type: "result", to: iq.getAttribute("from"), id: iq.getAttribute("id") }),
    );
    return true;
  }

  /** Rejects what waits for an answer. */
  #fail() {
    const waiting = [...this.#pending.values()];
    this.#pending.clear();
    for (const { reject, timer } of waiting) {
      clearTimeout(timer);
      reject(new Unanswered());
    }
  }

  /** Leave a connection that is no use any more. */
  #drop(reason) {
    const connection = this.#connection;
    if (this.state === "signed-out" || this.#stopped) return;
    this.#attempt++;
    if (connection) {
      this.#connection = null;
      connection.disconnect(reason);
      connection.reset();
    }
    this.#lost();
  }

  #lost() {
    if (this.state === "online") this.#useBosh = false;
    this.#connection = null;
    this.#fail();
    if (!this.#stopped) this.#later();
  }

  #failed(error) {
    this.#fail();
    if (error instanceof SignedOut) {
      this.#become("signed-out");
      return;
    }
    // The other way may be open: proxies know BOSH where they do not know WebSocket.
    if (!this.#config.only && navigator.onLine) this.#useBosh = !this.#useBosh;
    this.#later();
  }

  #later() {
    this.#become("offline");
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#connect(), this.#wait);
    this.#wait = Math.min(this.#wait ? this.#wait * 2 : 1000, LONGEST_WAIT);
  }

  /** Try at once where we wait: the network is back, or somebody looks. */
  #now() {
    if (this.state !== "offline" || this.#stopped) return;
    this.#wait = 0;
    this.#connect();
  }

  /** A connection that is silent may be dead without a sign. */
  #watch() {
    if (this.state !== "online" || performance.now() - this.#heard < QUIET_MS) return;
    this.iq("get", this.domain, make(ns.PING, "ping")).catch(() => {});
  }

  #become(state) {
    if (this.state === state && state !== "online") return;
    this.state = state;
    this.dispatchEvent(new CustomEvent("state", { detail: state }));
  }
}

class SignedOut extends Error {}

/** The first link of a kind that a page of this scheme may open: none in clear from a page that came by HTTPS. */
function usable(links, rel, secure) {
  return links.find((link) => link.rel === rel && (location.protocol !== "https:" || link.href.startsWith(secure)))
    ?.href;
}
