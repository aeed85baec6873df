"""Pictures of people in their two forms: the nodes of XEP-0084 and the photo of a vCard (XEP-0054, XEP-0153).

    urn:xmpp:avatar:data       item id: SHA-1    <data>base64</data>
    urn:xmpp:avatar:metadata   item id: SHA-1    <metadata><info id bytes type/></metadata>, empty for no picture
    vcard-temp                 <PHOTO><TYPE/><BINVAL>base64</BINVAL></PHOTO>
    presence                   <x xmlns='vcard-temp:x:update'><photo>SHA-1</photo></x>

Nothing here waits or knows of a store.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import Final

from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element

#: How the formats that clients may expect begin (XEP-0153, 4.2: what the picture is counts, not what is said of it).
_FORMATS: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)
_HEX: Final = frozenset("0123456789abcdef")
_SHA1: Final = 40


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture: `id` is the hexadecimal SHA-1 of `data`, `type` its media type."""

    data: bytes
    type: str

    @property
    def id(self) -> str:
        """What stands for the picture everywhere."""
        return hashlib.sha1(self.data, usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class Info:
    """What metadata say of the picture that is stored here."""

    id: str
    type: str
    bytes: int


def decode(text: str) -> bytes | None:
    """The bytes of a base64 text with blanks in it; None for what is none, or empty."""
    try:
        return base64.b64decode("".join(text.split()), validate=True) or None
    except (binascii.Error, ValueError):
        return None


def type_of(data: bytes, said: str = "") -> str:
    """The media type of a picture: what it is where that shows, else what is said of it, else PNG."""
    for start, type in _FORMATS:
        if data.startswith(start):
            return type
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    said = said.strip().lower()
    return said if said.startswith("image/") and len(said) <= 100 else "image/png"


def photo(card: Element) -> Picture | None:
    """The picture of a vCard, None where it has none that is readable. One at another address does not count."""
    for child in card.find_all(ns.VCARD, "PHOTO"):
        data = decode(child.child_text(ns.VCARD, "BINVAL") or "")
        if data is not None:
            return Picture(data, type_of(data, child.child_text(ns.VCARD, "TYPE") or ""))
    return None


def without_photo(card: Element) -> Element:
    """The vCard without the pictures that stand in it."""
    rest = Element(card.ns, card.name, dict(card.attrs))
    rest.children = [child for child in card.children if isinstance(child, str) or not _is_photo(child)]
    return rest


def with_photo(card: Element, picture: Picture) -> Element:
    """The vCard with this picture in place of its own."""
    result = without_photo(card)
    child = result.add(ns.VCARD, "PHOTO")
    child.add(ns.VCARD, "TYPE", text=picture.type)
    child.add(ns.VCARD, "BINVAL", text=base64.b64encode(picture.data).decode())
    return result


def data_element(picture: Picture) -> Element:
    """The payload for `urn:xmpp:avatar:data`."""
    return Element(ns.AVATAR_DATA, "data", None, base64.b64encode(picture.data).decode())


def metadata_element(picture: Picture | None) -> Element:
    """The payload for `urn:xmpp:avatar:metadata`; without a picture the one that says so (XEP-0084, 4.2)."""
    metadata = Element(ns.AVATAR_METADATA, "metadata")
    if picture is not None:
        attrs = {"bytes": str(len(picture.data)), "id": picture.id, "type": picture.type}
        metadata.add(ns.AVATAR_METADATA, "info", attrs)
    return metadata


def info(metadata: Element) -> Info | None:
    """What metadata say of the picture that is stored here: the first `<info/>` that names no other place. None where
    there is no picture, or its id is no SHA-1."""
    if (metadata.ns, metadata.name) != (ns.AVATAR_METADATA, "metadata"):
        return None
    for child in metadata.find_all(ns.AVATAR_METADATA, "info"):
        id = (child.get("id") or "").strip().lower()
        if child.get("url") is None and len(id) == _SHA1 and _HEX.issuperset(id):
            size = child.get("bytes") or ""
            number = int(size) if size.isascii() and size.isdigit() and len(size) <= 10 else 0
            return Info(id, (child.get("type") or "").strip(), number)
    return None


def picture(payload: Element, info: Info) -> Picture | None:
    """The picture of a data item that belongs to these metadata; None where it is another one (XEP-0398, 3)."""
    if (payload.ns, payload.name) != (ns.AVATAR_DATA, "data"):
        return None
    data = decode(payload.text)
    if data is None:
        return None
    found = Picture(data, type_of(data, info.type))
    return found if found.id == info.id else None


def show(presence: Element, id: str) -> bool:
    """Put the hash of a picture ("" for none) into a presence (XEP-0398, 4); returns whether it was changed.

    A client that sends an empty `<photo/>` hides the picture, which stays so. One that sends nothing about it, or is
    not ready, or tells another hash, shows what is stored here. Where no picture is stored and the client says nothing
    of one, nothing is added.
    """
    update = presence.find(ns.VCARD_UPDATE, "x")
    if update is None:
        if not id:
            return False
        presence.append(_update(id))
        return True
    told = update.child_text(ns.VCARD_UPDATE, "photo")
    if told is not None and (not told.strip() or told.strip().lower() == id):
        return False
    presence.children = [_update(id) if child is update else child for child in presence.children]
    return True


def replace(presence: Element, id: str) -> bool:
    """Make a presence that shows a picture, or none, show this one ("" for none); returns whether it was changed."""
    update = presence.find(ns.VCARD_UPDATE, "x")
    if update is None:
        return show(presence, id)
    fresh = _update(id)
    if update == fresh:
        return False
    presence.children = [fresh if child is update else child for child in presence.children]
    return True


def _update(id: str) -> Element:
    update = Element(ns.VCARD_UPDATE, "x")
    update.add(ns.VCARD_UPDATE, "photo", text=id or None)
    return update


def _is_photo(child: Element) -> bool:
    return (child.ns, child.name) == (ns.VCARD, "PHOTO") and child.find(ns.VCARD, "BINVAL") is not None
