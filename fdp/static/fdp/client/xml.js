// Elements of XML: made, searched, turned into text and back.

const XMLNS = "http://www.w3.org/2000/xmlns/";
const empty = document.implementation.createDocument(null, null);

/** An element in a namespace with attributes (those that are null or undefined are left out) and children. */
export function make(namespace, name, attributes = {}, ...children) {
  const made = empty.createElementNS(namespace, name);
  // Strophe writes the declarations that stand there, and no others: one where the namespace changes.
  made.setAttributeNS(XMLNS, "xmlns", namespace);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) made.setAttribute(key, value);
  }
  for (const child of children) {
    if (child === null) continue;
    if (child.namespaceURI === namespace) child.removeAttributeNS(XMLNS, "xmlns");
    made.append(child);
  }
  return made;
}

/** The children of a name and namespace. */
export function children(parent, namespace, name) {
  return [...parent.children].filter((one) => one.localName === name && one.namespaceURI === namespace);
}

/** The first such child, or null. */
export function child(parent, namespace, name) {
  return children(parent, namespace, name)[0] ?? null;
}

/** The text of the first such child, "" without one. */
export function childText(parent, namespace, name) {
  return child(parent, namespace, name)?.textContent ?? "";
}

/** An element as text. */
export function toText(element) {
  return new XMLSerializer().serializeToString(element);
}

/** The root element of a text; throws where that is no XML. */
export function fromText(text) {
  const root = new DOMParser().parseFromString(text, "text/xml").documentElement;
  if (root.getElementsByTagName("parsererror").length || root.localName === "parsererror") throw new Error("not XML");
  return root;
}
