// The form in the editor: pages with parts, which are fields, texts and sections. A definition (fdp/definition.py) keeps
// fields and layout apart; here each field stands at its place. A form with one page that has neither a label nor
// sections has no layout: its texts are fields of the type fixed. With a layout they are texts of their page.

export const LISTS = ["list-single", "list-multi"];
export const MANY = ["hidden", "jid-multi", "list-multi", "text-multi"];
export const MAX_NESTING = 5;

let last = 0;
const identify = (node) => Object.assign(node, { id: `n${++last}` });

export function newPage(label = "", parts = []) {
  return identify({ kind: "page", label, parts });
}

export function newText(text = "") {
  return identify({ kind: "text", text });
}

export function newSection(label = "", parts = []) {
  return identify({ kind: "section", label, parts });
}

export function newField(given) {
  const field = {
    var: "",
    type: "text-single",
    label: "",
    desc: "",
    required: false,
    values: [],
    options: [],
    open: false,
    validate: null,
    media: [],
    ...structuredClone(given),
  };
  return identify({ kind: "field", field });
}

/** The tree of a definition; whatever it lacks is empty. Throws for what is no definition at all. */
export function load(definition) {
  const fields = definition.fields ?? [];
  if (!Array.isArray(fields) || !Array.isArray(definition.pages ?? [])) throw new TypeError("no form");
  const nodes = fields.map((field) =>
    field.type === "fixed" ? newText((field.values ?? []).join("\n")) : newField(field),
  );
  const pages = definition.pages ?? [];
  const tree = {
    title: definition.title ?? "",
    instructions: (definition.instructions ?? []).join("\n"),
    pages: [],
  };
  if (pages.length === 0) {
    tree.pages = [newPage("", nodes)];
    return tree;
  }
  const rest = new Map();
  nodes.forEach((node, index) => {
    if (node.kind === "field") rest.set(fields[index].var, node);
  });
  const place = (parts) =>
    (parts ?? []).flatMap((part) => {
      if (part.kind === "text") return [newText(part.text ?? "")];
      if (part.kind === "section") return [newSection(part.label ?? "", place(part.parts))];
      const node = rest.get(part.var);
      rest.delete(part.var);
      return node ? [node] : [];
    });
  tree.pages = pages.map((page) => newPage(page.label ?? "", place(page.parts)));
  // What has no place: hidden fields, and those that clients show behind the last page.
  tree.pages.at(-1).parts.push(...rest.values());
  return tree;
}

/** All nodes with the list that holds them, in reading order. */
export function* walk(tree) {
  function* inside(parts, owner) {
    for (const node of parts) {
      yield { node, parts, owner };
      if (node.kind === "section") yield* inside(node.parts, node);
    }
  }
  for (const page of tree.pages) {
    yield { node: page, parts: tree.pages, owner: null };
    yield* inside(page.parts, page);
  }
}

export function find(tree, id) {
  for (const place of walk(tree)) if (place.node.id === id) return place;
  return null;
}

export function hasLayout(tree) {
  if (tree.pages.length > 1 || tree.pages[0]?.label) return true;
  for (const { node } of walk(tree)) if (node.kind === "section") return true;
  return false;
}

/** The field with only what fields of its type have. */
function cleaned(field) {
  const isList = LISTS.includes(field.type);
  const made = {
    var: field.var,
    type: field.type,
    label: field.label,
    desc: field.desc,
    required: field.type !== "hidden" && field.required,
    values: MANY.includes(field.type) ? field.values : field.values.slice(0, 1),
    options: isList ? field.options.map(({ value, label }) => ({ value, label })) : [],
    open: isList && field.open,
    validate: null,
    media: field.media.filter((media) => media.uris.length > 0),
  };
  const given = field.validate;
  if (!given && !made.open) return made;
  const check = {
    datatype: "xs:string",
    method: "basic",
    min: null,
    max: null,
    regex: null,
    list_min: null,
    list_max: null,
  };
  Object.assign(check, { datatype: given?.datatype || "xs:string", method: given?.method || "basic" });
  if (isList && !made.open) check.method = "basic";
  if (isList && made.open && check.method === "basic") check.method = "open";
  if (!isList && check.method === "open" && field.type !== "text-multi") check.method = "basic";
  if (check.method === "range") Object.assign(check, { min: given.min || null, max: given.max || null });
  if (check.method === "regex") check.regex = given.regex || null;
  if (field.type === "list-multi")
    Object.assign(check, { list_min: given?.list_min || null, list_max: given?.list_max || null });
  const says = check.datatype !== "xs:string" || check.method !== "basic" || check.list_min || check.list_max;
  made.validate = says ? check : null;
  return made;
}

/** The definition of a tree, and `nodeAt(path)`: which node a place in it, such as `fields[3].label`, belongs to. */
export function save(tree) {
  const laid = hasLayout(tree);
  const fields = [];
  const owners = [];
  for (const { node } of walk(tree)) {
    if (node.kind === "field") {
      fields.push(cleaned(node.field));
      owners.push(node);
    } else if (node.kind === "text" && !laid && node.text.trim()) {
      fields.push({ ...cleaned(newField({ type: "fixed" }).field), type: "fixed", values: node.text.split("\n") });
      owners.push(node);
    }
  }
  const shown = new Map();
  const layout = (parts, path) => {
    const made = [];
    for (const node of parts) {
      const here = `${path}[${made.length}]`;
      if (node.kind === "text" && node.text.trim()) made.push({ kind: "text", text: node.text });
      else if (node.kind === "field" && node.field.type !== "hidden") made.push({ kind: "field", var: node.field.var });
      else if (node.kind === "section") {
        const inner = layout(node.parts, `${here}.parts`);
        // A section without a field is no section yet.
        if (!inner.some((part) => part.kind !== "text")) continue;
        made.push({ kind: "section", label: node.label, parts: inner });
      } else continue;
      shown.set(here, node);
    }
    return made;
  };
  const pages = laid
    ? tree.pages.map((page, index) => {
        shown.set(`pages[${index}]`, page);
        return { label: page.label, parts: layout(page.parts, `pages[${index}].parts`) };
      })
    : [];
  const instructions = tree.instructions.split("\n").filter((line) => line.trim());
  const definition = { title: tree.title, instructions, fields, pages };
  const nodeAt = (path) => {
    const field = /^fields\[(\d+)\]\.?(.*)$/.exec(path);
    if (field) return { node: owners[Number(field[1])] ?? null, rest: field[2] };
    for (let place = path; place; place = place.slice(0, Math.max(place.lastIndexOf("."), place.lastIndexOf("["), 0)))
      if (shown.has(place)) return { node: shown.get(place), rest: path.slice(place.length + 1) };
    return { node: null, rest: path };
  };
  return { definition, nodeAt };
}

/** Sections around the inside of a list of parts. */
function depthOf(tree, owner) {
  let depth = 0;
  for (let node = owner; node && node.kind === "section"; depth += 1) node = find(tree, node.id)?.owner;
  return depth;
}

function heightOf(node) {
  return node.kind === "section" ? 1 + Math.max(0, ...node.parts.map(heightOf)) : 0;
}

/** Whether `node` may stand in what `owner` holds. */
export function fits(tree, node, owner) {
  if (node.kind === "page") return owner === null;
  if (owner === null) return false;
  for (let around = owner; around; around = find(tree, around.id)?.owner) if (around === node) return false;
  return depthOf(tree, owner) + heightOf(node) <= MAX_NESTING;
}

/** All places where a node may go, in reading order: `owner` (null for the list of pages) and index, without the node. */
export function places(tree, node) {
  const found = [];
  const inside = (owner, parts) => {
    const others = parts.filter((one) => one !== node);
    if (fits(tree, node, owner)) found.push({ owner, index: 0 });
    others.forEach((one, index) => {
      if (one.parts) inside(one, one.parts);
      if (fits(tree, node, owner)) found.push({ owner, index: index + 1 });
    });
  };
  inside(null, tree.pages);
  return found;
}

/** Where a node stands, in the words of `places`. */
export function placeOf(tree, node) {
  const { parts, owner } = find(tree, node.id);
  return { owner, index: parts.indexOf(node) };
}

export function partsOf(tree, owner) {
  return owner === null ? tree.pages : owner.parts;
}

export function remove(tree, node) {
  const { parts } = find(tree, node.id);
  parts.splice(parts.indexOf(node), 1);
  if (tree.pages.length === 0) tree.pages.push(newPage());
}

/** Put a node somewhere; the index counts without the node itself. */
export function put(tree, node, { owner, index }) {
  const old = find(tree, node.id);
  if (old) old.parts.splice(old.parts.indexOf(node), 1);
  partsOf(tree, owner).splice(index, 0, node);
}

/** A name for a field, made of its label, that no other field has. */
export function freeName(tree, label, own) {
  const base =
    label
      .normalize("NFD")
      .replace(/[\u0300-\u036f]/g, "")
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, "_")
      .replace(/^_+|_+$/g, "")
      .slice(0, 60) || "field";
  const taken = new Set();
  for (const { node } of walk(tree)) if (node.kind === "field" && node.field !== own) taken.add(node.field.var);
  let name = base;
  for (let number = 2; taken.has(name); number += 1) name = `${base}_${number}`;
  return name;
}
