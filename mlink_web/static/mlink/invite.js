// Says while people type whether a name is free and a password will do, and copies links. Without it the server says so
// after the form is sent.

const PAUSE = 350;

/** A line below a field that screen readers speak; `show(text, good)` fills it. */
function hintFor(input) {
  const hint = document.createElement("p");
  hint.className = "hint";
  hint.id = `${input.id}_hint`;
  hint.setAttribute("role", "status");
  (input.closest(".field") || input.parentElement).append(hint);
  input.setAttribute("aria-describedby", `${input.getAttribute("aria-describedby") || ""} ${hint.id}`.trim());
  return (text, good) => {
    hint.textContent = text;
    hint.className = `hint ${text ? (good ? "good" : "bad") : ""}`;
  };
}

/** Ask the server about a name once typing rests; only the answer to the newest question counts. */
function watchName(input, url) {
  const show = hintFor(input);
  let timer = 0;
  let asked = 0;
  input.addEventListener("input", () => {
    clearTimeout(timer);
    show("", true);
    const name = input.value.trim();
    const number = ++asked;
    if (!name) return;
    timer = setTimeout(async () => {
      try {
        const response = await fetch(`${url}?name=${encodeURIComponent(name)}`);
        const answer = await response.json();
        if (number !== asked) return;
        const wrong = answer.wrong ?? answer.error;
        show(wrong || `${name.toLowerCase()}@${input.dataset.domain} is free.`, !wrong);
      } catch {
        // The server says it when the form is sent.
      }
    }, PAUSE);
  });
}

function watchPassword(input) {
  const show = hintFor(input);
  const shortest = Number(input.dataset.shortest);
  input.addEventListener("input", () => {
    const missing = shortest - [...input.value].length;
    if (!input.value) show("", true);
    else if (missing > 0) show(`${missing} more character${missing > 1 ? "s" : ""}.`, false);
    else show("Long enough.", true);
  });
}

function watchAgain(input, other) {
  const show = hintFor(input);
  const compare = () => {
    if (!input.value) show("", true);
    else if (input.value === other.value) show("Both are the same.", true);
    else show(other.value.startsWith(input.value) ? "" : "The two passwords differ.", false);
  };
  input.addEventListener("input", compare);
  other.addEventListener("input", compare);
}

for (const form of document.querySelectorAll("form")) {
  const name = form.querySelector("input[data-domain]");
  if (name && !name.readOnly && form.dataset.check) watchName(name, form.dataset.check);
  const password = form.querySelector("input[data-shortest]");
  if (password) watchPassword(password);
  const again = form.querySelector("input[data-same-as]");
  if (password && again) watchAgain(again, password);
}

for (const button of document.querySelectorAll("[data-copy]")) {
  const field = document.getElementById(button.dataset.copy);
  const told = document.querySelector("[data-copied]");
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(field.value);
      told.textContent = "Copied.";
    } catch {
      field.select();
      told.textContent = "Press Ctrl+C to copy.";
    }
  });
}
const first = document.querySelector("[data-focus]");
first?.focus();
first?.select?.();
