"""Subscriptions that owners approve (XEP-0060, 8.6 and 8.7).

Each owner gets a message with a form and answers with it. The answer of any of them counts, and what is not pending any
more is beyond answering. The command `get-pending` sends the messages again for one node.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.plugin.table import Target
from xmpp_engine.pubsub import access, notify
from xmpp_engine.pubsub.node import Node
from xmpp_engine.routing.commands import Caller, CommandNode, Done, Form, Run
from xmpp_engine.stanza import forms
from xmpp_engine.stanza.build import message
from xmpp_engine.stanza.forms import Field
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.storage.pubsub import NodeAffiliation, Subscription
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError

if TYPE_CHECKING:
    from xmpp_engine.pubsub.service import PubSubService

_NODE: Final = "pubsub#node"
_JID: Final = "pubsub#subscriber_jid"
_SUBID: Final = "pubsub#subid"
_ALLOW: Final = "pubsub#allow"
_TRUE: Final = frozenset({"1", "true"})
_FALSE: Final = frozenset({"0", "false"})
#: Nodes that the command offers.
_LISTED: Final = 200


def ask(node: Node, entry: Subscription, owners: Iterable[str] = ()) -> None:
    """Ask the owners of a node about a subscription, or those given (8.6)."""
    form = forms.render(
        "form",
        ns.PUBSUB_SUBSCRIBE_AUTHORIZATION,
        (
            Field(_SUBID, "hidden", values=(entry.subid,)),
            Field(_NODE, "text-single", "The node", (node.name,)),
            Field(_JID, "jid-single", "Who wants to subscribe", (entry.jid,)),
            Field(_ALLOW, "boolean", "May this address subscribe?", ("0",)),
        ),
        title="Somebody wants to subscribe",
        instructions=f"{entry.jid} wants to hear of what is published at {node.name}.",
    )
    jid = node.service.jid
    to = [Jid.parse(owner) for owner in owners or node.owners()]
    # The id is the subscription's own, so that each answer to whichever of the messages finds it.
    notify.fan(node.service, to, message(jid, jid, "normal", form, id=entry.subid))


def receive(service: PubSubService, stanza: Stanza) -> bool:
    """A message to the service: whether it is an owner's answer."""
    for form in stanza.element.find_all(ns.DATA_FORMS, "x"):
        if forms.form_type(form) == ns.PUBSUB_SUBSCRIBE_AUTHORIZATION:
            if form.get("type") == "submit":
                service.services.tasks.spawn("approval of a subscription", _answered(service, stanza, form))
            return True
    return False


async def _answered(service: PubSubService, stanza: Stanza, form: Element) -> None:
    try:
        given = forms.read(form, ns.PUBSUB_SUBSCRIBE_AUTHORIZATION)
        word = _value(given, _ALLOW).strip()
        if word not in _TRUE and word not in _FALSE:
            raise StanzaError("bad-request", f"the field {_ALLOW} is either true or false")
        await _decide(service, stanza.sender, given, allowed=word in _TRUE)
    except StanzaError as error:
        service.refusals.refuse(stanza, error)


async def _decide(service: PubSubService, who: Jid, given: forms.Submitted, *, allowed: bool) -> None:
    try:
        jid = Jid.parse(_value(given, _JID))
    except ValueError as error:
        raise StanzaError("jid-malformed", str(error)) from None
    async with service.at(_value(given, _NODE)) as node:
        access.need_owner(node, who)
        subid = _value(given, _SUBID)
        mine = [entry for entry in node.subscriptions_of(jid) if entry.jid == jid.full]
        mine = [entry for entry in mine if not subid or entry.subid == subid]
        if not mine:
            raise StanzaError("item-not-found", "there is no such request")
        for entry in mine:
            # An owner may also take back what he or another one allowed (8.6).
            if allowed and entry.state == "pending":
                await approve(node, entry)
            elif not allowed:
                await deny(node, entry)


async def approve(node: Node, entry: Subscription) -> None:
    """A pending subscription is in force, and the subscriber learns of it. Raises StoreUnavailable."""
    from xmpp_engine.pubsub import subscribe

    approved = Subscription(entry.jid, entry.subid, "subscribed", entry.options, entry.expire)
    await subscribe.put(node, approved)
    notify.subscription(node, approved)
    await subscribe.begun(node, approved)


async def deny(node: Node, entry: Subscription) -> None:
    """A subscription is refused or ended by somebody else, and the subscriber learns of it. Raises StoreUnavailable."""
    from xmpp_engine.pubsub import subscribe

    await subscribe.drop(node, entry)
    notify.subscription(node, entry, "none")


async def affiliated(node: Node, jid: str, now: NodeAffiliation) -> None:
    """What a JID is to a node has changed: that may answer what it waits for (8.7), and an outcast has no
    subscription. Raises StoreUnavailable."""
    from xmpp_engine.pubsub import subscribe

    if now == "outcast":
        ended: list[Subscription] = []
        for bare in [bare for bare in node.by_bare if bare == jid or ("@" not in jid and bare.endswith(f"@{jid}"))]:
            if node.affiliation_of(Jid.parse(bare)) == "outcast":
                ended += node.by_bare.get(bare, {}).values()
        await subscribe.drop_all(node, ended)
        for entry in ended:
            notify.subscription(node, entry, "none")
    elif now in ("owner", "publisher", "member"):
        for entry in list(node.by_bare.get(jid, {}).values()):
            if entry.state == "pending":
                await approve(node, entry)


# The command (8.7.1)


class Pending:
    """The command `get-pending` of a service: shows which nodes have requests, and sends those of one again."""

    def command(self) -> CommandNode:
        """The command, for the module of ad-hoc commands."""
        return CommandNode(
            ns.PUBSUB_PENDING, "Requests to subscribe", self._allowed, self._send, (self._choose,), Target.PUBSUB
        )

    def _allowed(self, caller: Caller) -> bool:
        return caller.room is not None

    async def _choose(self, run: Run) -> Form:
        service: PubSubService = run.caller.room
        who = run.caller.jid
        owned = [
            name
            for name, affiliation in await service.services.stores.pubsub.affiliations_of(service.domain, who.bare)
            if affiliation == "owner"
        ]
        if service.is_operator(who):
            owned = service.nodes.names()
        if not owned:
            raise StanzaError("forbidden", "you own no node of this service")
        names = await self._waiting(service, owned) or owned[:_LISTED]
        # Free, so that `_send` says of other nodes what the specification wants said (8.7.3).
        offered = tuple((name, "") for name in names)
        field = Field(_NODE, "list-single", "The node", (), offered, required=True, open=True)
        return Form((field,), "Requests to subscribe", "For which node?", ns.PUBSUB_SUBSCRIBE_AUTHORIZATION)

    async def _waiting(self, service: PubSubService, owned: list[str]) -> list[str]:
        """Those of these nodes that have requests: of the ones in memory, or of the first ones."""
        found = []
        for name in owned[:_LISTED]:
            try:
                node = await service.nodes.fetch(name)
            except StanzaError:
                continue
            if any(True for _entry in node.pending()):
                found.append(name)
                if len(found) >= _LISTED:
                    break
        return found

    async def _send(self, run: Run) -> Done:
        service: PubSubService = run.caller.room
        name = run.values.get(_NODE, "")
        async with service.at(name if isinstance(name, str) else "") as node:
            access.need_owner(node, run.caller.jid)
            for entry in list(node.pending()):
                ask(node, entry, (run.caller.jid.bare,))
        return Done()


def _value(given: forms.Submitted, var: str) -> str:
    values = given.get(var, ())
    return values[0] if values else ""
