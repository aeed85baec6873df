"""AccountService: the nodes of one account (XEP-0163). Its owner is the account itself, its contacts hear of events
without a subscription, as far as the access model lets them and their clients want it.

Who that is is looked up with each event: a presence subscription that ends, a contact that is blocked or moved to
another group counts from the next event on. What is looked at is in memory; a contact elsewhere is asked about at
`Pep.elsewhere`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.pubsub import access
from xmpp_engine.pubsub.config import NodeConfig
from xmpp_engine.pubsub.errors import refusal
from xmpp_engine.pubsub.node import Node
from xmpp_engine.pubsub.options import ServiceOptions
from xmpp_engine.pubsub.pep_options import fresh
from xmpp_engine.pubsub.service import PubSubService
from xmpp_engine.routing.account import Account
from xmpp_engine.routing.session import Session
from xmpp_engine.storage.pubsub import MAX_PAGE, Item, NodeKind
from xmpp_engine.storage.types import RosterItem

if TYPE_CHECKING:
    from xmpp_engine.pubsub.pep import Pep

_SEEING: Final = frozenset({"from", "both"})


@dataclass(frozen=True, slots=True)
class Change:
    """What has happened to a node: items were published, by a client or by the server itself; items of the ids `gone`
    were taken back; without either it is another change, perhaps the node's end."""

    node: str
    published: tuple[Item, ...]
    gone: tuple[str, ...]
    own: bool


class AccountService(PubSubService):
    """The service at the bare JID of an account."""

    def __init__(self, pep: Pep, bare: str) -> None:
        self.pep = pep
        super().__init__(pep.host, pep.services, bare, pep.options, pep.refusals)
        self.gate = self
        #: Bytes of all items: never less than there are. None until somebody publishes.
        self._bytes: int | None = None

    def configure(self, options: ServiceOptions) -> None:
        """What is the same for all accounts is not made for each of them."""
        self.options = options
        self._defaults = self.pep.defaults
        self._operators = self._creators = frozenset()
        self._pattern = None
        self.creations = self.pep.creations

    def fresh(self, name: str, kind: NodeKind) -> NodeConfig:
        """The configuration of a new node."""
        return fresh(self.defaults(kind), name)

    # Who is who

    @property
    def owner(self) -> Account | None:
        """The account, while it is in memory."""
        return self.services.accounts.get(self.domain)

    @property
    def idle(self) -> bool:
        """Whether no request is under way."""
        return all(node.turn.idle for node in self.nodes.resident.values())

    def close(self) -> None:
        """The service goes out of memory: who waits for a node of it asks anew."""
        for node in self.nodes.resident.values():
            node.gone = True

    def is_operator(self, jid: Jid) -> bool:
        """The account owns all of its nodes; administrators of the server do not."""
        return jid.bare == self.domain

    def may_create(self, creator: Jid) -> bool:
        """Only the account."""
        return creator.bare == self.domain

    def may(
        self, _node: str, _action: Literal["see", "subscribe", "retrieve", "publish", "own"], who: Jid
    ) -> bool | None:
        """The gate: whom the account blocks may nothing (XEP-0163, 4.3.3)."""
        account = self.owner
        if account is None or who.bare == self.domain:
            return None
        return False if account.data.blocked and self.pep.blocks(account, who) else None

    async def sees_presence(self, _node: Node, who: Jid) -> bool:
        """Whether somebody sees the account's presence."""
        return self._sees(await self.entry(who), who)

    async def in_groups(self, _node: Node, who: Jid, groups: Sequence[str]) -> bool:
        """Whether somebody sees the account's presence and is in one of these groups of its roster."""
        item = await self.entry(who)
        return self._sees(item, who) and (item is None or not set(groups).isdisjoint(item.groups))

    async def entry(self, who: Jid) -> RosterItem | None:
        """What stands of somebody in the account's roster. Raises StoreUnavailable."""
        account = await self.services.accounts.load(self.domain, self.host)
        return account.roster.get(who.bare) if account is not None else None

    def _sees(self, item: RosterItem | None, who: Jid) -> bool:
        return who.bare == self.domain or (item is not None and item.subscription in _SEEING)

    # Who hears

    def hears(self, node: Node, who: Jid, item: RosterItem | None) -> bool:
        """Whether a resource that wants the events of a node gets them without a subscription. `item` is what the
        roster says of it where the account is not in memory."""
        if who.bare == self.domain:
            return True
        account = self.owner
        if account is not None:
            item = account.roster.get(who.bare)
        if item is None or item.subscription not in _SEEING:
            return False
        verdict = access.receives_at_once(node, who)
        if verdict is not None:
            return verdict
        config = node.config
        return config.access_model == "presence" or not set(config.roster_groups_allowed).isdisjoint(item.groups)

    def followers(self, node: Node) -> list[Jid]:
        """The account's own resources and those of its contacts that want the node's events and may hear of them."""
        account = self.owner
        if account is None:
            return []
        # An event is about to be sent: whoever asks because of it shall find what it tells of on any node.
        self.pep.tell(self.domain)
        name = node.name
        whereabouts = self.services.whereabouts
        found = [session.jid for session in self._wanting(account, name)]
        resident = self.services.accounts.resident
        hosts = self.services.router.hosts
        elsewhere = self.pep.elsewhere
        for item in account.roster.values():
            if item.subscription not in _SEEING:
                continue
            contact = resident.get(item.jid)
            if contact is not None:
                jids = [session.jid for session in self._wanting(contact, name)]
            elif whereabouts is not None and whereabouts.crossing.online(item.jid):
                jids = whereabouts.wanting(item.jid, name)
            elif elsewhere is not None and (jid := Jid.parse(item.jid)).domain not in hosts:
                jids = list(elsewhere(account, jid, name))
            else:
                continue
            found += [jid for jid in jids if self.hears(node, jid, item)]
        for jid in found:
            self.pep.told(jid, self.domain, name)
        return found

    def _wanting(self, account: Account, name: str) -> Iterator[Session]:
        interests = self.pep.interests
        return (s for s in account.sessions.values() if s.presence is not None and name in interests(s))

    def last_items(self, wanted: frozenset[str]) -> list[Node]:
        """The nodes whose last item those get who come online and want it."""
        resident = self.nodes.resident
        names = wanted if len(wanted) < len(resident) else resident.keys() & wanted
        nodes = [resident[name] for name in names if name in resident]
        return [
            node
            for node in nodes
            if node.config.send_last_published_item == "on_sub_and_presence"
            and node.config.deliver_notifications
            and node.record.last is not None
            and node.kind == "leaf"
        ]

    def happened(
        self, node: Node, published: Sequence[Item] = (), by: Jid | None = None, gone: Sequence[str] = ()
    ) -> None:
        """Modules that keep the node in another form learn of it. What the server publishes bears the account's bare
        JID."""
        self.pep.happened(self, Change(node.name, tuple(published), tuple(gone), by is not None and not by.resource))

    # What there is room for

    async def admit(self, node: Node, items: Sequence[Item]) -> None:
        """Raise StanzaError where the account would have more bytes of items than it may."""
        limit = self.pep.config.bytes
        new = sum(len(item.payload.encode()) + len(item.id.encode()) for item in items)
        if self._bytes is None:
            self._bytes = sum(self._most(each) for each in self.nodes.resident.values())
        if self._bytes + new > limit:
            self._bytes = await self._count()
            if node.keep == 1 and node.record.last is not None:
                # It goes for the new one.
                self._bytes -= _size(node.record.last)
        if self._bytes + new > limit:
            raise refusal("resource-constraint", "quota-exceeded", f"an account has at most {limit} bytes of items")
        self._bytes += new

    def _most(self, node: Node) -> int:
        """Bytes that a node's items have at most."""
        last = node.record.last
        if last is None:
            return 0
        return _size(last) + (node.record.items - 1) * node.config.max_payload_size

    async def _count(self) -> int:
        """Bytes of all items. Raises StoreUnavailable."""
        total = 0
        for node in list(self.nodes.resident.values()):
            after = None
            while node.record.last is not None:
                page = await self.services.stores.pubsub.items(node.number, limit=MAX_PAGE, after=after)
                total += sum(map(_size, page.items))
                if len(page.items) < MAX_PAGE:
                    break
                after = page.items[-1].id
        return total


def _size(item: Item) -> int:
    return len(item.payload.encode()) + len(item.id.encode())
