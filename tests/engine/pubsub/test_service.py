"""A service over time: options that change, a database that is away at the start, errors from elsewhere."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engine.pubsub.nodes import SERVICE, begin, cast, node, publish, subscribe, told
from xmpp_engine.addressing.jid import Jid
from xmpp_engine.pubsub.options import service_options
from xmpp_engine.pubsub.service import PubSubService
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.storage.protocols import StoreUnavailable
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element


async def test_nodes_follow_defaults_that_change(story: Any) -> None:
    service = await begin(story)
    await service.create_node("own", {"access_model": "open", "max_items": 5})
    await service.create_node("loaded")
    await service.create_node("away")
    service.nodes.sweep(float("inf"))
    await service.node("loaded")
    await service.node("own")
    service.configure(service_options({"defaults": {"access_model": "whitelist", "max_items": 7}}))
    await story.world.settle()
    configs = {name: (await service.node(name)).config for name in ("own", "loaded", "away")}
    assert {name: config.max_items for name, config in configs.items()} == {"own": 5, "loaded": 7, "away": 7}
    assert service.nodes.directory["away"].access_model == "whitelist"
    assert configs["loaded"].access_model == "whitelist"


async def test_services_come_and_go(story: Any) -> None:
    world = await story.begin(
        modules=(
            "xmpp_engine.modules.disco.Disco",
            "xmpp_engine.modules.adhoc.AdHoc",
            "xmpp_engine.pubsub.module.PubSub",
        )
    )
    module = world.module("pubsub")
    extra = module.make_service("forms.story.example", {"name": "Forms"})
    await world.settle()
    assert extra.nodes.complete
    assert dict(module.items()) == {SERVICE: "Publish-subscribe", "forms.story.example": "Forms"}
    module.reconfigured(module.Config({"events": {}}))
    assert set(module.hosted) == {"events.story.example", "forms.story.example"}
    assert module.make_service("forms.story.example") is extra
    with pytest.raises(ValueError, match="no option"):
        module.make_service("more.story.example", {"colour": "red"})
    module.drop_service("forms.story.example")
    assert set(module.hosted) == {"events.story.example"}


async def test_a_service_whose_nodes_are_not_known_yet(story: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xmpp_engine.pubsub.nodes._PATIENCE_SECONDS", 0.01)
    service = await begin(story)
    await service.create_node("news")
    fresh = PubSubService(service.host, service.services, SERVICE, service.options)
    with pytest.raises(StoreUnavailable):
        await fresh.node("news")
    await fresh.start()
    assert (await fresh.node("news")).name == "news"


async def test_who_elsewhere_is_not_reached_for_long_is_unsubscribed(story: Any) -> None:
    (alice,) = await cast(story, "alice")
    story.world.elsewhere.domains.add("far.example")
    await node(alice)
    service = story.world.module("pubsub").hosted[SERVICE]
    await service.subscribe("news", Jid.parse("zoe@far.example"))

    async def fails(times: int) -> int:
        for number in range(times):
            await publish(alice, f"i{number}")
            error = Element(ns.CLIENT, "error", {"type": "cancel"})
            error.add(ns.STANZA_ERRORS, "service-unavailable")
            id = story.world.elsewhere.sent[-1].id
            bounced = Element(ns.CLIENT, "message", {"type": "error", "id": id}, error)
            service.receive(Stanza(bounced, service.jid, Jid.parse("zoe@far.example"), "error"))
            await story.world.settle()
        return len((await service.node("news")).record.subscriptions)

    assert await fails(19) == 1
    story.world.clock.advance(4_000)
    await story.world.settle()
    assert await fails(19) == 1, "errors of long ago do not count"
    assert await fails(1) == 0


async def test_everybody_in_memory_hears_of_many_in_their_order(story: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xmpp_engine.pubsub.notify._SLICE", 2)
    clients = await cast(story, *(f"u{number}" for number in range(7)))
    await node(clients[0])
    for client in clients:
        await subscribe(client)
    from tests.engine.pubsub.nodes import ENTRY, request

    for number in range(5):
        item = f"<item id='i{number}'>{ENTRY.format(number)}</item>"
        clients[0].send(request("set", f"<publish node='news'>{item}</publish>", id=f"p{number}"))
    await story.world.settle()
    for client in clients:
        heard = [m for m in await client.receives_all() if m.name == "message"]
        assert [m.first().first().first().get("id") for m in heard] == [f"i{n}" for n in range(5)]
    await publish(clients[0], "last")
    await clients[6].receives(told("last"))
