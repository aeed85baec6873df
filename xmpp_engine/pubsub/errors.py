"""Errors with the conditions that XEP-0060 defines beside those of RFC 6120 (its section 13.2 lists them)."""

from __future__ import annotations

from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError


def refusal(condition: str, child: str, text: str = "", *, type: str | None = None) -> StanzaError:
    """An error with a child of publish-subscribe; to be raised by the caller."""
    return StanzaError(condition, text, type=type, app=Element(ns.PUBSUB_ERRORS, child))


def unsupported(feature: str, text: str = "") -> StanzaError:
    """What this service or this node cannot do; `feature` is its name without the namespace."""
    app = Element(ns.PUBSUB_ERRORS, "unsupported", {"feature": feature})
    return StanzaError("feature-not-implemented", text, app=app)


def no_node() -> StanzaError:
    """There is no node of this name."""
    return StanzaError("item-not-found", "there is no such node")


def node_required() -> StanzaError:
    """The request names no node."""
    return refusal("bad-request", "nodeid-required", "the request names no node")


def moved(uri: str) -> StanzaError:
    """The node is somewhere else for good (6.1.3.11)."""
    return StanzaError("gone", "the node has moved", value=uri)
