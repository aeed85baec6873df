"""Who is where: the sessions that other nodes of the cluster have, by account.

Pure data. Each node owns the entries of its sessions and tells the others; what is here is what they told. Of two
entries of one full JID the one that was bound later counts, and of two in the same moment that of the node with the
greater name: so all nodes agree, whatever they hear first. A hundred thousand sessions are no rarity, hence entries are
small and hold the presence as the bytes that were sent, and texts that many share are kept once.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any, Final

#: Bits of `Entry.flags`: asked for the roster, enabled carbons, asked for the block list.
INTERESTED: Final = 1
CARBONS: Final = 2
BLOCKING: Final = 4
#: Sets of wanted nodes that are kept once for all sessions that have them.
_SHARED: Final = 2_000

#: An entry between nodes: bare JID and what `Entry` has, without the node.
Row = Sequence[Any]


class Entry:
    """One session of another node. `since` is when it was bound, `presence` its available presence as the two parts
    of its text with a zero byte between them (None while it is not available), `features` what it wants to hear of
    (XEP-0115, `+notify`), `claims` its push registrations, `device` the reference of its device."""

    __slots__ = ("claims", "device", "features", "flags", "node", "presence", "priority", "resource", "since")

    def __init__(
        self,
        node: str,
        resource: str,
        since: float,
        priority: int = 0,
        flags: int = 0,
        presence: bytes | None = None,
        device: str = "",
        features: frozenset[str] | None = None,
        claims: tuple[tuple[str, str], ...] | None = None,
    ) -> None:
        self.node = node
        self.resource = resource
        self.since = since
        self.priority = priority
        self.flags = flags
        self.presence = presence
        self.device = device
        self.features = features
        self.claims = claims

    @property
    def order(self) -> tuple[float, str]:
        """The greater one of two with the same full JID wins."""
        return (self.since, self.node)

    @property
    def receptive(self) -> bool:
        """Whether it takes messages to the bare JID (RFC 6121, 8.5.2.1)."""
        return self.presence is not None and self.priority >= 0

    def row(self, bare: str) -> Row:
        """The entry as it goes to another node."""
        features = None if self.features is None else sorted(self.features)
        return (
            bare,
            self.resource,
            self.since,
            self.priority,
            self.flags,
            self.presence,
            self.device,
            features,
            self.claims,
        )


class Directory:
    """The sessions of all other nodes."""

    def __init__(self) -> None:
        self._entries: dict[str, tuple[Entry, ...]] = {}
        self._counts: dict[str, int] = {}
        self._shared: dict[frozenset[str], frozenset[str]] = {}

    def __len__(self) -> int:
        return sum(self._counts.values())

    @property
    def counts(self) -> dict[str, int]:
        """Sessions by node."""
        return dict(self._counts)

    def of(self, bare: str) -> tuple[Entry, ...]:
        """The sessions of an account on other nodes, mostly none."""
        return self._entries.get(bare, ())

    def find(self, bare: str, resource: str) -> Entry | None:
        """One session."""
        for entry in self._entries.get(bare, ()):
            if entry.resource == resource:
                return entry
        return None

    def all(self) -> Iterator[tuple[str, Entry]]:
        """Every session with the bare JID of its account."""
        for bare, entries in self._entries.items():
            for entry in entries:
                yield bare, entry

    def read(self, node: str, row: Row) -> Entry:
        """What a node told of one of its sessions."""
        _bare, resource, since, priority, flags, presence, device, features, claims = row[:9]
        wanted = None
        if features is not None:
            wanted = frozenset(features)
            known = self._shared.get(wanted)
            if known is None:
                if len(self._shared) >= _SHARED:
                    self._shared.clear()
                self._shared[wanted] = known = wanted
            wanted = known
        kept = tuple((str(service), str(name)) for service, name in claims) if claims else None
        return Entry(sys.intern(node), resource, since, priority, flags, presence, device, wanted, kept)

    def put(self, bare: str, entry: Entry) -> bool:
        """Enter a session, or what has changed of it; False where a later one has its full JID."""
        entries = self._entries.get(bare)
        if entries is None:
            self._entries[bare] = (entry,)
            self._count(entry.node, 1)
            return True
        for index, old in enumerate(entries):
            if old.resource == entry.resource:
                if old.order > entry.order:
                    return False
                if len(entries) == 1:
                    self._entries[bare] = (entry,)
                else:
                    self._entries[bare] = (*entries[:index], entry, *entries[index + 1 :])
                self._count(old.node, -1)
                self._count(entry.node, 1)
                return True
        self._entries[bare] = (*entries, entry)
        self._count(entry.node, 1)
        return True

    def remove(self, bare: str, resource: str, node: str, since: float) -> Entry | None:
        """A session has ended; None where another one has its place already."""
        entry = self.find(bare, resource)
        if entry is None or entry.node != node or entry.since != since:
            return None
        self._without(bare, entry)
        return entry

    def drop(self, node: str) -> list[tuple[str, Entry]]:
        """Forget a node; returns what it had."""
        dropped = [(bare, entry) for bare, entry in self.all() if entry.node == node]
        for bare, entry in dropped:
            self._without(bare, entry)
        return dropped

    def _without(self, bare: str, gone: Entry) -> None:
        left = tuple(entry for entry in self._entries[bare] if entry is not gone)
        if left:
            self._entries[bare] = left
        else:
            del self._entries[bare]
        self._count(gone.node, -1)

    def _count(self, node: str, change: int) -> None:
        count = self._counts.get(node, 0) + change
        if count:
            self._counts[node] = count
        else:
            self._counts.pop(node, None)
