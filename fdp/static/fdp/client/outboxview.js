// What waits to be sent, and what the server refused.

import { element } from "../../mlink/rows.js";
import { asDraft } from "./drafts.js";
import { draftKey } from "./kept.js";
import * as places from "./places.js";
import { speak, when } from "./says.js";

export function outboxView(app, signal) {
  const heading = element("h2", { tabIndex: -1, textContent: "On their way" });
  const about = element("p", {
    className: "quiet",
    textContent: "These forms are kept on this device until the server has them.",
  });
  const box = element("ol", { className: "outbox" });
  const none = element("p", { className: "note", textContent: "Nothing waits: everything is sent." });
  const draw = () => {
    none.hidden = app.outbox.entries.length > 0;
    about.hidden = !none.hidden;
    box.replaceChildren(...app.outbox.entries.map((entry) => row(app, entry)));
  };
  app.outbox.addEventListener("change", draw, { signal });
  app.session.addEventListener("state", draw, { signal });
  draw();
  return {
    title: "On their way",
    heading,
    nodes: [
      element("a", { className: "to-topics", href: places.home(), textContent: "All forms" }),
      heading,
      about,
      none,
      box,
    ],
  };
}

function row(app, entry) {
  const isRefused = entry.state === "refused";
  const isOnline = app.session.state === "online";
  const state = isRefused ? "refused" : isOnline ? "being sent" : "waits for the connection";
  const buttons = element("div", { className: "row" });
  if (isRefused) {
    const edit = element("button", { type: "button", className: "button tight", textContent: "Open again" });
    edit.addEventListener("click", () => reopen(app, entry));
    buttons.append(edit);
  }
  const drop = element(
    "details",
    { className: "sure" },
    element("summary", { className: "button danger tight", textContent: "Do not send" }),
  );
  const sure = element("button", { type: "button", className: "button danger tight", textContent: "Delete this form" });
  sure.addEventListener("click", async () => {
    await app.outbox.remove(entry.id);
    speak("The form is deleted.");
  });
  drop.append(sure);
  buttons.append(drop);
  const top = element(
    "p",
    { className: "topic-top" },
    element("strong", { textContent: `${entry.title}${entry.amends ? " (amendment)" : ""}` }),
    element("span", { className: `tag ${isRefused ? "bad" : "warn"}`, textContent: state }),
  );
  const made = element(
    "li",
    { className: "card" },
    top,
    element("p", { className: "quiet small", textContent: `Published here ${when(entry.created)}` }),
  );
  if (entry.error) made.append(element("p", { className: "note bad", textContent: entry.error }));
  made.append(buttons);
  made.dataset.item = entry.id;
  return made;
}

/** A refused form is a draft again, with what the server said about it. */
export async function reopen(app, entry) {
  await app.outbox.remove(entry.id, asDraft(entry));
  await app.readDrafts();
  app.said = { key: draftKey(entry, entry.version, entry.amends).join(" "), text: entry.error };
  location.hash = entry.amends ? places.amend(entry, entry.amends) : places.fill(entry);
}
