// The chart with pointer and keys: drag over bars for a span, arrows and Enter for the same.

const chart = document.querySelector(".chart");
const bars = chart ? [...chart.querySelectorAll("svg a")] : [];
const say = chart?.querySelector(".chart-say");
const quiet = say?.textContent;

let from = -1;
let to = -1;

function mark() {
  const [low, high] = from < to ? [from, to] : [to, from];
  bars.forEach((bar, index) => {
    bar.classList.toggle("chosen", low !== high && index >= low && index <= high);
    bar.classList.toggle("at", index === to);
  });
  if (to < 0) say.textContent = quiet;
  else if (low === high) say.textContent = bars[to].querySelector("title").textContent;
  else say.textContent = `${bars[low].dataset.start} to ${bars[high].dataset.end}`;
}

function go() {
  const [low, high] = from < to ? [from, to] : [to, from];
  const address = new URL(bars[low].getAttribute("href"), location.href);
  address.searchParams.set("start", bars[low].dataset.start);
  address.searchParams.set("end", bars[high].dataset.end);
  location.assign(address);
}

function under(event) {
  const area = bars[0].ownerSVGElement.getBoundingClientRect();
  const place = Math.floor(((event.clientX - area.left) / area.width) * bars.length);
  return Math.max(0, Math.min(place, bars.length - 1));
}

if (bars.length) {
  const drawing = bars[0].ownerSVGElement;
  let held = false;
  let dragged = false;
  drawing.addEventListener("dragstart", (event) => event.preventDefault());
  drawing.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    held = true;
    dragged = false;
    from = to = under(event);
    // Text around is not to be selected while one drags.
    event.preventDefault();
  });
  drawing.addEventListener("pointermove", (event) => {
    if (held && event.pointerType !== "mouse" && !drawing.hasPointerCapture(event.pointerId))
      drawing.setPointerCapture(event.pointerId);
    to = under(event);
    if (!held) from = to;
    dragged = dragged || (held && from !== to);
    mark();
  });
  window.addEventListener("pointerup", () => {
    if (held && dragged) go();
    held = false;
  });
  drawing.addEventListener("pointercancel", () => {
    held = false;
    from = to = -1;
    mark();
  });
  drawing.addEventListener("pointerleave", () => {
    if (held) return;
    from = to = -1;
    mark();
  });
  drawing.addEventListener("click", (event) => {
    if (dragged) event.preventDefault();
  });

  chart.tabIndex = 0;
  chart.setAttribute("role", "group");
  const unit = chart.dataset.unit;
  chart.setAttribute(
    "aria-label",
    `Activity per ${unit}: left and right move, with Shift they take several, Enter shows only those`,
  );
  chart.addEventListener("keydown", (event) => {
    if (event.target !== chart || event.altKey || event.ctrlKey || event.metaKey) return;
    const steps = { ArrowLeft: -1, ArrowRight: 1, Home: -bars.length, End: bars.length };
    if (event.key in steps) {
      const next = to < 0 ? bars.length - 1 : to + steps[event.key];
      to = Math.max(0, Math.min(next, bars.length - 1));
      if (!event.shiftKey || from < 0) from = to;
      mark();
    } else if (event.key === "Enter" && to >= 0) go();
    else if (event.key === "Escape" && to >= 0) {
      from = to = -1;
      mark();
    } else return;
    event.preventDefault();
  });
  chart.addEventListener("blur", () => {
    from = to = -1;
    mark();
  });
}
