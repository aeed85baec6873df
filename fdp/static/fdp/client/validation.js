// What is wrong with the values of a field: the rules of XEP-0004 and XEP-0122, as the server applies them too. Pure.

import { called, collapsed, compare, isOrdered, isValue, isWhole } from "./datatypes.js";

const LONGEST_FOR_PATTERN = 2000;
// As the server's expressions have them: letters without accents.
const POSIX = {
  alpha: "A-Za-z",
  digit: "0-9",
  alnum: "A-Za-z0-9",
  upper: "A-Z",
  lower: "a-z",
  space: "\\t-\\r ",
  blank: " \\t",
  punct: "!-\\/:-@\\[-`{-~",
  xdigit: "0-9A-Fa-f",
  word: "A-Za-z0-9_",
};
const compiled = new Map();

/** The pattern as a JavaScript expression for the whole value; null where it cannot be one: then the server decides. */
export function pattern(text) {
  if (!compiled.has(text)) {
    const source = text.replace(/\[:(\w+):\]/g, (all, name) => POSIX[name] ?? all);
    let made = null;
    // Words of XML Schema and POSIX that mean something else here.
    const isForeign = /\\[icIC]|\[\^?\]/.test(text);
    for (const flags of isForeign ? [] : text.includes("\\p") ? ["u"] : ["u", ""]) {
      try {
        made ??= new RegExp(`^(?:${source})$`, flags);
      } catch {
        // The other flags may do.
      }
    }
    compiled.set(text, made);
  }
  return compiled.get(text);
}

/** Whether this is an address as RFC 7622 has it, by its rough shape; the server prepares it properly. */
export function isJid(text) {
  const [bare, ...resource] = text.split("/");
  const parts = bare.split("@");
  if (parts.length > 2 || (text.includes("/") && !resource.join("/"))) return false;
  const [domain, local] = parts.reverse();
  if (local !== undefined && (!local || /[\s"&'/:<>@]/.test(local))) return false;
  if (/^\[[0-9A-Fa-f:.]+\]$/.test(domain)) return true;
  return (
    domain.length <= 1023 &&
    /^[\p{L}\p{N}]([\p{L}\p{N}\p{M}-]*[\p{L}\p{N}\p{M}])?(\.[\p{L}\p{N}]([\p{L}\p{N}\p{M}-]*[\p{L}\p{N}\p{M}])?)*\.?$/u.test(
      domain,
    )
  );
}

/** A sentence about what the field takes, for people, before they type; "" where any text will do. */
export function hint(field, isNative = false) {
  const rule = field.validate;
  if (!rule)
    return (
      {
        "jid-single": "An address as name@example.org.",
        "jid-multi": "Addresses as name@example.org, one on each line.",
      }[field.type] ?? ""
    );
  const { min, max } = rule.method === "range" ? rule : {};
  // A range says more than the ends of the type.
  const kind =
    isWhole(rule.datatype) && (min || max)
      ? "a whole number"
      : rule.datatype === "xs:int" || rule.datatype === "xs:long"
        ? "a whole number"
        : called(rule.datatype);
  const parts = kind && !isNative ? [kind] : [];
  if (isOrdered(rule.datatype)) {
    if (min && max) parts.push(`from ${min} to ${max}`);
    else if (min) parts.push(`from ${min} on`);
    else if (max) parts.push(`up to ${max}`);
  }
  const text = parts.join(" ");
  const amount = field.type === "list-multi" ? amountWanted(rule) : "";
  return [text ? `${text[0].toUpperCase()}${text.slice(1)}.` : "", amount].filter(Boolean).join(" ");
}

function amountWanted({ list_min: min, list_max: max }) {
  if (min && max) return min === max ? `Choose ${min}.` : `Choose ${min} to ${max}.`;
  if (min) return `Choose at least ${min}.`;
  return max ? `Choose at most ${max}.` : "";
}

/** What is wrong with these values of the field, as a sentence; "" where nothing is. */
export function wrongWith(field, values) {
  const given = values.filter((value) => value !== "");
  if (field.type === "fixed" || field.type === "hidden") return "";
  if (!given.length) return field.required ? "This field is required." : "";
  if (given.length > 1 && !field.type.endsWith("-multi")) return "Only one value is possible.";
  for (const value of given) {
    const wrong = wrongValue(field, value);
    if (wrong) return given.length > 1 && !field.type.startsWith("list-") ? `“${value}”: ${wrong}` : wrong;
  }
  return field.type === "list-multi" ? wrongAmount(field, given) : "";
}

function wrongAmount(field, given) {
  if (new Set(given).size !== given.length) return "A value is there twice.";
  const { list_min: min, list_max: max } = field.validate ?? {};
  if ((min && given.length < min) || (max && given.length > max)) return amountWanted(field.validate);
  return "";
}

function wrongValue(field, value) {
  if (field.type === "boolean") return ["0", "1", "true", "false"].includes(value) ? "" : "Choose yes or no.";
  if (field.type.startsWith("jid-") && !isJid(value)) return "Enter an address as name@example.org.";
  const isListed = field.options.some((option) => option.value === value);
  if (field.type.startsWith("list-")) {
    if (isListed) return "";
    if (!field.open) return "Choose one of the options.";
  }
  return field.validate ? wrongByRule(field.validate, value) : "";
}

function wrongByRule(rule, text) {
  const { datatype, method } = rule;
  const value = collapsed(datatype, text);
  if (!isValue(datatype, value)) return `Enter ${called(datatype)}.`;
  if (method === "range" && isOrdered(datatype)) {
    const under = rule.min && isValue(datatype, rule.min) && compare(datatype, value, rule.min) < 0;
    const over = rule.max && isValue(datatype, rule.max) && compare(datatype, value, rule.max) > 0;
    if (under) return rule.max ? `Must be from ${rule.min} to ${rule.max}.` : `Must not be below ${rule.min}.`;
    if (over) return rule.min ? `Must be from ${rule.min} to ${rule.max}.` : `Must not be above ${rule.max}.`;
  }
  if (method === "regex" && rule.regex && value.length <= LONGEST_FOR_PATTERN) {
    if (pattern(rule.regex)?.test(value) === false) return "This does not have the form that is asked for.";
  }
  return "";
}
