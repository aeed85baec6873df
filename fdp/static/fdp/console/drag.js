// Moving parts of the form: by mouse and finger (pointer events: HTML's own drag and drop knows no fingers) and by keys.

const THRESHOLD = 5;
const EDGE = 60;

/** Where the pointer would drop: the innermost list of parts under it that takes the dragged node, and the index. */
function target(canvas, x, y, accepts, skip) {
  let best = null;
  for (const list of canvas.querySelectorAll("[data-list]")) {
    if (skip && (skip === list || skip.contains(list))) continue;
    if (!accepts(list.dataset.list)) continue;
    const box = list.getBoundingClientRect();
    const inside = x >= box.left - 40 && x <= box.right + 40 && y >= box.top - 8 && y <= box.bottom + 8;
    if (inside && (!best || best.contains(list))) best = list;
  }
  if (!best) return null;
  const items = [...best.children].filter((child) => child.dataset.id && child !== skip);
  let index = items.findIndex((item) => {
    // A part that is open to its properties is as tall as a page: its head is what one aims at.
    const aim = item.querySelector(":scope > .properties") && !item.querySelector(":scope > [data-list]");
    const box = (aim ? item.firstElementChild : item).getBoundingClientRect();
    return y < box.top + box.height / 2;
  });
  if (index < 0) index = items.length;
  return { list: best, index, before: items[index] ?? null };
}

/** Let pointers drag from `handle`. `begin()` says what is dragged: { label, skip, accepts, drop(list, index) }. */
export function draggable(handle, canvas, begin) {
  handle.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !event.isPrimary) return;
    const start = { x: event.clientX, y: event.clientY };
    let drag = null;
    let ghost = null;
    let where = null;
    let scroll = 0;
    const line = document.createElement("div");
    line.className = "drop-line";

    const show = (x, y) => {
      ghost.style.transform = `translate(${x + 12}px, ${y + 8}px)`;
      where = target(canvas, x, y, drag.accepts, drag.skip);
      if (!where) line.remove();
      else if (where.before) where.list.insertBefore(line, where.before);
      else where.list.append(line);
    };
    const tick = () => {
      if (!drag) return;
      if (scroll) window.scrollBy(0, scroll);
      requestAnimationFrame(tick);
    };
    const move = (moved) => {
      if (moved.pointerId !== event.pointerId) return;
      const far = Math.hypot(moved.clientX - start.x, moved.clientY - start.y) > THRESHOLD;
      if (!drag && far) {
        drag = begin();
        ghost = document.createElement("div");
        ghost.className = "ghost";
        ghost.textContent = drag.label;
        document.body.append(ghost);
        drag.skip?.classList.add("dragged");
        document.body.classList.add("dragging");
        tick();
      }
      if (!drag) return;
      moved.preventDefault();
      const { clientX: x, clientY: y } = moved;
      scroll = y < EDGE ? (y - EDGE) / 4 : y > innerHeight - EDGE ? (y - innerHeight + EDGE) / 4 : 0;
      show(x, y);
    };
    const end = (drop) => {
      handle.removeEventListener("pointermove", move);
      handle.removeEventListener("pointerup", up);
      handle.removeEventListener("pointercancel", cancel);
      document.removeEventListener("keydown", key, true);
      if (!drag) return;
      const { skip, drop: place } = drag;
      drag = null;
      ghost.remove();
      line.remove();
      skip?.classList.remove("dragged");
      document.body.classList.remove("dragging");
      // The click that follows is none.
      const swallow = (click) => {
        click.preventDefault();
        click.stopPropagation();
      };
      handle.addEventListener("click", swallow, { capture: true, once: true });
      setTimeout(() => handle.removeEventListener("click", swallow, { capture: true }));
      if (drop && where) place(where.list.dataset.list, where.index);
    };
    const up = () => end(true);
    const cancel = () => end(false);
    const key = (pressed) => {
      if (pressed.key === "Escape" && drag) {
        pressed.preventDefault();
        end(false);
      }
    };
    handle.setPointerCapture(event.pointerId);
    handle.addEventListener("pointermove", move);
    handle.addEventListener("pointerup", up);
    handle.addEventListener("pointercancel", cancel);
    document.addEventListener("keydown", key, true);
  });
}

/**
 * Let keys move from a handle: space or enter takes hold and lets go, arrows move meanwhile, escape puts back.
 * `act` has isHeld(), hold(), step(by), release(), cancel(). The handle is made anew with every step, so whether it is
 * held is known outside.
 */
export function movableByKeys(handle, act) {
  handle.addEventListener("keydown", (event) => {
    const held = act.isHeld();
    if (event.key === " " || event.key === "Enter") {
      event.preventDefault();
      if (held) act.release();
      else act.hold();
    } else if (held && (event.key === "ArrowUp" || event.key === "ArrowDown")) {
      event.preventDefault();
      act.step(event.key === "ArrowUp" ? -1 : 1);
    } else if (held && event.key === "Escape") {
      event.preventDefault();
      act.cancel();
    }
  });
  // A button is pressed when the space bar comes up again.
  handle.addEventListener("keyup", (event) => {
    if (event.key === " ") event.preventDefault();
  });
}
