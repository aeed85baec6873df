// Signing out empties what this browser keeps, which may be a shared one: on every page, nobody may lose a form by it
// without knowing.

import { Kept } from "./kept.js";

const form = document.querySelector(".who form");
let isSure = false;

/** What would be lost, in words; "" for nothing. */
async function atStake() {
  const jid = document.querySelector(".who-name")?.textContent ?? "";
  // Opening one that is not there would make it.
  const there = await indexedDB.databases();
  if (!there.some((base) => base.name === Kept.nameOf(jid))) return "";
  const kept = await Kept.open(jid);
  const [waiting, drafts] = [(await kept.all("outbox")).length, (await kept.all("drafts")).length];
  kept.close();
  const parts = [
    waiting ? `${waiting} ${waiting === 1 ? "form that is" : "forms that are"} not sent` : "",
    drafts ? `${drafts} ${drafts === 1 ? "draft" : "drafts"}` : "",
  ];
  return parts.filter(Boolean).join(" and ");
}

form?.addEventListener(
  "submit",
  async (event) => {
    if (isSure) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    let stake = "";
    try {
      stake = await atStake();
    } catch (error) {
      console.warn("what is kept here cannot be read:", error);
    }
    if (stake && !window.confirm(`Signing out deletes ${stake} from this device. Sign out?`)) return;
    isSure = true;
    form.requestSubmit();
  },
  { capture: true },
);
