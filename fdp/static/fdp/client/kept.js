// What this browser keeps of a person's forms (IndexedDB): topics and templates seen, drafts, and forms that wait to be
// sent. Each account has a database of its own; signing out removes all of them.

const VERSION = 1;
const STORES = {
  topics: ["service", "suffix"],
  templates: ["service", "suffix", "version"],
  drafts: ["service", "suffix", "version", "amends"],
  outbox: "id",
};

function done(request) {
  return new Promise((resolve, reject) => {
    request.addEventListener("success", () => resolve(request.result));
    request.addEventListener("error", () => reject(request.error));
  });
}

function complete(transaction) {
  return new Promise((resolve, reject) => {
    transaction.addEventListener("complete", () => resolve());
    transaction.addEventListener("abort", () => reject(transaction.error ?? new Error("not stored")));
  });
}

export class Kept {
  #base;

  constructor(base) {
    this.#base = base;
    // A newer page of another tab may change the database.
    base.addEventListener("versionchange", () => base.close());
  }

  /** What the database of an account is called. */
  static nameOf(jid) {
    return `fdp ${jid}`;
  }

  /** The database of an account; rejects where the browser allows none. */
  static async open(jid) {
    const request = indexedDB.open(Kept.nameOf(jid), VERSION);
    request.addEventListener("upgradeneeded", () => {
      for (const [name, keyPath] of Object.entries(STORES)) {
        if (!request.result.objectStoreNames.contains(name)) request.result.createObjectStore(name, { keyPath });
      }
    });
    return new Kept(await done(request));
  }

  /** Let go of it. */
  close() {
    this.#base.close();
  }

  /** One object by its key, or undefined. */
  get(store, key) {
    return done(this.#base.transaction(store).objectStore(store).get(key));
  }

  /** All objects of a store in the order of their keys; of one topic where `topic` is given. */
  all(store, topic = null) {
    const range = topic ? IDBKeyRange.bound([topic.service, topic.suffix], [topic.service, topic.suffix, []]) : null;
    return done(this.#base.transaction(store).objectStore(store).getAll(range));
  }

  /** Store objects and remove keys in one transaction that is on disk when this resolves: `[[store, object]]`. */
  async change(puts = [], removals = []) {
    const names = [...new Set([...puts, ...removals].map(([name]) => name))];
    if (!names.length) return;
    const transaction = this.#base.transaction(names, "readwrite", { durability: "strict" });
    for (const [name, object] of puts) transaction.objectStore(name).put(object);
    for (const [name, key] of removals) transaction.objectStore(name).delete(key);
    await complete(transaction);
  }
}

/** The key of a draft: one for each version of a topic, and one for each form that is being amended. */
export function draftKey(topic, version, amends = "") {
  return [topic.service, topic.suffix, version, amends];
}
