"""Components: who may connect, whom they may speak for, what they get, and what happens when they are not there."""

from __future__ import annotations

import logging

import pytest

from tests.engine.component.stage import NAME, SECRET, Component, begin, configure, connect, gateway
from tests.story import DOMAIN, Story
from xmpp_engine.config.schema import EngineConfig, HostConfig, StreamLimits
from xmpp_engine.config.validate import InvalidConfig, check
from xmpp_engine.xml import ns

HELLO = f"<message from='bot@{NAME}' to='alice@{DOMAIN}' type='chat'><body>hello</body></message>"


# The handshake


async def test_a_component_talks_with_a_user(story: Story) -> None:
    world = await begin(story, gateway())
    alice = await story("alice")
    await alice.comes_online()
    component = connect(world)
    header = component.transport.header
    assert header is not None
    assert (header.get("from"), header.get("version")) == (NAME, None)
    assert "authenticated" in component.transport.calls
    component.send(HELLO)
    await alice.receives(f"<message from='bot@{NAME}' type='chat'><body>hello</body></message>")
    alice.send(f"<message to='bot@{NAME}/x' type='chat'><body>hi</body></message>")
    await component.receives(f"<message from='{alice.full}' to='bot@{NAME}/x'><body>hi</body></message>")
    assert b"xmlns='jabber:client'" not in b"".join(component.transport.written)


async def test_errors_of_the_header(story: Story) -> None:
    world = await begin(story, gateway(), gateway(f"off.{DOMAIN}", enabled=False))
    for to, content, condition in (
        (f"other.{DOMAIN}", ns.COMPONENT_ACCEPT, "host-unknown"),
        (f"off.{DOMAIN}", ns.COMPONENT_ACCEPT, "host-unknown"),
        ("", ns.COMPONENT_ACCEPT, "host-unknown"),
        (NAME, "jabber:client", "invalid-namespace"),
        (NAME, "jabber:component:connect", "invalid-namespace"),
    ):
        component = Component(world)
        component.open(to, content)
        assert (component.error, component.transport.ended) == (condition, True), to
        assert component.transport.header is not None
    assert [row["reason"] for row in world.engine.components.refusals.rows()] == [
        "this component is switched off",
        "there is no such component",
    ]


async def test_a_wrong_secret_is_refused_ever_later(story: Story) -> None:
    world = await begin(story, gateway())
    for attempt in range(10):
        component = Component(world)
        component.open()
        component.shake("guess")
        if attempt >= 2:
            assert component.error == ""
            assert component.transport.paused
            component.shake()  # what comes behind it is not looked at
            world.clock.advance(5)
        assert component.error == "not-authorized", attempt
    # From here on even the right one is not looked at, from this address.
    component = Component(world)
    component.open()
    assert component.error == "policy-violation"
    assert connect(world, peer="[2001:db8::1]:4000")
    world.engine.components.kick(NAME)
    world.clock.advance(301)
    assert connect(world)


async def test_a_secret_is_not_looked_at_from_a_foreign_network(story: Story, caplog: pytest.LogCaptureFixture) -> None:
    world = await begin(story, gateway(networks=("192.0.2.0/24", "2001:db8::/32")))
    caplog.set_level(logging.INFO)
    for peer in ("127.0.0.1:5000", "[2001:db9::1]:5000", "memory", "192.0.3.1:9"):
        component = Component(world, peer=peer)
        component.open()
        assert component.error == "not-authorized", peer
    for peer in ("192.0.2.77:5000", "[2001:db8::1%eth0]:5000", "[::ffff:192.0.2.5]:1"):
        connect(world, peer=peer)
        world.engine.components.kick(NAME)
    for _ in range(30):
        Component(world, peer="192.0.3.1:9").open()
    lines = [record for record in caplog.records if "192.0.3.1" in record.getMessage() and "refused" in record.message]
    assert len(lines) == 5  # the 1st, 2nd, 4th, 8th and 16th of 31
    assert SECRET not in caplog.text


async def test_nothing_goes_before_the_handshake(story: Story) -> None:
    world = await begin(story, gateway())
    alice = await story("alice")
    component = Component(world)
    component.open()
    component.send(HELLO)
    assert component.error == "not-authorized"
    await alice.receives_nothing()
    silent = Component(world)
    silent.open()
    world.clock.advance(31)
    assert silent.error == "connection-timeout"


async def test_a_second_connection_is_refused(story: Story) -> None:
    world = await begin(story, gateway())
    first = connect(world)
    second = Component(world)
    second.open()
    second.shake()
    assert second.error == "conflict"
    # The first is asked whether it lives, and does.
    ping = await first.receives(f"<iq type='get' from='{DOMAIN}'><ping xmlns='{ns.PING}'/></iq>")
    first.send(f"<iq type='result' from='{NAME}' to='{DOMAIN}' id='{ping.get('id')}'/>")
    world.clock.advance(11)
    assert not first.transport.ended
    # A stranger who does not know the secret learns nothing, and drives nobody out.
    stranger = Component(world)
    stranger.open()
    stranger.shake("guess")
    assert stranger.error == "not-authorized"
    await first.receives_nothing()


async def test_a_dead_connection_gives_its_place_up(story: Story) -> None:
    world = await begin(story, gateway())
    first = connect(world)
    Component(world).open()
    second = Component(world)
    second.open()
    second.shake()
    world.clock.advance(11)
    assert first.error == "connection-timeout"
    assert connect(world)


async def test_a_second_connection_takes_the_place(story: Story) -> None:
    world = await begin(story, gateway(conflict="replace"))
    alice = await story("alice")
    first = connect(world)
    second = connect(world)
    assert first.error == "conflict"
    first.break_off()
    alice.send(f"<message to='x@{NAME}'><body>hi</body></message>")
    await second.receives("<message><body>hi</body></message>")


async def test_a_silent_component_is_asked_and_then_dropped(story: Story) -> None:
    world = await begin(story, gateway())
    component = connect(world, limits=StreamLimits(idle_seconds=60))
    for _ in range(13):
        world.clock.advance(5)
        await world.settle()
    await component.receives(f"<iq type='get'><ping xmlns='{ns.PING}'/></iq>")
    for _ in range(13):
        world.clock.advance(5)
        await world.settle()
    assert component.error == "connection-timeout"


# Whom it may speak for


@pytest.mark.parametrize(
    "sender", [f"alice@{DOMAIN}", DOMAIN, f"bot@other.{DOMAIN}", f"conference.{DOMAIN}", "x@evil.example", "@", "a@b@c"]
)
async def test_a_component_speaks_for_nobody_else(story: Story, sender: str) -> None:
    world = await begin(story, gateway(), gateway(f"other.{DOMAIN}"))
    alice = await story("alice")
    await alice.comes_online()
    component = connect(world)
    component.send(f"<message from='{sender}' to='{alice.full}'><body>x</body></message>")
    assert component.error == "invalid-from"
    await alice.receives_nothing()


async def test_it_says_from_whom_and_to_whom(story: Story) -> None:
    world = await begin(story, gateway())
    for attributes in (f"from='{NAME}'", f"to='{DOMAIN}'", ""):
        component = connect(world)
        component.send(f"<message {attributes}/>")
        assert component.error == "improper-addressing"
    component = connect(world)
    component.send("<other/>")
    assert component.error == "unsupported-stanza-type"


async def test_a_malformed_stanza_is_answered(story: Story) -> None:
    world = await begin(story, gateway())
    component = connect(world)
    component.send(f"<iq from='a@{NAME}' to='@' type='get' id='1'><x xmlns='y'/></iq>")
    await component.receives(f"<iq type='error' id='1' to='a@{NAME}'><error/></iq>")
    component.send(f"<iq from='a@{NAME}' to='{DOMAIN}' type='bad' id='2'/>")
    await component.receives("<iq type='error' id='2'><error/></iq>")
    component.send(f"<message from='a@{NAME}' to='@' type='error'/>")
    await component.receives_nothing()


async def test_names_below_are_reached_once_they_were_used(story: Story) -> None:
    world = await begin(story, gateway())
    alice = await story("alice")
    await alice.comes_online()
    component = connect(world)
    chat = f"<message to='x@chat.{NAME}' id='1'><body>hi</body></message>"
    alice.send(chat)
    await alice.receives("<message type='error'><error/></message>")
    component.send(f"<message from='x@chat.{NAME}' to='{alice.bare}'><body>hello</body></message>")
    await alice.receives("<message><body>hello</body></message>")
    alice.send(chat)
    await component.receives("<message><body>hi</body></message>")
    assert f"chat.{NAME}" in world.router.services
    # What is published anew keeps them, and they go with the connection.
    await configure(world, gateway(), gateway(f"other.{DOMAIN}"))
    assert f"chat.{NAME}" in world.router.services
    component.break_off()
    assert set(world.router.services) >= {NAME, f"other.{DOMAIN}"}
    assert f"chat.{NAME}" not in world.router.services


async def test_names_below_another_component_are_that_ones(story: Story) -> None:
    inner = f"irc.{NAME}"
    world = await begin(story, gateway(), gateway(inner))
    alice = await story("alice")
    outer = connect(world)
    outer.send(f"<message from='x@net.{inner}' to='{alice.full}'><body>forged</body></message>")
    await alice.receives_nothing()
    assert outer.error == "invalid-from"
    own = connect(world, inner)
    own.send(f"<message from='x@net.{inner}' to='{alice.full}'><body>mine</body></message>")
    await alice.receives("<message><body>mine</body></message>")


async def test_a_name_that_is_configured_later_is_given_up(story: Story) -> None:
    inner = f"irc.{NAME}"
    world = await begin(story, gateway())
    alice = await story("alice")
    outer = connect(world)
    for name in (inner, f"net.{inner}", f"chat.{NAME}"):
        outer.send(f"<message from='x@{name}' to='{alice.full}'><body>{name}</body></message>")
        await alice.receives(f"<message><body>{name}</body></message>")
    await configure(world, gateway(inner), gateway())
    own = connect(world, inner)
    alice.send(f"<message to='x@{inner}' id='1'><body>hi</body></message>")
    await own.receives(f"<message to='x@{inner}'/>")
    outer.send(f"<message from='x@chat.{NAME}' to='{alice.full}'><body>still</body></message>")
    await alice.receives("<message><body>still</body></message>")
    outer.send(f"<message from='x@{inner}' to='{alice.full}'><body>forged</body></message>")
    await alice.receives_nothing()
    assert outer.error == "invalid-from"


async def test_the_number_of_names_is_bounded(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xmpp_engine.component.external._NAMES", 3)
    world = await begin(story, gateway())
    component = connect(world)
    for number in range(3):
        component.send(f"<presence from='a@n{number}.{NAME}' to='b@{DOMAIN}' type='unavailable'/>")
    assert component.error == ""
    component.send(f"<presence from='a@n3.{NAME}' to='b@{DOMAIN}' type='unavailable'/>")
    assert component.error == "invalid-from"


# When it is not there


async def test_what_is_for_an_absent_component_comes_back(story: Story) -> None:
    world = await begin(story, gateway())
    alice = await story("alice")
    await alice.comes_online()
    world.elsewhere.domains.add(NAME)
    alice.send(f"<message to='x@{NAME}' id='1'><body>hi</body></message>")
    error = await alice.receives("<message type='error' id='1'><error type='wait'/></message>")
    assert error.first() is not None
    alice.send(f"<iq to='x@{NAME}' type='get' id='2'><a xmlns='b'/></iq>")
    await alice.receives("<iq type='error' id='2'><error type='wait'/></iq>")
    alice.send(f"<presence to='room@{NAME}/nick'><x xmlns='{ns.MUC}'/></presence>")
    await alice.receives("<presence type='error'><error type='wait'/></presence>")
    # Never to another server of that name.
    assert world.elsewhere.sent == []
    assert world.engine.components.rows()[0]["bounced"] == 3


async def test_a_slow_component_is_spared_and_nothing_is_lost_unnoticed(story: Story) -> None:
    world = await begin(story, gateway(queue_bytes=65_536))
    alice = await story("alice")
    await alice.comes_online()
    component = connect(world)
    component.transport.waiting = 70_000
    alice.send(f"<message to='x@{NAME}' id='1'><body>hi</body></message>")
    await alice.receives(
        f"<message type='error' id='1'><error type='wait'><resource-constraint xmlns='{ns.STANZA_ERRORS}'/></error>"
        "</message>"
    )
    component.transport.waiting = 0
    alice.send(f"<message to='x@{NAME}' id='2'><body>hi</body></message>")
    await component.receives("<message id='2'/>")
    assert not component.transport.ended


async def test_a_component_waits_for_the_ledger(story: Story) -> None:
    world = await begin(story, gateway())
    component = connect(world)
    world.engine.ledger.full = True
    component.send(f"<presence from='a@{NAME}' to='b@{DOMAIN}' type='unavailable'/>")
    assert component.transport.paused
    world.engine.ledger.full = False
    for callback in world.engine.ledger._room:
        callback()
    assert not component.transport.paused


# Lists and configuration


async def test_the_domain_shows_connected_components(story: Story) -> None:
    world = await begin(story, gateway(), gateway("elsewhere.example"), gateway(f"away.{DOMAIN}"))
    alice = await story("alice")
    connect(world)
    connect(world, "elsewhere.example")
    answer = await alice.asks(f"<iq to='{DOMAIN}' type='get' id='1'><query xmlns='{ns.DISCO_ITEMS}'/></iq>")
    query = answer.first()
    assert query is not None
    jids = [item.get("jid") for item in query.elements()]
    assert NAME in jids
    assert "elsewhere.example" in jids
    assert f"away.{DOMAIN}" not in jids


async def test_rows_say_what_is_there(story: Story) -> None:
    world = await begin(story, gateway(), gateway(f"away.{DOMAIN}", enabled=False))
    component = connect(world)
    component.send(f"<presence from='a@{NAME}' to='b@{DOMAIN}' type='unavailable'/>")
    here, away = world.engine.components.rows()
    assert (here["domain"], here["connected"], here["address"], here["received"]) == (NAME, True, "127.0.0.1:5000", 1)
    assert (away["domain"], away["enabled"], away["connected"]) == (f"away.{DOMAIN}", False, False)
    assert "components_connected" in world.services.counters.gauges()
    assert SECRET not in repr(world.engine.components.rows())


@pytest.mark.parametrize(
    ("change", "condition"),
    [
        ({"secret": "another secret"}, "not-authorized"),
        ({"enabled": False}, "host-gone"),
        ({"networks": ("192.0.2.0/24",)}, "not-authorized"),
        ({"conflict": "replace"}, ""),
    ],
)
async def test_a_change_applies_to_who_is_connected(story: Story, change: dict[str, object], condition: str) -> None:
    world = await begin(story, gateway())
    component = connect(world)
    await configure(world, gateway(**change))
    assert component.error == condition


async def test_a_component_that_is_removed_is_gone(story: Story) -> None:
    world = await begin(story, gateway())
    component = connect(world)
    await configure(world)
    assert component.error == "host-gone"
    assert NAME not in world.router.services
    await world.engine.stop()


async def test_all_are_told_when_the_server_stops(story: Story) -> None:
    world = await begin(story, gateway())
    component = connect(world)
    assert not world.engine.components.kick("nobody.example")
    await world.engine.components.stop()
    assert component.error == "system-shutdown"


@pytest.mark.parametrize(
    ("component", "words"),
    [
        (gateway("host.example"), "served here already"),
        (gateway("example"), "would speak for host.example"),
        (gateway("GW.example.org"), "canonical"),
        (gateway(secret="short"), "a secret has 8"),
        (gateway(networks=("10.0.0.0/33",)), "10.0.0.0/33 is neither"),
        (gateway(queue_bytes=1), "bytes may wait"),
        (gateway(delegated={ns.DELEGATION: ()}), "cannot be delegated"),
        (gateway(delegated={"": ()}), "an empty namespace"),
        (gateway(delegated={"x": ("",)}), "an attribute of x"),
        (gateway(privileges={"everything": "both"}), "no privilege everything"),
        (gateway(privileges={"iq": "both"}), "no privilege iq"),
        (gateway(privileges={"roster:x": "both"}), "no privilege roster:x"),
        (gateway(privileges={"message": "both"}), "message is one of none, outgoing"),
        (gateway(privileges={"presence": "roster"}), "who may get rosters"),
    ],
)
def test_what_makes_no_sense_is_refused(component: object, words: str) -> None:
    config = EngineConfig(
        hosts={"host.example": HostConfig("host.example")},
        components={component.domain: component},  # type: ignore[attr-defined]
    )
    with pytest.raises(InvalidConfig, match=words):
        check(config)


async def test_a_component_talks_to_other_servers(story: Story) -> None:
    world = await begin(story, gateway())
    world.elsewhere.domains.add("far.example")
    component = connect(world)
    component.send(f"<message from='bot@{NAME}' to='romeo@far.example'><body>hello</body></message>")
    (sent,) = world.elsewhere.sent
    assert (sent.sender.full, sent.text().count("jabber:component:accept")) == (f"bot@{NAME}", 0)
    # What cannot be sent comes back to it.
    component.send(f"<message from='bot@{NAME}' to='romeo@nowhere.example' id='1'><body>hello</body></message>")
    await component.receives(f"<message type='error' id='1' to='bot@{NAME}'><error/></message>")
