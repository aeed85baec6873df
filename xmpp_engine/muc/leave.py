"""Leaving a room: by oneself, by force, by a lost connection, and with the room itself (XEP-0045, 7.14, 8.2, 9.1,
10.9, 15.6)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.muc import affiliations, views
from xmpp_engine.observe.log import refused
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element

if TYPE_CHECKING:
    from xmpp_engine.muc.occupant import Client, Occupant
    from xmpp_engine.muc.room import Room

#: Errors that say that a client is not there any more ("Ghost users", 18.1.2).
_GONE: Final = frozenset(
    {
        "gone",
        "item-not-found",
        "jid-malformed",
        "recipient-unavailable",
        "redirect",
        "remote-server-not-found",
        "remote-server-timeout",
        "service-unavailable",
    }
)


def part(room: Room, occupant: Occupant, client: Client, children: tuple[Element, ...], id: str | None = None) -> None:
    """One client leaves. The occupant stays while others share the nickname."""
    told = (110,)
    room.replica.left(occupant, (client,), (), None, children)
    if len(occupant.clients) > 1:
        drop(room, occupant, client)
        room.send_if_bound(client, views.absent(room, occupant, client, told, None, children, id=id))
        rest(room, occupant)
        return
    take_out(room, occupant)
    if room.locked and not room.occupants:
        # 10.1.3: a room that was never configured goes with its owner.
        room.gone = True
        room.send_if_bound(client, _ended(occupant, "", "", "", id))
        room.service.destroyed(room)
        return
    tell(room, occupant, (), None, children)
    room.send_if_bound(client, views.absent(room, occupant, client, told, None, children, id=id))


def take_out(room: Room, occupant: Occupant) -> None:
    """Nobody is there under this nickname any more; nobody is told."""
    room.unseat(occupant)
    if room.occupants.get(occupant.nick) is occupant:
        del room.occupants[occupant.nick]
    for full in occupant.clients:
        room.users.pop(full, None)


def expel(
    room: Room,
    occupant: Occupant,
    codes: Iterable[int],
    reason: str,
    actor: Jid | None,
    *,
    affiliation: bool = False,
    everywhere: bool = True,
) -> None:
    """Remove an occupant with all its clients; everybody sees the status codes. `affiliation` is whether he goes
    because his has changed. Clients that other nodes serve are removed there, unless these know already (not
    `everywhere`)."""
    if room.occupants.get(occupant.nick) is not occupant:
        return
    codes = tuple(codes)
    away = [client for client in occupant.clients.values() if client.node] if room.nodes else ()
    if away:
        if everywhere:
            room.replica.ask_expel(away, codes, reason, actor, affiliation=affiliation)
        if len(away) == len(occupant.clients):
            return
    change = views.change_by(room, actor, reason, affiliation=affiliation)
    here = [client for client in occupant.clients.values() if not client.node]
    room.replica.left(occupant, here, codes, change)
    gone = views.absent(room, occupant, occupant.shown, (110, *codes), change)
    if away:
        for client in here:
            drop(room, occupant, client)
            room.send(client, gone)
        rest(room, occupant)
        return
    take_out(room, occupant)
    tell(room, occupant, codes, change)
    room.send(occupant, gone)


def failed(room: Room, occupant: Occupant, stanza: Stanza) -> bool:
    """An error came back from a client. Where it says that the client is not there, the client goes (status 333).
    Returns whether it went."""
    error = stanza.element.find(ns.CLIENT, "error")
    condition = next((child.name for child in error.elements() if child.ns == ns.STANZA_ERRORS), "") if error else ""
    if condition not in _GONE:
        return False
    client = occupant.clients[stanza.sender.full]
    if stanza.origin is None and client.session is not None and not client.session.ended:
        # It is bound here and did not say so itself: a hook refused one stanza (a block list), and that is all.
        return False
    refused.info("%s leaves %s: its client answers %s", stanza.sender, room.jid, condition)
    lose(room, occupant, client)
    return True


def lose(room: Room, occupant: Occupant, client: Client) -> None:
    """A client is gone without a word (333)."""
    if len(occupant.clients) > 1:
        room.replica.left(occupant, (client,), (333,))
        drop(room, occupant, client)
        room.send(client, views.absent(room, occupant, client, (110, 333)))
        rest(room, occupant)
    else:
        expel(room, occupant, (333,), "", None)


def close(room: Room) -> None:
    """Everybody leaves as the service goes (11.2), each told by his own presence only: nobody is left to be told of the
    others."""
    for occupant in list(room.occupants.values()):
        room.replica.left(occupant, occupant.clients.values(), (332,))
        take_out(room, occupant)
        for client in occupant.clients.values():
            room.send_if_bound(client, views.absent(room, occupant, client, (110, 332)))


def destroy(room: Room, reason: str, alternate: str, password: str) -> None:
    """Everybody leaves, each told by his own presence only, and the room is gone."""
    if room.gone:
        return
    room.replica.destroyed(reason, alternate, password)
    end(room, reason, alternate, password)


def end(room: Room, reason: str, alternate: str, password: str) -> None:
    """The room was destroyed, here or by another node: those who are served here are told."""
    room.gone = True
    for occupant in list(room.occupants.values()):
        take_out(room, occupant)
        room.send(occupant, _ended(occupant, reason, alternate, password))
    room.service.destroyed(room)


def _ended(occupant: Occupant, reason: str, alternate: str, password: str, id: str | None = None) -> Stanza:
    """The presence that tells an occupant that the room is gone."""
    attrs = {"type": "unavailable"}
    if id is not None:
        attrs["id"] = id
    element = Element(ns.CLIENT, "presence", attrs)
    x = element.add(ns.MUC_USER, "x")
    x.add(ns.MUC_USER, "item", {"affiliation": "none", "role": "none"})
    gone = x.add(ns.MUC_USER, "destroy", {"jid": alternate} if alternate else None)
    if reason:
        gone.add(ns.MUC_USER, "reason", text=reason)
    if password:
        gone.add(ns.MUC_USER, "password", text=password)
    x.children.extend(views.status((110,)))
    return Stanza(element, None, occupant.jid, "unavailable")


def drop(room: Room, occupant: Occupant, client: Client) -> None:
    """One of several clients of an occupant is gone; nobody is told."""
    full = client.jid.full
    del occupant.clients[full]
    room.users.pop(full, None)
    room.unseat_client(full)


def rest(room: Room, occupant: Occupant) -> None:
    """An occupant is there with fewer clients than before."""
    if occupant.choose():
        occupant.changed()
        room.show(occupant)
    affiliations.follow_lead(room, occupant)


def tell(
    room: Room,
    occupant: Occupant,
    codes: tuple[int, ...],
    change: views.Change | None,
    children: tuple[Element, ...] = (),
) -> None:
    """The others learn that he is gone, if they knew that he was there."""
    if not occupant.visible:
        return
    for pairs, client in ((room.seeing, occupant.shown), (room.blind, None)):
        if pairs:
            room.fan(tuple(pairs.values()), views.absent(room, occupant, client, codes, change, children))
