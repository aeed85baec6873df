"""What tests of rooms on several nodes begin with: a room that is open, with people of several nodes inside."""

from __future__ import annotations

from typing import Any

from tests.cluster_story import ClusterStory, forget
from tests.engine.muc.inside import MODULES, SERVICE, enter
from xmpp_engine.muc.room import Room
from xmpp_engine.muc.service import RoomService
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element

MORE = (
    *MODULES,
    "xmpp_engine.modules.adhoc.AdHoc",
    "xmpp_engine.muc.admin.RoomAdmin",
    "xmpp_engine.muc.owner.RoomOwner",
    "xmpp_engine.muc.invite.RoomInvitations",
    "xmpp_engine.muc.registration.RoomRegistration",
    "xmpp_engine.muc.moderation.RoomModeration",
    "xmpp_engine.muc.hats.RoomHats",
    "xmpp_engine.muc.avatar.RoomAvatar",
    "xmpp_engine.muc.activity.RoomActivity",
    "xmpp_engine.muc.search.RoomSearch",
)


async def start(cluster: ClusterStory, nodes: int = 2, **options: Any) -> None:
    """Nodes with one chat service of these options."""
    await cluster.begin(nodes, modules=MORE, options={"muc": {"services": {"conference": options}}})


async def hall(cluster: ClusterStory, *people: str, options: dict[str, Any] | None = None, **config: Any) -> list[Any]:
    """A room of alice, who is on node n1, with these people (`name node`) inside; inboxes are empty."""
    places = {person.partition(" ")[2] or "n1" for person in people} | {"n2"}
    await start(cluster, max(int(place[1:]) for place in places), **(options or {}))
    clients = await cluster("alice n1", *people)
    clients = clients if isinstance(clients, list) else [clients]
    clients[0].send(enter("alice"))
    await cluster.world.settle()
    room = room_on(cluster, "n1")
    assert room is not None
    room.reconfigure(room.with_config(**config))
    for client, person in zip(clients[1:], people, strict=True):
        client.send(enter(person.partition(" ")[0]))
        await cluster.world.settle()
    await quiet(cluster, *clients)
    return clients


async def quiet(cluster: ClusterStory, *clients: Any) -> None:
    """Let everything arrive, and forget it."""
    await cluster.world.settle()
    forget(*clients)


def service_on(cluster: ClusterStory, node: str) -> RoomService:
    """The chat service of a node."""
    service: RoomService = cluster.world.nodes[node].module("muc").chat[SERVICE]
    return service


def room_on(cluster: ClusterStory, node: str, name: str = "hall") -> Room | None:
    """The room on a node, None where it is not in memory there."""
    return service_on(cluster, node).rooms.get(name)


def the_room(cluster: ClusterStory, node: str) -> Room:
    """The room on a node, which has it."""
    room = room_on(cluster, node)
    assert room is not None, f"{node} does not have the room"
    return room


def state(room: Room) -> dict[str, Any]:
    """What all replicas of a room agree on."""
    entries = room.record.affiliations.values()
    return {
        "occupants": {
            nick: (one.user.bare, one.role, one.affiliation, sorted(one.clients), one.shown.jid.full)
            for nick, one in room.occupants.items()
        },
        "children": {full: [child.name for child in o.clients[full].children] for full, o in room.users.items()},
        "ids": {nick: one.id for nick, one in room.occupants.items()},
        "approved": room.record.approved,
        "config": room.config,
        "locked": room.locked,
        "subject": (room.record.subject, room.record.subject_nick, room.record.subject_time),
        "lists": {entry.jid: (entry.affiliation, entry.nick) for entry in entries if entry.affiliation != "none"},
        "extras": room.record.extras,
        "number": room.record.number,
        "reserved": dict(room.reserved),
    }


def agree(cluster: ClusterStory, *nodes: str) -> dict[str, Any]:
    """Assert that the replicas of these nodes say the same; returns what."""
    found = {node: state(the_room(cluster, node)) for node in nodes}
    first = found[nodes[0]]
    for node in nodes[1:]:
        assert found[node] == first, f"{node} differs from {nodes[0]}"
    return first


def seen(inbox: Any) -> list[tuple[str, str]]:
    """(nickname, role or "gone") of the presences."""
    found = []
    for stanza in inbox:
        x = stanza.find(ns.MUC_USER, "x")
        if stanza.name == "presence" and x is not None:
            gone = stanza.get("type") == "unavailable"
            nick = stanza.get("from").partition("/")[2]
            found.append((nick, "gone" if gone else x.find(ns.MUC_USER, "item").get("role")))
    return found


def codes(stanza: Element) -> set[str]:
    """The status codes of a presence."""
    x = stanza.find(ns.MUC_USER, "x")
    return {status.attrs["code"] for status in x.find_all(ns.MUC_USER, "status")} if x is not None else set()


def posted(cluster: ClusterStory, node: str) -> int:
    """How many records a node has sent to others."""
    peers = cluster.world.nodes[node].engine.cluster.describe()["peers"]  # type: ignore[union-attr]
    return sum(peer["records_out"] for peer in peers)
