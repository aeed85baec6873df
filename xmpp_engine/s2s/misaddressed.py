"""Stanzas of other servers that a stream does not speak for, or whose addresses are wrong (RFC 6120, 4.9.3 and 8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.observe.log import refused
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError, StreamError

if TYPE_CHECKING:
    from xmpp_engine.s2s.peer_stream import PeerStream


def unproven(peer: PeerStream, sender: Jid, to: Jid) -> StreamError:
    """The error for a pair of domains that was not proven (RFC 6120, 4.9.3.12, 8.1.1.2 and 8.1.2.2)."""
    if not peer.receives:
        return peer.refuse("not-authorized", f"a stanza of {sender.domain} before it has proved anything", sender)
    if all(remote != sender.domain for remote, _local in peer.receives):
        return peer.refuse("invalid-from", f"this stream does not speak for {sender.domain}", sender)
    return peer.refuse("improper-addressing", f"{sender.domain} has not proved itself to {to.domain}", sender)


def malformed(peer: PeerStream, element: Element, error: StanzaError) -> None:
    """A stanza whose addresses, type or id are wrong: answered where it is known to whom; raises StreamError where it
    is not."""
    if not peer.receives:
        raise peer.refuse("not-authorized", "a stanza before anything was proved")
    try:
        sender = Jid.parse(element.attrs.get("from", ""))
    except ValueError:
        raise peer.refuse("improper-addressing", "a stanza without the address of its sender") from None
    local = next((local for remote, local in peer.receives if remote == sender.domain), None)
    if local is None:
        raise unproven(peer, sender, sender)
    if peer.acks is not None and peer.acks.taking:
        peer.acks.handled(0)
    refused.info("%s sent a malformed %s: %s", sender, element.name, error)
    peer.counters.count("stanza_errors_total", error.condition)
    if element.attrs.get("type") in ("error", "result"):
        return
    attrs = {"type": "error"}
    if "id" in element.attrs:
        attrs["id"] = element.attrs["id"]
    reply = Element(ns.CLIENT, element.name, attrs, error.element())
    peer.federation.send(Stanza(reply, sender, Jid("", local), "error"))
