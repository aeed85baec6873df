// Templates of topics: as the server has them, or as they were seen last.

import { fetchTemplate } from "./pubsub.js";
import { Unanswered } from "./session.js";

/** The newest template, `{version, xml}`; without a connection the one that was seen last. Null where there is none. */
export async function newestTemplate(app, topic, signal) {
  const known = (await app.kept.all("templates", topic)).sort((a, b) => b.seen - a.seen)[0] ?? null;
  if (known && app.session.state !== "online") return known;
  await app.online(signal);
  try {
    return await fetchNewest(app, topic);
  } catch (error) {
    if (known && error instanceof Unanswered) return known;
    throw error;
  }
}

/** The same from the server only; it takes the place of what was kept. */
export async function fetchNewest(app, topic) {
  const found = await fetchTemplate(app.session, topic);
  if (!found) return null;
  const { service, suffix } = topic;
  const old = (await app.kept.all("templates", topic)).filter((one) => one.version !== found.version);
  const removals = old.map((one) => ["templates", [service, suffix, one.version]]);
  await app.kept.change([["templates", { service, suffix, ...found, seen: Date.now() }]], removals);
  return found;
}
