// A form as plain text, for the clipboard.

import { nameOf, shownValues } from "./form.js";

/** One line for each field that has values; several values one below the other. */
export function draftAsText(form, values) {
  const lines = form.title ? [form.title, ""] : [];
  for (const field of form.fields) {
    const given = (values.get(field.var) ?? []).filter(Boolean);
    if (!given.length || field.type === "hidden" || field.type === "fixed") continue;
    const shown = shownValues(field, given);
    lines.push(
      shown.length > 1
        ? `${nameOf(field)}:\n${shown.map((one) => `  ${one}`).join("\n")}`
        : `${nameOf(field)}: ${shown[0]}`,
    );
  }
  return `${lines.join("\n")}\n`;
}
