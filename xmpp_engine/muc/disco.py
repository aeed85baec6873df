"""Service discovery of chat services and rooms (XEP-0045, 6; XEP-0030, XEP-0059, XEP-0128)."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.plugin.table import Target
from xmpp_engine.routing.iq import IqContext
from xmpp_engine.stanza import forms, rsm
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError

if TYPE_CHECKING:
    from xmpp_engine.muc.room import Room
    from xmpp_engine.muc.service import RoomService

ROOMINFO: Final = "http://jabber.org/protocol/muc#roominfo"
#: Node by which a client learns its registered nickname (7.12), which namespaces a room lets through (6.6), and which
#: rooms a client is in (6.7, no business of the service).
NICK_NODE: Final = "x-roomuser-item"
TRAFFIC_NODE: Final = "http://jabber.org/protocol/muc#traffic"
_SELF_PING: Final = "http://jabber.org/protocol/muc#self-ping-optimization"
_STABLE_ID: Final = "http://jabber.org/protocol/muc#stable_id"
_PAGE: Final = 1_000


def service_info(iq: Stanza, context: IqContext) -> Element:
    """disco#info of the service."""
    service: RoomService = context.room
    node = _node_of(iq)
    if node:
        return _node("info", Target.SERVICE, node, iq, context)
    query = Element(ns.DISCO_INFO, "query")
    query.add(ns.DISCO_INFO, "identity", {"category": "conference", "type": "text", "name": service.options.name})
    features = {ns.DISCO_INFO, ns.DISCO_ITEMS, ns.MUC, ns.RSM, ns.PING, ns.OCCUPANT_ID, _STABLE_ID}
    features.update(service.host.table.features.get(Target.SERVICE, ()))
    _features(query, features)
    for extra in service.host.table.disco_extras:
        element = extra(Target.SERVICE)
        if element is not None:
            query.append(element)
    return query


def service_items(iq: Stanza, context: IqContext) -> Element:
    """The public rooms, in the order of their local parts, a page at a time."""
    service: RoomService = context.room
    request = iq.element.first()
    assert request is not None
    node = _node_of(iq)
    if node:
        return _node("items", Target.SERVICE, node, iq, context)
    names = sorted(local for local in service.directory if visible(service, local, iq))
    page = rsm.parse(request)
    size = _PAGE if page.max is None else min(page.max, _PAGE)
    start = 0
    if page.index is not None:
        start = min(page.index, len(names))
    elif page.after is not None:
        start = bisect_right(names, _local(page.after))
    elif page.before is not None:
        end = bisect_left(names, _local(page.before)) if page.before else len(names)
        start, size = max(0, end - size), min(size, end)
    chosen = names[start : start + size]
    query = Element(ns.DISCO_ITEMS, "query")
    for local in chosen:
        listing = service.directory[local]
        query.add(ns.DISCO_ITEMS, "item", {"jid": f"{local}@{service.domain}", "name": listing.name or local})
    if request.find(ns.RSM, "set") is not None or len(chosen) < len(names):
        first, last = (f"{chosen[i]}@{service.domain}" if chosen else "" for i in (0, -1))
        query.append(rsm.answer(rsm.PageAnswer(first, last, len(names), start if chosen else None)))
    return query


def visible(service: RoomService, local: str, iq: Stanza) -> bool:
    """Whether a room shows in the list for who asks: it is public and ready, or he is inside."""
    room = service.rooms.get(local)
    if room is None:
        listing = service.directory[local]
        return listing.public and not service.hidden(listing)
    if iq.sender.full in room.users:
        return True
    return room.config.public and not room.locked and not service.quarantined(room)


def room_info(iq: Stanza, context: IqContext) -> Element:
    """disco#info of a room (6.4), or of its special nodes."""
    room: Room = context.room
    request = iq.element.first()
    node = request.get("node") if request is not None else None
    if node == NICK_NODE:
        return _reserved_nick(room, iq)
    if room.locked and room.affiliation_of(iq.sender) != "owner":
        raise StanzaError("item-not-found", "the room is not ready yet")
    if node == TRAFFIC_NODE:
        raise StanzaError("service-unavailable", "every namespace is let through")  # 18.1.1
    if node is not None:
        return _node("info", Target.ROOM, node, iq, context)
    query = Element(ns.DISCO_INFO, "query")
    query.add(ns.DISCO_INFO, "identity", {"category": "conference", "type": "text", "name": room.name})
    _features(query, room_features(room))
    query.append(forms.render("result", ROOMINFO, _info_fields(room, tells_all(room, iq.sender))))
    for parts in room.service.muc.info_parts.values():
        query.children.extend(parts(room))
    return query


def room_items(iq: Stanza, context: IqContext) -> Element:
    """The occupants (6.5), for those inside, and for others where the room is open to all. Nodes belong to other
    modules, as that of the commands (XEP-0050)."""
    room: Room = context.room
    node = _node_of(iq)
    if node:
        return _node("items", Target.ROOM, node, iq, context)
    query = Element(ns.DISCO_ITEMS, "query")
    if iq.sender.full in room.users or is_open(room):
        for occupant in room.occupants.values():
            if room.shows(occupant):
                query.add(ns.DISCO_ITEMS, "item", {"jid": occupant.jid.full, "name": occupant.nick})
    return query


def room_features(room: Room) -> set[str]:
    """The features of a room by its configuration (15.3)."""
    config = room.config
    features = {ns.DISCO_INFO, ns.DISCO_ITEMS, ns.MUC, ns.OCCUPANT_ID, ns.STANZA_ID, _SELF_PING, _STABLE_ID}
    features.update(room.service.host.table.features.get(Target.ROOM, ()))
    features.add("muc_public" if config.public and not room.service.quarantined(room) else "muc_hidden")
    features.add("muc_membersonly" if config.members_only else "muc_open")
    features.add("muc_moderated" if config.moderated else "muc_unmoderated")
    features.add("muc_nonanonymous" if config.whois == "anyone" else "muc_semianonymous")
    features.add("muc_passwordprotected" if config.secret else "muc_unsecured")
    features.add("muc_persistent" if config.persistent else "muc_temporary")
    for more in room.service.muc.room_features.values():
        features.update(more(room))
    return features


def is_open(room: Room) -> bool:
    """Whether everybody may find and enter the room."""
    config = room.config
    return config.public and not config.members_only and not config.secret and not room.locked


def tells_all(room: Room, asker: Jid) -> bool:
    """Whether a room tells who asks what is talked about (14.4): who is inside or belongs to it, and everybody where it
    is open to all."""
    return is_open(room) or asker.full in room.users or room.affiliation_of(asker) in ("owner", "admin", "member")


def _info_fields(room: Room, all_of_it: bool) -> list[forms.Field]:
    config, record = room.config, room.record
    field = forms.Field
    fields = [
        field("muc#maxhistoryfetch", label="Messages of history", values=(str(config.history),)),
        field("muc#roominfo_description", label="Description", values=(config.description,)),
        field("muc#roominfo_occupants", label="Occupants", values=(str(len(room.occupants)),)),
        field("muc#roominfo_subject", label="Subject", values=(record.subject if all_of_it else "",)),
        field(
            "muc#roominfo_subjectmod",
            "boolean",
            "Occupants may change the subject",
            ("1" if config.change_subject else "0",),
        ),
        field(
            "muc#roominfo_changesubject",
            "boolean",
            "Occupants may change the subject",
            ("1" if config.change_subject else "0",),
        ),
        field("muc#roominfo_lang", label="Language", values=(config.lang,)),
        # What of the configuration clients offer or hide by (6.4).
        field("muc#roomconfig_changesubject", "boolean", values=("1" if config.change_subject else "0",)),
        field("muc#roomconfig_allowinvites", "boolean", values=("1" if config.member_invites else "0",)),
        field("muc#roomconfig_allowpm", "list-single", values=(config.private_messages,)),
    ]
    if config.contacts:
        fields.append(field("muc#roominfo_contactjid", "jid-multi", "Contact addresses", config.contacts))
    if config.pubsub:
        fields.append(field("muc#roominfo_pubsub", label="Publish-subscribe node", values=(config.pubsub,)))
    if room.logged:
        fields.append(field("muc#roominfo_logs", label="Archive", values=(f"xmpp:{room.jid.full}",)))
    for more in room.service.muc.info_fields.values():
        fields.extend(more(room))
    return fields


def _reserved_nick(room: Room, iq: Stanza) -> Element:
    """7.12: the nickname that is registered for who asks, an empty answer where there is none."""
    query = Element(ns.DISCO_INFO, "query", {"node": NICK_NODE})
    entry = room.record.affiliations.get(iq.sender.bare)
    if entry is not None and entry.nick:
        query.add(ns.DISCO_INFO, "identity", {"category": "conference", "type": "text", "name": entry.nick})
    return query


def _features(query: Element, features: Iterable[str]) -> None:
    for feature in sorted(features):
        query.add(ns.DISCO_INFO, "feature", {"var": feature})


def _node_of(iq: Stanza) -> str:
    request = iq.element.first()
    return (request.get("node") or "") if request is not None else ""


def _node(kind: str, target: Target, node: str, iq: Stanza, context: IqContext) -> Element:
    """What another module says of a node; raises `item-not-found` where none knows it."""
    disco: Any = context.host.modules["disco"]
    answer: Element = disco.node(kind, target, node, iq, context)
    return answer


def _local(item: str) -> str:
    return item.partition("@")[0]
