"""After any sequence of actions every client's view of a room is the room's own.

Each client keeps its view from what it receives and from nothing else: who is there, with which role, affiliation and
real JID. Clients share nicknames, lose their connections in the midst of a broadcast, and the room changes its
configuration under them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.story import Client, World
from xmpp_engine.muc import affiliations
from xmpp_engine.muc.room import Room
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError, StreamError

MODULES = (
    "xmpp_engine.modules.disco.Disco",
    "xmpp_engine.modules.blocking.Blocking",
    "xmpp_engine.modules.roster.Roster",
    "xmpp_engine.modules.presence.Presence",
    "xmpp_engine.muc.module.Muc",
)
SERVICE = "conference.story.example"
ROOM = f"hall@{SERVICE}"
ACCOUNTS = ("ann", "ben", "cat", "dan")
RESOURCES = ("r1", "r2")
NICKS = ("a", "b", "c", "d", "e")
_SLICE = affiliations._SLICE
Seat = tuple[str, str]
SEATS = [(account, resource) for account in ACCOUNTS for resource in RESOURCES]
ENTER = f"<presence to='{ROOM}/{{}}'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
CONFIGS: list[dict[str, Any]] = [
    {"members_only": True},
    {"members_only": False},
    {"moderated": True},
    {"moderated": False},
    {"whois": "anyone"},
    {"whois": "moderators"},
    {"presence_of": ("moderator", "participant")},
    {"presence_of": ("moderator", "participant", "visitor")},
    {"persistent": True},
    {"persistent": False},
    {"change_nick": False},
    {"change_nick": True},
]


@dataclass
class Seen:
    """What a client knows of one occupant."""

    role: str
    affiliation: str
    jid: str | None


@dataclass
class View:
    """A client's view of the room: its own nickname, "" while it is outside, and who is there by nickname."""

    own: str = ""
    role: str = ""
    people: dict[str, Seen] = field(default_factory=dict)

    def read(self, stanza: Element) -> None:
        nick = stanza.attrs.get("from", "").partition("/")[2]
        user = stanza.find(ns.MUC_USER, "x")
        codes = {status.attrs["code"] for status in user.find_all(ns.MUC_USER, "status")} if user else set()
        if stanza.name == "message":
            if "173" in codes and self.people[self.own].role != "moderator":
                self.forget_jids()
        elif stanza.name != "presence" or stanza.attrs.get("type") == "error":
            return
        elif stanza.attrs.get("type") == "unavailable":
            self.people.pop(nick, None)
            if "110" in codes and "303" not in codes:
                self.own = self.role = ""
                self.people.clear()
        else:
            assert user is not None
            item = user.find(ns.MUC_USER, "item")
            assert item is not None
            self.people[nick] = Seen(item.attrs["role"], item.attrs["affiliation"], item.attrs.get("jid"))
            if "110" in codes:
                self.own, self.role = nick, item.attrs["role"]

    def forget_jids(self) -> None:
        for nick, seen in self.people.items():
            if nick != self.own:
                seen.jid = None


class Rooms(RuleBasedStateMachine):
    """Random actions; the invariant looks at every client after each."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clients: dict[Seat, Client] = {}
        self.views: dict[Seat, View] = {}

    def run(self, coroutine: Any) -> Any:
        return self.loop.run_until_complete(coroutine)

    def teardown(self) -> None:
        affiliations._SLICE = _SLICE  # type: ignore[misc]
        if hasattr(self, "world"):
            self.run(self.world.engine.stop())
        self.loop.close()

    @initialize(pace=st.sampled_from([1, _SLICE]))
    def begin(self, pace: int) -> None:
        """`pace`: presences that a change of configuration sends at once; 1 has everything happen in between."""
        affiliations._SLICE = pace  # type: ignore[misc]
        self.run(self._begin())

    async def _begin(self) -> None:
        self.world = World(modules=MODULES)
        await self.world.engine.start()
        for seat in SEATS:
            await self._login(seat)

    async def _login(self, seat: Seat) -> None:
        self.clients[seat] = await self.world.login(*seat)
        self.views[seat] = View()

    @property
    def room(self) -> Room | None:
        return self.world.module("muc").room(ROOM)

    async def _act(self, sent: list[tuple[Seat, str]], action: Callable[[Room], Any] | None, after: bool) -> None:
        """What clients send and what happens to the room, at the same moment."""
        if action is not None and not after:
            self._change(action)
        for seat, xml in sent:
            self.clients[seat].send(xml)
        if action is not None and after:
            self._change(action)
        await self.world.settle()
        room = self.room
        if room is not None and room.locked:
            room.unlock()

    def _change(self, action: Callable[[Room], Any]) -> None:
        room = self.room
        if room is not None:
            try:
                action(room)
            except StanzaError as error:
                if error.condition != "conflict":  # the last owner stays
                    raise

    def act(self, *sent: tuple[Seat, str], change: Callable[[Room], Any] | None = None, after: bool = False) -> None:
        self.run(self._act(list(sent), change, after))

    @rule(seat=st.sampled_from(SEATS), nick=st.sampled_from(NICKS))
    def join(self, seat: Seat, nick: str) -> None:
        self.act((seat, ENTER.format(nick)))

    @rule(seats=st.permutations(SEATS), nick=st.sampled_from(NICKS))
    def crowd(self, seats: list[Seat], nick: str) -> None:
        names = [nick if number % 2 else seat[0] for number, seat in enumerate(seats)]
        self.act(*((seat, ENTER.format(name)) for seat, name in zip(seats, names, strict=True)))

    @rule(seat=st.sampled_from(SEATS), nick=st.sampled_from(NICKS))
    def rename(self, seat: Seat, nick: str) -> None:
        self.act((seat, f"<presence to='{ROOM}/{nick}'/>"))

    @rule(seat=st.sampled_from(SEATS), show=st.sampled_from(["away", "xa", "chat"]))
    def status(self, seat: Seat, show: str) -> None:
        own = self.views[seat].own
        if own:
            self.act((seat, f"<presence to='{ROOM}/{own}'><show>{show}</show></presence>"))

    @rule(seat=st.sampled_from(SEATS))
    def part(self, seat: Seat) -> None:
        own = self.views[seat].own or "a"
        self.act((seat, f"<presence to='{ROOM}/{own}' type='unavailable'/>"))

    @rule(seat=st.sampled_from(SEATS), clean=st.booleans())
    def lose(self, seat: Seat, clean: bool) -> None:
        self.run(self.clients[seat].leaves(clean=clean))
        self.run(self._login(seat))

    @rule(
        seat=st.sampled_from(SEATS),
        other=st.sampled_from(SEATS),
        xml=st.sampled_from(
            [ENTER.format("a"), ENTER.format("b"), f"<presence to='{ROOM}/c'><show>xa</show></presence>"]
        ),
        role=st.sampled_from([None, "moderator", "visitor"]),
    )
    def ambush(self, seat: Seat, other: Seat, xml: str, role: Any) -> None:
        """The session of one ends while the room sends him what another one does, or what happens to another one."""
        client = self.clients[seat]
        write = client.wire.write

        def die(data: bytes) -> None:
            client.wire.write = write  # type: ignore[method-assign]
            client.session.kick(StreamError("resource-constraint"))

        def change(room: Room) -> None:
            occupant = room.users.get(self.clients[other].full)
            if occupant is not None:
                room.set_role(occupant, role)

        client.wire.write = die  # type: ignore[method-assign]
        if role is None:
            self.act((other, xml))
        else:
            self.act(change=change)
        client.wire.write = write  # type: ignore[method-assign]
        if client.session.ended:
            self.run(self._login(seat))

    @rule(seat=st.sampled_from(SEATS))
    def fail(self, seat: Seat) -> None:
        error = f"<error type='cancel'><gone xmlns='{ns.STANZA_ERRORS}'/></error>"
        self.act((seat, f"<message to='{ROOM}' type='error'>{error}</message>"))

    @rule(nick=st.sampled_from(NICKS), role=st.sampled_from(["moderator", "participant", "visitor", "none"]))
    def set_role(self, nick: str, role: Any) -> None:
        self.act(change=lambda room: nick in room.occupants and room.set_role(room.occupants[nick], role, "so"))

    @rule(
        account=st.sampled_from([*(f"{name}@story.example" for name in ACCOUNTS), "story.example"]),
        affiliation=st.sampled_from(["owner", "admin", "member", "member", "none", "none", "none", "outcast"]),
    )
    def set_affiliation(self, account: str, affiliation: Any) -> None:
        self.act(change=lambda room: room.set_affiliation(account, affiliation, "so"))

    @rule(values=st.sampled_from(CONFIGS))
    def configure(self, values: dict[str, Any]) -> None:
        self.act(change=lambda room: room.reconfigure(room.with_config(**values)))

    @rule(
        values=st.lists(st.sampled_from(CONFIGS), min_size=2, max_size=4),
        seats=st.lists(st.sampled_from(SEATS), max_size=3),
        nick=st.sampled_from(NICKS),
        kind=st.sampled_from(["", " type='unavailable'"]),
    )
    def configure_and_move(self, values: list[dict[str, Any]], seats: list[Seat], nick: str, kind: str) -> None:
        """Several changes, and people who move, before the first change is told to everybody."""

        def change(room: Room) -> None:
            for some in values:
                room.reconfigure(room.with_config(**some))

        self.act(*((seat, f"<presence to='{ROOM}/{nick}'{kind}/>") for seat in seats), change=change)

    @rule(
        values=st.sampled_from(CONFIGS), seat=st.sampled_from(SEATS), nick=st.sampled_from(NICKS), after=st.booleans()
    )
    def configure_while_joining(self, values: dict[str, Any], seat: Seat, nick: str, after: bool) -> None:
        change = lambda room: room.reconfigure(room.with_config(**values))  # noqa: E731
        self.act((seat, ENTER.format(nick)), change=change, after=after)

    @rule(seat=st.sampled_from(SEATS), nick=st.sampled_from(NICKS), after=st.booleans())
    def destroy_while_joining(self, seat: Seat, nick: str, after: bool) -> None:
        self.act((seat, ENTER.format(nick)), change=lambda room: room.destroy("enough"), after=after)

    @invariant()
    def views_are_the_rooms(self) -> None:
        if not self.clients:
            return
        room = self.room
        for seat, client in self.clients.items():
            view = self.views[seat]
            for stanza in client.wire.inbox:
                if stanza.attrs.get("from", "").startswith(ROOM):
                    before = view.role
                    view.read(stanza)
                    after = view.role
                    anonymous = room is None or room.config.whois != "anyone"
                    if before == "moderator" and after not in ("moderator", "") and anonymous:
                        view.forget_jids()
            client.wire.inbox.clear()
            self.check(room, client, view)
        if room is not None:
            assert not room.turn.depth
            assert set(room.seeing) | set(room.blind) == set(room.users)
            assert set(room.users) == {full for occupant in room.occupants.values() for full in occupant.clients}
            for full in room.users:
                assert (full in room.seeing) == room.sees_jids(room.users[full])
                assert full in self.world.services.registry.full, "somebody is stuck in the room"

    def check(self, room: Room | None, client: Client, view: View) -> None:
        occupant = room.users.get(client.full) if room is not None else None
        if room is None or occupant is None:
            assert view == View(), f"{client.full} believes to be inside"
            return
        assert view.own == occupant.nick
        there = {nick for nick, other in room.occupants.items() if room.shows(other) or other is occupant}
        assert set(view.people) == there, client.full
        for nick, seen in view.people.items():
            other = room.occupants[nick]
            assert (seen.role, seen.affiliation) == (other.role, other.affiliation), f"{client.full} of {nick}"
            if other is not occupant:
                if room.sees_jids(occupant):
                    assert seen.jid == other.shown.jid.full, f"{client.full} of {nick}"
                else:
                    assert seen.jid is None, f"{client.full} may not know who {nick} is"


TestRooms = Rooms.TestCase
TestRooms.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
