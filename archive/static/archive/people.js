// Search as you type in the list of conversations. What the page has is filtered at once; where there are more, the
// server is asked a moment later. The field is a combobox and the list its listbox: arrows choose, Enter opens.

const PAUSE = 150;
const input = document.getElementById("contact");
const box = document.getElementById("people-list");
const count = document.getElementById("people-count");

let options = [];
let at = -1;
// What the list that the server gave was searched for, and whether it has everything of that.
let asked = input ? input.value.trim() : "";
let whole = false;
let timer = 0;
let request = null;

function folded(text) {
  return text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase().trim();
}

function dress() {
  const list = box.querySelector("ul");
  options = list ? [...list.querySelectorAll("a")] : [];
  whole = !box.querySelector(".people-more");
  input.setAttribute("aria-controls", list ? list.id : box.id);
  input.setAttribute("aria-expanded", list ? "true" : "false");
  if (list) {
    list.setAttribute("role", "listbox");
    list.setAttribute("aria-labelledby", "contacts");
    for (const row of list.children) row.setAttribute("role", "none");
  }
  for (const option of options) {
    option.setAttribute("role", "option");
    option.setAttribute("aria-selected", option.hasAttribute("aria-current") ? "true" : "false");
    option.tabIndex = -1;
  }
  choose(-1);
}

function open() {
  return options.filter((option) => !option.parentElement.hidden);
}

function choose(index) {
  const shown = open();
  for (const option of options) option.classList.remove("at");
  at = shown.length ? Math.max(-1, Math.min(index, shown.length - 1)) : -1;
  if (at < 0) {
    input.removeAttribute("aria-activedescendant");
    return;
  }
  shown[at].classList.add("at");
  input.setAttribute("aria-activedescendant", shown[at].id);
  shown[at].scrollIntoView({ block: "nearest" });
}

function say() {
  const number = open().length;
  count.textContent = input.value.trim() ? `${number} conversation${number === 1 ? "" : "s"} found` : "";
}

function filter() {
  const wanted = folded(input.value);
  for (const option of options) {
    const name = option.querySelector(".contact-name").textContent;
    option.parentElement.hidden = !folded(`${name} ${option.dataset.address}`).includes(wanted);
  }
  choose(-1);
  clearTimeout(timer);
  request?.abort();
  // All that could match is here already.
  if (whole && wanted.includes(folded(asked)) && (open().length || !wanted)) say();
  else timer = setTimeout(ask, PAUSE);
}

async function ask() {
  const text = input.value.trim();
  request = new AbortController();
  const query = new URLSearchParams({ contact: text, peer: input.dataset.peer, room: input.dataset.room });
  box.classList.add("busy");
  try {
    const answer = await fetch(`${input.dataset.list}?${query}`, { signal: request.signal, redirect: "error" });
    if (!answer.ok) throw new Error(answer.status);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    box.replaceChildren(...page.body.childNodes);
    asked = text;
    dress();
    say();
  } catch (error) {
    // An answer that is not wanted any more is no trouble; else what is filtered here stays, and "Find" asks again.
    if (error.name !== "AbortError") say();
  }
  box.classList.remove("busy");
}

if (input && box) {
  input.setAttribute("role", "combobox");
  input.setAttribute("aria-autocomplete", "list");
  input.setAttribute("aria-haspopup", "listbox");
  dress();
  input.addEventListener("input", filter);
  input.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    if (event.key === "ArrowDown") choose(at + 1);
    else if (event.key === "ArrowUp") choose(at - 1);
    else if (event.key === "Escape" && input.value) {
      input.value = "";
      filter();
    } else if (event.key === "Enter") {
      const wanted = open()[at] ?? (input.value.trim() ? open()[0] : undefined);
      if (!wanted) return;
      wanted.click();
    } else return;
    event.preventDefault();
  });
  input.addEventListener("blur", () => choose(-1));
  const current = box.querySelector("a[aria-current]");
  if (current) {
    const list = box.getBoundingClientRect();
    const row = current.getBoundingClientRect();
    if (row.bottom > list.bottom) box.scrollTop += row.top - list.top - list.height / 3;
  }
}
