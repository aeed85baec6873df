"""Namespaces of XEP-0227, what this server adds to them, and how files are named.

What the specification has no place for stands in elements and attributes of MLINK, or beside the XML in files of JSON
lines (docs/portability.md): both may be ignored, and the rest still makes sense.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from typing import Final
from urllib.parse import quote, unquote_to_bytes

PIE: Final = "urn:xmpp:pie:0"
SCRAM: Final = "urn:xmpp:pie:0#scram"
ARCHIVE: Final = "urn:xmpp:pie:0#mam"
XINCLUDE: Final = "http://www.w3.org/2001/XInclude"
PRIVACY: Final = "jabber:iq:privacy"
#: Our own elements and attributes.
MLINK: Final = "urn:mlink:portability:0"
#: COMPAT(ejabberd before 2.1, 2009): the namespace before the registrar gave one.
OLD_PIE: Final = "http://www.xmpp.org/extensions/xep-0227.html#ns"

MAIN: Final = "server-data.xml"
#: What names of our files of JSON lines end in, and what their first line says.
EXTENSION: Final = ".mlink.jsonl"
EXTENSION_FORMAT: Final = "mlink domain"
EXTENSION_VERSION: Final = 1

_PLAIN: Final = re.compile(r"[^/\\\x00-\x1f\x7f]{1,180}")
_MAX_BYTES: Final = 200


class BadReference(ValueError):
    """An address of a file that leads nowhere inside the tree; the text is a sentence."""


def file_name(part: str) -> str:
    """What the file about a domain or the local part of an address is named, without its ending: the part itself as
    the specification says, or a digest of what no file system takes for a name."""
    if _PLAIN.fullmatch(part) and len(part.encode()) <= _MAX_BYTES and part[0] not in ".-" and part[-1] not in ". ":
        return part
    return "~" + hashlib.sha256(part.encode()).hexdigest()[:40]


def reference(path: str) -> str:
    """A path as the relative URI of an `href`."""
    return quote(path, safe="/")


def resolve(base: str, href: str) -> str:
    """The file that an `href` in the file `base` names, as a path inside the tree. Raises BadReference for everything
    that is not a relative path to below the tree's root."""
    if not href or len(href) > 4_096:
        raise BadReference("An include has no address, or one that is too long.")
    if "#" in href or "?" in href:
        raise BadReference(f"The include of {shown(href)} has a query or a fragment.")
    try:
        path = unquote_to_bytes(href).decode()
    except UnicodeDecodeError:
        raise BadReference(f"The include of {shown(href)} is not in UTF-8.") from None
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", path) or path.startswith("/") or "\\" in path or "\0" in path:
        raise BadReference(f"The include of {shown(href)} is no relative path; nothing outside of the files is read.")
    joined = posixpath.normpath(posixpath.join(posixpath.dirname(base), path))
    if joined in (".", "..") or joined.startswith(("../", "/")):
        raise BadReference(f"The include of {shown(href)} leads out of the files; nothing outside of them is read.")
    return joined


def shown(text: str, length: int = 80) -> str:
    """A text from a file as it may stand in a sentence: quoted, without control characters, short."""
    cut = text[:length] + ("…" if len(text) > length else "")
    return '"' + "".join(c if c.isprintable() else "·" for c in cut) + '"'
