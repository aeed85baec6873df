"""People of our node and of Prosody and ejabberd, real ones, talk, see each other, meet in rooms here and there, and
get each other's events and files, over streams that proved themselves by certificate or by dialback."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple

import pytest

from tests.durability.reader import CLIENT, name
from tests.federation import home as ours
from tests.federation.home import ROMEO, streams
from tests.federation.person import DISCO_INFO, EVENT, MAM, MUC, MUC_USER, NICK, OOB, PUBSUB, Person
from tests.federation.servers import HOME, PASSWORD, Network, Peer
from tests.live import LiveNode

pytestmark = [pytest.mark.net, pytest.mark.slow, pytest.mark.timeout(240)]
UPLOAD = "urn:xmpp:http:upload:0"
#: Below each server's domain: what our records say of it.
POLICIES = {"": "dialback", "external.": "certificate", "dialback.": "dialback-only"}
PEERS = ("prosody", "ejabberd")


class World(NamedTuple):
    """All that takes part."""

    net: Network
    node: LiveNode
    peers: dict[str, Peer]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """One of each, for all tests of the file."""
    with Network() as net:
        peers: dict[str, Peer] = {
            "prosody": net.prosody(*(f"{prefix}prosody.example" for prefix in POLICIES)),
            "ejabberd": net.ejabberd(*(f"{prefix}ejabberd.example" for prefix in POLICIES)),
        }
        node = net.home()
        console = ours.begin(net, node)
        for peer in peers:
            for prefix, policy in POLICIES.items():
                if prefix:
                    console.add_peer(f"{prefix}{peer}.example", subdomains="on", authentication=policy)
        yield World(net, node, peers)


@pytest.fixture
async def romeo(world: World) -> AsyncIterator[Person]:
    """Ours."""
    async with Person(world.node.c2s_port, ROMEO, PASSWORD) as person:
        yield person


@pytest.fixture(params=PEERS)
def peer(request: pytest.FixtureRequest, world: World) -> Peer:
    """One of the two others."""
    return world.peers[request.param]


@pytest.fixture
async def juliet(peer: Peer) -> AsyncIterator[Person]:
    """Theirs."""
    async with Person(peer.c2s_port, f"juliet@{peer.domain}", PASSWORD) as person:
        yield person


async def said(one: Person, other: Person, word: str) -> None:
    """What one says comes to the other, as it was said."""
    one.say(other.jid, f"{word} &lt;3 ü 🜁")
    found = await other.message(f"{word} <3 ü 🜁", one.jid)
    assert found.get("to") == other.jid
    assert found.get("type") == "chat"


async def test_they_talk_and_prove_themselves_by_certificates(
    world: World, peer: Peer, romeo: Person, juliet: Person
) -> None:
    await romeo.present()
    await juliet.present()
    await said(romeo, juliet, "out")
    await said(juliet, romeo, "in")
    rows = await streams(world.node, peer.domain)
    assert {row["authentication"] for row in rows} == {"EXTERNAL"}, rows
    assert {row["certificate"]["code"] for row in rows} == {""}
    assert all(row["tls"].startswith("TLSv1.") for row in rows)
    assert {row["direction"] for row in rows} in ({"both"}, {"in", "out"})
    assert sum(row["stanzas_in"] for row in rows) >= 1
    assert sum(row["stanzas_out"] for row in rows) >= 1


@pytest.mark.parametrize(("prefix", "proof"), [("external.", "EXTERNAL"), ("dialback.", "dialback")])
async def test_the_record_says_how_they_prove_themselves(
    world: World, peer: Peer, romeo: Person, prefix: str, proof: str
) -> None:
    domain = prefix + peer.domain
    await romeo.present()
    async with Person(peer.c2s_port, f"juliet@{domain}", PASSWORD) as juliet:
        await juliet.present()
        await said(juliet, romeo, "in")
        await said(romeo, juliet, "out")
        rows = await streams(world.node, domain)
        assert {row["authentication"] for row in rows if row["state"] == "ready"} == {proof}, rows


async def test_they_see_each_other_once_both_agree(world: World, peer: Peer, romeo: Person, juliet: Person) -> None:
    await romeo.present()
    await juliet.present()
    juliet.send(f"<presence to='{romeo.bare}' type='subscribe'/>")
    await romeo.presence(juliet.bare, "subscribe")
    romeo.send(f"<presence to='{juliet.bare}' type='subscribed'/>")
    romeo.send(f"<presence to='{juliet.bare}' type='subscribe'/>")
    await juliet.presence(romeo.bare, "subscribed")
    await juliet.presence(romeo.jid)
    await juliet.presence(romeo.bare, "subscribe")
    juliet.send(f"<presence to='{romeo.bare}' type='subscribed'/>")
    await romeo.presence(juliet.bare, "subscribed")
    await romeo.presence(juliet.jid)
    juliet.send("<presence><show>dnd</show><status>reading</status></presence>")
    found = await romeo.expect(lambda one: one.findtext(name(CLIENT, "status")) == "reading")
    assert (found.get("from"), found.findtext(name(CLIENT, "show"))) == (juliet.jid, "dnd")
    async with Person(world.node.c2s_port, ROMEO, PASSWORD, "second") as second:
        await second.present()
        # The server there is asked for presence by a probe.
        await second.presence(juliet.jid)
        await juliet.presence(second.jid)
    await juliet.presence(second.jid, "unavailable")
    roster = await romeo.ask("", "<query xmlns='jabber:iq:roster'/>")
    items = {item.get("jid"): item.get("subscription") for item in roster.iter("{jabber:iq:roster}item")}
    assert items[juliet.bare] == "both"
    romeo.send(f"<presence to='{juliet.bare}' type='unsubscribe'/>")
    await juliet.presence(romeo.bare, "unsubscribe")
    juliet.send(f"<presence to='{romeo.bare}' type='unsubscribe'/>")
    await juliet.presence(romeo.jid, "unavailable")


async def test_somebody_who_is_not_there(peer: Peer, romeo: Person, juliet: Person) -> None:
    await romeo.present()
    answer = await juliet.ask(f"nobody@{HOME}/none", "<query xmlns='jabber:iq:version'/>")
    assert answer.get("type") == "error"
    answer = await romeo.ask(f"nobody@{peer.domain}/none", "<query xmlns='jabber:iq:version'/>")
    assert answer.get("type") == "error"
    there = await romeo.ask(peer.domain, "<query xmlns='http://jabber.org/protocol/disco#info'/>")
    assert there.get("type") == "result"
    here = await juliet.ask(HOME, "<query xmlns='http://jabber.org/protocol/disco#info'/>")
    assert here.find(".//{http://jabber.org/protocol/disco#info}identity[@category='server']") is not None


async def room(service: str, owner: Person, guest: Person) -> None:
    """The owner makes a room, the guest from the other server comes, both speak, the guest changes nick and goes."""
    address = f"balcony-{owner.bare.partition('.')[0].partition('@')[2]}@{service}"
    owner.send(f"<presence to='{address}/owner'><x xmlns='{MUC}'/></presence>")
    await owner.presence(address, nick="owner")
    unlock = "<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query>"
    assert (await owner.ask(address, unlock, "set")).get("type") == "result"
    guest.send(f"<presence to='{address}/guest'><x xmlns='{MUC}'/></presence>")
    own = await guest.presence(address, nick="guest")
    assert {status.get("code") for status in own.iter(name(MUC_USER, "status"))} >= {"110"}
    await owner.presence(address, nick="guest")
    await guest.presence(address, nick="owner")
    guest.say(address, "hello all", "groupchat")
    for person in (owner, guest):
        found = await person.message("hello all", f"{address}/guest")
        assert found.get("type") == "groupchat"
    owner.say(address, "welcome", "groupchat")
    await guest.message("welcome", f"{address}/owner")
    owner.say(f"{address}/guest", "a word alone")
    await guest.message("a word alone", f"{address}/owner")
    guest.send(f"<presence to='{address}/visitor'/>")
    gone = await owner.presence(address, "unavailable", "guest")
    assert gone.find(f".//{name(MUC_USER, 'item')}").get("nick") == "visitor"  # type: ignore[union-attr]
    await owner.presence(address, nick="visitor")
    guest.send(f"<presence to='{address}/visitor' type='unavailable'/>")
    await owner.presence(address, "unavailable", "visitor")
    owner.send(f"<presence to='{address}/owner' type='unavailable'/>")
    await owner.presence(address, "unavailable", "owner")


async def test_a_room_there(peer: Peer, romeo: Person, juliet: Person) -> None:
    await romeo.present()
    await juliet.present()
    await room(f"conference.{peer.domain}", juliet, romeo)


async def test_a_room_here(romeo: Person, juliet: Person) -> None:
    await romeo.present()
    await juliet.present()
    await room(f"conference.{HOME}", romeo, juliet)


async def test_archives_of_rooms_there_and_here(peer: Peer, romeo: Person, juliet: Person) -> None:
    await romeo.present()
    await juliet.present()
    for service, owner, guest in ((peer.domain, juliet, romeo), (HOME, romeo, juliet)):
        address = f"kept-{peer.name}@conference.{service}"
        owner.send(f"<presence to='{address}/owner'><x xmlns='{MUC}'/></presence>")
        await owner.presence(address, nick="owner")
        # Ours keeps what is said in rooms that stay.
        wanted = ("persistentroom", "enablelogging") if service == HOME else ()
        fields = "".join(f"<field var='muc#roomconfig_{field}'><value>1</value></field>" for field in wanted)
        form = f"<field var='FORM_TYPE'><value>{MUC}#roomconfig</value></field>{fields}" if fields else ""
        unlock = f"<query xmlns='{MUC}#owner'><x xmlns='jabber:x:data' type='submit'>{form}</x></query>"
        assert (await owner.ask(address, unlock, "set")).get("type") == "result"
        guest.send(f"<presence to='{address}/guest'><x xmlns='{MUC}'/></presence>")
        await guest.presence(address, nick="guest")
        ids = {}
        for speaker, nick, word in ((owner, "owner", "first"), (guest, "guest", "second")):
            speaker.say(address, f"{word} of {peer.name}", "groupchat")
            await owner.message(f"{word} of {peer.name}", f"{address}/{nick}")
            found = await guest.message(f"{word} of {peer.name}", f"{address}/{nick}")
            ids[word] = found.find(f"{{urn:xmpp:sid:0}}stanza-id[@by='{address}']").get("id")  # type: ignore[union-attr]
        assert await guest.archive(address) == [(id, f"{word} of {peer.name}") for word, id in ids.items()]
        info = await guest.ask(address, f"<query xmlns='{DISCO_INFO}'/>")
        assert info.find(f".//{name(DISCO_INFO, 'feature')}[@var='{MAM}']") is not None
        for person, nick in ((guest, "guest"), (owner, "owner")):
            person.send(f"<presence to='{address}/{nick}' type='unavailable'/>")
            await person.presence(address, "unavailable", nick)


async def test_an_archive_of_somebody_is_nobody_elses(peer: Peer, romeo: Person, juliet: Person) -> None:
    await romeo.present()
    await juliet.present()
    await said(romeo, juliet, "private")
    for reader, owner in ((juliet, romeo), (romeo, juliet)):
        answer = await reader.ask(owner.bare, f"<query xmlns='{MAM}'/>", "set")
        assert answer.get("type") == "error"


async def test_whoever_loses_the_connection_leaves_the_room(peer: Peer, romeo: Person) -> None:
    await romeo.present()
    address = f"short-{peer.name}@conference.{HOME}"
    romeo.send(f"<presence to='{address}/owner'><x xmlns='{MUC}'/></presence>")
    await romeo.presence(address, nick="owner")
    unlock = "<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query>"
    await romeo.ask(address, unlock, "set")
    async with Person(peer.c2s_port, f"nurse@{peer.domain}", PASSWORD) as nurse:
        nurse.send(f"<presence to='{address}/nurse'><x xmlns='{MUC}'/></presence>")
        await romeo.presence(address, nick="nurse")
    await romeo.presence(address, "unavailable", "nurse")


async def befriended(one: Person, other: Person) -> None:
    """Both see each other."""
    for asking, asked in ((one, other), (other, one)):
        asking.send(f"<presence to='{asked.bare}' type='subscribe'/>")
        await asked.presence(asking.bare, "subscribe")
        asked.send(f"<presence to='{asking.bare}' type='subscribed'/>")
        await asking.presence(asked.bare, "subscribed")


async def test_events_of_people_there_and_here(peer: Peer, romeo: Person, juliet: Person) -> None:
    await juliet.present(f"{NICK}+notify")
    await romeo.present(f"{NICK}+notify")
    await befriended(romeo, juliet)
    # Interest goes with presence, which each server has now to tell to the other.
    await romeo.present(f"{NICK}+notify")
    await juliet.present(f"{NICK}+notify")
    await romeo.presence(juliet.jid)
    await juliet.presence(romeo.jid)
    for publisher, reader in ((juliet, romeo), (romeo, juliet)):
        word = f"nick of {publisher.bare}"
        item = f"<item id='current'><nick xmlns='{NICK}'>{word}</nick></item>"
        publish = f"<pubsub xmlns='{PUBSUB}'><publish node='{NICK}'>{item}</publish></pubsub>"

        def told(one: object, publisher: Person = publisher, word: str = word) -> bool:
            found = one.findtext(f".//{name(NICK, 'nick')}")  # type: ignore[attr-defined]
            return found == word and one.get("from") == publisher.bare  # type: ignore[attr-defined]

        # The other server asks for the app's capabilities when it likes: an event before that is for nobody.
        for _ in range(20):
            assert (await publisher.ask("", publish, "set")).get("type") == "result"
            try:
                event = await reader.expect(told, 2.0)
                break
            except AssertionError:
                continue
        else:
            pytest.fail(f"no event of {publisher.bare} reached {reader.bare}")
        assert event.find(f".//{name(EVENT, 'items')}").get("node") == NICK  # type: ignore[union-attr]
    for asking, asked in ((romeo, juliet), (juliet, romeo)):
        items = await asking.ask(asked.bare, f"<pubsub xmlns='{PUBSUB}'><items node='{NICK}'/></pubsub>")
        assert items.findtext(f".//{name(NICK, 'nick')}") == f"nick of {asked.bare}"


async def test_a_service_for_events_here_serves_people_there(peer: Peer, romeo: Person, juliet: Person) -> None:
    await juliet.present()
    service, node = f"pubsub.{HOME}", f"news-{peer.name}"
    made = await romeo.ask(service, f"<pubsub xmlns='{PUBSUB}'><create node='{node}'/></pubsub>", "set")
    assert made.get("type") == "result"
    joined = await juliet.ask(
        service, f"<pubsub xmlns='{PUBSUB}'><subscribe node='{node}' jid='{juliet.bare}'/></pubsub>", "set"
    )
    assert joined.get("type") == "result"
    item = "<item id='1'><note xmlns='urn:test'>fresh</note></item>"
    publish = f"<pubsub xmlns='{PUBSUB}'><publish node='{node}'>{item}</publish></pubsub>"
    assert (await romeo.ask(service, publish, "set")).get("type") == "result"
    event = await juliet.expect(lambda one: one.findtext(".//{urn:test}note") == "fresh")
    assert event.get("from") == service


async def test_a_file_goes_by_its_link(romeo: Person, juliet: Person) -> None:
    await romeo.present()
    await juliet.present()
    slot = await romeo.ask(
        f"upload.{HOME}", f"<request xmlns='{UPLOAD}' filename='a.txt' size='5' content-type='text/plain'/>"
    )
    put, get = slot.find(f".//{{{UPLOAD}}}put"), slot.find(f".//{{{UPLOAD}}}get")
    assert put is not None
    assert get is not None

    def reached(link: str) -> str:
        """No name server of this machine knows our node."""
        return link.replace(f"//{HOME}:", "//localhost:")

    headers = {one.get("name", ""): one.text or "" for one in put} | {"Content-Type": "text/plain"}
    sending = urllib.request.Request(reached(put.get("url", "")), b"hello", headers, method="PUT")
    with await asyncio.to_thread(urllib.request.urlopen, sending, timeout=20) as answer:
        assert answer.status == 201
    url = get.get("url", "")
    romeo.say(juliet.jid, url, more=f"<x xmlns='{OOB}'><url>{url}</url></x>")
    found = await juliet.message(url, romeo.jid)
    link = found.findtext(f"{{{OOB}}}x/{{{OOB}}}url")
    with await asyncio.to_thread(urllib.request.urlopen, reached(link or ""), timeout=20) as answer:
        assert answer.read() == b"hello"
    juliet.say(romeo.jid, "https://files.example/b", more=f"<x xmlns='{OOB}'><url>https://files.example/b</url></x>")
    assert (await romeo.message("https://files.example/b")).findtext(f".//{{{OOB}}}url") == "https://files.example/b"


async def test_the_console_tests_the_way(world: World, peer: Peer) -> None:
    steps = await ours.socket(world.node).call("peer test", domain=peer.domain)
    way = ["peer", "dns", "tcp", "tls", "certificate", "revocation", "authentication"]
    assert [step["step"] for step in steps] == way
    assert all(step["ok"] for step in steps), steps
    steps = await ours.socket(world.node).call("peer test", domain="nowhere.example")
    assert [(step["step"], step["ok"]) for step in steps] == [("peer", True), ("dns", False)]
    assert "Check the spelling" in steps[-1]["advice"]


async def test_many_messages_keep_their_order(romeo: Person, juliet: Person) -> None:
    await romeo.present()
    await juliet.present()
    for number in range(200):
        romeo.say(juliet.jid, f"out {number}")
        juliet.say(romeo.jid, f"in {number}")
    for reader, word in ((juliet, "out"), (romeo, "in")):
        got = []
        while len(got) < 200:
            one = await reader.expect(
                lambda one, word=word: (one.findtext(name(CLIENT, "body")) or "").startswith(f"{word} ")
            )
            got.append(one.findtext(name(CLIENT, "body")))
        assert got == [f"{word} {number}" for number in range(200)]
