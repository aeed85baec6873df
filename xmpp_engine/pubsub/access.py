"""Who may do what with a node (XEP-0060, 4.1 and 4.5).

Each function returns where it is allowed and raises StanzaError where it is not, with the conditions that the
specification names. First the service's gate is asked, whose answer stands where it gives one; then what somebody is to
the node, then the node's models. What depends on an owner's contacts may need them loaded, so these wait.
"""

from __future__ import annotations

from typing import Literal

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.pubsub.errors import refusal
from xmpp_engine.pubsub.node import Node
from xmpp_engine.storage.pubsub import NodeAffiliation
from xmpp_engine.xml.errors import StanzaError

Action = Literal["see", "subscribe", "retrieve", "publish", "own"]
#: Who may subscribe and read whatever the access model is.
_INSIDE = frozenset({"owner", "publisher", "member"})
_PUBLISHERS = frozenset({"owner", "publisher", "publish-only"})


def affiliation_of(node: Node, who: Jid) -> NodeAffiliation:
    """What somebody is to a node: operators of the service own all of them."""
    return "owner" if node.service.is_operator(who) else node.affiliation_of(who)


def is_owner(node: Node, who: Jid) -> bool:
    """Whether somebody may do what owners may."""
    gate = node.service.gate
    if gate is not None:
        verdict = gate.may(node.name, "own", who)
        if verdict is not None:
            return verdict
    return affiliation_of(node, who) == "owner"


def need_owner(node: Node, who: Jid) -> None:
    """For owners only."""
    if not is_owner(node, who):
        raise StanzaError("forbidden", "only owners of the node may do that")


def need_publish(node: Node, who: Jid) -> None:
    """Publishing, as far as no contacts need be asked."""
    gate = node.service.gate
    if gate is not None:
        verdict = gate.may(node.name, "publish", who)
        if verdict is not None:
            if not verdict:
                raise StanzaError("forbidden", "you may not publish here")
            return
    affiliation = affiliation_of(node, who)
    if affiliation in _PUBLISHERS:
        return
    model = node.config.publish_model
    if affiliation != "outcast" and (model == "open" or (model == "subscribers" and node.is_subscribed(who))):
        return
    raise StanzaError("forbidden", "you may not publish here")


async def need_retrieve(node: Node, who: Jid) -> None:
    """Reading items."""
    if await receives(node, who):
        return
    _refuse(node, who, retrieving=True)


async def need_subscribe(node: Node, who: Jid) -> bool:
    """Subscribing; returns whether an owner must approve it first."""
    gate = node.service.gate
    if gate is not None:
        verdict = gate.may(node.name, "subscribe", who)
        if verdict is not None:
            if not verdict:
                raise StanzaError("forbidden", "you may not subscribe here")
            return False
    affiliation = affiliation_of(node, who)
    if affiliation in _INSIDE:
        return False
    model = node.config.access_model
    if affiliation == "none" and model == "authorize":
        return True
    if affiliation == "none" and (model == "open" or await _related(node, who)):
        return False
    _refuse(node, who, retrieving=False)
    return False


def sees(node: Node, who: Jid) -> bool:
    """Whether the node stands in lists for somebody, and tells what it is."""
    gate = node.service.gate
    if gate is not None:
        verdict = gate.may(node.name, "see", who)
        if verdict is not None:
            return verdict
    affiliation = affiliation_of(node, who)
    if affiliation == "outcast":
        return False
    return affiliation != "none" or node.config.access_model != "whitelist" or node.is_subscribed(who)


def receives_at_once(node: Node, who: Jid) -> bool | None:
    """Whether somebody may learn of items; None where an owner's contacts must be asked."""
    gate = node.service.gate
    if gate is not None:
        verdict = gate.may(node.name, "retrieve", who)
        if verdict is not None:
            return verdict
    affiliation = affiliation_of(node, who)
    if affiliation != "none":
        return affiliation in _INSIDE
    model = node.config.access_model
    if model == "open":
        return True
    if model == "authorize":
        return node.is_subscribed(who)
    return False if model == "whitelist" else None


async def receives(node: Node, who: Jid) -> bool:
    """Whether somebody may learn of items, by notification or by asking. Raises StoreUnavailable."""
    verdict = receives_at_once(node, who)
    return await _related(node, who) if verdict is None else verdict


async def _related(node: Node, who: Jid) -> bool:
    """Whether somebody is a contact of an owner as the access model wants it."""
    model = node.config.access_model
    if model == "presence":
        return await node.service.sees_presence(node, who)
    return model == "roster" and await node.service.in_groups(node, who, node.config.roster_groups_allowed)


def _refuse(node: Node, who: Jid, *, retrieving: bool) -> None:
    """Raise what the specification wants said (6.1.3, 6.5.9)."""
    affiliation = affiliation_of(node, who)
    model = node.config.access_model
    if affiliation != "none":
        raise StanzaError("forbidden", "you are not allowed to do that here")
    if model == "presence":
        raise refusal("not-authorized", "presence-subscription-required", "only who sees the owner's presence may")
    if model == "roster":
        raise refusal("not-authorized", "not-in-roster-group", "only some groups of the owner's contacts may")
    if model == "whitelist":
        raise refusal("not-allowed", "closed-node", "you are not on the list")
    if retrieving and model == "authorize":
        raise refusal("not-authorized", "not-subscribed", "only subscribers may read the items")
    raise StanzaError("forbidden", "you are not allowed to do that here")
