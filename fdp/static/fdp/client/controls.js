// One control for each kind of field (XEP-0004): what stands in the page, and its values in and out.
//
// A control is `{node, read(), write(values), focus(), describe(ids, isWrong)}`. `node` holds the inputs, with a label or
// legend; `describe` ties help and errors to the inputs.

import { element } from "../../mlink/rows.js";
import { nameOf } from "./form.js";

const FEW = 6;

/** The control of a field; `id` is new in the page. */
export function controlFor(field, id) {
  switch (field.type) {
    case "boolean":
      return yesOrNo(field, id);
    case "list-single":
      if (field.open) return listWithOthers(field, id);
      return field.options.length <= FEW ? choices(field, id, "radio") : select(field, id);
    case "list-multi":
      return choices(field, id, "checkbox");
    case "text-multi":
    case "jid-multi":
      return lines(field, id);
    default:
      return line(field, id);
  }
}

function labelText(field) {
  const mark = field.required
    ? element("span", { className: "needed", textContent: " *" })
    : element("span", { className: "quiet small", textContent: " (optional)" });
  if (field.required) mark.setAttribute("aria-hidden", "true");
  return [nameOf(field), mark];
}

function tie(inputs, ids, isWrong) {
  for (const input of inputs) {
    if (ids.length) input.setAttribute("aria-describedby", ids.join(" "));
    else input.removeAttribute("aria-describedby");
    if (isWrong) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
  }
}

function around(field, input, read, write) {
  input.required = false;
  if (field.required) input.setAttribute("aria-required", "true");
  const label = element("label", { htmlFor: input.id }, ...labelText(field));
  return {
    node: element("div", { className: "control" }, label, input),
    read,
    write,
    focus: () => input.focus(),
    describe: (ids, isWrong) => tie([input], ids, isWrong),
  };
}

function yesOrNo(field, id) {
  const input = element("input", { type: "checkbox", id });
  const label = element("label", { htmlFor: id }, nameOf(field));
  return {
    node: element("div", { className: "control check" }, input, label),
    read: () => [input.checked ? "1" : "0"],
    write: ([value]) => {
      input.checked = value === "1" || value === "true";
    },
    focus: () => input.focus(),
    describe: (ids, isWrong) => tie([input], ids, isWrong),
  };
}

function choices(field, id, type) {
  const offered = [...field.options];
  // Nothing chosen must be possible again.
  if (type === "radio" && !field.required) offered.unshift({ value: "", label: "No answer" });
  const inputs = offered.map((option, at) =>
    element("input", { type, name: id, id: `${id}-${at}`, value: option.value }),
  );
  const rows = offered.map((option, at) =>
    element(
      "label",
      { className: "choice", htmlFor: `${id}-${at}` },
      inputs[at],
      element("span", { textContent: option.label }),
    ),
  );
  const legend = element("legend", {}, ...labelText(field));
  const box = element(
    "fieldset",
    { className: "control choices", id },
    legend,
    element("div", { className: "choice-list" }, ...rows),
  );
  if (type === "radio") {
    box.setAttribute("role", "radiogroup");
    if (field.required) box.setAttribute("aria-required", "true");
  }
  const others = type === "checkbox" && field.open ? othersOf(field, id) : null;
  if (others) box.append(...others.nodes);
  return {
    node: box,
    read: () => [
      ...inputs.filter((input) => input.checked && input.value).map((input) => input.value),
      ...(others?.read() ?? []),
    ],
    write: (values) => {
      for (const input of inputs)
        input.checked = values.includes(input.value) || (!values.length && input.value === "");
      others?.write(values.filter((value) => !offered.some((option) => option.value === value)));
    },
    focus: () => (inputs.find((input) => input.checked) ?? inputs[0] ?? others?.input)?.focus(),
    describe: (ids, isWrong) => {
      tie([box], ids, false);
      tie([...inputs, ...(others ? [others.input] : [])], [], isWrong);
      // Each stop of the keyboard says what is wrong.
      if (isWrong) tie(inputs, ids, isWrong);
    },
  };
}

/** A place for values that are not offered (XEP-0122, `<open/>`). */
function othersOf(field, id) {
  const input = element("textarea", { id: `${id}-others`, rows: 2 });
  const label = element("label", { htmlFor: input.id, className: "small", textContent: "Others, one on each line" });
  return {
    input,
    nodes: [label, input],
    read: () => split(input.value),
    write: (values) => {
      input.value = values.join("\n");
    },
  };
}

function select(field, id) {
  const first = element("option", { value: "", textContent: field.required ? "Choose …" : "No answer" });
  const input = element(
    "select",
    { id },
    first,
    ...field.options.map((option) => element("option", { value: option.value, textContent: option.label })),
  );
  return around(
    field,
    input,
    () => (input.value ? [input.value] : []),
    ([value = ""]) => {
      input.value = value;
      // What is no option any more cannot be kept.
      if (input.selectedIndex < 0) input.value = "";
    },
  );
}

/** Options to choose from, in an input that takes other values too: both are what the person sees, labels. */
function listWithOthers(field, id) {
  const list = element(
    "datalist",
    { id: `${id}-list` },
    ...field.options.map((option) => element("option", { value: option.label })),
  );
  const input = element("input", { type: "text", id });
  input.setAttribute("list", list.id);
  const made = around(
    field,
    input,
    () => {
      const text = input.value.trim();
      const option = field.options.find((one) => one.label === text || one.value === text);
      return text ? [option?.value ?? text] : [];
    },
    ([value = ""]) => {
      input.value = field.options.find((option) => option.value === value)?.label ?? value;
    },
  );
  made.node.append(list);
  return made;
}

function split(text) {
  return text
    .split("\n")
    .map((one) => one.trim())
    .filter(Boolean);
}

function lines(field, id) {
  const isJids = field.type === "jid-multi";
  const input = element("textarea", { id, rows: isJids ? 3 : 4, spellcheck: !isJids });
  if (isJids) input.autocapitalize = "none";
  const made = around(
    field,
    input,
    () => {
      if (isJids || field.validate) return split(input.value);
      // A text: its empty lines belong to it, those at its end do not.
      const text = input.value.replace(/\s+$/, "");
      return text ? text.split("\n") : [];
    },
    (values) => {
      input.value = values.join("\n");
    },
  );
  return made;
}

const MODES = { "xs:decimal": "decimal", "xs:double": "decimal", "xs:anyURI": "url" };

function line(field, id) {
  const datatype = field.validate?.datatype ?? "";
  const method = field.validate?.method ?? "basic";
  const native = field.type === "text-single" && method !== "regex" && method !== "open" ? NATIVE[datatype] : null;
  if (native) return native(field, id);
  const input = element("input", { type: field.type === "text-private" ? "password" : "text", id });
  input.autocomplete = field.type === "text-private" ? "new-password" : "off";
  if (/^xs:(byte|short|int|long|integer)$/.test(datatype)) {
    // Phones show no minus sign among digits.
    const min = field.validate.method === "range" ? field.validate.min : "";
    input.inputMode = min && !min.startsWith("-") ? "numeric" : "text";
  } else if (MODES[datatype]) input.inputMode = MODES[datatype];
  if (field.type === "jid-single")
    Object.assign(input, { inputMode: "email", autocapitalize: "none", spellcheck: false });
  return around(
    field,
    input,
    () => {
      const text =
        (datatype && datatype !== "xs:string") || field.type === "jid-single" ? input.value.trim() : input.value;
      return text ? [text] : [];
    },
    ([value = ""]) => {
      input.value = value;
    },
  );
}

/** Dates and times have controls of the browser; a value that such a control cannot show turns it into a line of text. */
const NATIVE = {
  "xs:date": (field, id) =>
    withNative(
      field,
      id,
      "date",
      (text) => text,
      (value) => value,
    ),
  "xs:time": (field, id) =>
    withNative(
      field,
      id,
      "time",
      (text) => (text.length === 5 ? `${text}:00` : text),
      (value) => (/Z$|[+-]\d\d:\d\d$/.test(value) ? "" : value),
    ),
  "xs:dateTime": (field, id) =>
    withNative(
      field,
      id,
      "datetime-local",
      (text) => toInstant(text, isUtc(field)),
      (value) => toClock(value, isUtc(field)),
    ),
};

/** Whether a field asks for the time of Greenwich by its words: then that is what people type. */
export function isUtc(field) {
  return /\b(UTC|GMT|Zulu)\b/i.test(`${field.label} ${field.desc}`);
}

function withNative(field, id, type, out, into) {
  const input = element("input", { type, id });
  if (type !== "date") input.step = "1";
  return around(
    field,
    input,
    () => {
      // Half of a date typed in is no value for the browser, but it is not nothing.
      if (!input.value) return input.validity.badInput ? ["…"] : [];
      return [input.type === type ? out(input.value) : input.value.trim()];
    },
    ([value = ""]) => {
      input.type = type;
      input.value = value ? into(value) : "";
      if (value && !input.value) {
        input.type = "text";
        input.value = value;
      }
    },
  );
}

/** What was typed is in the time of the place, or of Greenwich; what is sent is an instant. */
function toInstant(text, utc) {
  const moment = new Date(utc ? `${text}Z` : text);
  return Number.isNaN(moment.getTime()) ? text : moment.toISOString().replace(/\.000Z$/, "Z");
}

function toClock(value, utc) {
  const moment = new Date(value);
  if (Number.isNaN(moment.getTime())) return "";
  const shifted = utc ? moment : new Date(moment.getTime() - moment.getTimezoneOffset() * 60_000);
  return shifted.toISOString().slice(0, 19);
}

/** Whether what is typed here is a secret that must not be kept in the browser. */
export function isSecret(field) {
  return field.type === "text-private";
}
