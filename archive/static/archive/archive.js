// Tells the server the browser's time zone, in which days and hours are then shown, and goes to the message linked to.
"use strict";

const shown = document.getElementById("zone");
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
if (shown && zone && zone !== shown.dataset.zone && !document.cookie.split("; ").includes(`zone=${zone}`)) {
  document.cookie = `zone=${zone}; path=/archive/; max-age=31536000; SameSite=Lax`;
  // Where cookies are refused the page stays as it is, in UTC.
  if (document.cookie.split("; ").includes(`zone=${zone}`)) location.reload();
}

const target = document.querySelector(".bubble.target");
if (target) {
  target.scrollIntoView({ block: "center" });
  target.focus({ preventScroll: true });
}
