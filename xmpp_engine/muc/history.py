"""Discussion history: the last messages of a room, for who enters (XEP-0045, 7.2.13 and 7.2.14).

A message is kept as it was sent; its delayed form, which is what newcomers get, is made when the first of them comes
and then shared by all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.stanza.build import delay, parse_timestamp
from xmpp_engine.stanza.stanza import CLIENT, Stanza
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element

#: Content without a text that is worth showing later all the same.
_LASTING: Final = frozenset(
    {
        (ns.REACTIONS, "reactions"),
        (ns.RETRACT, "retract"),
        (ns.RETRACT, "retracted"),
        (ns.FASTEN, "apply-to"),
        (ns.HINTS, "store"),
    }
)
_FLEETING: Final = frozenset({"no-store", "no-permanent-store"})


class Kept:
    """One message of the history."""

    __slots__ = ("_delayed", "stamp", "stanza")

    def __init__(self, stamp: float, stanza: Stanza) -> None:
        self.stamp = stamp
        self.stanza = stanza
        self._delayed: Stanza | None = None

    def delayed(self, room: Jid) -> Stanza:
        """The message as a newcomer gets it."""
        found = self._delayed
        if found is None:
            source = self.stanza.element
            element = Element(source.ns, source.name, source.attrs)
            element.children = [*source.children, delay(self.stamp, room)]
            found = self._delayed = Stanza(element, None, self.stanza.sender, self.stanza.type)
        return found

    def edited(self) -> None:
        """The message was changed: its delayed form is made anew."""
        self._delayed = None


class History:
    """The newest messages of a room, at most `limit`."""

    def __init__(self, limit: int) -> None:
        self._kept: deque[Kept] = deque(maxlen=limit)

    def resize(self, limit: int) -> None:
        """Keep at most so many from now on."""
        if limit != self._kept.maxlen:
            self._kept = deque(self._kept, maxlen=limit)

    def add(self, stamp: float, stanza: Stanza) -> None:
        """Keep a message that was sent at `stamp` (seconds since the epoch), if it is worth it."""
        if lasting(stanza.element):
            self._kept.append(Kept(stamp, stanza))

    def hear(self, stamp: float, stanza: Stanza, room: Jid) -> None:
        """Keep a message that another replica of the room has sent, unless a third one's history had it already."""
        key = None
        for kept in self._kept:
            if kept.stamp == stamp:
                key = key or _key(Kept(stamp, stanza), room)
                if _key(kept, room) == key:
                    return
        self.add(stamp, stanza)

    def restore(self, rows: Iterable[tuple[float, str]]) -> None:
        """Put messages of before a restart in front of those kept already; `rows` are (stamp, stored text), oldest
        first. What cannot be read is left out."""
        older: list[Kept] = []
        for stamp, xml in rows:
            try:
                stanza = Stanza.restore(xml)
            except Exception:  # noqa: S112  a broken row is no reason to keep people out of the room
                continue
            stanza.to = None
            stanza.element.attrs.pop("to", None)
            older.append(Kept(stamp, stanza))
        self._kept = deque([*older, *self._kept], maxlen=self._kept.maxlen)

    def merge(self, rows: Iterable[tuple[float, bytes]], room: Jid) -> None:
        """Take in the history of another replica of the room, by time; what both have is kept once, and as what was
        left of it where one of them has retracted it. What cannot be read is left out."""
        known = {_key(kept, room): kept for kept in self._kept}
        for stamp, xml in rows:
            try:
                kept = Kept(stamp, Stanza.restore(xml))
            except Exception:  # noqa: S112  a broken row is no reason to lose the others
                continue
            key = _key(kept, room)
            own = known.get(key)
            if own is None:
                known[key] = kept
            elif kept.stanza.element.find(ns.RETRACT, "retracted") is not None:
                own.stanza = kept.stanza
                own.edited()
        self._kept = deque(sorted(known.values(), key=_stamp), maxlen=self._kept.maxlen)

    def replace(self, stamp: float, stanza: Stanza, room: Jid) -> None:
        """A message that was sent at `stamp` says something else now."""
        key = _key(Kept(stamp, stanza), room)
        for kept in self._kept:
            if _key(kept, room) == key:
                kept.stanza = stanza
                kept.edited()
                return

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()

    def remove(self, stanza_id: str, by: Jid) -> bool:
        """Forget the message to which the room gave this stanza-id; whether it was there."""
        for kept in self._kept:
            for child in kept.stanza.element.find_all(ns.STANZA_ID, "stanza-id"):
                if child.get("id") == stanza_id and child.get("by") == by.full:
                    self._kept.remove(kept)
                    return True
        return False

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Any:
        return iter(self._kept)

    def wanted(self, request: Element | None, room: Jid, limit: int, now: float) -> list[Stanza]:
        """The messages for a newcomer, oldest first: at most `limit` of them, and what his `<history/>` narrows that
        to. `now` is in seconds since the epoch. A value that makes no sense counts as not given."""
        attrs = request.attrs if request is not None else {}
        stanzas = _number(attrs.get("maxstanzas"))
        chars = _number(attrs.get("maxchars"))
        seconds = _number(attrs.get("seconds"))
        since = _time(attrs.get("since"))
        if stanzas is not None:
            limit = min(limit, stanzas)
        if limit <= 0 or chars == 0:
            return []
        if seconds is not None:
            since = now - seconds if since is None else max(since, now - seconds)
        found: list[Stanza] = []
        for kept in reversed(self._kept):
            if len(found) >= limit or (since is not None and kept.stamp < since):
                break
            stanza = kept.delayed(room)
            if chars is not None:
                chars -= len(stanza.encode(None, CLIENT).decode())
                if chars < 0:
                    break
            found.append(stanza)
        found.reverse()
        return found


def lasting(message: Element) -> bool:
    """Whether a groupchat message is worth keeping: it says something, and does not ask to be forgotten."""
    keep = False
    for child in message.elements():
        if child.ns == ns.CLIENT:
            keep = keep or child.name == "body"
        elif child.ns == ns.HINTS and child.name in _FLEETING:
            return False
        elif (child.ns, child.name) in _LASTING:
            keep = True
    return keep


def _key(kept: Kept, room: Jid) -> tuple[str, str, float]:
    """What a message is known by on all nodes: the id that the room gave it, else who sent it and when."""
    element = kept.stanza.element
    for child in element.find_all(ns.STANZA_ID, "stanza-id"):
        if child.get("by") == room.full:
            return child.get("id") or "", "", 0.0
    return element.get("id") or "", kept.stanza.sender.full, kept.stamp


def _stamp(kept: Kept) -> float:
    return kept.stamp


def _number(text: str | None) -> int | None:
    if text is None or not (text.isascii() and text.isdigit() and len(text) <= 10):
        return None
    return int(text)


def _time(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return parse_timestamp(text)
    except (ValueError, OverflowError):
        return None
