// The start view: what is new, and what was begun.

import { element, put } from "../../mlink/rows.js";
import { alertCount, alertList } from "./alerts.js";
import * as places from "./places.js";
import { when } from "./says.js";

export function homeView(app, signal) {
  const heading = element("h2", { tabIndex: -1 });
  const title = () => put(heading, alertCount(app));
  app.topics.addEventListener("change", title, { signal });
  title();
  const drafts = element("section", { className: "card" });
  const draw = () => drawDrafts(app, drafts);
  app.addEventListener("drafts", draw, { signal });
  app.topics.addEventListener("change", draw, { signal });
  draw();
  return {
    title: "",
    heading,
    nodes: [element("section", { className: "card" }, heading, alertList(app, signal)), drafts],
  };
}

function drawDrafts(app, box) {
  box.hidden = !app.drafts.length;
  const rows = [...app.drafts]
    .sort((a, b) => b.saved - a.saved)
    .map((draft) => {
      const topic = app.topics.get(draft.service, draft.suffix);
      const href = draft.amends ? places.amend(draft, draft.amends) : places.fill(draft);
      const isGone = !topic && app.session.state === "online" && !app.topics.doing;
      return element(
        "li",
        {},
        element(
          "a",
          { href },
          element(
            "span",
            { className: "topic-top" },
            element("span", {
              className: "topic-title",
              textContent: `${topic?.title ?? draft.title}${draft.amends ? " (amendment)" : ""}`,
            }),
            element("time", { className: "quiet small", textContent: when(draft.saved) }),
          ),
          element("span", {
            className: "quiet small",
            textContent: isGone ? "This form is no longer offered; your text is still here." : "",
          }),
        ),
      );
    });
  box.replaceChildren(element("h2", { textContent: "Drafts" }), element("ol", { className: "alerts" }, ...rows));
}
