// Pictures, sound and films of a field (XEP-0221).

import { element } from "../../mlink/rows.js";

const TAGS = { image: "img", audio: "audio", video: "video" };

/** Whether a page of ours may show what stands at this address: the rules of its security policy, said in words. */
function isShowable(uri, hosts) {
  if (/^data:(image|audio|video)\//i.test(uri)) return true;
  try {
    const address = new URL(uri, location.href);
    return address.origin === location.origin || hosts.includes(address.origin);
  } catch {
    return false;
  }
}

/** The elements for the media of a field. `load` turns a `cid:` into an address, see pubsub.js; `hosts` may be shown. */
export function mediaElements(field, name, load, hosts = []) {
  return field.media.map((media) => {
    const box = element("div", { className: "media" });
    // Elsewhere are things that the page may not load by itself: whoever put them there would learn who looks.
    const direct = media.uris.find(({ uri }) => !uri.startsWith("cid:") && isShowable(uri, hosts));
    const inside = media.uris.find(({ uri }) => uri.startsWith("cid:"));
    const link = media.uris.find(({ uri }) => /^https?:/i.test(uri));
    if (direct) show(box, direct, direct.uri, media, name);
    else if (inside) fill(box, inside, media, name, load);
    else if (link) box.append(linkTo(link, name));
    return box;
  });
}

function show(box, { type }, address, { width, height }, name) {
  const tag = TAGS[type.split("/")[0].trim().toLowerCase()];
  if (!tag) return void box.append(linkTo({ uri: address, type }, name));
  const made = element(tag, { src: address });
  if (tag === "img") Object.assign(made, { alt: name, loading: "lazy" });
  else {
    made.controls = true;
    made.setAttribute("aria-label", name);
  }
  if (width && tag !== "audio") made.width = width;
  if (height && tag !== "audio") made.height = height;
  made.addEventListener("error", () =>
    made.replaceWith(
      element("p", {
        className: "quiet small",
        textContent: `The ${tag === "img" ? "picture" : "recording"} cannot be shown.`,
      }),
    ),
  );
  box.append(made);
}

async function fill(box, uri, media, name, load) {
  try {
    const address = await load(uri.uri.slice("cid:".length));
    if (address) show(box, uri, address, media, name);
  } catch {
    box.append(element("p", { className: "quiet small", textContent: "The picture could not be loaded." }));
  }
}

function linkTo({ uri, type }, name) {
  const kind = { image: "picture", audio: "recording", video: "film" }[type.split("/")[0]] ?? "file";
  let host = "";
  try {
    host = ` from ${new URL(uri).host}`;
  } catch {
    // An address without a host.
  }
  return element("a", {
    href: uri,
    target: "_blank",
    rel: "noopener noreferrer",
    textContent: `Open the ${kind} for “${name}”${host}`,
  });
}
