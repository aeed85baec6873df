// The list of exports: how far each is, until all are over.

const PAUSE = 1000;
const table = document.getElementById("exports");

async function look() {
  const answer = await fetch(location.pathname, { headers: { Accept: "application/json" } });
  if (!answer.ok) return;
  const { exports } = await answer.json();
  for (const one of exports) {
    const row = table.querySelector(`[data-export="${one.pk}"]`);
    if (!row || "over" in row.dataset) continue;
    // What is over has other buttons: the page is read anew.
    if (one.is_over) {
      location.reload();
      return;
    }
    row.querySelector(".words").textContent = `${one.words}, ${one.done} of ${one.total}`;
    row.querySelector("progress").value = one.done;
  }
  setTimeout(look, PAUSE);
}

if (table.querySelector("tr[data-export]:not([data-over])")) setTimeout(look, PAUSE);
