"""Administrators' commands on rooms: what they ask of a service, what they show, and what they refuse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from xmpp_engine.admin import live
from xmpp_engine.admin.command import CommandError, render
from xmpp_engine.admin.rooms import registry
from xmpp_engine.plugin.room_administration import OccupantFacts, RoomDetails, RoomFacts
from xmpp_engine.stanza.forms import Field
from xmpp_engine.storage.protocols import StoreUnavailable
from xmpp_engine.storage.rooms import PersonRoom, RoomAffiliation
from xmpp_engine.xml.errors import StanzaError

DAY = 86_400.0
NOW = 1_700_000_000.0
HALL = RoomFacts("hall", "The Hall", 2, 3, True, True, NOW - 10 * DAY)
FORM = (
    Field("muc#roomconfig_roomname", "text-single", "Name", ("The Hall",)),
    Field("muc#roomconfig_membersonly", "boolean", "Only members", ("0",)),
    Field("muc#roomconfig_presencebroadcast", "list-multi", "Shown", ("moderator",), (("moderator", "Moderators"),)),
    Field("muc#maxhistoryfetch", "text-single", "History", ("20",)),
)


class Service:
    """A service that notes what it is asked."""

    def __init__(self, *rooms: RoomFacts) -> None:
        self.found = {facts.local: facts for facts in rooms}
        self.asked: list[tuple[Any, ...]] = []
        self.trouble: Exception | None = None

    def _room(self, local: str) -> RoomFacts:
        if self.trouble is not None:
            raise self.trouble
        if local not in self.found:
            raise StanzaError("item-not-found")
        return self.found[local]

    async def rooms(self) -> list[RoomFacts]:
        return list(self.found.values())

    async def details(self, local: str) -> RoomDetails:
        facts = self._room(local)
        return RoomDetails(facts, 7, "Big", "Dinner", "Anna", NOW, 0.0, "anna@x.example", False, True, False)

    async def form(self, local: str) -> Sequence[Field]:
        self._room(local)
        return FORM

    async def new_form(self) -> Sequence[Field]:
        return FORM

    async def configure(self, local: str, values: Mapping[str, Sequence[str]]) -> None:
        self.asked.append(("configure", local, dict(values)))
        if values.get("muc#maxhistoryfetch") == ["many"]:
            raise ValueError("History: a number is expected")

    async def create(self, local: str, owner: str, values: Mapping[str, Sequence[str]]) -> None:
        if local in self.found:
            raise StanzaError("conflict")
        self.asked.append(("create", local, owner, dict(values)))

    async def destroy(self, local: str, reason: str, alternate: str) -> None:
        self._room(local)
        self.asked.append(("destroy", local, reason, alternate))

    async def occupants(self, local: str) -> list[OccupantFacts]:
        self._room(local)
        return [
            OccupantFacts("zoe", ("zoe@x.example/a", "zoe@x.example/b"), "visitor", "none"),
            OccupantFacts("Anna", ("anna@x.example/a",), "moderator", "owner"),
        ]

    async def affiliations(self, local: str) -> list[RoomAffiliation]:
        self._room(local)
        return [RoomAffiliation("evil.example", "outcast", reason="spam"), RoomAffiliation("anna@x.example", "owner")]

    async def affiliate(self, local: str, jid: str, affiliation: str, reason: str) -> None:
        if affiliation == "none":
            raise StanzaError("conflict", "the last owner cannot go")
        self.asked.append(("affiliate", local, jid, affiliation, reason))

    async def set_role(self, local: str, nick: str, role: str, reason: str) -> bool:
        self.asked.append(("role", local, nick, role, reason))
        return nick == "zoe"

    async def set_subject(self, local: str, subject: str) -> None:
        self.asked.append(("subject", local, subject))

    async def clear_history(self, local: str) -> int:
        self._room(local)
        return 12

    async def approve(self, local: str) -> bool:
        return self._room(local).waits

    async def idle(self, before: float) -> list[RoomFacts]:
        return [facts for facts in self.found.values() if facts.last_activity < before and not facts.occupants]

    async def remove_idle(self, local: str, before: float, reason: str) -> bool:
        if self.found[local].occupants:
            return False
        self.asked.append(("destroy", local, reason))
        return True


class Node:
    """What the commands use of an engine."""

    def __init__(self, **services: Service) -> None:
        self.services = {f"{name}.x.example": service for name, service in services.items()}

    def room_services(self) -> Mapping[str, Any]:
        return self.services

    async def rooms_of(self, bare: str) -> list[PersonRoom]:
        return [PersonRoom(7, "talk.x.example", "hall", "owner", "Anna")] if bare == "anna@x.example" else []

    def now(self) -> float:
        return NOW


@pytest.fixture
def service() -> Service:
    """One room with people, one that is idle, one that waits."""
    return Service(
        HALL,
        RoomFacts("attic", "", 0, 1, True, True, NOW - 400 * DAY),
        RoomFacts("new", "New", 1, 1, False, False, NOW, waits=True),
    )


@pytest.fixture
def node(service: Service) -> Node:
    """A node with two services."""
    return Node(talk=service, other=Service(replace(HALL, local="elsewhere", occupants=9)))


async def run(node: Node, name: str, **arguments: str) -> Any:
    """Run a command as front ends do."""
    command = registry.get(name)
    return await command.function(node, **command.bind(arguments))


def test_the_node_serves_them() -> None:
    for command in registry:
        assert live.registry.get(command.name) is command
        assert command.where == "node"
    changing = {command.name for command in registry if command.permission == "manage"}
    assert "room destroy" in changing
    assert "room config" in changing, "a room's password is part of it"
    assert "room list" not in changing


async def test_lists_are_searched_and_sorted(node: Node) -> None:
    async def names(**arguments: str) -> list[str]:
        return [row["room"].partition("@")[0] for row in await run(node, "room list", **arguments)]

    assert await names() == ["attic", "elsewhere", "hall", "new"]
    assert await names(sort="activity") == ["new", "elsewhere", "hall", "attic"]
    assert await names(sort="occupants") == ["elsewhere", "hall", "new", "attic"]
    assert await names(service="talk.x.example") == ["attic", "hall", "new"]
    assert await names(search="THE hall") == ["elsewhere", "hall"]
    assert await names(search="talk.x") == ["attic", "hall", "new"]
    with pytest.raises(CommandError, match="talk"):
        await names(service="nowhere.example")
    with pytest.raises(CommandError, match="activity"):
        await names(sort="age")
    assert "The Hall" in render(await run(node, "room list"))


async def test_a_page_is_a_part_with_the_total(node: Node) -> None:
    found = await run(node, "room page", start="1", limit="2")
    assert [row["room"] for row in found["rooms"]] == ["elsewhere@other.x.example", "hall@talk.x.example"]
    assert (found["total"], found["waiting"]) == (4, 1)
    assert found["services"] == ["other.x.example", "talk.x.example"]
    for wrong in ({"limit": "501"}, {"limit": "-1"}, {"start": "x"}, {"start": "٣"}):
        with pytest.raises(CommandError):
            await run(node, "room page", **wrong)


async def test_a_room_is_shown(node: Node) -> None:
    shown = await run(node, "room show", room="Hall@talk.x.example")
    assert shown["room"] == "hall@talk.x.example"
    assert shown["subject_since"] == "2023-11-14T22:13:20Z"
    assert shown["created"] == ""
    rows = await run(node, "room occupants", room="hall@talk.x.example")
    assert [row["nick"] for row in rows] == ["Anna", "zoe"]
    assert rows[1]["jids"] == ["zoe@x.example/a", "zoe@x.example/b"]
    rows = await run(node, "room affiliations", room="hall@talk.x.example")
    assert [row["affiliation"] for row in rows] == ["owner", "outcast"]
    fields = await run(node, "room config", room="hall@talk.x.example")
    assert fields[2]["options"] == [["moderator", "Moderators"]]
    assert await run(node, "room of", jid="anna@x.example") == [
        {"room": "hall@talk.x.example", "affiliation": "owner", "nick": "Anna"}
    ]


@pytest.mark.parametrize("room", ["", "hall", "talk.x.example", "hall@talk.x.example/zoe", "@talk.x.example", "hall@"])
async def test_what_is_no_room_is_said(node: Node, room: str) -> None:
    for name in ("room show", "room occupants", "room clear-history", "room destroy"):
        with pytest.raises(CommandError):
            await run(node, name, room=room)


async def test_troubles_become_sentences(node: Node, service: Service) -> None:
    with pytest.raises(CommandError, match="no such room"):
        await run(node, "room show", room="none@talk.x.example")
    with pytest.raises(CommandError, match="last owner"):
        await run(node, "room affiliate", room="hall@talk.x.example", jid="anna@x.example", affiliation="none")
    service.trouble = StoreUnavailable("gone")
    with pytest.raises(CommandError, match="database"):
        await run(node, "room show", room="hall@talk.x.example")


async def test_a_room_is_made_with_options(node: Node, service: Service) -> None:
    await run(
        node,
        "room create",
        room="cellar@talk.x.example",
        owner="Anna@x.example",
        options="roomname=Cel=lar;membersonly=yes",
    )
    await run(node, "room create", room="roof@talk.x.example", owner="anna@x.example", options='{"membersonly": false}')
    assert service.asked == [
        (
            "create",
            "cellar",
            "anna@x.example",
            {"muc#roomconfig_roomname": ["Cel=lar"], "muc#roomconfig_membersonly": ["1"]},
        ),
        ("create", "roof", "anna@x.example", {"muc#roomconfig_membersonly": ["0"]}),
    ]
    with pytest.raises(CommandError, match="already"):
        await run(node, "room create", room="hall@talk.x.example", owner="anna@x.example")
    for wrong in ("colour=red", "roomname", '{"roomname": {}}', '{"roomname": null}', "{", "[" * 100_000, "{" * 9_000):
        with pytest.raises(CommandError):
            await run(node, "room create", room="x@talk.x.example", owner="anna@x.example", options=wrong)
    for owner in ("x.example", "anna@x.example/a", "@", ""):
        with pytest.raises(CommandError):
            await run(node, "room create", room="x@talk.x.example", owner=owner)


async def test_options_are_set_by_short_and_long_names(node: Node, service: Service) -> None:
    hall = "hall@talk.x.example"
    await run(node, "room set", room=hall, key="membersonly", value="yes")
    await run(node, "room set", room=hall, key="muc#roomconfig_presencebroadcast", value="moderator, visitor")
    await run(node, "room set", room=hall, key="maxhistoryfetch", value="5")
    await run(node, "room configure", room=hall, values='{"roomname": "A, B", "presencebroadcast": ["visitor"]}')
    assert [asked[2] for asked in service.asked] == [
        {"muc#roomconfig_membersonly": ["1"]},
        {"muc#roomconfig_presencebroadcast": ["moderator", "visitor"]},
        {"muc#maxhistoryfetch": ["5"]},
        {"muc#roomconfig_roomname": ["A, B"], "muc#roomconfig_presencebroadcast": ["visitor"]},
    ]
    with pytest.raises(CommandError, match="roomname"):
        await run(node, "room set", room=hall, key="colour", value="red")
    with pytest.raises(ValueError, match="number"):
        await run(node, "room set", room=hall, key="maxhistoryfetch", value="many")


async def test_changes_reach_the_service(node: Node, service: Service) -> None:
    hall = "hall@talk.x.example"
    await run(node, "room affiliate", room=hall, jid="Evil.example", affiliation="outcast", reason="spam")
    await run(node, "room kick", room=hall, nick="zoe", reason="enough")
    await run(node, "room role", room=hall, nick="zoe", role="participant")
    await run(node, "room subject", room=hall, subject="Lunch")
    await run(node, "room destroy", room=hall, reason="moved", alternate="Attic@talk.x.example")
    assert (await run(node, "room clear-history", room=hall))["removed"] == 12
    assert service.asked == [
        ("affiliate", "hall", "evil.example", "outcast", "spam"),
        ("role", "hall", "zoe", "none", "enough"),
        ("role", "hall", "zoe", "participant", ""),
        ("subject", "hall", "Lunch"),
        ("destroy", "hall", "moved", "attic@talk.x.example"),
    ]
    with pytest.raises(CommandError, match="Nobody"):
        await run(node, "room kick", room=hall, nick="nobody")
    for alternate in (hall, "attic", "attic@talk.x.example/nick"):
        with pytest.raises(CommandError, match="another room"):
            await run(node, "room destroy", room=hall, alternate=alternate)
    with pytest.raises(CommandError, match="affiliation"):
        await run(node, "room affiliate", room=hall, jid="x@x.example", affiliation="king")
    with pytest.raises(CommandError, match="role"):
        await run(node, "room role", room=hall, nick="zoe", role="king")


async def test_only_rooms_that_wait_are_approved(node: Node) -> None:
    assert (await run(node, "room approve", room="new@talk.x.example"))["approved"]
    with pytest.raises(CommandError, match="does not wait"):
        await run(node, "room approve", room="hall@talk.x.example")


async def test_idle_rooms_are_only_reported_unless_asked(node: Node, service: Service) -> None:
    service.found["old"] = RoomFacts("old", "", 0, 0, True, True, 0.0)
    report = await run(node, "room idle", days="30")
    assert [row["room"] for row in report] == ["attic@talk.x.example", "old@talk.x.example"]
    assert service.asked == []
    kept = await run(node, "room idle", days="30", exclude="old@talk.x.example", remove="yes")
    assert kept == [
        {"room": "attic@talk.x.example", "name": "", "last_activity": report[0]["last_activity"], "removed": True}
    ]
    assert service.asked == [("destroy", "attic", "the room was not used")]
    service.asked.clear()
    await run(node, "room idle", days="30", only="old@talk.x.example hall@talk.x.example", remove="yes")
    assert service.asked == [("destroy", "old", "the room was not used")]
    for wrong in ({"days": "0"}, {"days": "x"}, {"days": "30", "remove": "maybe"}, {"days": "30", "exclude": "old"}):
        with pytest.raises(CommandError):
            await run(node, "room idle", **wrong)


async def test_a_room_that_comes_to_life_is_not_removed(node: Node, service: Service) -> None:
    facts = service.found["attic"]

    async def idle(before: float) -> list[RoomFacts]:
        service.found["attic"] = replace(facts, occupants=1)
        return [facts]

    service.idle = idle  # type: ignore[method-assign]
    assert [row["removed"] for row in await run(node, "room idle", days="30", remove="yes")] == [False]
    assert service.asked == []
