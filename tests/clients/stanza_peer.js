// One client on stanza (StanzaJS) for the tests, driven over standard input and output, a line of JSON each.
//   in:  {"id": 1, "method": "createNode", "args": [...]}
//   out: {"id": 1, "result": ...}, {"id": 1, "error": "item-not-found", "pubsub": "closed-node"}, {"event": "pubsub:published", "data": ...}
"use strict";
const readline = require("node:readline");
const { createClient } = require("stanza");

const say = (line) => process.stdout.write(JSON.stringify(line) + "\n");
const [service, jid, password] = process.argv.slice(2);
const client = createClient({ jid, password, transports: { websocket: service, bosh: false }, autoReconnect: false });
const EVENTS = ["published", "retracted", "purged", "deleted", "subscription", "config", "affiliations"].map((name) => `pubsub:${name}`);
for (const event of EVENTS) client.on(event, (data) => say({ event, data }));
client.on("session:started", async () => {
  client.sendPresence();
  say({ event: "online", data: client.jid });
});
client.on("auth:failed", () => say({ event: "auth:failed", data: null }));
client.on("disconnected", () => process.exit(0));

readline.createInterface({ input: process.stdin }).on("line", async (line) => {
  const { id, method, args } = JSON.parse(line);
  try {
    const result = await client[method](...args);
    say({ id, result: result === undefined ? null : result });
  } catch (error) {
    const found = (error && error.error) || {};
    say({ id, error: found.condition || String(error), pubsub: found.pubsubError || "" });
  }
}).on("close", () => client.disconnect());
client.connect();
