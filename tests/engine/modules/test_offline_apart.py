"""Offline storage in a cluster: one quota, whichever nodes store and replay."""

from __future__ import annotations

from typing import Any

from tests.cluster_story import ClusterStory, bodies
from tests.story import DOMAIN, Client

SAYS = "<message to='bob@story.example' type='chat' id='{0}'><body>{0}</body></message>"
FULL = "<message type='error' id='{}'><error><service-unavailable xmlns='{}'/></error></message>"
STANZAS = "urn:ietf:params:xml:ns:xmpp-stanzas"


async def begin(cluster: ClusterStory, **options: int) -> Client:
    """Alice on node n2; bob's storage takes two messages unless something else is said."""
    await cluster.begin(nodes=3, options={"offline": options or {"messages": 2}})
    await cluster.world.nodes["n1"].account("bob")
    alice: Client = await cluster("alice n2")
    return alice


async def comes_and_goes(cluster: ClusterStory, node: str) -> list[str]:
    """Bob signs in on a node, gets what waits for him, and leaves."""
    bob = await cluster(f"bob {node}")
    bob.send("<presence/>")
    got = bodies(await bob.receives_all())
    await bob.leaves()
    return got


async def test_what_was_replayed_on_another_node_leaves_room(cluster: ClusterStory) -> None:
    alice = await begin(cluster)
    for text in ("one", "two", "three"):
        alice.send(SAYS.format(text))
    await alice.receives(FULL.format("three", STANZAS))
    assert await comes_and_goes(cluster, "n1") == ["one", "two"]
    for text in ("four", "five", "six"):
        alice.send(SAYS.format(text))
    await alice.receives(FULL.format("six", STANZAS))
    await alice.receives_nothing()
    assert await comes_and_goes(cluster, "n3") == ["four", "five"]


async def test_bytes_are_counted_too(cluster: ClusterStory) -> None:
    alice = await begin(cluster, bytes=1_500)
    long = "x" * 400
    alice.send(SAYS.format(long) + SAYS.format("y" * 400))
    await alice.receives(FULL.format("y" * 400, STANZAS))
    assert await comes_and_goes(cluster, "n1") == [long]
    alice.send(SAYS.format("z" * 400))
    await alice.receives_nothing()


async def test_what_a_replay_leaves_counts(cluster: ClusterStory) -> None:
    """Its client went away in the middle: what it did not take is still stored."""
    alice = await begin(cluster)
    alice.send(SAYS.format("one") + SAYS.format("two"))
    await alice.receives_nothing()
    bob = await cluster("bob n1")
    bob.wire.idle_bytes = lambda: 1_000_000  # type: ignore[method-assign]
    bob.send("<presence/>")
    await cluster.world.settle()
    await bob.leaves(clean=False)
    await cluster.world.pass_time(2.0)
    alice.send(SAYS.format("three"))
    await alice.receives(FULL.format("three", STANZAS))
    assert await comes_and_goes(cluster, "n3") == ["one", "two"]


async def test_nothing_is_told_where_nothing_was_replayed(cluster: ClusterStory) -> None:
    """Presence is what changes most often."""
    await begin(cluster)
    heard: list[Any] = []
    cluster.world.nodes["n2"].services.hear(DOMAIN, "offline", lambda *told: heard.append(told))
    bob = await cluster("bob n1")
    for show in ("away", "xa", "chat"):
        bob.send(f"<presence><show>{show}</show></presence>")
        await cluster.world.settle()
    assert not heard


async def test_a_word_that_got_lost_is_made_up_for(cluster: ClusterStory) -> None:
    """The replay was on the other side of a cut: the storage is full here until somebody is refused."""
    alice = await begin(cluster)
    alice.send(SAYS.format("one") + SAYS.format("two"))
    await alice.receives_nothing()
    cluster.world.cut("n2")
    await cluster.world.notice()
    assert await comes_and_goes(cluster, "n1") == ["one", "two"]
    cluster.world.heal()
    await cluster.world.notice()
    alice.send(SAYS.format("three"))
    await cluster.world.settle()
    alice.wire.inbox.clear()
    alice.send(SAYS.format("four"))
    await alice.receives_nothing()
    assert "four" in await comes_and_goes(cluster, "n1")


async def test_a_storage_that_is_full_is_looked_at_now_and_then(cluster: ClusterStory, monkeypatch: Any) -> None:
    """Whoever goes on sending does not keep the database busy."""
    alice = await begin(cluster)
    alice.send(SAYS.format("one") + SAYS.format("two"))
    await alice.receives_nothing()
    accounts, reads = cluster.world.stores.accounts, []
    load = accounts.load

    async def counted(bare: str) -> Any:
        reads.append(bare)
        return await load(bare)

    monkeypatch.setattr(accounts, "load", counted)
    for number in range(20):
        alice.send(SAYS.format(f"more {number}"))
        await cluster.world.settle()
    assert reads == ["bob@story.example"]
    await cluster.world.pass_time(30.0)
    alice.send(SAYS.format("again"))
    await cluster.world.settle()
    assert reads == ["bob@story.example"] * 2


async def test_what_a_node_has_stored_that_ends_before_it_is_heard_again_is_brought(cluster: ClusterStory) -> None:
    """Bob is on the other side of a cut; the node that stores for him dies before the cut is mended."""
    alice = await begin(cluster, messages=100)
    bob = await cluster("bob n1")
    bob.send("<presence/>")
    await bob.receives_all()
    world = cluster.world
    world.cut("n2")
    await world.notice()
    alice.send(SAYS.format("late"))
    await alice.receives_nothing()
    world.kill("n2")
    world.heal()
    await world.pass_time(120.0)
    assert bodies(await bob.receives_all()) == ["late"]
