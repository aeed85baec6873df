// Notes that stand around forms: it is published, it waits, it was withdrawn, it is of an older version, it could not be
// opened.

import { element } from "../../mlink/rows.js";
import * as places from "./places.js";

function note(kind, properties, ...content) {
  return element("div", { className: `note ${kind}`, ...properties }, ...content);
}

function paragraph(...content) {
  return element("p", {}, ...content);
}

function button(text, act, look = "plain tight") {
  const made = element("button", { type: "button", className: `button ${look}`, textContent: text });
  made.addEventListener("click", act);
  return made;
}

/** It is published; `again` opens an empty form, null for none. `{node, tell}`: what is known later is told then. */
export function publishedNote(words, again) {
  const text = paragraph(element("strong", { textContent: words }));
  const buttons = element("p", { className: "row" }, ...(again ? [button("Fill in another", again)] : []));
  const tell = (stored, href) => {
    if (stored.serial) text.append(` It is number ${stored.serial}.`);
    buttons.prepend(element("a", { className: "button tight", href, textContent: "Show it" }));
  };
  return { node: note("good done", { tabIndex: -1 }, text, buttons), tell };
}

/** It is kept until it can be sent; `isRefused` says that the server was there and wanted it later. */
export function waitingNote(isRefused) {
  const why = element("strong", {
    textContent: isRefused ? "The server cannot take it now." : "You are not connected.",
  });
  const what =
    " The form is kept on this device and sent once that is possible, even if you close this page and come back later.";
  const link = element("a", { href: places.outbox(), textContent: "What waits to be sent" });
  return note("warn kept", { tabIndex: -1 }, paragraph(why, what), paragraph(link));
}

/** The topic is gone; `read` gives what was typed, as text. */
export function withdrawnNote(read) {
  const told = element("span", { role: "status" });
  const text = element("textarea", { readOnly: true, rows: 6, hidden: true, ariaLabel: "My text" });
  const copy = button("Copy my text", async () => {
    text.value = read();
    try {
      await navigator.clipboard.writeText(text.value);
      told.textContent = "Copied.";
    } catch {
      text.hidden = false;
      text.select();
      told.textContent = "Press Ctrl+C to copy.";
    }
  });
  const what =
    " It cannot be published any more. What you typed stays here as a draft, so that you can copy it or discard it.";
  const first = paragraph(element("strong", { textContent: "This form was withdrawn." }), what);
  return note("bad", { role: "alert" }, first, element("p", { className: "row" }, copy, told), text);
}

/** There is a newer template than the one that was begun; `take` goes over to it. */
export function newerNote(newest, begun, take) {
  const text = `There is a newer version of this form (${newest}). You began with ${begun}, which you can still finish.`;
  return note("warn", { role: "status" }, paragraph(text), paragraph(button("Take my text over", take, "tight")));
}

/** What one amends, as a link to it. */
export function amendNote(topic, id, serial) {
  const link = element("a", {
    href: places.form(topic, id),
    textContent: serial ? `No. ${serial}` : "a published form",
  });
  return element(
    "p",
    { className: "note" },
    "You amend ",
    link,
    ". It stays as it is; yours is published as its amendment.",
  );
}

/** Something could not be opened; `again` tries once more. */
export function failedNote(text, again) {
  return note("bad", { role: "alert" }, paragraph(text), paragraph(button("Try again", again)));
}
