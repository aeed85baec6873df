// Data types of XEP-0122: whether a text is a value of one, and which of two values is the greater one. Pure: no page.

const DIGITS = 400;
const BOUNDS = {
  "xs:byte": [-128n, 127n],
  "xs:short": [-32768n, 32767n],
  "xs:int": [-2147483648n, 2147483647n],
  "xs:long": [-9223372036854775808n, 9223372036854775807n],
  "xs:integer": [null, null],
  "xs:unsignedByte": [0n, 255n],
  "xs:unsignedShort": [0n, 65535n],
  "xs:unsignedInt": [0n, 4294967295n],
  "xs:unsignedLong": [0n, 18446744073709551615n],
  "xs:nonNegativeInteger": [0n, null],
  "xs:positiveInteger": [1n, null],
  "xs:nonPositiveInteger": [null, 0n],
  "xs:negativeInteger": [null, -1n],
};
const ZONE = "(Z|[+-](?:(?:0\\d|1[0-3]):[0-5]\\d|14:00))?";
const DATE = new RegExp(`^(-?\\d{4,9})-(\\d\\d)-(\\d\\d)${ZONE}$`);
const TIME = new RegExp(`^(\\d\\d):(\\d\\d):(\\d\\d)(\\.\\d{1,12})?${ZONE}$`);
const INTEGER = /^[+-]?\d+$/;
const DECIMAL = /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)$/;
const DOUBLE = /^(?:[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,6})?|-?INF)$/;
const LANGUAGE = /^[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*$/;

/** What people call a value of this type; "" for those that are any text. */
export function called(datatype) {
  if (isWhole(datatype)) {
    const [low, high] = BOUNDS[datatype];
    const ends =
      low !== null && high !== null
        ? ` from ${low} to ${high}`
        : low !== null
          ? ` from ${low} on`
          : high !== null
            ? ` up to ${high}`
            : "";
    return `a whole number${ends}`;
  }
  switch (datatype) {
    case "xs:boolean":
      return "true or false";
    case "xs:decimal":
    case "xs:double":
    case "xs:float":
      return "a number";
    case "xs:date":
      return "a date as 2031-05-28";
    case "xs:time":
      return "a time as 14:30:00";
    case "xs:dateTime":
      return "a date and time as 2031-05-28T14:30:00Z";
    case "xs:anyURI":
      return "an address as https://example.org/";
    case "xs:language":
      return "a language tag as en or pt-BR";
    default:
      return "";
  }
}

/** Whether values of this type are whole numbers. */
export function isWhole(datatype) {
  return datatype in BOUNDS;
}

/** A value without the blanks that do not count for its type. */
export function collapsed(datatype, text) {
  return !datatype || datatype === "xs:string" ? text : text.replace(/^[ \t\r\n]+|[ \t\r\n]+$/g, "");
}

/** Whether larger and smaller make sense for values of this type. */
export function isOrdered(datatype) {
  return (
    datatype in BOUNDS ||
    ["xs:decimal", "xs:double", "xs:float", "xs:date", "xs:time", "xs:dateTime"].includes(datatype)
  );
}

/** Whether `text` is a value of `datatype`; a type that we do not know is any text (XEP-0122, 4.1). */
export function isValue(datatype, text) {
  if (datatype in BOUNDS) {
    if (!INTEGER.test(text) || text.length > DIGITS) return false;
    const [low, high] = BOUNDS[datatype];
    const number = BigInt(text.replace("+", ""));
    return (low === null || number >= low) && (high === null || number <= high);
  }
  switch (datatype) {
    case "xs:decimal":
      return DECIMAL.test(text) && text.length <= DIGITS;
    case "xs:double":
    case "xs:float":
      return DOUBLE.test(text) && text.length <= DIGITS;
    case "xs:boolean":
      return ["0", "1", "false", "true"].includes(text);
    case "xs:date":
      return days(text) !== null;
    case "xs:time":
      return seconds(text) !== null;
    case "xs:dateTime":
      return moment(text) !== null;
    case "xs:anyURI":
      return isAddress(text);
    case "xs:language":
      return LANGUAGE.test(text);
    default:
      return true;
  }
}

/** Less than, equal to or greater than zero as `a` is to `b`; both must be values of the type. */
export function compare(datatype, a, b) {
  if (datatype in BOUNDS || datatype === "xs:decimal") {
    const places = Math.max(fraction(a).length, fraction(b).length);
    const [left, right] = [scaled(a, places), scaled(b, places)];
    return left < right ? -1 : left > right ? 1 : 0;
  }
  const value = { "xs:date": days, "xs:time": seconds, "xs:dateTime": moment, "xs:double": double, "xs:float": double }[
    datatype
  ];
  if (!value) return 0;
  const [left, right] = [value(a), value(b)];
  return left < right ? -1 : left > right ? 1 : 0;
}

function fraction(text) {
  return text.split(".")[1] ?? "";
}

function scaled(text, places) {
  const sign = text.startsWith("-") ? -1n : 1n;
  const [whole, rest = ""] = text.replace(/^[+-]/, "").split(".");
  return sign * BigInt(whole + rest.padEnd(places, "0") || "0");
}

function double(text) {
  return Number(text.replace("INF", "Infinity"));
}

/** Minutes east of Greenwich. */
function offset(zone) {
  if (!zone || zone === "Z") return 0;
  const [hours, minutes] = zone.slice(1).split(":").map(Number);
  return (zone[0] === "-" ? -1 : 1) * (hours * 60 + minutes);
}

function midnight(year, month, day) {
  const made = new Date(Date.UTC(2000, month - 1, day));
  made.setUTCFullYear(year, month - 1, day);
  const is = made.getUTCFullYear() === year && made.getUTCMonth() === month - 1 && made.getUTCDate() === day;
  return is ? made.getTime() / 1000 : null;
}

function days(text) {
  const found = DATE.exec(text);
  if (!found) return null;
  // XML Schema 1.0 knows no year 0, and no zeros before a longer year.
  if (/^-?0{4}-|^-?0\d{4}/.test(text)) return null;
  const start = midnight(...found.slice(1, 4).map(Number));
  return start === null ? null : start - offset(found[4]) * 60;
}

function seconds(text) {
  const found = TIME.exec(text);
  if (!found) return null;
  const [hour, minute, second] = found.slice(1, 4).map(Number);
  const rest = Number(found[4] ?? 0);
  const end = hour === 24 && minute === 0 && second === 0 && rest === 0;
  if (!end && (hour > 23 || minute > 59 || second > 59)) return null;
  return hour * 3600 + minute * 60 + second + rest - offset(found[5]) * 60;
}

function moment(text) {
  const [date, time, ...rest] = text.split("T");
  if (time === undefined || rest.length || /[Z+]|-\d\d:/.test(date)) return null;
  const [day, clock] = [days(date), seconds(time)];
  return day === null || clock === null ? null : day + clock;
}

/** Absolute or relative, without what no address may hold. */
function isAddress(text) {
  if (!text || /[\s<>"{}|\\^`]/.test(text) || /%(?![0-9A-Fa-f]{2})/.test(text)) return false;
  const [scheme, ...rest] = text.split(/[/?#]/)[0].split(":");
  if (rest.length && !/^[A-Za-z][A-Za-z0-9+.-]*$/.test(scheme)) return false;
  try {
    new URL(text, "https://base.invalid/");
    return true;
  } catch {
    return false;
  }
}
