"""XEP-0215: services outside XMPP and credentials for them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
from dataclasses import replace

import pytest

from tests.story import Client, Story
from xmpp_engine.modules.external_services import ExternalServicesOptions
from xmpp_engine.stanza.build import parse_timestamp
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element

SECRET = "north wind"
TURN = {"type": "turn", "host": "turn.example", "port": 3478, "transport": "udp", "secret": SECRET}
STUN = {"type": "stun", "host": "turn.example", "port": 3478, "transport": "udp", "name": "The wall"}
FTP = {"type": "ftp", "host": "ftp.example", "port": 20, "username": "guest", "password": "plain"}
ONE = "<service host='turn.example' type='turn'/>"
SPACE = f"xmlns='{ns.EXTERNAL_SERVICES}'"


async def begin(story: Story, *services: dict[str, object]) -> Client:
    options = {"external_services": {"services": list(services), "seconds": 600}}
    await story.begin(options=options)
    alice = await story("alice")
    return alice


def ask(inside: str, to: str = "story.example") -> str:
    return f"<iq type='get' id='e' to='{to}'>{inside}</iq>"


def listed(answer: Element) -> list[dict[str, str]]:
    assert answer.get("type") == "result", answer
    payload = answer.first()
    assert payload is not None
    return [dict(service.attrs) for service in payload.find_all(ns.EXTERNAL_SERVICES, "service")]


def check_credentials(service: dict[str, str], alice: Client, now: float) -> None:
    expires, _, account = service["username"].partition(":")
    assert account == alice.bare
    assert int(expires) == pytest.approx(now + 600, abs=2)
    assert parse_timestamp(service["expires"]) == int(expires)
    expected = hmac.new(SECRET.encode(), service["username"].encode(), hashlib.sha1).digest()
    assert base64.b64decode(service["password"]) == expected


async def test_all_services(story: Story) -> None:
    alice = await begin(story, STUN, TURN, FTP)
    stun, turn, ftp = listed(await alice.asks(ask(f"<services {SPACE}/>")))
    assert stun == {"type": "stun", "host": "turn.example", "port": "3478", "transport": "udp", "name": "The wall"}
    assert turn["restricted"] == "true"
    check_credentials(turn, alice, story.world.clock.time())
    assert (ftp["username"], ftp["password"]) == ("guest", "plain")


async def test_services_of_a_type(story: Story) -> None:
    alice = await begin(story, STUN, TURN, FTP)
    answer = await alice.asks(ask(f"<services {SPACE} type='stun'/>"))
    assert [service["type"] for service in listed(answer)] == ["stun"]
    assert answer.first().get("type") == "stun"  # type: ignore[union-attr]
    assert listed(await alice.asks(ask(f"<services {SPACE} type='xyz'/>"))) == []


async def test_credentials(story: Story) -> None:
    other = {**TURN, "port": 5349, "transport": "tls"}
    alice = await begin(story, STUN, TURN, other)
    both = listed(
        await alice.asks(ask(f"<credentials {SPACE}><service host='turn.example' type='turn'/></credentials>"))
    )
    assert [service["port"] for service in both] == ["3478", "5349"]
    for service in both:
        check_credentials(service, alice, story.world.clock.time())
    one = ask(f"<credentials {SPACE}><service host='turn.example' type='turn' port='5349'/></credentials>")
    assert [service["port"] for service in listed(await alice.asks(one))] == ["5349"]


@pytest.mark.parametrize(
    ("inside", "condition"),
    [
        (f"<credentials {SPACE}/>", "bad-request"),
        (f"<credentials {SPACE}><service host='turn.example'/></credentials>", "bad-request"),
        (f"<credentials {SPACE}><service host='x' type='turn'/></credentials>", "item-not-found"),
        (f"<credentials {SPACE}><service host='turn.example' type='stun'/></credentials>", "item-not-found"),
        (f"<credentials {SPACE}>{ONE * 21}</credentials>", "bad-request"),
    ],
)
async def test_credentials_that_nobody_has(story: Story, inside: str, condition: str) -> None:
    alice = await begin(story, STUN, TURN)
    alice.send(ask(inside))
    await alice.receives(f"<iq type='error'><error><{condition} xmlns='{ns.STANZA_ERRORS}'/></error></iq>")


async def test_only_accounts_of_the_domain(story: Story) -> None:
    options = {"external_services": {"services": [TURN]}}
    await story.begin(options=options, domains=("story.example", "other.example"))
    eve = await story("eve@other.example")
    for inside in (
        f"<services {SPACE}/>",
        f"<credentials {SPACE}><service host='turn.example' type='turn'/></credentials>",
    ):
        eve.send(ask(inside))
        await eve.receives(f"<iq type='error'><error><forbidden xmlns='{ns.STANZA_ERRORS}'/></error></iq>")


async def test_changes_are_pushed_to_who_asked(story: Story) -> None:
    alice = await begin(story, STUN, TURN)
    bob = await story("bob")
    await alice.asks(ask(f"<services {SPACE} type='turn'/>"))
    moved = {**TURN, "host": "new.example"}
    world = story.world
    host = replace(world.host.config, modules={"external_services": {"services": [moved, {**STUN, "port": 1}]}})
    await world.engine.apply(replace(world.engine.config, hosts={"story.example": host}))
    pushed = await alice.receives(
        f"<iq type='set' from='story.example'><services {SPACE} type='turn'>"
        "<service action='remove' host='turn.example' type='turn'/>"
        "<service action='add' host='new.example' type='turn' restricted='true'/></services></iq>"
    )
    assert len(list(pushed.first().elements())) == 2  # type: ignore[union-attr]
    await bob.receives_nothing()


async def test_secrets_stay_where_they_are(story: Story, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    alice = await begin(story, TURN, FTP)
    alice.send(ask(f"<services {SPACE}/>") + ask(f"<credentials {SPACE}/>"))
    for element in await alice.receives_all():
        assert SECRET not in str(element.attrs)
    module = story.world.module("external_services")
    assert SECRET not in repr(module.config)
    assert SECRET not in repr(module._services)
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    "services",
    [
        "turn",
        {"type": "turn"},
        ["turn"],
        [{"type": "turn"}],
        [{"host": "x"}],
        [{**STUN, "port": 70_000}],
        [{**STUN, "port": "3478"}],
        [{**STUN, "transport": "sctp"}],
        [{**STUN, "colour": "blue"}],
        [{**TURN, "password": "too"}],
        [{**TURN, "secret": 5}],
        [STUN] * 51,
    ],
)
def test_options_that_make_no_sense(services: object) -> None:
    with pytest.raises(ValueError, match="external_services") as wrong:
        ExternalServicesOptions(services=services)  # type: ignore[arg-type]
    assert SECRET not in str(wrong.value)
