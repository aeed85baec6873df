// What can be set of a part of the form. Each control writes into its node and says so; `data-prop` names what it is
// about, so that a complaint of the server finds its place.

import { element } from "../../mlink/rows.js";
import { LISTS, MANY, freeName } from "./tree.js";

const TYPE_WORDS = {
  "text-single": "Line of text",
  "text-multi": "Several lines of text",
  "text-private": "Private text",
  boolean: "Yes or no",
  "list-single": "One of a list",
  "list-multi": "Several of a list",
  "jid-single": "XMPP address",
  "jid-multi": "XMPP addresses",
  hidden: "Hidden",
  fixed: "Text",
};
const METHOD_WORDS = {
  basic: "The datatype only",
  range: "A range",
  regex: "A pattern",
  open: "Each line by itself",
};
const ORDERED = /^xs:(?!string|boolean|anyURI|language|base64Binary|hexBinary|duration|Q?Name|N)/;

export function typeWords(type) {
  return TYPE_WORDS[type] ?? type;
}

let count = 0;

function control(label, input, { prop = "", help = "", wide = false } = {}) {
  input.id = `p${++count}`;
  const isCheck = input.type === "checkbox";
  const parts = [element("label", { htmlFor: input.id, textContent: label })];
  parts[isCheck ? "unshift" : "push"](input);
  if (help) parts.push(element("p", { className: "help", textContent: help }));
  const field = element("div", { className: `field${isCheck ? " check" : ""}${wide ? " span-all" : ""}` }, ...parts);
  if (prop) field.dataset.prop = prop;
  return field;
}

function text(value, write, properties = {}) {
  const input = element("input", { value: value ?? "", autocomplete: "off", spellcheck: false, ...properties });
  input.addEventListener("input", () => write(input.value));
  return input;
}

function area(value, write, rows = 2) {
  const input = element("textarea", { value, rows });
  input.addEventListener("input", () => write(input.value));
  return input;
}

function check(value, write) {
  const input = element("input", { type: "checkbox", checked: value });
  input.addEventListener("change", () => write(input.checked));
  return input;
}

function select(value, choices, write) {
  const input = element("select", {}, ...choices.map(([key, words]) => new Option(words, key, false, key === value)));
  input.addEventListener("change", () => write(input.value));
  return input;
}

function button(label, act, className = "button plain tight") {
  const made = element("button", { type: "button", className, textContent: label });
  made.addEventListener("click", act);
  return made;
}

/** The controls of a node. `host` has tree, types, datatypes, changed(), renew() and rename(). */
export function properties(node, host) {
  if (node.kind === "page" || node.kind === "section") {
    const words = node.kind === "page" ? "Title of the page" : "Title of the section";
    const input = text(
      node.label,
      (value) => {
        node.label = value;
        host.rename(node);
        host.changed();
      },
      { maxLength: 1000, spellcheck: true },
    );
    return [control(words, input, { prop: "label", wide: true })];
  }
  if (node.kind === "text") {
    const input = area(
      node.text,
      (value) => {
        node.text = value;
        host.rename(node);
        host.changed();
      },
      3,
    );
    return [
      control("Text", input, { prop: "text", help: "Shown between the fields; nobody fills it in.", wide: true }),
    ];
  }
  return fieldControls(node, host);
}

function fieldControls(node, host) {
  const { field } = node;
  const set = (name) => (value) => {
    field[name] = value;
    host.changed();
  };
  const name = text(
    field.var,
    (value) => {
      field.var = value;
      node.named = true;
      host.rename(node);
      host.changed();
    },
    { maxLength: 200, autocapitalize: "none" },
  );
  name.classList.add("mono");
  const label = text(
    field.label,
    (value) => {
      field.label = value;
      if (node.fresh && !node.named) name.value = field.var = freeName(host.tree, value, field);
      host.rename(node);
      host.changed();
    },
    { maxLength: 1000, spellcheck: true },
  );
  const types = host.types.filter((type) => type !== "fixed").map((type) => [type, typeWords(type)]);
  const made = [
    control("Label", label, { prop: "label" }),
    control("Name", name, { prop: "var", help: "By which clients and stylesheets know the field." }),
    control(
      "Type",
      select(field.type, types, (type) => {
        field.type = type;
        if (LISTS.includes(type) && field.options.length === 0 && !field.open) addOption(field);
        host.changed();
        host.renew(node, "type");
      }),
      { prop: "type" },
    ),
  ];
  if (field.type !== "hidden")
    made.push(
      control(
        "Must be filled in",
        check(field.required, (value) => {
          field.required = value;
          host.rename(node);
          host.changed();
        }),
        { prop: "required" },
      ),
    );
  made.push(control("Help", area(field.desc, set("desc")), { prop: "desc", wide: true }));
  if (LISTS.includes(field.type)) made.push(options(node, host));
  made.push(defaults(field, host));
  made.push(checks(node, host));
  made.push(media(node, host));
  return made;
}

function addOption(field) {
  const taken = new Set(field.options.map((option) => option.value));
  let number = field.options.length + 1;
  while (taken.has(`option${number}`)) number += 1;
  field.options.push({ value: `option${number}`, label: "", fresh: true });
}

function options(node, host) {
  const { field } = node;
  const rows = field.options.map((option, index) => {
    const value = text(
      option.value,
      (given) => {
        option.value = given;
        option.fresh = false;
        host.changed();
      },
      { placeholder: "value" },
    );
    value.setAttribute("aria-label", `Value of option ${index + 1}`);
    value.classList.add("mono");
    const label = text(
      option.label,
      (given) => {
        option.label = given;
        if (option.fresh && given.trim()) value.value = option.value = given.trim();
        host.changed();
      },
      { placeholder: "shown as", spellcheck: true },
    );
    label.setAttribute("aria-label", `Label of option ${index + 1}`);
    label.dataset.focus = `option-${index}`;
    const move = (by) => () => {
      field.options.splice(index, 1);
      field.options.splice(index + by, 0, option);
      host.changed();
      host.renew(node, `option-${index + by}`);
    };
    const up = button("↑", move(-1));
    up.disabled = index === 0;
    up.setAttribute("aria-label", `Move option ${index + 1} up`);
    const down = button("↓", move(1));
    down.disabled = index === field.options.length - 1;
    down.setAttribute("aria-label", `Move option ${index + 1} down`);
    const gone = button("✕", () => {
      field.options.splice(index, 1);
      host.changed();
      host.renew(node, `option-${Math.max(0, index - 1)}`);
    });
    gone.setAttribute("aria-label", `Remove option ${index + 1}`);
    const row = element("div", { className: "option-row" }, label, value, up, down, gone);
    row.dataset.prop = `options[${index}]`;
    return row;
  });
  const add = button("Add an option", () => {
    addOption(field);
    host.changed();
    host.renew(node, `option-${field.options.length - 1}`);
  });
  const open = control(
    "Other answers may be entered",
    check(field.open, (value) => {
      field.open = value;
      host.changed();
      host.renew(node, "open");
    }),
    { prop: "open" },
  );
  const set = element(
    "fieldset",
    { className: "span-all" },
    element("legend", { textContent: "Options" }),
    ...rows,
    add,
    open,
  );
  set.dataset.prop = "options";
  return set;
}

function defaults(field, host) {
  const write = (values) => {
    field.values = values;
    host.changed();
  };
  if (field.type === "boolean") {
    const on = ["1", "true"].includes(field.values[0]);
    return control(
      "Yes to begin with",
      check(on, (value) => write(value ? ["1"] : [])),
      { prop: "values" },
    );
  }
  if (field.type === "list-single") {
    const choices = [["", "–"], ...field.options.map((option) => [option.value, option.label || option.value])];
    return control(
      "To begin with",
      select(field.values[0] ?? "", choices, (value) => write(value ? [value] : [])),
      { prop: "values" },
    );
  }
  if (MANY.includes(field.type)) {
    const lines = (value) =>
      write(
        value
          .split("\n")
          .filter((line) => line.trim() || field.type === "text-multi")
          .filter((line, index, all) => line || index < all.length - 1),
      );
    const words = field.type === "hidden" ? "Value" : "To begin with";
    const help = field.type === "text-multi" ? "" : "One per line.";
    return control(words, area(field.values.join("\n"), lines), { prop: "values", help, wide: true });
  }
  return control(
    "To begin with",
    text(field.values[0] ?? "", (value) => write(value ? [value] : [])),
    { prop: "values" },
  );
}

function checks(node, host) {
  const { field } = node;
  if (field.type === "boolean" || field.type === "hidden" || field.type.startsWith("jid"))
    return element("span", { hidden: true });
  const check = (field.validate ??= {
    datatype: "xs:string",
    method: "basic",
    min: null,
    max: null,
    regex: null,
    list_min: null,
    list_max: null,
  });
  const set = (name) => (value) => {
    check[name] = value;
    host.changed();
  };
  const known = host.datatypes.some(([type]) => type === check.datatype);
  const choices = [...host.datatypes, ...(known ? [] : [[check.datatype, check.datatype]])];
  const isList = LISTS.includes(field.type);
  const parts = [
    control(
      "Datatype",
      select(check.datatype, choices, (value) => {
        check.datatype = value;
        if (check.method === "range" && !ORDERED.test(value)) check.method = "basic";
        host.changed();
        host.renew(node, "validate.datatype");
      }),
      { prop: "validate.datatype" },
    ),
  ];
  const methods = Object.entries(METHOD_WORDS).filter(([method]) => {
    if (method === "open") return field.type === "text-multi";
    if (isList && !field.open) return method === "basic";
    return method !== "range" || ORDERED.test(check.datatype);
  });
  if (methods.length > 1) {
    const method = methods.some(([one]) => one === check.method) ? check.method : "basic";
    parts.push(
      control(
        "Values must fit",
        select(method, methods, (value) => {
          check.method = value;
          host.changed();
          host.renew(node, "validate.method");
        }),
        { prop: "validate.method" },
      ),
    );
    if (method === "range") {
      parts.push(control("Smallest value", text(check.min, set("min")), { prop: "validate.min" }));
      parts.push(control("Largest value", text(check.max, set("max")), { prop: "validate.max" }));
    }
    if (method === "regex") {
      const pattern = text(check.regex, set("regex"), { maxLength: 1000 });
      pattern.classList.add("mono");
      parts.push(
        control("Pattern", pattern, {
          prop: "validate.regex",
          help: "A regular expression for the whole value, for example [A-Z]{2}[0-9]+",
          wide: true,
        }),
      );
    }
  }
  if (field.type === "list-multi") {
    const number = (name) => (value) => set(name)(/^[0-9]+$/.test(value) ? Number(value) : null);
    const count = { type: "number", min: 1, max: 500 };
    parts.push(
      control("Fewest choices", text(check.list_min, number("list_min"), count), { prop: "validate.list_min" }),
    );
    parts.push(control("Most choices", text(check.list_max, number("list_max"), count), { prop: "validate.list_max" }));
  }
  const says = check.datatype !== "xs:string" || check.method !== "basic" || Boolean(check.list_min || check.list_max);
  return folded(node, "Checks", says, element("div", { className: "controls" }, ...parts));
}

function media(node, host) {
  const { field } = node;
  const rows = field.media.flatMap((one, number) =>
    one.uris.map((uri, index) => {
      const type = text(
        uri.type,
        (value) => {
          uri.type = value;
          host.changed();
        },
        { placeholder: "image/png" },
      );
      type.setAttribute("aria-label", "Media type");
      const address = text(
        uri.uri,
        (value) => {
          uri.uri = value;
          host.changed();
        },
        { placeholder: "https://", type: "url" },
      );
      address.setAttribute("aria-label", "Address");
      address.dataset.focus = `media-${number}`;
      const size = (name, words) => {
        const input = text(
          one[name],
          (value) => {
            one[name] = /^[0-9]+$/.test(value) ? Number(value) : null;
            host.changed();
          },
          { type: "number", min: 1, max: 65535, placeholder: words },
        );
        input.setAttribute("aria-label", `${words} in pixels`);
        return input;
      };
      const gone = button("✕", () => {
        one.uris.splice(index, 1);
        field.media = field.media.filter((each) => each.uris.length > 0);
        host.changed();
        host.renew(node, "media");
      });
      gone.setAttribute("aria-label", "Remove this picture or sound");
      const row = element(
        "div",
        { className: "media-row" },
        address,
        type,
        size("width", "width"),
        size("height", "height"),
        gone,
      );
      row.dataset.prop = `media[${number}]`;
      return row;
    }),
  );
  const add = button("Add a picture or sound", () => {
    field.media.push({ width: null, height: null, uris: [{ type: "image/png", uri: "https://" }] });
    host.changed();
    host.renew(node, `media-${field.media.length - 1}`);
  });
  add.dataset.focus = "media";
  return folded(node, "Picture or sound", field.media.length > 0, element("div", {}, ...rows, add));
}

/** A part that is open where it says something or was opened; the node remembers, because parts are made anew. */
function folded(node, words, says, content) {
  const open = node.open?.[words] ?? says;
  const made = element(
    "details",
    { className: "span-all more", open },
    element("summary", { textContent: words }),
    content,
  );
  made.addEventListener("toggle", () => {
    node.open = { ...node.open, [words]: made.open };
  });
  return made;
}
