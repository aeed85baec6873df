"""Accounts that have moved, and domains: whoever turns to them is told where they are now (RFC 6120, 8.3.3.5)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.story import Client, Story, elements
from xmpp_engine.addressing.jid import Jid
from xmpp_engine.addressing.uri import jid_of, uri_of
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.storage.types import RosterItem
from xmpp_engine.xml import ns

NOW = "new%one@there.example"
GONE = f"<error type='cancel'><gone xmlns='{ns.STANZA_ERRORS}'>xmpp:new%25one@there.example</gone></error>"
VERSION = "<query xmlns='jabber:iq:version'/>"


async def moved(story: Story, *cast: str) -> list[Client]:
    """Clients; the first one's account has moved."""
    clients: list[Client] = await story(*cast)
    for client in clients:
        await client.comes_online()
    clients[0].account.data.moved_to = NOW
    story.world.stores.memory.accounts[clients[0].bare].data.moved_to = NOW
    for client in clients:
        await client.receives_all()
    return clients


ASKED = (
    "<message to='{}' id='x' type='chat'><body>Hi</body></message>",
    "<message to='{}' id='x'><body>Hi</body></message>",
    "<iq to='{}' id='x' type='get'>" + VERSION + "</iq>",
    "<iq to='{}' id='x' type='set'>" + VERSION + "</iq>",
)


@pytest.mark.parametrize("xml", ASKED)
@pytest.mark.parametrize("resource", ["", "/r1", "/elsewhere"])
async def test_others_are_told(story: Story, xml: str, resource: str) -> None:
    old, bob = await moved(story, "old", "bob")
    bob.send(xml.format(old.bare + resource))
    (wanted,) = elements(xml.format(old.bare + resource))
    await bob.receives(f"<{wanted.name} type='error' id='x' from='{old.bare}{resource}'>{GONE}</{wanted.name}>")
    await old.receives_nothing()
    assert old.account.data.offline_count == 0


async def test_nobody_has_to_be_there_for_that(story: Story) -> None:
    old, bob = await moved(story, "old", "bob")
    await old.leaves()
    story.world.services.accounts.forget(old.bare)
    for xml in ASKED:
        bob.send(xml.format(old.bare))
        answer = await bob.receives(
            f"<{elements(xml.format('a@b'))[0].name} type='error'>{GONE}</{elements(xml)[0].name}>"
        )
        assert answer.attrs["id"] == "x"
    assert story.world.services.accounts.resident[old.bare].data.offline_count == 0


async def test_a_request_for_its_presence_is_answered_and_all_other_presence_passes(story: Story) -> None:
    old, bob = await moved(story, "old", "bob")
    bob.send(f"<presence type='subscribe' to='{old.bare}'/>")
    refusal = f"<presence type='error' from='{old.bare}'>{GONE}</presence>"
    await bob.receives_in_any_order("<iq type='set'/>", refusal)
    await old.receives_nothing()
    assert bob.bare not in old.account.roster
    items = [RosterItem(bob.bare, subscription="both")]
    await story.world.module("roster").change(old.account, items)
    await story.world.module("roster").change(bob.account, [RosterItem(old.bare, subscription="both")])
    for client in (old, bob):
        await client.receives_all()
    bob.send("<presence><show>away</show></presence>")
    await old.receives(f"<presence from='{bob.full}'/>")
    bob.send(f"<presence type='unsubscribe' to='{old.bare}'/><presence type='unsubscribed' to='{old.bare}'/>")
    types = [e.attrs.get("type") for e in await old.receives_all() if e.name == "presence"]
    assert types == ["unsubscribe", "unavailable", "unsubscribed"]
    assert old.account.roster[bob.bare].subscription == "none"


async def test_events_answers_and_rooms_pass(story: Story) -> None:
    old, bob = await moved(story, "old", "bob")
    room = "hall@conference.story.example"
    for client in (old, bob):
        client.send(f"<presence to='{room}/{client.jid.local}'><x xmlns='{ns.MUC}'/></presence>")
        await story.world.settle()
        if client is old:
            config = "<x xmlns='jabber:x:data' type='submit'/>"
            client.send(f"<iq type='set' to='{room}' id='c'><query xmlns='{ns.MUC_OWNER}'>{config}</query></iq>")
            await story.world.settle()
    for client in (old, bob):
        await client.receives_all()
    bob.send(f"<message to='{old.bare}' type='headline'><body>News</body></message>")
    await old.receives("<message type='headline'/>")
    bob.send(f"<message to='{old.full}' type='error' id='y'><error type='cancel'/></message>")
    await old.receives("<message type='error'/>")
    bob.send(f"<message to='{room}' type='groupchat'><body>All</body></message>")
    await old.receives(f"<message type='groupchat' from='{room}/bob'/>")
    bob.send(f"<message to='{room}/old' type='chat'><body>You</body></message>")
    await old.receives(f"<message type='chat' from='{room}/bob'/>")
    # What it asks itself is answered.
    old.send(f"<iq to='{bob.full}' type='get' id='q'>{VERSION}</iq>")
    await bob.receives_all()
    bob.send(f"<iq to='{old.full}' type='result' id='q'/>")
    await old.receives("<iq type='result' id='q'/>")


async def test_the_account_itself_and_the_server_are_no_others(story: Story) -> None:
    old1, old2 = await moved(story, "old:2")
    old1.send(f"<message to='{old2.full}' type='chat'><body>Me</body></message>")
    await old2.receives("<message type='chat'/>")
    await old1.receives_all()
    answer = await old1.asks(f"<iq type='get' id='r' to='{old1.bare}'><query xmlns='{ns.ROSTER}'/></iq>")
    assert answer.attrs["type"] == "result"
    text = elements(f"<message from='story.example' to='{old1.bare}' type='normal'><body>Hello</body></message>")[0]
    story.world.router.route(Stanza.parse(text))
    await old1.receives("<message from='story.example'/>")
    other = elements(f"<message from='other.example' to='{old1.bare}' type='normal'><body>Hello</body></message>")[0]
    story.world.elsewhere.domains.add("other.example")
    story.world.router.route(Stanza.parse(other))
    assert story.world.elsewhere.sent[-1].type == "error"


async def test_a_room_elsewhere_reaches_who_is_in_it(story: Story) -> None:
    old, _bob = await moved(story, "old", "bob")
    story.world.elsewhere.domains.add("rooms.example")
    ping = f"<iq type='get' from='hall@rooms.example/me' to='{old.full}' id='p'><ping xmlns='urn:xmpp:ping'/></iq>"
    story.world.router.route(Stanza.parse(elements(ping)[0]))
    await old.receives_nothing()
    assert story.world.elsewhere.sent.pop().type == "error"
    old.send("<presence to='hall@rooms.example/me'/>")
    story.world.router.route(Stanza.parse(elements(ping)[0]))
    await old.receives("<iq type='get' id='p'/>")


async def test_who_is_blocked_learns_nothing(story: Story) -> None:
    old, bob = await moved(story, "old", "bob")
    old.send(f"<iq type='set' id='b'><block xmlns='{ns.BLOCKING}'><item jid='{bob.bare}'/></block></iq>")
    await old.receives_all()
    for xml in ASKED:
        bob.send(xml.format(old.bare))
        answer = await bob.receives(f"<{elements(xml)[0].name} type='error'/>")
        error = answer.find(ns.CLIENT, "error")
        assert error is not None
        assert [child.name for child in error.elements()] == ["service-unavailable"]
    bob.send(f"<presence type='subscribe' to='{old.bare}'/>")
    await bob.receives("<iq type='set'/>")
    await bob.receives_nothing()


async def test_it_is_over_when_the_account_is_back(story: Story) -> None:
    old, bob = await moved(story, "old", "bob")
    story.world.stores.memory.accounts[old.bare].data.moved_to = ""
    await story.world.engine.outside.account_changed(old.bare)
    bob.send(ASKED[0].format(old.bare))
    await old.receives("<message type='chat'/>")


async def test_rosters_survive_the_news(story: Story) -> None:
    """What is not written yet when the account is read anew stays."""
    old, _bob = await moved(story, "old", "bob")
    story.world.stores.memory.fail_with = None
    story.world.module("roster").put(old.account, RosterItem("c@there.example", subscription="both"))
    await story.world.engine.outside.account_changed(old.bare)
    assert old.account.roster["c@there.example"].subscription == "both"
    await story.world.settle()
    stored = await story.world.stores.accounts.load(old.bare)
    assert stored is not None
    assert stored.roster["c@there.example"].subscription == "both"


# Domains

THERE = f"<error type='cancel'><gone xmlns='{ns.STANZA_ERRORS}'>xmpp:nobody@there.example</gone></error>"


@pytest.mark.parametrize("known", [False, True])
async def test_an_alias_tells_where_who_is_not_here_may_be(story: Story, known: bool) -> None:
    """The answer is the same whether there is such an account or not."""
    await story.begin(domains=("story.example", "there.example"))
    world = story.world
    if known:
        await world.account("nobody@there.example")
    old, bob = await story("old", "bob@there.example")
    for client in (old, bob):
        await client.comes_online()
    await alias(story, "there.example")
    for xml in ASKED:
        bob.send(xml.format("nobody@story.example"))
        kind = elements(xml)[0].name
        answer = await bob.receives(f"<{kind} type='error' from='nobody@story.example' id='x'>{THERE}</{kind}>")
        assert [child.name for child in answer.elements()] == ["error"]
    bob.send("<presence type='subscribe' to='nobody@story.example'/>")
    refusal = f"<presence type='error' from='nobody@story.example'>{THERE}</presence>"
    await bob.receives_in_any_order("<iq type='set'/>", refusal)
    bob.send("<presence type='probe' to='nobody@story.example'/><presence to='nobody@story.example'/>")
    await bob.receives_nothing()
    # Who is here goes on, and an error is answered by nothing.
    bob.send(f"<message to='{old.bare}' type='chat'><body>Hi</body></message>")
    await old.receives("<message type='chat'/>")
    bob.send("<message to='nobody@story.example' type='error'/><iq to='nobody@story.example' type='result' id='r'/>")
    await bob.receives_nothing()
    # And it is over as it began: without a restart.
    await alias(story, "")
    bob.send(ASKED[0].format("nobody@story.example"))
    answer = await bob.receives("<message type='error'/>")
    assert "service-unavailable" in str([child.name for e in answer.elements() for child in e.elements()])


async def alias(story: Story, target: str) -> None:
    """Make the first domain an alias."""
    config = story.world.engine.config
    host = replace(config.hosts["story.example"], moved_to=target)
    hosts = {**config.hosts, "story.example": host}
    await story.world.engine.apply(replace(config, version=config.version + 1, hosts=hosts))


async def test_contacts_follow_from_an_alias(story: Story) -> None:
    """Its answer is a proof of the move, by XEP-0283."""
    await story.begin(domains=("story.example", "there.example"))
    romeo, new = await story("romeo@there.example", "juliet@there.example")
    for client in (romeo, new):
        await client.comes_online()
    module = story.world.router.hosts["there.example"].modules["roster"]
    await module.change(romeo.account, [RosterItem("juliet@story.example", name="J", subscription="both")])  # type: ignore[attr-defined]
    await alias(story, "there.example")
    moved = f"<moved xmlns='{ns.MOVED}'><old-jid>juliet@story.example</old-jid></moved>"
    new.send(f"<presence type='subscribe' to='{romeo.bare}'>{moved}</presence>")
    await story.world.settle()
    item = romeo.account.roster[new.bare]
    assert (item.subscription, item.name, item.ask) == ("from", "J", True)


@pytest.mark.parametrize(
    ("bare", "uri"),
    [
        ("romeo@montague.example", "xmpp:romeo@montague.example"),
        ("o\\27hara%2fx@x.example", "xmpp:o%5C27hara%252fx@x.example"),
        ("jos\u00e9@caf\u00e9.example", "xmpp:jos%C3%A9@caf%C3%A9.example"),
        ("a#b?c@[::1]", "xmpp:a%23b%3Fc@[::1]"),
        ("montague.example", "xmpp:montague.example"),
    ],
)
def test_addresses_as_uris(bare: str, uri: str) -> None:
    jid = Jid.parse(bare)
    assert uri_of(jid) == uri
    assert jid_of(uri) == jid
