"""What service discovery tells of an account's nodes (XEP-0163, 6; XEP-0060, 5).

Only nodes show that the asker may read: to others it is as if they were not there. Who does not see the account's
presence learns that there is an account only where it has a node for everybody, or for him.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.pubsub import access, disco, errors
from xmpp_engine.pubsub.node import Node
from xmpp_engine.pubsub.pep_service import AccountService
from xmpp_engine.routing.iq import IqContext
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element

if TYPE_CHECKING:
    from xmpp_engine.pubsub.pep import Pep

_PERSONAL: Final = (
    "access-authorize",
    "access-open",
    "access-presence",
    "access-roster",
    "access-whitelist",
    "auto-create",
    "auto-subscribe",
    "filtered-notifications",
    "last-published",
)
#: What services with a domain of their own have and accounts have not: an account has no ad-hoc commands.
_NOT_HERE: Final = frozenset({"get-pending"})
#: What every account shows beside the identity pubsub/pep.
FEATURES: Final = (
    ns.PUBSUB,
    *(f"{ns.PUBSUB}#{name}" for name in (*disco.FEATURES, *_PERSONAL) if name not in _NOT_HERE),
    ns.SHIM,
    ns.RSM,
)


class PersonalNodes:
    """Answers for the nodes of accounts; see modules.disco.Personal."""

    def __init__(self, pep: Pep) -> None:
        self._pep = pep

    async def open_to(self, iq: Stanza, context: IqContext) -> bool:
        """Whether the account has a node that a stranger may read. Raises StoreUnavailable."""
        assert context.account is not None
        for service in await self._pep.accounts.known([context.account.bare]):
            for node in list(service.nodes.resident.values()):
                if await _shows(node, iq.sender):
                    return True
        return False

    async def items(self, iq: Stanza, context: IqContext) -> list[Element]:
        """The nodes that the asker may read, in the order of their names. Raises StoreUnavailable."""
        assert context.account is not None
        found = []
        for service in await self._pep.accounts.known([context.account.bare]):
            for name in service.nodes.names():
                node = service.nodes.get(name)
                if node is not None and await _shows(node, iq.sender):
                    attrs = {"jid": service.domain, "node": name}
                    title = node.config.title
                    found.append(Element(ns.DISCO_ITEMS, "item", {**attrs, "name": title} if title else attrs))
        return found

    async def node(self, kind: str, node: str, iq: Stanza, context: IqContext) -> Element:
        """What there is to know of a node, or its items. Raises StanzaError, StoreUnavailable."""
        assert context.account is not None
        async with self._pep.accounts.use(context.account.bare, reads=True) as service:
            await _need(service, node, iq.sender)
            if kind == "info":
                return await disco.node_info(service, node, iq.sender)
            request = iq.element.first()
            assert request is not None
            return await disco.node_items(service, node, iq.sender, request)


async def _need(service: AccountService, name: str, who: Jid) -> None:
    if not await _shows(await service.nodes.fetch(name), who):
        raise errors.no_node()


async def _shows(node: Node, who: Jid) -> bool:
    """Whether somebody may read a node, or may ask to."""
    return (node.config.access_model == "authorize" and access.sees(node, who)) or await access.receives(node, who)
