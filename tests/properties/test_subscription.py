"""Two accounts that send each other subscription stanzas in any order always agree on who sees whom.

The model knows nothing of appendix A's states: for each direction, whether a request is open or granted, and
whether the watched side has approved in advance.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.story import Client, World
from xmpp_engine.storage.types import RosterItem


@dataclass
class Direction:
    """What is between a watcher and the one he wants to see."""

    asked: bool = False
    granted: bool = False
    approved: bool = False

    def watcher_sends(self, type: str) -> None:
        if type == "unsubscribe":
            self.asked = self.granted = False
        elif not self.granted:
            self.asked, self.granted = not self.approved, self.approved

    def watched_sends(self, type: str) -> None:
        if type == "unsubscribed":
            self.asked = self.granted = self.approved = False
        elif self.asked:
            self.asked, self.granted = False, True
        elif not self.granted:
            self.approved = True


#: Long stories: four stanzas in the right order lead to a mutual subscription, and one undoes it.
kinds = ["subscribe", "subscribed"] * 4 + ["unsubscribe", "unsubscribed"] + ["remove", "relogin"]
steps = st.lists(st.tuples(st.booleans(), st.sampled_from(kinds)), min_size=10, max_size=40)


def expected(mine: Direction, theirs: Direction) -> tuple[str, bool, bool, bool]:
    name = {(0, 0): "none", (1, 0): "to", (0, 1): "from", (1, 1): "both"}[mine.granted, theirs.granted]
    return name, mine.asked, theirs.asked, theirs.approved


def seen(item: RosterItem | None) -> tuple[str, bool, bool, bool]:
    return (item.subscription, item.ask, item.pending_in, item.approved) if item else ("none", False, False, False)


async def play(story: list[tuple[bool, str]]) -> None:
    world = World()
    await world.engine.start()
    people: list[Client] = [await world.login("alice", "r"), await world.login("bob", "r")]
    for person in people:
        await person.comes_online()
    #: watches[0] is alice watching bob.
    watches = [Direction(), Direction()]
    for second, type in story:
        me, other = people[second], people[not second]
        # Stanzas of two people that cross each other are taken as they come: one after the other.
        await world.settle()
        if type == "relogin":
            await me.leaves()
            world.services.accounts.forget(me.bare)
            people[second] = await world.login(me.jid.local, "r")
            await people[second].comes_online()
        elif type == "remove":
            if me.account.roster.get(other.bare) and me.account.roster[other.bare].listed:
                remove = f"<query xmlns='jabber:iq:roster'><item jid='{other.bare}' subscription='remove'/></query>"
                me.send(f"<iq type='set' id='r'>{remove}</iq>")
                await world.settle()
                watches[second].watcher_sends("unsubscribe")
                watches[not second].watched_sends("unsubscribed")
        else:
            me.send(f"<presence type='{type}' to='{other.bare}'/>")
            if type in ("subscribe", "unsubscribe"):
                watches[second].watcher_sends(type)
            else:
                watches[not second].watched_sends(type)
    await world.settle()
    for second in (False, True):
        me, other = people[second], people[not second]
        wanted = expected(watches[second], watches[not second])
        assert seen(me.account.roster.get(other.bare)) == wanted
        stored = await world.stores.accounts.load(me.bare)
        assert stored is not None
        assert stored.roster == me.account.roster
        # What the roster says is what happens.
        await me.receives_all()
        other.send("<presence><status>now</status></presence>")
        froms = [element.attrs["from"] for element in await me.receives_all() if element.name == "presence"]
        assert froms == ([other.full] if watches[second].granted else [])
    await world.engine.stop()


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(steps)
def test_both_rosters_agree_with_what_was_said(story: list[tuple[bool, str]]) -> None:
    asyncio.run(play(story))
