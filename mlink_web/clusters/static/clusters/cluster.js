// Renews the page of the cluster. What somebody is about to press, or has opened, is left alone until he is done.

import { listen } from "../mlink/live.js";

const place = document.getElementById("cluster");
let shown = "";

listen(place.dataset.socket, ({ html }) => {
  if (html === shown || place.contains(document.activeElement) || place.querySelector("details[open]")) return;
  shown = html;
  place.innerHTML = html;
});
