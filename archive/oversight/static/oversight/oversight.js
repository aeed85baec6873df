// Keys for going through results, and the browser's time zone, in which days and hours are then shown.

const page = document.getElementById("oversight");
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const cookie = `zone=${zone}`;
if (page && zone && zone !== page.dataset.zone && !document.cookie.split("; ").includes(cookie)) {
  document.cookie = `${cookie}; path=/admin/archive/; max-age=31536000; SameSite=Lax`;
  // Where cookies are refused the page stays in UTC; a form that was sent is not sent again.
  if (document.cookie.split("; ").includes(cookie) && !document.querySelector("[role=alert]")) location.reload();
}

const hits = [...document.querySelectorAll("li.hit-of")];
const here = document.querySelector(location.hash && /^#m[0-9a-f]{16}$/.test(location.hash) ? location.hash : ".target-of");
if (here) {
  here.scrollIntoView({ block: "center" });
  here.focus({ preventScroll: true });
}

function go(step) {
  const at = hits.indexOf(document.activeElement?.closest("li.hit-of"));
  const next = hits[at < 0 ? (step > 0 ? 0 : hits.length - 1) : Math.min(Math.max(at + step, 0), hits.length - 1)];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
}

const follow = (selector, root = document) => root.querySelector(selector)?.click();

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, summary")) return;
  if (event.key === "j") go(1);
  else if (event.key === "k") go(-1);
  else if (event.key === "n") follow("a[rel=next]");
  else if (event.key === "p") follow("a[rel=prev]");
  else if (event.key === "Enter" && event.target.matches("li.hit-of")) follow("a.open", event.target);
  else if (event.key === "/") document.querySelector("input[name=words]")?.focus();
  else return;
  event.preventDefault();
});

document.querySelector("[data-focus]")?.focus();
