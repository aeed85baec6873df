// Words that several views share: moments, names, and what is said aloud.

import { shownValues } from "./form.js";

const spoken = document.getElementById("spoken");
const MINUTE = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const DAY = new Intl.DateTimeFormat(undefined, {
  year: "numeric",
  month: "short",
  day: "numeric",
  hour: "2-digit",
  minute: "2-digit",
});

/** Today's moments by their time, others by their day too. */
export function when(moment) {
  const date = new Date(moment);
  if (Number.isNaN(date.getTime())) return "";
  return date.toDateString() === new Date().toDateString() ? MINUTE.format(date) : DAY.format(date);
}

/** The day and time in full. */
export function fully(moment) {
  const date = new Date(moment);
  return Number.isNaN(date.getTime()) ? "" : DAY.format(date);
}

/** Have a screen reader say something that stands elsewhere in the page already, or is gone from it. */
export function speak(text) {
  spoken.textContent = "";
  requestAnimationFrame(() => {
    spoken.textContent = text;
  });
}

/** How a published form is called in lists. */
export function called(form) {
  return form.serial ? `No. ${form.serial}` : "Form";
}

/** The address of whoever published, without the device. */
export function bareOf(jid) {
  return jid.split("/")[0];
}

/** The first values, for one line of a list; with the template's words for options where it is known. */
export function summary(form, template = null) {
  const known = new Map((template?.fields ?? []).map((field) => [field.var, field]));
  const texts = form.fields.map((field) =>
    field.type === "boolean"
      ? ""
      : shownValues(known.get(field.var) ?? field, form.values.get(field.var) ?? []).join(", "),
  );
  return texts.filter(Boolean).join(" · ").slice(0, 160);
}

/** "1 form", "2 forms". */
export function count(number, one, many = `${one}s`) {
  return `${number} ${number === 1 ? one : many}`;
}
