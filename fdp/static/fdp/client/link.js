// Whether the page is connected, for people.

import { element, put } from "../../mlink/rows.js";
import { speak } from "./says.js";

const WORDS = { connecting: "connecting …", online: "connected", offline: "not connected", "signed-out": "signed out" };
const KINDS = { online: "good", offline: "warn", "signed-out": "bad" };

/** Keep the mark at the top right, and the line below it where there is something to say. */
export function showLink(app) {
  const mark = document.getElementById("link");
  const line = document.getElementById("link-line");
  let wasOnline = false;
  const draw = () => {
    const { state } = app.session;
    // One attempt after the other is one state for who reads it.
    if (state === "connecting" && mark.dataset.state === "offline") return;
    put(mark, WORDS[state]);
    mark.className = `tag ${KINDS[state] ?? ""}`;
    mark.dataset.state = state;
    line.hidden = !["offline", "signed-out"].includes(state);
    if (state === "offline") {
      line.replaceChildren(
        "There is no connection. You can go on: what you publish is kept on this device and sent when it is back.",
      );
      if (wasOnline) speak("The connection is lost.");
    }
    if (state === "signed-out") {
      line.replaceChildren(
        "You are signed out. Your drafts are kept. ",
        element("a", { href: app.config.sign_in_url, textContent: "Sign in again" }),
      );
    }
    if (state === "online" && mark.dataset.was === "offline") speak("Connected again.");
    wasOnline = state === "online";
    mark.dataset.was = state;
  };
  app.session.addEventListener("state", draw);
  draw();
}
