"""One roster that several nodes of a cluster change: newer words count, whatever is being read or written meanwhile."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from tests.cluster_story import ClusterStory, forget
from tests.engine.routing.test_sightings import held_back, let_go
from tests.story import Client
from xmpp_engine.modules.roster import Roster
from xmpp_engine.routing.account import Account
from xmpp_engine.storage.types import RosterItem
from xmpp_engine.xml import ns

JULIET = "juliet@story.example"


class Slow:
    """A store of rosters that holds what is written first until it is let go."""

    def __init__(self, store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self._go = asyncio.Event()
        self._first = True
        for name in ("put", "remove"):
            monkeypatch.setattr(store, name, self._held(getattr(store, name)))

    def _held(self, write: Any) -> Any:
        async def later(*arguments: Any) -> int:
            if self._first:
                self._first = False
                await self._go.wait()
            before: int = await write(*arguments)
            return before

        return later

    def go(self) -> None:
        """What was written first is written now, after all that came later."""
        self._go.set()


async def two(cluster: ClusterStory) -> tuple[Client, Client]:
    """Romeo on both nodes."""
    one, other = await cluster("romeo n1", "romeo n2")
    for client in (one, other):
        await client.comes_online()
    forget(one, other)
    return one, other


def roster_of(cluster: ClusterStory, node: str) -> Roster:
    found: Roster = cluster.world.nodes[node].module("roster")
    return found


def item_on(client: Client) -> RosterItem | None:
    return client.account.roster.get(JULIET)


def stored(cluster: ClusterStory, client: Client) -> RosterItem | None:
    return cluster.world.stores.memory.accounts[client.bare].data.roster.get(JULIET)


async def test_what_another_node_makes_of_what_is_being_written_is_written_behind_it(
    cluster: ClusterStory, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = await two(cluster)
    slow = Slow(cluster.world.stores.rosters, monkeypatch)
    roster_of(cluster, "n1").put(one.account, RosterItem(JULIET, ask=True))
    await cluster.world.settle()
    asked = item_on(other)
    assert asked is not None
    assert asked.ask
    # Juliet answers on the other node before the request is in the database.
    roster_of(cluster, "n2").put(other.account, replace(asked, subscription="to", ask=False))
    await cluster.world.settle()
    for client in (one, other):
        assert item_on(client) == replace(asked, subscription="to", ask=False, version=item_on(other).version)  # type: ignore[union-attr]
    slow.go()
    await cluster.world.settle()
    assert stored(cluster, one) == item_on(one) == item_on(other)
    assert stored(cluster, one).subscription == "to"  # type: ignore[union-attr]


async def test_an_older_word_changes_nothing_that_is_being_written(
    cluster: ClusterStory, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = await two(cluster)
    slow = Slow(cluster.world.stores.rosters, monkeypatch)
    roster = roster_of(cluster, "n1")
    mine = roster.put(one.account, RosterItem(JULIET, name="mine"))
    await cluster.world.settle()
    older = replace(mine, name="older", version=mine.version - 1)
    for committed in (False, True):
        # A later version of the server may say more.
        roster.heard(one.account, one.bare, [JULIET, [*_row(older), "later"], older.version, committed, "later"])
        await cluster.world.settle()
        assert item_on(one) == mine
    slow.go()
    await cluster.world.settle()
    assert stored(cluster, one) == item_on(one) == item_on(other) == mine


async def test_that_an_older_change_is_stored_takes_back_no_newer_one(cluster: ClusterStory) -> None:
    """It was said on a third node; until it is stored there the database has the older one."""
    one, other = await two(cluster)
    first = roster_of(cluster, "n2").put(other.account, RosterItem(JULIET, name="first"))
    await cluster.world.settle()
    newer = replace(first, name="newer", version=first.version + 1)
    roster = roster_of(cluster, "n1")
    roster.heard(one.account, one.bare, [JULIET, _row(newer), newer.version, False])
    roster.heard(one.account, one.bare, [JULIET, _row(first), newer.version, True])
    await cluster.world.settle()
    assert item_on(one) == newer
    # That it is not in the database after all is found out with the next word that counts.
    roster.heard(one.account, one.bare, [JULIET, _row(replace(newer, name="other")), newer.version, True])
    await cluster.world.settle()
    assert item_on(one) == first


async def test_what_is_being_written_survives_reading_anew(
    cluster: ClusterStory, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _other = await two(cluster)
    roster = roster_of(cluster, "n1")
    roster.put(one.account, RosterItem("gone@story.example"))
    await cluster.world.settle()
    slow = Slow(cluster.world.stores.rosters, monkeypatch)
    roster.put(one.account, RosterItem(JULIET))
    await cluster.world.settle()
    roster.drop(one.account, "gone@story.example")
    before = one.account.data
    cluster.world.nodes["n1"].services.coherence.reread(one.bare)  # type: ignore[union-attr]
    await cluster.world.settle()
    assert one.account.data is not before
    assert set(one.account.roster) == {JULIET}
    slow.go()
    await cluster.world.settle()
    assert set(cluster.world.stores.memory.accounts[one.bare].data.roster) == {JULIET}


async def test_a_removal_counts_over_what_was_changed_apart_from_it(
    cluster: ClusterStory, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = await two(cluster)
    known = roster_of(cluster, "n1").put(one.account, RosterItem(JULIET, ask=True))
    await cluster.world.settle()
    forget(one, other)
    slow = Slow(cluster.world.stores.rosters, monkeypatch)
    later = roster_of(cluster, "n2").put(other.account, replace(known, subscription="to", ask=False))
    # What n2 has said is still on its way.
    one.send(
        f"<iq type='set' id='r'><query xmlns='{ns.ROSTER}'><item jid='{JULIET}' subscription='remove'/></query></iq>"
    )
    await cluster.world.settle()
    slow.go()
    await cluster.world.settle()
    assert stored(cluster, one) is None
    assert item_on(one) is None
    assert item_on(other) is None
    # Who knows the later one of the two is told of the removal.
    late = await cluster.world.login("romeo n2")
    late.send(f"<iq type='get' id='v'><query xmlns='{ns.ROSTER}' ver='{later.version}'/></iq>")
    await late.receives(
        "<iq type='result' id='v'/>",
        f"<iq type='set'><query xmlns='{ns.ROSTER}'><item jid='{JULIET}' subscription='remove'/></query></iq>",
    )


def _row(item: RosterItem) -> list[Any]:
    """A contact as nodes tell it."""
    return [
        item.jid,
        item.name,
        item.subscription,
        item.ask,
        item.approved,
        list(item.groups),
        item.version,
        item.pending_in,
        item.request,
    ]


async def test_a_word_that_comes_behind_what_was_read_is_older(cluster: ClusterStory) -> None:
    """The first change was in the database when another node read the account and changed it again."""
    one, other = await two(cluster)
    first = roster_of(cluster, "n1").put(one.account, RosterItem(JULIET, name="first"))
    await cluster.world.settle()
    second = roster_of(cluster, "n2").put(other.account, replace(first, name="second"))
    await cluster.world.settle()
    roster = roster_of(cluster, "n2")
    for committed in (False, True):
        roster.heard(other.account, other.bare, [JULIET, _row(first), first.version, committed])
        await cluster.world.settle()
    assert item_on(other) == item_on(one) == stored(cluster, one) == second


async def apart(cluster: ClusterStory) -> tuple[Client, Client]:
    """Romeo on both nodes, which are cut off from each other."""
    one, other = await two(cluster)
    cluster.world.cut("n1")
    await cluster.world.pass_time(8.0)
    return one, other


async def together(cluster: ClusterStory, *clients: Client) -> None:
    """The cut is healed, and all have the same."""
    cluster.world.heal()
    await cluster.world.notice()
    kept = cluster.world.stores.memory.accounts[clients[0].bare].data
    for client in clients:
        assert client.account.roster == kept.roster
        assert client.account.data.roster_version == kept.roster_version


async def pushed(client: Client) -> set[str]:
    """The contacts that a client has been told of."""
    queries = [e.find(ns.ROSTER, "query") for e in await client.receives_all() if e.name == "iq"]
    return {item.attrs["jid"] for query in queries if query is not None for item in query.find_all(ns.ROSTER, "item")}


async def test_what_two_sides_of_a_cut_have_changed_is_everywhere_when_it_is_healed(cluster: ClusterStory) -> None:
    one, other = await apart(cluster)
    for name in ("one", "two", "three"):
        roster_of(cluster, "n1").put(one.account, RosterItem(JULIET, name=name))
        await cluster.world.settle()
    roster_of(cluster, "n2").put(other.account, RosterItem("nurse@story.example"))
    await cluster.world.settle()
    forget(one, other)
    await together(cluster, one, other)
    assert set(one.account.roster) == {JULIET, "nurse@story.example"}
    assert "nurse@story.example" in await pushed(one)


@pytest.mark.parametrize("first", ["n1", "n2"])
async def test_a_client_that_knows_the_version_of_one_side_learns_what_the_other_has_changed(
    cluster: ClusterStory, first: str
) -> None:
    """Whichever side had more changes, and whichever node has the greater number."""
    one, other = await apart(cluster)
    sides = {"n1": one, "n2": other}
    second = "n2" if first == "n1" else "n1"
    for _ in range(3):
        roster_of(cluster, first).put(sides[first].account, RosterItem(JULIET))
        await cluster.world.settle()
    roster_of(cluster, second).put(sides[second].account, RosterItem("nurse@story.example"))
    roster_of(cluster, second).drop(sides[second].account, "nurse@story.example")
    roster_of(cluster, second).put(sides[second].account, RosterItem("paris@story.example"))
    await cluster.world.settle()
    known = {node: client.account.data.roster_version for node, client in sides.items()}
    await together(cluster, one, other)
    for node, missed in ((first, "paris@story.example"), (second, JULIET)):
        changes = roster_of(cluster, node)._changes(sides[node].account, str(known[node]))
        told = {item.attrs["jid"] for _version, item in changes or ()}
        # Who has been beyond the other side when it knew the version has been told already.
        assert missed in told or missed in await pushed(sides[node])


async def test_what_a_node_has_stored_and_not_told_is_read_when_it_is_gone(cluster: ClusterStory) -> None:
    one, other = await two(cluster)
    cluster.world.hub.cut("n1", "n2")
    roster_of(cluster, "n1").put(one.account, RosterItem(JULIET))
    await cluster.world.settle()
    cluster.world.kill("n1")
    cluster.world.hub.heal()
    await cluster.world.pass_time(8.0)
    assert item_on(other) == stored(cluster, other)
    assert item_on(other) is not None
    assert JULIET in await pushed(other)


async def test_who_has_heard_of_a_later_change_alone_reads_what_it_has_missed(cluster: ClusterStory) -> None:
    one, other = await two(cluster)
    kept = cluster.world.stores.memory.accounts[one.bare].data
    # A third node has stored this, and its word has come to one of them only.
    missed = RosterItem("nurse@story.example", version=258)
    await cluster.world.stores.rosters.put(one.account.id, [missed], 258)
    roster_of(cluster, "n1").heard(one.account, one.bare, [missed.jid, _row(missed), 258, True])
    await cluster.world.settle()
    roster_of(cluster, "n1").put(one.account, RosterItem(JULIET))
    await cluster.world.settle()
    assert one.account.roster == other.account.roster == kept.roster


@pytest.mark.parametrize("remover", ["n1", "n2"])
async def test_a_removal_counts_that_crosses_with_a_change(cluster: ClusterStory, remover: str) -> None:
    """Whichever was stored last, and whichever has the later version."""
    one, other = await two(cluster)
    sides = {"n1": one, "n2": other}
    known = roster_of(cluster, "n1").put(one.account, RosterItem(JULIET))
    await cluster.world.settle()
    for last in ("removal", "change"):
        roster_of(cluster, "n1").put(one.account, known)
        await cluster.world.settle()
        held_back(cluster, ("n1", "n2"), ("n2", "n1"), kinds="c")
        for what in ("change", "removal") if last == "removal" else ("removal", "change"):
            for node, client in sides.items():
                if what == "removal" and node == remover:
                    roster_of(cluster, node).drop(client.account, JULIET)
                elif what == "change" and node != remover:
                    roster_of(cluster, node).put(client.account, replace(known, name=last))
            await cluster.world.settle()
        let_go(cluster)
        await cluster.world.pass_time(3.0)
        kept = cluster.world.stores.memory.accounts[one.bare].data
        for client in sides.values():
            assert JULIET not in client.account.roster
            assert client.account.data.roster_version == kept.roster_version
        assert JULIET not in kept.roster


async def test_who_asks_while_a_contact_is_changed_elsewhere_learns_of_it(cluster: ClusterStory) -> None:
    """The node that changed it did not know of anybody who wanted to be told."""
    one, other = await cluster("romeo n1", "romeo n2")
    held_back(cluster, ("n1", "n2"), ("n2", "n1"), kinds="cb")
    roster_of(cluster, "n1").put(one.account, RosterItem(JULIET))
    await cluster.world.settle()
    other.send(f"<iq type='get' id='g'><query xmlns='{ns.ROSTER}'/></iq>")
    await cluster.world.settle()
    assert JULIET not in await pushed(other)
    let_go(cluster)
    await cluster.world.pass_time(3.0)
    assert JULIET in await pushed(other)


async def test_an_older_word_brings_no_request_back_and_takes_none_away(cluster: ClusterStory) -> None:
    """A request changes no version of an item."""
    one, other = await two(cluster)
    roster, stranger = roster_of(cluster, "n1"), "paris@story.example"
    known = roster.put(one.account, RosterItem(JULIET))
    asks = roster.put(one.account, replace(known, pending_in=True), shown=False)
    roster.put(one.account, RosterItem(stranger, pending_in=True), shown=False)
    await cluster.world.settle()
    later = one.account.data.roster_version
    for words in ([JULIET, _row(known), known.version, False], [stranger, None, known.version, False]):
        roster_of(cluster, "n2").heard(other.account, other.bare, words)
        await cluster.world.settle()
    kept = cluster.world.stores.memory.accounts[one.bare].data
    assert one.account.roster == other.account.roster == kept.roster
    assert item_on(other) == asks
    assert stranger in other.account.roster
    assert other.account.data.roster_version == kept.roster_version >= later
    await cluster.world.pass_time(40.0)
    roster.heard_before(one.account, [[JULIET, _row(known), known.version, True]])
    assert item_on(one) == asks


async def test_what_was_stored_before_two_nodes_have_met_is_read_when_they_meet(cluster: ClusterStory) -> None:
    """Neither is back: they know nothing of each other."""
    await cluster.begin(nodes=2)
    cluster.world.cut("n1")
    cluster.world.kill("n2")
    one, other = await cluster("romeo n1", "romeo n2")
    await other.asks(f"<iq type='get' id='r'><query xmlns='{ns.ROSTER}'/></iq>")
    roster_of(cluster, "n1").put(one.account, RosterItem(JULIET))
    await cluster.world.settle()
    assert item_on(other) is None
    await together(cluster, one, other)
    assert JULIET in await pushed(other)


@pytest.mark.parametrize("follows", [True, False])
async def test_what_a_node_stored_out_of_reach_before_it_died_is_read(cluster: ClusterStory, follows: bool) -> None:
    """When another process has taken its name, or else after a while."""
    one, other = await apart(cluster)
    roster_of(cluster, "n1").put(one.account, RosterItem(JULIET))
    await cluster.world.settle()
    cluster.world.kill("n1")
    cluster.world.heal()
    if follows:
        await cluster.world.node("n1")
        await cluster.world.notice()
    else:
        await cluster.world.pass_time(16.0)
    assert item_on(other) == stored(cluster, other)
    assert JULIET in await pushed(other)


async def test_rosters_are_compared_less_and_less_often_while_a_node_is_missing(
    cluster: ClusterStory, monkeypatch: pytest.MonkeyPatch
) -> None:
    await cluster.begin(nodes=2)
    world = cluster.world
    coherence = world.nodes["n1"].services.coherence
    assert coherence is not None
    times: list[float] = []
    monkeypatch.setattr(coherence, "compare", lambda: times.append(world.clock.now()))
    world.kill("n2")
    await world.pass_time(56.0)
    assert [round(time - times[0]) for time in times] == [0, 15, 45]
    await world.node("n2")
    times.clear()
    await world.pass_time(65.0)
    assert times == []
    # It never comes back: that ends.
    coherence._missing.add("n2")
    coherence._look_again(960.0)
    assert len(times) == 1
    assert coherence._missing_timer is None
    assert not coherence._missing


async def test_what_was_told_before_the_nodes_met_is_noticed_when_it_is_stored(cluster: ClusterStory) -> None:
    """Something came and went: what is there is the same, but clients learn versions by it."""
    one, other = await two(cluster)
    await cluster.world.stores.rosters.remove(one.account.id, [JULIET], 258)
    roster_of(cluster, "n1").heard(one.account, one.bare, [JULIET, None, 258, True])
    await cluster.world.settle()
    assert one.account.data.roster_version == 258
    assert one.account.data.removed == [(JULIET, 258)]
    assert other.account.data.roster_version == 0


async def test_an_older_request_is_none_where_the_contact_was_stored_since(cluster: ClusterStory) -> None:
    """It was told to a node that did not have the account, which reads it when the request is answered long since."""
    one, _other = await two(cluster)
    roster, account = roster_of(cluster, "n1"), one.account
    request = [JULIET, _row(RosterItem(JULIET, pending_in=True)), 256, False]
    account.data.roster[JULIET] = known = RosterItem(JULIET, subscription="from", version=514)
    account.data.roster_version = 514
    roster.heard_before(account, [request])
    assert item_on(one) == known
    # Nor where it was refused, and the contact removed.
    del account.data.roster[JULIET]
    account.data.removed = [(JULIET, 514)]
    roster.heard_before(account, [request])
    assert item_on(one) is None
    # A later one counts.
    roster.heard_before(account, [request, [*request[:2], 770, False]])
    assert item_on(one) == RosterItem(JULIET, pending_in=True)
    assert account.data.roster_version == 770


@pytest.mark.parametrize("heard", [True, False])
async def test_clients_hear_last_what_a_change_elsewhere_has_led_to(cluster: ClusterStory, heard: bool) -> None:
    """Another module changes the contact once more as soon as this node knows of it, and pushes that."""
    one, other = await two(cluster)
    await other.asks(f"<iq type='get' id='r'><query xmlns='{ns.ROSTER}'/></iq>")
    roster = roster_of(cluster, "n2")

    def changes(account: Account, _old: RosterItem | None, new: RosterItem | None, _heard: Any) -> None:
        if new is not None and new.name == "first":
            roster.push(account, roster.put(account, replace(new, name="second")))

    roster.elsewhere["test"] = changes
    first = RosterItem(JULIET, name="first", version=256)
    if heard:
        roster.heard(other.account, other.bare, [JULIET, _row(first), 256, False, {}, 0, []])
    else:
        await cluster.world.stores.rosters.put(other.account.id, [first], 256)
        cluster.world.nodes["n2"].services.coherence.compare()  # type: ignore[union-attr]
    await cluster.world.settle()
    last = [e for e in await other.receives_all() if e.name == "iq"][-1]
    item = last.find(ns.ROSTER, "query").find(ns.ROSTER, "item")  # type: ignore[union-attr]
    assert item is not None
    assert item.attrs["name"] == "second"
    assert item_on(one) == item_on(other) == stored(cluster, one)


async def test_what_is_allowed_on_one_side_of_a_cut_is_not_taken_away_by_the_other(cluster: ClusterStory) -> None:
    """Romeo's roster is read anew first there, and his client asks for the presence of Juliet, whose roster is still
    the older one."""
    romeo, desk, phone = await cluster("romeo n2", "juliet n2", "juliet n1")
    for client in (romeo, desk, phone):
        await client.comes_online()
    romeo.send(f"<presence to='{JULIET}' type='subscribe'/>")
    await cluster.world.settle()
    cluster.world.cut("n1")
    await cluster.world.pass_time(8.0)
    phone.send(f"<presence to='{romeo.bare}' type='subscribed'/>")
    await cluster.world.settle()
    assert stored(cluster, romeo).subscription == "to"  # type: ignore[union-attr]
    forget(romeo)
    cluster.world.heal()
    await cluster.world.notice()
    assert stored(cluster, romeo).subscription == "to"  # type: ignore[union-attr]
    seen = {e.attrs["from"] for e in await romeo.receives_all() if e.name == "presence" and "type" not in e.attrs}
    assert {f"{JULIET}/r1", f"{JULIET}/r2"} <= seen
    assert not any(node.services.coherence.unsure for node in cluster.world.nodes.values())  # type: ignore[union-attr]


async def test_what_was_told_before_a_request_takes_it_not_away(cluster: ClusterStory) -> None:
    """The account is read when one that was refused has been made again."""
    one, _other = await two(cluster)
    roster, account = roster_of(cluster, "n1"), one.account
    known = RosterItem(JULIET, pending_in=True)
    contact = RosterItem(JULIET, subscription="from", version=514)
    for older in ([JULIET, None, 512, True], [JULIET, _row(contact), 514, True]):
        account.data.roster[JULIET] = known
        account.data.roster_version = 1024
        roster.heard_before(account, [older])
        assert item_on(one) == known
    for later in ([JULIET, _row(replace(contact, version=1280)), 1280, False], [JULIET, None, 1536, False]):
        roster.heard_before(account, [later])
    assert item_on(one) is None
