// Tables of live pages. Rows are kept and changed in place, so that the keyboard focus, a text selection and a half-made
// click survive a renewal. All text goes in as text, never as markup.

/** An element with properties and children. */
export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

/** Change a text only where it is another. */
export function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Make the rows equal to `list`, which comes sorted; `key` names what a row is known by, in its data too. */
export function renew(body, list, key, make, fill) {
  const old = new Map([...body.rows].map((row) => [row.dataset[key], row]));
  let next = body.rows[0] ?? null;
  for (const one of list) {
    let row = old.get(one[key]);
    old.delete(one[key]);
    row ??= make(one);
    fill(row, one);
    if (row === next) next = next.nextElementSibling;
    else body.insertBefore(row, next);
  }
  for (const row of old.values()) row.remove();
}

/** With a script there is no need to load the page anew after each click; without one the form is sent as it is. */
export function sendInPlace(table, doing, failed) {
  table.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = event.target.querySelector("button");
    button.disabled = true;
    button.textContent = doing;
    try {
      const answer = await fetch(event.target.action, {
        method: "POST",
        body: new FormData(event.target),
        headers: { Accept: "application/json" },
      });
      const result = await answer.json();
      if (!answer.ok) throw new Error(result.error);
    } catch (error) {
      button.disabled = false;
      button.textContent = failed;
      button.title = error.message;
    }
  });
}
