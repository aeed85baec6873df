// Jobs on a page: how far each is, until all are over.

const PAUSE = 1000;
// A page that is left open looks less often.
const LONGEST = 10000;
let pause = PAUSE;

async function look(row) {
  const answer = await fetch(row.dataset.job, { headers: { Accept: "application/json" } });
  if (!answer.ok) return answer.status === 404;
  const job = await answer.json();
  if (job.is_over) return true;
  const words = row.querySelector(".words");
  if (words.textContent !== job.words) {
    words.textContent = job.words;
    pause = PAUSE;
  }
  const bar = row.querySelector("progress");
  if (bar && job.total) {
    bar.max = job.total;
    bar.value = job.done;
  }
  return false;
}

async function turn() {
  const rows = [...document.querySelectorAll("[data-job]:not([data-over])")];
  if (!rows.length) return;
  let over = false;
  try {
    const found = await Promise.all(rows.map(look));
    over = found.includes(true);
  } catch {
    pause = LONGEST; // the server is away
  }
  // What is over has other buttons: the page is read anew.
  if (over) location.reload();
  else {
    setTimeout(turn, pause);
    pause = Math.min(pause * 1.2, LONGEST);
  }
}

setTimeout(turn, PAUSE);
