"""Preparation of the three parts of a JID (RFC 7622), one function each.

Plain ASCII takes a regular expression; the rest goes through the PRECIS profiles of the `precis_i18n` library and
IDNA2008. Each function returns the canonical form or raises ValueError with a sentence.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

import idna
from precis_i18n import get_profile

_USERNAME: Final = get_profile("UsernameCaseMapped")
_OPAQUE: Final = get_profile("OpaqueString")
_PLAIN_LOCAL: Final = re.compile(r"[a-z0-9._~!#$%*+=?^`{|}()\[\],;\\-]{1,1023}\Z")
_PLAIN_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\Z")
_PLAIN_RESOURCE: Final = re.compile(r"[\x20-\x7e]{1,1023}\Z")
_IPV6: Final = re.compile(r"\[[0-9a-fA-F:.]{2,45}\]\Z")
#: Excluded from localparts on top of the profile (RFC 7622, 3.3.1).
_FORBIDDEN_LOCAL: Final = frozenset("\"&'/:<>@")
_DOTS: Final = str.maketrans({"\u3002": ".", "\uff0e": ".", "\uff61": "."})
MAX_BYTES: Final = 1023


def localpart(text: str) -> str:
    """The localpart by UsernameCaseMapped, 1 to 1,023 bytes."""
    if _PLAIN_LOCAL.match(text):
        return text
    if _FORBIDDEN_LOCAL.intersection(text):
        raise ValueError("the localpart holds a character that is not allowed there")
    return _bounded(_enforce(_USERNAME, text, "localpart"), "localpart")


def resourcepart(text: str) -> str:
    """The resourcepart by OpaqueString, 1 to 1,023 bytes."""
    if _PLAIN_RESOURCE.match(text):
        return text
    return _bounded(_enforce(_OPAQUE, text, "resourcepart"), "resourcepart")


def password(text: str) -> str:
    """A password by OpaqueString (RFC 8265, 4.2), 1 to 1,024 characters as the accounts' side takes them."""
    if len(text) <= 1024 and text.isascii() and text.isprintable() and text:
        return text
    if len(text) > 1024:
        raise ValueError("the password is longer than 1024 characters")
    return _enforce(_OPAQUE, text, "password")


def domainpart(text: str) -> str:
    """The domainpart: lower-case host name with U-labels, or an IP literal; a trailing dot is dropped (RFC 7622,
    3.2)."""
    if text.endswith("."):
        text = text[:-1]
    lowered = text.lower()
    if lowered.isascii():
        labels = lowered.split(".")
        if all(map(_PLAIN_LABEL.match, labels)) and not any(label.startswith("xn--") for label in labels):
            return _bounded(lowered, "domainpart")
        if _IPV6.match(lowered):
            return lowered
    if not text:
        raise ValueError("the domainpart is empty")
    folded = unicodedata.normalize("NFC", text.translate(_DOTS).lower())
    try:
        return _bounded(".".join(_label(label) for label in folded.split(".")), "domainpart")
    except (idna.IDNAError, UnicodeError) as error:
        raise ValueError(f"the domainpart is not a host name: {error}") from None


def _label(label: str) -> str:
    if label.isascii() and not label.startswith("xn--"):
        if not _PLAIN_LABEL.match(label):
            raise idna.IDNAError("invalid label")
        return label
    return idna.ulabel(idna.alabel(label))


def _enforce(profile: object, text: str, part: str) -> str:
    if not text:
        raise ValueError(f"the {part} is empty")
    if len(text) > MAX_BYTES:
        raise ValueError(f"the {part} is longer than {MAX_BYTES} bytes")
    try:
        prepared = profile.enforce(text)  # type: ignore[attr-defined]
    except UnicodeEncodeError as error:
        raise ValueError(f"the {part} fails its PRECIS profile: {error.reason}") from None
    return str(prepared)


def _bounded(text: str, part: str) -> str:
    if not 1 <= len(text.encode()) <= MAX_BYTES:
        raise ValueError(f"the {part} is not 1 to {MAX_BYTES} bytes long")
    return text
