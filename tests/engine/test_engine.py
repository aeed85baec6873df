"""A configuration that switches modules on and off while people use the server."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.cluster_story import ClusterStory
from tests.engine.muc.inside import ROOM, SERVICE, drain, enter, hall, room_of, says
from tests.engine.muc.replicas import codes, service_on, start
from tests.engine.pubsub.nodes import SERVICE as PUBSUB
from tests.engine.pubsub.nodes import node
from tests.story import DOMAIN, Story, World
from xmpp_engine.xml import ns


async def switch_off(world: World, *modules: str, **options: Any) -> None:
    """Apply a configuration in which these modules are off, and others have these options."""
    config = world.engine.config
    host = config.hosts[DOMAIN]
    host = replace(host, disabled_modules=frozenset(modules), modules={**host.modules, **options})
    await world.engine.apply(replace(config, hosts={DOMAIN: host}))
    await world.settle()


async def test_people_in_rooms_learn_that_these_go_and_enter_again(story: Story) -> None:
    alice, bob = await hall(story, "bob", persistent=True)
    room = room_of(story)
    room.set_subject("hello", "alice")
    await drain(alice, bob)
    await switch_off(story.world, "ping")
    for client in (alice, bob):
        (gone,) = await client.receives_all()
        assert (gone.get("type"), codes(gone)) == ("unavailable", {"110", "332"})
    for client, nick in ((alice, "alice"), (bob, "bob")):
        client.send(enter(nick))
    await drain(alice, bob)
    assert room_of(story) is not room
    alice.send(says("still here"))
    await bob.receives(f"<message from='{ROOM}/alice'><body>still here</body></message>")
    assert room_of(story).record.subject == "hello"


async def test_what_is_made_anew_works(story: Story) -> None:
    """Services are started, and nothing of the old ones is done any more."""
    await story.begin(options={"pubsub": {"services": {"pubsub": {}}}})
    alice = await story("alice")
    await alice.comes_online()
    await node(alice, "news")
    old = story.world.module("pubsub")
    await switch_off(story.world, "ping")
    assert story.world.module("pubsub") is not old
    answer = await alice.asks(f"<iq type='get' id='d' to='{PUBSUB}'><query xmlns='{ns.DISCO_ITEMS}'/></iq>")
    query = answer.first()
    assert query is not None
    assert [item.get("node") for item in query.elements()] == ["news"]
    answer = await alice.asks(f"<iq type='get' id='p' to='{DOMAIN}'><ping xmlns='{ns.PING}'/></iq>")
    assert answer.get("type") == "error"
    before = story.world.engine._timers.count(DOMAIN)
    for modules in ((), ("ping",), ()):
        await switch_off(story.world, *modules)
        story.world.clock.advance(600)
        await story.world.settle()
    assert story.world.engine._timers.count(DOMAIN) == before
    answer = await alice.asks(f"<iq type='get' id='p' to='{DOMAIN}'><ping xmlns='{ns.PING}'/></iq>")
    assert answer.get("type") == "result"


async def test_rooms_of_other_nodes_are_known_to_a_service_that_comes_later(cluster: ClusterStory) -> None:
    await start(cluster, 2)
    alice, bob = await cluster("alice n1", "bob n2")
    alice.send(enter("alice"))
    await cluster.world.settle()
    service_on(cluster, "n1").rooms["hall"].unlock()
    await switch_off(cluster.world.nodes["n2"], "ping")
    assert list(service_on(cluster, "n2").directory) == ["hall"]
    bob.send(enter("bob"))
    await cluster.world.settle()
    for name in ("n1", "n2"):
        assert set(service_on(cluster, name).rooms["hall"].occupants) == {"alice", "bob"}
    # And that one has gone is known to the others.
    await switch_off(cluster.world.nodes["n2"], "ping", muc={"services": {}})
    assert set(service_on(cluster, "n1").rooms["hall"].occupants) == {"alice"}
    assert SERVICE not in cluster.world.nodes["n2"].router.services
