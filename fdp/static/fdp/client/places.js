// The places of the page: what stands behind the # of its address.
//
//     #/                                          what is new, drafts
//     #/outbox                                    what waits to be sent
//     #/topic/<service>/<suffix>                  fill in
//     #/topic/<service>/<suffix>/published        the list
//     #/topic/<service>/<suffix>/form/<id>        one published form
//     #/topic/<service>/<suffix>/amend/<id>       fill in anew

const code = encodeURIComponent;

export const home = () => "#/";
export const outbox = () => "#/outbox";
export const fill = (topic) => `#/topic/${code(topic.service)}/${code(topic.suffix)}`;
export const published = (topic) => `${fill(topic)}/published`;
export const form = (topic, id) => `${fill(topic)}/form/${code(id)}`;
export const amend = (topic, id) => `${fill(topic)}/amend/${code(id)}`;

/** Where we are: `{name, service, suffix, id}`. */
export function here() {
  let parts;
  try {
    parts = location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
  } catch {
    parts = [];
  }
  const [first, service, suffix, what = "fill", id = ""] = parts;
  if (first === "outbox") return { name: "outbox" };
  if (first !== "topic" || !service || !suffix || !["fill", "published", "form", "amend"].includes(what))
    return { name: "home" };
  return { name: what, service, suffix, id };
}
