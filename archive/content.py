"""What a stored stanza holds besides its text: files that were shared, a security label, that it is encrypted. Elements
and plain values only; pages (`showing.py`) and exports read stanzas with it.

Everything here was written by strangers: names lose the characters that turn text round, colours are those of a list
or `#rrggbb`, and only http and https addresses become links.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit

from archive.document import body_of, spoken
from xmpp_engine.api import Element, ns

LABEL: Final = "urn:xmpp:sec-label:0"  # XEP-0258
SIMS: Final = "urn:xmpp:sims:1"  # XEP-0385
REFERENCE: Final = "urn:xmpp:reference:0"  # XEP-0372
SFS: Final = "urn:xmpp:sfs:0"  # XEP-0447
URL_DATA: Final = "http://jabber.org/protocol/url-data"  # XEP-0103
#: Namespaces of encrypted payloads and what people call them (XEP-0380, 4).
_ENCRYPTIONS: Final = {
    "urn:xmpp:omemo:2": "OMEMO",
    "urn:xmpp:omemo:1": "OMEMO",
    "eu.siacs.conversations.axolotl": "OMEMO",
    "urn:xmpp:openpgp:0": "OpenPGP",
    "jabber:x:encrypted": "OpenPGP",
    "urn:xmpp:otr:0": "OTR",
    "urn:ietf:params:xml:ns:xmpp-e2e:6:3": "S/MIME",
    "http://www.w3.org/2001/04/xmlenc#": "XML encryption",
}
#: Messages of calls (XEP-0353, XEP-0482) that say something to people; the others lead on to these.
_CALLS: Final = {
    "propose": "A call.",
    "invite": "A call.",
    "reject": "The call was declined.",
    "retract": "The call was not answered.",
    "finish": "The call has ended.",
    "left": "The call has ended.",
}
#: Files of one message that are looked at, characters of a name, a marking and an address.
_FILES: Final = 20
_NAME: Final = 120
_MARKING: Final = 200
_ADDRESS: Final = 4_000
#: The colours that XEP-0258 names, as they are in CSS.
COLOURS: Final = {
    "aqua": "#00ffff",
    "black": "#000000",
    "blue": "#0000ff",
    "fuschia": "#ff00ff",
    "fuchsia": "#ff00ff",
    "gray": "#808080",
    "green": "#008000",
    "lime": "#00ff00",
    "maroon": "#800000",
    "navy": "#000080",
    "olive": "#808000",
    "orange": "#ffa500",
    "purple": "#800080",
    "red": "#ff0000",
    "silver": "#c0c0c0",
    "teal": "#008080",
    "white": "#ffffff",
    "yellow": "#ffff00",
}
_RGB: Final = re.compile(r"#[0-9a-f]{6}")
_NOTHING: Final = Element("", "nothing")


@dataclass(frozen=True, slots=True)
class Label:
    """A display marking (XEP-0258): its words, the colour behind them as `#rrggbb`, and whether white is read better
    on it than black. Which colour the letters were to have is not looked at: a marking must be readable."""

    text: str
    ground: str
    light: bool


@dataclass(frozen=True, slots=True)
class SharedFile:
    """A file that a message offers. `url` is its address as sent, "" where there is none that says where; `size` is
    what the sender claims, -1 for nothing; `sealed` is whether only an app with the key can open it."""

    url: str
    name: str
    media_type: str = ""
    size: int = -1
    description: str = ""
    sealed: bool = False

    @property
    def host(self) -> str:
        """Where it lies, for people."""
        try:
            return urlsplit(self.url).hostname or ""
        except ValueError:
            return ""


def encryption(element: Element) -> str:
    """By what the message is encrypted, "" where it is not (XEP-0380; without its hint the payload itself tells)."""
    hint = element.find(ns.ENCRYPTION, "encryption")
    if hint is not None:
        space = hint.get("namespace") or ""
        return _ENCRYPTIONS.get(space) or clean(hint.get("name") or space, 40) or "an unknown method"
    for child in element.elements():
        found = _ENCRYPTIONS.get(child.ns)
        if found is not None and child.name in ("encrypted", "openpgp", "x", "e2e", "EncryptedData"):
            return found
    return ""


def text_of(element: Element) -> str:
    """The message's own words: not those that stand in for what an app would show instead (a quotation, the address of
    a file, the hint that the message is encrypted)."""
    if encryption(element):
        return ""
    text = spoken(element) or body_of(element)
    for mark in element.find_all(ns.FALLBACK, "fallback"):
        if mark.get("for") == SFS and not _bounded(mark):
            return ""
    if text and len(text) <= _ADDRESS and any(text.strip() == file.url for file in files(element)):
        return ""
    return text


def _bounded(mark: Element) -> bool:
    """Whether a fallback names a part of the body only (XEP-0428, 3)."""
    part = mark.find(ns.FALLBACK, "body")
    return part is not None and (part.get("start") is not None or part.get("end") is not None)


def does(element: Element) -> str:
    """What a message without text does, as a sentence; "" for nothing that is known."""
    invitation = element.find(ns.CONFERENCE, "x")
    if invitation is not None:
        return f"An invitation to the room {clean(invitation.get('jid') or '', _NAME)}."
    extended = element.find(ns.MUC_USER, "x")
    if extended is not None and extended.find(ns.MUC_USER, "invite") is not None:
        return f"An invitation to the room {clean((element.get('from') or '').partition('/')[0], _NAME)}."
    for child in element.elements():
        if child.ns in (ns.JINGLE_MESSAGE, ns.CALL_INVITES):
            return _CALLS.get(child.name, "")
    return ""


def label(element: Element) -> Label | None:
    """The security label's display marking, None where the message has none."""
    given = element.find(LABEL, "securitylabel")
    marking = given.find(LABEL, "displaymarking") if given is not None else None
    text = clean(marking.text, _MARKING) if marking is not None else ""
    if marking is None or not text:
        return None
    ground = colour(marking.get("bgcolor") or "") or "#ffffff"
    return Label(text, ground, _contrast(ground, "#ffffff") >= _contrast(ground, "#000000"))


def colour(text: str) -> str:
    """A colour of XEP-0258 as `#rrggbb`, "" for anything else."""
    text = text.strip().lower()
    return COLOURS.get(text) or (text if _RGB.fullmatch(text) else "")


def _contrast(one: str, other: str) -> float:
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(rgb: str) -> float:
    """As WCAG 2 reckons it."""
    parts = (int(rgb[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def files(element: Element) -> list[SharedFile]:
    """The files that the message offers: XEP-0447, XEP-0385 and XEP-0066, each address once."""
    found: dict[str, SharedFile] = {}
    nameless: list[SharedFile] = []
    for file in _offered(element):
        if not file.url:
            nameless.append(file)
        elif file.url not in found:
            found[file.url] = file
        if len(found) + len(nameless) >= _FILES:
            break
    return [*found.values(), *nameless]


def _offered(element: Element) -> Iterator[SharedFile]:
    for sharing in element.find_all(SFS, "file-sharing"):
        sources = _child(sharing, "sources")
        urls = [each.get("target") or "" for each in sources.find_all(URL_DATA, "url-data")]
        yield _file(_child(sharing, "file"), urls)
    for reference in element.find_all(REFERENCE, "reference"):
        shared = reference.find(SIMS, "media-sharing")
        if shared is not None:
            sources = _child(shared, "sources")
            urls = [each.get("uri") or "" for each in sources.find_all(REFERENCE, "reference")]
            yield _file(_child(shared, "file"), urls)
    for pointer in element.find_all(ns.OOB, "x"):
        url = (pointer.child_text(ns.OOB, "url") or "").strip()
        if url:
            description = clean(pointer.child_text(ns.OOB, "desc") or "", _MARKING)
            yield _file(_NOTHING, [url], description)


def _child(element: Element, name: str) -> Element:
    """The first child of this name: the namespace of what tells of a file has changed from version to version."""
    return next((child for child in element.elements() if child.name == name), _NOTHING)


def _file(told: Element, urls: list[str], description: str = "") -> SharedFile:
    """A file of what was told of it (XEP-0446) and the addresses where it lies."""
    usable = [
        url.strip() for url in urls if len(url) <= _ADDRESS and _scheme(url.strip()) in ("http", "https", "aesgcm")
    ]
    url = next((url for url in usable if _scheme(url) != "aesgcm"), usable[0] if usable else "")
    name = clean(told.child_text(told.ns, "name") or "", _NAME)
    media_type = clean(told.child_text(told.ns, "media-type") or "", 80).lower()
    description = description or clean(told.child_text(told.ns, "desc") or "", _MARKING)
    count = (told.child_text(told.ns, "size") or "").strip()
    size = int(count) if count.isascii() and count.isdigit() and len(count) <= 15 else -1
    return SharedFile(url, name or _name_in(url) or "A file", media_type, size, description, _scheme(url) == "aesgcm")


def _scheme(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return parts.scheme if parts.netloc else ""


def _name_in(url: str) -> str:
    """The last part of an address' path."""
    try:
        return clean(unquote(urlsplit(url).path.rstrip("/").rpartition("/")[2]), _NAME)
    except ValueError:
        return ""


def clean(text: str, limit: int) -> str:
    """A name on one line: control characters and those that turn text round become visible, and it is cut at the
    limit."""
    text = "".join(
        "\N{REPLACEMENT CHARACTER}" if _hides(character) else character
        for character in " ".join(text[: 4 * limit].split())
    )
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _hides(character: str) -> bool:
    category = unicodedata.category(character)
    # Joiners shape letters and emoji; other format characters (overrides, isolates, tags) only mislead in a name.
    return category == "Cc" or (category == "Cf" and character not in "\u200c\u200d\u00ad")
