// Data forms (XEP-0004) with validation (0122), layout (0141) and media (0221): read from XML, written as a submission.
// A form that was read has the shape of a form's definition: title, instructions, fields, pages.

import * as ns from "./namespaces.js";
import { child, children, childText, make } from "./xml.js";

const TYPES = new Set([
  "boolean",
  "fixed",
  "hidden",
  "jid-multi",
  "jid-single",
  "list-multi",
  "list-single",
  "text-multi",
  "text-private",
  "text-single",
]);
const DEEPEST = 8;

/** Whether the field has several values. */
export function isMulti(field) {
  return field.type.endsWith("-multi");
}

/** The form in an `<x xmlns='jabber:x:data'/>`. */
export function readForm(x) {
  const fields = children(x, ns.DATA, "field").map(readField);
  const known = new Set(fields.map((field) => field.var).filter(Boolean));
  return {
    type: x.getAttribute("type") ?? "form",
    title: childText(x, ns.DATA, "title").trim(),
    instructions: children(x, ns.DATA, "instructions")
      .map((one) => one.textContent.trim())
      .filter(Boolean),
    fields,
    pages: placed(
      children(x, ns.LAYOUT, "page").map((page) => readPart(page, known, 0)),
      fields,
    ),
  };
}

function readField(element) {
  const stated = element.getAttribute("type");
  const values = children(element, ns.DATA, "value").map((value) => value.textContent);
  const validate = readValidate(child(element, ns.VALIDATE, "validate"));
  // Without a type it is text-single (XEP-0004, 3.3).
  const type = TYPES.has(stated) ? stated : "text-single";
  return {
    var: element.getAttribute("var") ?? "",
    type,
    label: element.getAttribute("label") ?? "",
    desc: childText(element, ns.DATA, "desc").trim(),
    required: child(element, ns.DATA, "required") !== null,
    values,
    options: children(element, ns.DATA, "option").map((option) => {
      const value = childText(option, ns.DATA, "value");
      return { value, label: option.getAttribute("label") || value };
    }),
    // Every method but basic lets a list take other values too (XEP-0122, 3.2).
    open: type.startsWith("list-") && validate !== null && validate.method !== "basic",
    validate,
    media: children(element, ns.MEDIA, "media").map((media) => ({
      width: size(media, "width"),
      height: size(media, "height"),
      uris: children(media, ns.MEDIA, "uri").map((uri) => ({
        type: uri.getAttribute("type") ?? "",
        uri: uri.textContent.trim(),
      })),
    })),
  };
}

function size(element, name) {
  const text = element.getAttribute(name) ?? "";
  return /^\d{1,5}$/.test(text) ? Number(text) : null;
}

function readValidate(element) {
  if (!element) return null;
  const range = child(element, ns.VALIDATE, "range");
  const regex = child(element, ns.VALIDATE, "regex");
  const list = child(element, ns.VALIDATE, "list-range");
  const open = child(element, ns.VALIDATE, "open");
  return {
    datatype: element.getAttribute("datatype") || "xs:string",
    method: range ? "range" : regex ? "regex" : open ? "open" : "basic",
    min: range?.getAttribute("min") ?? "",
    max: range?.getAttribute("max") ?? "",
    regex: regex?.textContent ?? "",
    list_min: list ? size(list, "min") : null,
    list_max: list ? size(list, "max") : null,
  };
}

function readPart(element, known, depth) {
  const parts = [];
  for (const one of element.children) {
    if (one.namespaceURI !== ns.LAYOUT) continue;
    if (one.localName === "text" && one.textContent.trim()) parts.push({ kind: "text", text: one.textContent.trim() });
    if (one.localName === "fieldref" && known.has(one.getAttribute("var")))
      parts.push({ kind: "field", var: one.getAttribute("var") });
    if (one.localName === "section" && depth < DEEPEST) {
      parts.push({ kind: "section", ...readPart(one, known, depth + 1) });
    }
  }
  return { label: element.getAttribute("label") ?? "", parts };
}

/** The pages, so that every field that can be filled stands on exactly one of them: what no page names is on the last. */
function placed(pages, fields) {
  if (!pages.length) return [];
  const seen = new Set();
  const once = (parts) =>
    parts.filter((part) => {
      if (part.kind === "section") part.parts = once(part.parts);
      if (part.kind !== "field") return true;
      if (seen.has(part.var)) return false;
      return seen.add(part.var);
    });
  for (const page of pages) page.parts = once(page.parts);
  const left = fields.filter((field) => field.type !== "hidden" && field.var && !seen.has(field.var));
  pages.at(-1).parts.push(...left.map((field) => ({ kind: "field", var: field.var })));
  return pages;
}

/** The values a form starts with, by name of field. */
export function startValues(form) {
  return new Map(
    form.fields.filter((field) => field.var && field.type !== "fixed").map((field) => [field.var, [...field.values]]),
  );
}

/** The values of a submission, by name of field, its hidden ones (`fdp#...`) too. */
export function readValues(x) {
  return new Map(
    children(x, ns.DATA, "field").map((field) => [
      field.getAttribute("var") ?? "",
      children(field, ns.DATA, "value").map((value) => value.textContent),
    ]),
  );
}

/** The submission of a form as XML: what has values, then the hidden fields of `marks` (name to value). */
export function writeSubmission(form, values, marks = {}) {
  const fields = [];
  for (const field of form.fields) {
    const given = (values.get(field.var) ?? []).filter((value) => value !== "" || field.type === "text-multi");
    if (!field.var || field.type === "fixed" || field.var in marks || !given.some((value) => value !== "")) continue;
    fields.push(fieldElement(field.var, field.type, given));
  }
  for (const [name, value] of Object.entries(marks)) if (value) fields.push(fieldElement(name, "hidden", [value]));
  return make(ns.DATA, "x", { type: "submit" }, ...fields);
}

function fieldElement(name, type, values) {
  const texts = values.map((value) => {
    const element = make(ns.DATA, "value");
    element.textContent = clean(value);
    return element;
  });
  return make(ns.DATA, "field", { var: name, type }, ...texts);
}

/** The text without the characters that XML cannot hold; a stream with one would be closed. */
export function clean(text) {
  return text.replace(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, "");
}

/** How people see the values of a field. */
export function shownValues(field, values) {
  const label = new Map(field.options.map((option) => [option.value, option.label]));
  if (field.type === "boolean") return values.map((value) => (value === "1" || value === "true" ? "Yes" : "No"));
  if (field.type === "text-private") return values.map(() => "••••••••");
  return values.map((value) => label.get(value) ?? value);
}

/** What people know the field by: the server calls it so too. */
export function nameOf(field) {
  return field.label.trim().replace(/:+$/, "") || field.var;
}
