// Ordinary messages that come here because this page is one of the person's connections: they are in the archive, and the
// page says that they have come.

import { element } from "../../mlink/rows.js";
import * as ns from "./namespaces.js";
import { bareOf } from "./says.js";
import { child } from "./xml.js";

const line = document.getElementById("mail-line");

/** Show who has written while the page is open, with the way to the chat. */
export function showMail(session) {
  const senders = new Set();
  session.addEventListener("message", ({ detail: message }) => {
    const type = message.getAttribute("type") ?? "normal";
    const from = bareOf(message.getAttribute("from") ?? "");
    if (!["chat", "normal"].includes(type) || !from || from === session.bare || !child(message, ns.CLIENT, "body"))
      return;
    senders.add(from);
    const who = senders.size > 2 ? `${senders.size} people` : [...senders].join(" and ");
    line.replaceChildren(
      `Messages from ${who} have come. `,
      element("a", { href: "/chat/", textContent: "Open the chat" }),
    );
    line.hidden = false;
  });
}
