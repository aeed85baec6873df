"""XEP-0077: accounts made before sign-in, passwords changed, accounts removed."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from tests.story import MODULES, Story, elements, matches
from xmpp_engine.addressing.jid import Jid
from xmpp_engine.modules.register import RegisterOptions
from xmpp_engine.routing import farewell
from xmpp_engine.sasl.attempts import Attempts, wide_network
from xmpp_engine.storage.types import RosterItem
from xmpp_engine.stream.role_c2s import C2SRole
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError
from xmpp_engine.xml.writer import write

REGISTER = "xmpp_engine.modules.register.Register"
WITH = (*MODULES, REGISTER)


class Stranger:
    """A stream that is not authenticated: what is sent goes to the registration as the stream layer passes it on."""

    def __init__(self, story: Story, peer: str = "192.0.2.1:4711") -> None:
        self.story = story
        self.id = f"stream of {peer}"
        self.transport = SimpleNamespace(peer=peer)
        self.answers: list[Element] = []
        self.role = self
        self.given_time = 0

    def registering(self) -> None:
        """The stream is given the time that a person needs."""
        self.given_time += 1

    def send(self, element: Element) -> None:
        """What the server answers."""
        self.answers.append(element)

    async def asks(self, xml: str) -> Element:
        """Send an iq and return its answer."""
        (iq,) = elements(xml)
        assert self.story.world.module("register").before_login(self, iq)
        for _ in range(200):
            await self.story.world.settle()
            if self.answers:
                return self.answers.pop(0)
            # Keys are made in a thread.
            await asyncio.sleep(0.01)
        raise AssertionError("no answer came")

    async def registers(self, name: str, password: str = "correct horse") -> str:
        """Register by the legacy fields; returns "result" or the error's condition."""
        answer = await self.asks(
            f"<iq type='set' id='r'><query xmlns='{ns.REGISTER}'>"
            f"<username>{name}</username><password>{password}</password></query></iq>"
        )
        return outcome(answer)


def outcome(answer: Element) -> str:
    """Either "result" or the condition of the error."""
    if answer.get("type") == "result":
        return "result"
    error = answer.find(ns.CLIENT, "error")
    assert error is not None
    return next(child.name for child in error.elements())


async def test_a_closed_host_makes_no_account_and_offers_none(story: Story) -> None:
    world = await story.begin(modules=WITH)
    stranger = Stranger(story)
    assert await stranger.registers("eve") == "not-allowed"
    answer = await stranger.asks(f"<iq type='get' id='g'><query xmlns='{ns.REGISTER}'/></iq>")
    assert outcome(answer) == "not-allowed"
    assert world.module("register").offer(world.host) is None
    assert await world.stores.accounts.credentials("eve@story.example") is None
    assert stranger.given_time == 0


async def test_the_form_has_both_shapes_and_takes_both(story: Story) -> None:
    world = await story.begin(modules=WITH, options={"register": {"open": True, "instructions": "Hello"}})
    stranger = Stranger(story)
    answer = await stranger.asks(f"<iq type='get' id='g'><query xmlns='{ns.REGISTER}'/></iq>")
    (expected,) = elements(
        f"<iq type='result' id='g'><query xmlns='{ns.REGISTER}'><instructions>Hello</instructions>"
        "<username/><password/><x xmlns='jabber:x:data' type='form'>"
        f"<field var='FORM_TYPE' type='hidden'><value>{ns.REGISTER}</value></field>"
        "<field var='username' type='text-single'><required/></field>"
        "<field var='password' type='text-private'><required/></field></x></query></iq>"
    )
    assert matches(expected, answer), write(answer, ns.CLIENT)
    assert stranger.given_time == 1
    form = (
        f"<iq type='set' id='s'><query xmlns='{ns.REGISTER}'><x xmlns='jabber:x:data' type='submit'>"
        f"<field var='FORM_TYPE'><value>{ns.REGISTER}</value></field><field var='username'><value>Bill</value></field>"
        "<field var='password'><value>correct horse</value></field></x></query></iq>"
    )
    assert outcome(await stranger.asks(form)) == "result"
    assert await stranger.registers("bill") == "conflict"
    assert await stranger.registers("ann") == "result"
    assert await world.stores.accounts.credentials("bill@story.example") is not None
    assert await world.stores.accounts.credentials("ann@story.example") is not None


async def test_a_ping_while_the_form_is_filled_in_is_answered(story: Story) -> None:
    # What Pidgin sends half a minute after the form; the end of the stream was a refusal to it.
    world = await story.begin(modules=WITH, options={"register": {"open": True}})
    stranger = Stranger(story)
    answer = await stranger.asks(f"<iq type='get' id='purple303e3570'><ping xmlns='{ns.PING}'/></iq>")
    assert (outcome(answer), answer.get("id")) == ("result", "purple303e3570")
    (other,) = elements(f"<iq type='get' id='1' to='alice@story.example'><ping xmlns='{ns.PING}'/></iq>")
    assert not world.module("register").before_login(stranger, other)


@pytest.mark.parametrize(
    ("name", "password", "condition"),
    [
        ("", "correct horse", "not-acceptable"),
        ("eve", "", "not-acceptable"),
        ("eve", "short", "not-acceptable"),
        ("e v@e", "correct horse", "jid-malformed"),
    ],
)
async def test_what_cannot_be_an_account(story: Story, name: str, password: str, condition: str) -> None:
    await story.begin(modules=WITH, options={"register": {"open": True}})
    assert await Stranger(story).registers(name, password) == condition


async def test_attempts_are_limited_by_address_network_and_altogether(story: Story) -> None:
    options = {"register": {"open": True, "per_address": 2, "per_network": 3, "altogether": 4}}
    world = await story.begin(modules=WITH, options=options)
    first, neighbour, far, further = (
        Stranger(story, peer) for peer in ("192.0.2.1:1", "192.0.2.9:1", "198.51.100.1:1", "[2001:db8::1]:1")
    )
    assert [await first.registers(f"a{n}") for n in range(3)] == ["result", "result", "resource-constraint"]
    assert [await neighbour.registers(f"b{n}") for n in range(2)] == ["result", "resource-constraint"]
    assert await far.registers("c") == "result"
    assert await further.registers("d") == "resource-constraint"
    world.clock.advance(3_601)
    assert await first.registers("e") == "result"


def test_the_tables_of_attempts_are_bounded() -> None:
    attempts = Attempts()
    for number in range(20_000):
        assert attempts.take([(str(number), 1), ("everybody", 30_000)], 60.0, 0.0) == ""
    assert len(attempts) == 10_000
    assert attempts.take([("19999", 1)], 60.0, 1.0) == "19999"
    assert attempts.take([("new", 1), ("everybody", 20_000)], 60.0, 1.0) == "everybody", "what is used stays"
    assert attempts.take([("19999", 1)], 60.0, 61.0) == ""


def test_what_is_refused_pushes_no_limit_out_of_the_table() -> None:
    attempts = Attempts()
    assert attempts.take([("2001:db8::", 9), ("2001:db8::/48", 1)], 60.0, 0.0) == ""
    for number in range(20_000):
        assert attempts.take([(f"2001:db8:0:{number:x}::", 9), ("2001:db8::/48", 1)], 60.0, 0.0) == "2001:db8::/48"
    assert len(attempts) == 2


@pytest.mark.parametrize(
    ("address", "network"),
    [("192.0.2.77", "192.0.2.0/24"), ("2001:db8:1:2::", "2001:db8:1::/48"), ("", ""), ("unix", "")],
)
def test_wide_networks(address: str, network: str) -> None:
    assert wide_network(address) == network


async def test_a_redirect_shows_the_page(story: Story) -> None:
    await story.begin(modules=WITH, options={"register": {"redirect": "https://story.example/join"}})
    answer = await Stranger(story).asks(f"<iq type='get' id='g'><query xmlns='{ns.REGISTER}'/></iq>")
    (expected,) = elements(
        f"<iq type='result'><query xmlns='{ns.REGISTER}'><instructions/>"
        "<x xmlns='jabber:x:oob'><url>https://story.example/join</url></x></query></iq>"
    )
    assert matches(expected, answer)
    assert await Stranger(story).registers("eve") == "not-allowed"


async def test_those_who_want_to_know_are_told(story: Story) -> None:
    options = {"register": {"open": True, "notify": ["alice@story.example"]}}
    await story.begin(modules=WITH, options=options)
    alice = await story("alice")
    await alice.comes_online()
    assert await Stranger(story).registers("eve") == "result"
    note = await alice.receives("<message from='story.example' type='normal'><body/></message>")
    assert "eve@story.example was registered from 192.0.2.1" in (note.child_text(ns.CLIENT, "body") or "")


async def test_a_database_that_is_away_is_said_so(story: Story) -> None:
    world = await story.begin(modules=WITH, options={"register": {"open": True}})
    world.stores.memory.fail_with = "away"
    assert await Stranger(story).registers("eve") == "internal-server-error"
    world.stores.memory.fail_with = None
    assert await world.stores.accounts.credentials("eve@story.example") is None


async def test_a_password_is_changed_only_by_its_owner(story: Story) -> None:
    world = await story.begin(modules=WITH)
    alice, bob = await story("alice", "bob")
    change = "<iq type='set' id='p' to='story.example'><query xmlns='jabber:iq:register'>{}</query></iq>"
    alice.send(change.format("<username>bob</username><password>correct horse</password>"))
    await alice.receives(f"<iq type='error' id='p'><error><forbidden xmlns='{ns.STANZA_ERRORS}'/></error></iq>")
    alice.send(change.format("<username>alice</username>"))
    await alice.receives(f"<iq type='error' id='p'><error><bad-request xmlns='{ns.STANZA_ERRORS}'/></error></iq>")
    alice.send(change.format("<username>alice</username><password>correct horse</password>"))
    for _ in range(300):
        await world.settle()
        if alice.wire.inbox:
            break
        await asyncio.sleep(0.01)
    await alice.receives("<iq type='result' id='p'/>")
    credentials = await world.stores.accounts.credentials(alice.bare)
    assert credentials is not None
    assert set(credentials.keys) == {"SCRAM-SHA-1", "SCRAM-SHA-256"}
    await bob.receives_nothing()


async def test_a_removed_account_leaves_every_roster_and_cannot_bind(story: Story) -> None:
    world = await story.begin(modules=WITH)
    world.elsewhere.domains.add("far.example")
    alice, alice2, bob, carol = await story("alice:2", "bob", "carol")
    await world.contacts(alice, bob)
    carol.send(f"<presence to='{alice.bare}' type='subscribe'/>")
    await world.settle()
    far = RosterItem("tom@far.example", subscription="to", version=99)
    world.module("roster").put(alice.account, far)
    for client in (bob, carol, alice, alice2):
        await client.comes_online()
    for client in (bob, carol, alice, alice2):
        await client.receives_all()
    world.elsewhere.sent.clear()

    alice.send("<iq type='set' id='x'><query xmlns='jabber:iq:register'><remove/></query></iq>")
    await alice.receives("<iq type='result' id='x'/>")
    for wire in (alice.wire, alice2.wire):
        assert wire.error is not None
        assert wire.error.condition == "not-authorized"
    seen = [(stanza.name, stanza.get("type")) for stanza in await bob.receives_all()]
    assert seen[:2] == [("presence", "unavailable")] * 2
    assert ("presence", "unsubscribed") in seen
    assert ("presence", "unsubscribe") in seen
    assert bob.account.roster[alice.bare].subscription == "none"
    await carol.receives(f"<presence type='unsubscribed' from='{alice.bare}'/>", "<iq type='set'/>")
    assert [(s.type, s.to.bare) for s in world.elsewhere.sent if s.to] == [("unsubscribe", "tom@far.example")]

    assert await world.stores.accounts.credentials(alice.bare) is None
    with pytest.raises(StanzaError, match="not-allowed"):
        await world.binder.bind(alice.wire, Jid.parse(alice.bare), "r9", SimpleNamespace(mechanism="STORY"))


async def test_the_result_of_a_removal_comes_before_the_end(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database tells the node of the change before the request is answered. Gajim, without a result, kept the
    account and tried to sign in for ever."""
    world = await story.begin(modules=WITH)
    alice, phone = await story("alice:2")
    remove = world.stores.accounts.remove
    heard: list[asyncio.Future[int]] = []

    async def told(bare: str) -> None:
        await remove(bare)
        heard.append(asyncio.ensure_future(world.engine.outside.account_changed(bare)))
        for _ in range(5):
            await asyncio.sleep(0)

    monkeypatch.setattr(world.stores.accounts, "remove", told, raising=False)
    alice.send("<iq type='set' id='x'><query xmlns='jabber:iq:register'><remove/></query></iq>")
    alice.send("<iq type='set' id='y'><query xmlns='jabber:iq:register'><remove/></query></iq>")
    await alice.receives("<iq type='result' id='x'/>")
    for client in (alice, phone):
        assert client.wire.error is not None
        assert client.wire.error.text == "the account was removed"
    assert await heard[0] == 0
    assert world.module("register")._removals == {}


async def test_removal_that_is_not_allowed_or_not_alone(story: Story) -> None:
    world = await story.begin(modules=WITH, options={"register": {"removal": False}})
    alice = await story("alice")
    alice.send("<iq type='set' id='1'><query xmlns='jabber:iq:register'><remove/></query></iq>")
    await alice.receives(f"<iq type='error' id='1'><error><not-allowed xmlns='{ns.STANZA_ERRORS}'/></error></iq>")
    alice.send(
        "<iq type='set' id='2'><query xmlns='jabber:iq:register'><remove/><username>alice</username></query></iq>"
    )
    await alice.receives(f"<iq type='error' id='2'><error><bad-request xmlns='{ns.STANZA_ERRORS}'/></error></iq>")
    assert await world.stores.accounts.credentials(alice.bare) is not None


async def test_a_removal_that_fails_changes_nothing(story: Story) -> None:
    world = await story.begin(modules=WITH)
    alice = await story("alice")
    world.stores.memory.fail_with = "away"
    alice.send("<iq type='set' id='1'><query xmlns='jabber:iq:register'><remove/></query></iq>")
    await alice.receives("<iq type='error' id='1'/>")
    world.stores.memory.fail_with = None
    assert alice.account.data.state == "active"
    assert not alice.wire.closed


async def test_administrators_are_not_removed_in_band(story: Story) -> None:
    world = await story.begin(modules=WITH)
    alice = await story("alice")
    alice.account.data.is_admin = True
    alice.send("<iq type='set' id='1'><query xmlns='jabber:iq:register'><remove/></query></iq>")
    await alice.receives(f"<iq type='error' id='1'><error><not-allowed xmlns='{ns.STANZA_ERRORS}'/></error></iq>")
    assert await world.stores.accounts.credentials(alice.bare) is not None


async def test_a_user_of_another_domain_has_no_account_here(story: Story) -> None:
    world = await story.begin(modules=WITH, domains=("story.example", "other.example"))
    alice = await story("alice")
    alice.send("<iq type='set' id='1' to='other.example'><query xmlns='jabber:iq:register'><remove/></query></iq>")
    await alice.receives(f"<iq type='error' id='1'><error><forbidden xmlns='{ns.STANZA_ERRORS}'/></error></iq>")
    assert await world.stores.accounts.credentials(alice.bare) is not None


@pytest.mark.parametrize(
    ("secure", "clear", "asked"), [(False, False, False), (True, False, True), (False, True, True)]
)
def test_nobody_registers_in_clear_where_tls_is_required(secure: bool, clear: bool, asked: bool) -> None:
    service: Any = SimpleNamespace(clear=clear, before_login=lambda _stream, _iq: True)
    role = C2SRole(service)
    stream: Any = SimpleNamespace(transport=SimpleNamespace(secure=secure))
    role.stream = stream
    assert role.before_login(Element(ns.CLIENT, "iq")) is asked


def test_addresses_to_notify_are_a_list_of_addresses() -> None:
    for wrong in ("alice@story.example", ["a@@b"]):
        with pytest.raises(ValueError, match=r"list|domainpart"):
            RegisterOptions(notify=wrong)  # type: ignore[arg-type]


async def test_the_contacts_of_an_account_that_nobody_has_in_memory(story: Story) -> None:
    world = await story.begin(modules=WITH)
    alice, bob, carol, dave = await story("alice", "bob", "carol", "dave")
    await world.contacts(alice, bob)
    carol.send(f"<presence to='{alice.bare}' type='subscribe'/>")
    alice.send(f"<presence to='{dave.bare}' type='subscribe'/>")
    await world.settle()
    for client in (alice, carol, dave):
        await client.leaves()
    for client in (alice, carol, dave):
        world.services.accounts.forget(client.bare)
    await bob.comes_online()
    await bob.receives_all()
    await world.stores.accounts.remove(alice.bare)
    await world.engine.outside.account_changed(alice.bare)
    await world.settle()
    world.clock.advance(1.1)
    await world.settle()
    types = [stanza.get("type") for stanza in await bob.receives_all() if stanza.name == "presence"]
    assert {"unsubscribe", "unsubscribed"} <= set(types)
    assert bob.account.roster[alice.bare].subscription == "none"
    for client in (carol, dave):
        data = await world.stores.accounts.load(client.bare)
        assert data is not None
        item = data.roster.get(alice.bare)
        assert item is None or not (item.ask or item.pending_in)


async def test_farewells_go_in_portions(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(farewell, "_HOLDERS", 2)
    world = await story.begin(modules=WITH)
    gone = "gone@story.example"
    people = await story("a", "b", "c", "d", "e")
    for person in people:
        world.module("roster").put(person.account, RosterItem(gone, subscription="both", version=9))
    await world.settle()
    world.module("register").farewells.of_absent(Jid.parse(gone))
    world.clock.advance(1.1)
    await world.settle()
    assert [person.account.roster[gone].subscription for person in people] == ["none"] * 5
