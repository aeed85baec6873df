"""Node: one node in memory, with who may do what with it and who hears of it.

The record is what the store has, the configuration is made of it once. Whoever changes one of both changes the store
first, in a turn of the node (`turn.py`), and calls `changed` when that is done. `plan` is who gets notifications
(`recipients.py`), made when it is first needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.pubsub.config import NodeConfig, at_most
from xmpp_engine.pubsub.turn import Turn
from xmpp_engine.storage.pubsub import NodeAffiliation, NodeKind, NodeRecord, Subscription

if TYPE_CHECKING:
    from xmpp_engine.pubsub.recipients import Plan
    from xmpp_engine.pubsub.service import PubSubService


class Node:
    """A resident node."""

    __slots__ = ("by_bare", "config", "fleeting", "gone", "plan", "record", "service", "turn", "used")

    def __init__(self, service: PubSubService, record: NodeRecord, config: NodeConfig) -> None:
        self.service = service
        self.record = record
        self.config = config
        self.turn = Turn()
        #: Subscriptions by bare JID, each by its subid.
        self.by_bare: dict[str, dict[str, Subscription]] = {}
        #: Subscriptions that last as long as somebody is online: they are in memory only.
        self.fleeting: set[str] = set()
        self.plan: Plan | None = None
        self.used = 0.0
        #: Deleted: who waited for it gets `item-not-found`.
        self.gone = False
        self.index()

    @property
    def name(self) -> str:
        """The node's name, unique in its service."""
        return self.record.name

    @property
    def number(self) -> int:
        """The node's id in the store."""
        return self.record.number

    @property
    def kind(self) -> NodeKind:
        """Whether it holds items or nodes."""
        return self.record.kind

    @property
    def keep(self) -> int:
        """Items that the node keeps."""
        if not self.config.keeps:
            return 0
        return at_most(self.config.max_items, self.service.options.max_items)

    def affiliation_of(self, jid: Jid) -> NodeAffiliation:
        """The entry of a bare JID on the node's list, else that of its domain. What operators and an account's owner
        are beside that says the service."""
        found = self.record.affiliations.get(jid.bare)
        if found is None and jid.local:
            found = self.record.affiliations.get(jid.domain)
        return found or "none"

    def owners(self) -> list[str]:
        """The bare JIDs that own the node by its list."""
        return [jid for jid, affiliation in self.record.affiliations.items() if affiliation == "owner"]

    def subscriptions_of(self, jid: Jid) -> list[Subscription]:
        """The subscriptions of a bare JID and its full ones."""
        found = self.by_bare.get(jid.bare)
        return list(found.values()) if found else []

    def is_subscribed(self, jid: Jid) -> bool:
        """Whether a bare JID has a subscription that is in force."""
        found = self.by_bare.get(jid.bare)
        return found is not None and any(entry.state == "subscribed" for entry in found.values())

    def pending(self) -> Iterator[Subscription]:
        """Subscriptions that wait for approval."""
        return (entry for entry in self.record.subscriptions.values() if entry.state == "pending")

    def index(self) -> None:
        """Subscriptions are others than before."""
        by_bare: dict[str, dict[str, Subscription]] = {}
        for subid, entry in self.record.subscriptions.items():
            by_bare.setdefault(Jid.parse(entry.jid).bare, {})[subid] = entry
        self.by_bare = by_bare
        self.plan = None

    def put_subscription(self, entry: Subscription) -> None:
        """Take a subscription in; the store has it."""
        self.record.subscriptions[entry.subid] = entry
        if entry.options.get("expire") == "presence":
            self.fleeting.add(entry.subid)
        else:
            self.fleeting.discard(entry.subid)
        self.by_bare.setdefault(Jid.parse(entry.jid).bare, {})[entry.subid] = entry
        self.plan = None

    def drop_subscription(self, subid: str) -> Subscription | None:
        """Take a subscription out; returns it."""
        entry = self.record.subscriptions.pop(subid, None)
        if entry is not None:
            self.fleeting.discard(subid)
            bare = Jid.parse(entry.jid).bare
            mine = self.by_bare.get(bare)
            if mine is not None:
                mine.pop(subid, None)
                if not mine:
                    del self.by_bare[bare]
            self.plan = None
        return entry

    def changed(self) -> None:
        """The configuration or the affiliations are others: who hears of events is found anew."""
        self.plan = None
