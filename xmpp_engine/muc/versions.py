"""Versions of a room's affiliations (XEP-0463): who enters asks only for what changed since he was here.

A version is told to clients as its number and a mark of the room. The mark cannot be guessed, so nobody learns of
former members by asking for versions that he was never told. What the room does not know any more is answered with
the whole list.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING, Final

from xmpp_engine.storage.rooms import REMOVED_KEPT, Affiliation, RoomAffiliation, RoomRecord
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element

if TYPE_CHECKING:
    from collections.abc import Collection

#: Affiliations in one message of an answer.
_PER_MESSAGE: Final = 200
#: Removed affiliations that a resident room remembers; fewer than the store, so that a restart loses none of them.
_REMEMBERED: Final = REMOVED_KEPT // 2
_EXTRA: Final = "affiliation_versions"


def token(record: RoomRecord, number: int) -> str:
    """The version with this number as clients are told it."""
    mark = hmac.new(_facts(record)["salt"].encode(), str(number).encode(), hashlib.sha256).hexdigest()[:12]
    return f"{number}-{mark}"


def number_of(record: RoomRecord, text: str) -> int | None:
    """The number of a version that a client names, None for one that the room did not tell or cannot start from."""
    digits = text.partition("-")[0]
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 18):
        return None
    number = int(digits)
    if not hmac.compare_digest(token(record, number).encode(), text.encode()):
        return None
    return number if int(_facts(record)["floor"]) <= number <= record.affiliation_version else None


def mav(record: RoomRecord, *, since: int | None = None, until: int | None = None) -> Element:
    """The element that says which versions a stanza leads between; `until` is the present one by default."""
    attrs = {} if since is None else {"since": token(record, since)}
    attrs["until"] = token(record, record.affiliation_version if until is None else until)
    return Element(ns.AFFILIATION_VERSIONS, "mav", attrs)


def answers(record: RoomRecord, request: Element, visible: Collection[Affiliation]) -> list[Element]:
    """The `<x/>` of each message that answers the `<mav/>` of a presence that enters, none when the client is up to
    date.

    `visible` are the affiliations whose lists the asker may fetch; an address with another one looks unaffiliated.
    """
    since_text = request.get("since")
    since = None if since_text is None else number_of(record, since_text)
    if since is not None and since == record.affiliation_version:
        return []
    entries = [entry for entry in record.affiliations.values() if since is None or entry.version > since]
    if since is None:
        entries = [entry for entry in entries if entry.affiliation != "none" and entry.affiliation in visible]
    entries.sort(key=lambda entry: (entry.version, entry.jid))
    messages: list[Element] = []
    for chunk in _chunks(entries) or [[]]:
        last = record.affiliation_version if chunk == [] or chunk[-1] is entries[-1] else chunk[-1].version
        x = Element(ns.MUC_USER, "x", None, mav(record, since=since, until=last))
        for entry in chunk:
            shown = entry.affiliation if entry.affiliation in visible else "none"
            x.add(ns.MUC_USER, "item", {"jid": entry.jid, "affiliation": shown})
        messages.append(x)
        since = last
    return messages


def forget_removed(record: RoomRecord) -> bool:
    """Bound what a resident room remembers of removed affiliations, the oldest go first. Called after a removal;
    returns whether the record has changed."""
    removed = [entry for entry in record.affiliations.values() if entry.affiliation == "none" and not entry.nick]
    if len(removed) <= _REMEMBERED * 3 // 2:
        return False
    removed.sort(key=lambda entry: entry.version)
    for entry in removed[:-_REMEMBERED]:
        del record.affiliations[entry.jid]
        _facts(record)["floor"] = str(entry.version)
    return True


def _chunks(entries: list[RoomAffiliation]) -> list[list[RoomAffiliation]]:
    """Pieces for one message each; what changed at one version stays together."""
    chunks: list[list[RoomAffiliation]] = []
    for entry in entries:
        if chunks and (len(chunks[-1]) < _PER_MESSAGE or chunks[-1][-1].version == entry.version):
            chunks[-1].append(entry)
        else:
            chunks.append([entry])
    return chunks


def _facts(record: RoomRecord) -> dict[str, str]:
    facts = record.extras.get(_EXTRA)
    if facts is None:
        facts = record.extras[_EXTRA] = {"salt": secrets.token_hex(16), "floor": "0"}
    return facts
