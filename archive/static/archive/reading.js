// Reading: older and newer messages come while one scrolls, keys go from message to message, links can be copied.

// Messages on the page at a time: what is read past goes, and comes again when one turns back.
const MOST = 400;
const KEPT = 300;
// While messages are ticked none may go.
const MOST_TICKED = 900;

const stretch = document.getElementById("stretch");
const words = document.getElementById("id_words");
const keys = document.getElementById("keys");
const status = document.getElementById("say");
const picking = document.querySelector("form.picking");

// Reading on

let busy = false;

function idOf(bubble) {
  return bubble.id.slice(1);
}

function linkTo(which, place, pattern) {
  const address = new URL(pattern, location.href);
  for (const name of ["before", "after", "at", "whole", "part"]) address.searchParams.delete(name);
  address.searchParams.set(which === "older" ? "before" : "after", place);
  address.hash = which === "older" ? "end" : "";
  const paragraph = document.createElement("p");
  paragraph.className = `page-link ${which}`;
  const link = document.createElement("a");
  link.className = "button plain tight";
  link.rel = which === "older" ? "prev" : "next";
  link.textContent = which === "older" ? "Older messages" : "Newer messages";
  link.href = address.href;
  paragraph.append(link);
  return paragraph;
}

// Where a message stands on the screen must not change when others come before it.
function steadily(bubble, change) {
  const before = bubble?.getBoundingClientRect().top;
  change();
  if (!bubble?.isConnected) return;
  const moved = bubble.getBoundingClientRect().top - before;
  const inner = stretch.scrollHeight > stretch.clientHeight && getComputedStyle(stretch).overflowY === "auto";
  if (moved) (inner ? stretch : document.scrollingElement).scrollTop += moved;
}

function merge(day, into, where) {
  const list = into.querySelector(".bubbles");
  if (where === "older") list.prepend(...day.querySelector(".bubbles").children);
  else list.append(...day.querySelector(".bubbles").children);
}

function insert(part, where) {
  const days = [...part.querySelectorAll(".day")];
  for (const bubble of part.querySelectorAll(".bubble")) if (document.getElementById(bubble.id)) bubble.remove();
  const own = [...stretch.querySelectorAll(".day")];
  const edge = where === "older" ? own[0] : own.at(-1);
  const link = part.querySelector(`.page-link.${where}`);
  stretch.querySelector(`.page-link.${where}`)?.remove();
  const meeting = where === "older" ? days.at(-1) : days[0];
  if (edge && meeting && meeting.dataset.day === edge.dataset.day) {
    merge(meeting, edge, where);
    days.splice(days.indexOf(meeting), 1);
  }
  const full = days.filter((day) => day.querySelector(".bubble"));
  const end = document.getElementById("end");
  if (where === "older") {
    if (edge) edge.before(...full);
    else end.before(...full);
    if (link) stretch.prepend(link);
  } else {
    end.before(...full);
    if (link) end.after(link);
  }
  return link;
}

function prune(where, pattern) {
  const bubbles = [...stretch.querySelectorAll(".bubble")];
  if (picking || bubbles.length <= MOST) return;
  const gone = where === "older" ? bubbles.slice(KEPT) : bubbles.slice(0, bubbles.length - KEPT);
  const kept = where === "older" ? bubbles[KEPT - 1] : bubbles[bubbles.length - KEPT];
  for (const bubble of gone) bubble.remove();
  for (const day of stretch.querySelectorAll(".day")) if (!day.querySelector(".bubble")) day.remove();
  const other = where === "older" ? "newer" : "older";
  stretch.querySelector(`.page-link.${other}`)?.remove();
  const link = linkTo(other, idOf(kept), pattern);
  if (other === "older") stretch.prepend(link);
  else document.getElementById("end").after(link);
  watch();
}

async function load(link, where) {
  const bubbles = stretch.querySelectorAll(".bubble");
  if (busy || (picking && bubbles.length >= MOST_TICKED)) return;
  busy = true;
  watcher.disconnect();
  const label = link.textContent;
  const address = new URL(link.href);
  address.searchParams.set("part", "1");
  link.textContent = where === "older" ? "Loading older messages…" : "Loading newer messages…";
  stretch.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(address, { redirect: "error" });
    if (!answer.ok) throw new Error(answer.status);
    const part = new DOMParser().parseFromString(await answer.text(), "text/html").body;
    const anchor = where === "older" ? bubbles[0] : bubbles[bubbles.length - 1];
    steadily(anchor, () => {
      insert(part, where);
      prune(where, address.href);
    });
    watch();
  } catch {
    // The link still leads there; it is not followed by itself again.
    link.textContent = "That did not work. Try again";
    link.dataset.failed = label;
  }
  stretch.removeAttribute("aria-busy");
  busy = false;
}

const watcher = new IntersectionObserver(
  (entries) => {
    const seen = entries.find((entry) => entry.isIntersecting);
    if (seen) load(seen.target, seen.target.closest(".older") ? "older" : "newer");
  },
  { rootMargin: "400px 0px" },
);

function watch() {
  watcher.disconnect();
  for (const link of stretch.querySelectorAll(".page-link.older a, .page-link.newer a"))
    if (!link.dataset.failed) watcher.observe(link);
}

// Keys

function messages() {
  return [...(stretch?.querySelectorAll(".bubble, .hit") ?? [])];
}

function current() {
  return document.activeElement?.closest?.(".bubble, .hit") ?? null;
}

function step(by) {
  const all = messages();
  if (!all.length) return;
  const now = all.indexOf(current());
  let next = now + by;
  if (now < 0) {
    const inView = all.filter((each) => {
      const place = each.getBoundingClientRect();
      return place.bottom > 0 && place.top < window.innerHeight;
    });
    next = all.indexOf(by > 0 ? inView[0] : inView.at(-1));
    const target = all.findIndex((each) => each.classList.contains("target"));
    if (target >= 0) next = target;
  }
  const wanted = all[Math.max(0, Math.min(next, all.length - 1))];
  wanted.focus({ preventScroll: true });
  wanted.scrollIntoView({ block: "nearest" });
}

function page(by) {
  const scroller = getComputedStyle(stretch).overflowY === "auto" ? stretch : document.scrollingElement;
  const atEnd =
    by < 0 ? scroller.scrollTop <= 1 : scroller.scrollTop + scroller.clientHeight >= scroller.scrollHeight - 2;
  const link = stretch.querySelector(by < 0 ? ".page-link a[rel=prev]" : ".page-link a[rel=next]");
  if (atEnd && link) link.click();
  else scroller.scrollBy({ top: by * scroller.clientHeight * 0.9 });
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Pages without TLS have no clipboard but this.
    const field = document.createElement("textarea");
    field.value = text;
    document.body.append(field);
    const focused = document.activeElement;
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    focused?.focus?.({ preventScroll: true });
    return done;
  }
}

async function copyLink(bubble) {
  const stamp = bubble?.querySelector(".stamp, .hit-link");
  if (!stamp) return;
  const done = await copy(stamp.href);
  status.textContent = "";
  status.textContent = done ? "The link is copied." : "The link cannot be copied here.";
  if (!done) return;
  button.textContent = "Copied";
  setTimeout(() => (button.textContent = "Copy link"), 2000);
}

const actions = {
  j: () => step(1),
  k: () => step(-1),
  "/": () => {
    location.hash = "find";
    words?.focus();
    words?.select();
  },
  c: () => document.getElementById("contact")?.focus(),
  l: () => copyLink(current()),
  x: () => current()?.querySelector(".pick input")?.click(),
  "?": () => keys.showModal(),
};

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.altKey || event.ctrlKey || event.metaKey || keys.open) return;
  if (event.target.closest("input:not([type=checkbox]), textarea, select, .chart")) return;
  const within = event.target === document.body || event.target.closest("#stretch");
  if (event.key in actions) actions[event.key]();
  else if (event.key === "ArrowDown" && within) step(1);
  else if (event.key === "ArrowUp" && within) step(-1);
  else if (event.key === "PageUp" && within && stretch) page(-1);
  else if (event.key === "PageDown" && within && stretch) page(1);
  else if (event.key === "Enter" && event.target.matches(".hit")) event.target.querySelector(".hit-link").click();
  else return;
  event.preventDefault();
});

// The button that copies a link is one, and goes to the message at hand.
const button = document.createElement("button");
button.type = "button";
button.className = "button plain tight copy";
button.textContent = "Copy link";
button.addEventListener("click", () => copyLink(button.closest(".bubble")));

function offer(event) {
  const bubble = event.target.closest?.(".bubble");
  if (!picking && bubble && button.parentElement !== bubble && !bubble.classList.contains("gone"))
    bubble.querySelector(".stamp").after(button);
}

if (stretch) {
  stretch.addEventListener("pointerover", offer);
  stretch.addEventListener("focusin", offer);
  watch();
  stretch.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-failed]");
    if (!link) return;
    event.preventDefault();
    link.textContent = link.dataset.failed;
    delete link.dataset.failed;
    load(link, link.closest(".older") ? "older" : "newer");
  });
}

if (picking) {
  const shown = document.getElementById("picked");
  const count = () => {
    const number = picking.querySelectorAll(".pick input:checked").length;
    shown.textContent = number ? `${number} ticked` : "Tick the messages that you want in a file.";
  };
  picking.addEventListener("change", count);
  count();
}

const target = document.querySelector(".bubble.target");
if (target) {
  target.scrollIntoView({ block: "center" });
  target.focus({ preventScroll: true });
}
