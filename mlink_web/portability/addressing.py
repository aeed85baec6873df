"""Puts addresses inside of elements right as they are here."""

from __future__ import annotations

from mlink_web.portability.mapping import Addresses
from xmpp_engine.api import Element, JidError, ns


def readdress(message: Element, addresses: Addresses, *, to: str = "", sender: str = "") -> bool:
    """Put the addresses of a message right as they are here; `to` and `sender` stand in for missing ones. False where
    one is no address."""
    try:
        message.attrs["from"] = addresses.jid(message.get("from") or sender).full
        message.attrs["to"] = addresses.jid(message.get("to") or to).full
    except JidError:
        return False
    for space, name, attribute in ((ns.STANZA_ID, "stanza-id", "by"), (ns.DELAY, "delay", "from")):
        for child in message.find_all(space, name):
            given = child.get(attribute)
            if given:
                child.attrs[attribute] = addresses.text(given)
    return True


def rename_bookmarks(storage: Element, addresses: Addresses) -> None:
    """Put the addresses of rooms right in bookmarks of the old form (XEP-0048); other elements stay."""
    if storage.ns == ns.BOOKMARKS_1:
        for conference in storage.find_all(ns.BOOKMARKS_1, "conference"):
            jid = conference.get("jid")
            if jid:
                conference.attrs["jid"] = addresses.text(jid)
