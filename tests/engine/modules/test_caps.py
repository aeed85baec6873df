"""XEP-0115: hashes of clients and of the server."""

from __future__ import annotations

import pytest

from tests.story import Client, Story, elements
from xmpp_engine.modules.caps import NODE, IllFormed, ver, verification_string
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element

SIMPLE = """<query xmlns='http://jabber.org/protocol/disco#info'>
<identity category='client' type='pc' name='Exodus 0.9.1'/>
<feature var='http://jabber.org/protocol/caps'/>
<feature var='http://jabber.org/protocol/muc'/>
<feature var='http://jabber.org/protocol/disco#info'/>
<feature var='http://jabber.org/protocol/disco#items'/></query>"""
#: The hash that XEP-0115, 5.2 gives for this client.
SIMPLE_VER = "QgayPKawpkPSDYmwT/WM94uAlu0="

COMPLEX = """<query xmlns='http://jabber.org/protocol/disco#info'>
<identity xml:lang='en' category='client' name='Psi 0.11' type='pc'/>
<identity xml:lang='el' category='client' name='Ψ 0.11' type='pc'/>
<feature var='http://jabber.org/protocol/caps'/>
<feature var='http://jabber.org/protocol/disco#info'/>
<feature var='http://jabber.org/protocol/disco#items'/>
<feature var='http://jabber.org/protocol/muc'/>
<x xmlns='jabber:x:data' type='result'>
<field var='FORM_TYPE' type='hidden'><value>urn:xmpp:dataforms:softwareinfo</value></field>
<field var='ip_version' type='text-multi'><value>ipv4</value><value>ipv6</value></field>
<field var='os'><value>Mac</value></field><field var='os_version'><value>10.5.1</value></field>
<field var='software'><value>Psi</value></field><field var='software_version'><value>0.11</value></field>
</x></query>"""
#: XEP-0115, 5.3.
COMPLEX_VER = "q07IKJEyjvHSyhy//CH0CxmKi8w="
FEATURES = {
    "http://jabber.org/protocol/caps",
    "http://jabber.org/protocol/muc",
    "http://jabber.org/protocol/disco#info",
    "http://jabber.org/protocol/disco#items",
}


def query(xml: str) -> Element:
    return elements(xml)[0]


def with_caps(value: str = SIMPLE_VER, hash: str = "sha-1") -> str:
    return f"<presence><c xmlns='{ns.CAPS}' hash='{hash}' node='urn:client' ver='{value}'/></presence>"


async def asked(client: Client) -> str:
    """The id of the disco#info request that is next."""
    got = await client.receives(
        "<presence/>", "<iq type='get' from='story.example'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
    )
    node = got.first().attrs["node"]  # type: ignore[union-attr]
    assert node.startswith("urn:client#")
    return got.attrs["id"]


@pytest.mark.parametrize(("xml", "value"), [(SIMPLE, SIMPLE_VER), (COMPLEX, COMPLEX_VER)])
def test_the_examples_of_the_xep(xml: str, value: str) -> None:
    assert ver(query(xml)) == value


def test_forms_without_a_hidden_type_do_not_count() -> None:
    form = "<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE'><value>a</value></field></x>"
    assert ver(query(SIMPLE.replace("</query>", form + "</query>"))) == SIMPLE_VER
    assert verification_string(query("<query xmlns='http://jabber.org/protocol/disco#info'/>")) == ""


@pytest.mark.parametrize(
    "extra",
    [
        "<feature var='http://jabber.org/protocol/muc'/>",
        "<identity category='client' type='pc' name='Exodus 0.9.1'/>",
        2 * "<x xmlns='jabber:x:data'><field var='FORM_TYPE' type='hidden'><value>a</value></field></x>",
        "<x xmlns='jabber:x:data'><field var='FORM_TYPE' type='hidden'><value>a</value><value>b</value></field></x>",
    ],
)
def test_ill_formed_answers_have_no_hash(extra: str) -> None:
    with pytest.raises(IllFormed):
        ver(query(SIMPLE.replace("</query>", extra + "</query>")))


async def test_one_client_is_asked_for_all_that_show_the_hash(story: Story) -> None:
    alice, bob, carol = await story("alice", "bob", "carol")
    caps = story.world.module("caps")
    alice.send(with_caps())
    id = await asked(alice)
    bob.send(with_caps())
    await bob.receives("<presence/>")
    await bob.receives_nothing()
    assert caps.features_of(alice.session) == frozenset()
    alice.send(f"<iq type='result' id='{id}' to='story.example'>{SIMPLE}</iq>")
    for client in (alice, bob):
        assert caps.features_of(client.session) == FEATURES
    carol.send(with_caps())
    await carol.receives("<presence/>")
    await carol.receives_nothing()
    assert caps.features_of(carol.session) == FEATURES
    carol.send("<presence/>")
    assert caps.features_of(carol.session) == frozenset()


async def test_an_answer_that_lies_counts_for_nobody_else(story: Story) -> None:
    alice, bob = await story("alice", "bob")
    caps = story.world.module("caps")
    alice.send(with_caps())
    id = await asked(alice)
    bob.send(with_caps())
    await bob.receives("<presence/>")
    liar = SIMPLE.replace("<feature", "<feature var='urn:evil'/><feature", 1)
    alice.send(f"<iq type='result' id='{id}' to='story.example'>{liar}</iq>")
    assert caps.features_of(alice.session) == FEATURES | {"urn:evil"}
    got = await bob.receives("<iq type='get'/>")
    bob.send(f"<iq type='result' id='{got.attrs['id']}' to='story.example'>{SIMPLE}</iq>")
    assert caps.features_of(bob.session) == FEATURES
    # The liar is not asked for ever.
    alice.send(with_caps())
    await alice.receives("<presence/>")
    await alice.receives_nothing()


async def test_silence_errors_and_departures_lead_to_the_next(story: Story) -> None:
    alice, bob, carol, dave = await story("alice", "bob", "carol", "dave")
    caps = story.world.module("caps")
    alice.send(with_caps())
    await asked(alice)
    for client in (bob, carol, dave):
        client.send(with_caps())
        await client.receives("<presence/>")
    await bob.leaves()
    story.world.clock.advance(61)
    got = await carol.receives("<iq type='get'/>")
    carol.send(f"<iq type='error' id='{got.attrs['id']}' to='story.example'><error type='cancel'/></iq>")
    got = await dave.receives("<iq type='get'/>")
    dave.send(f"<iq type='result' id='{got.attrs['id']}' to='story.example'>{SIMPLE}</iq>")
    assert caps.features_of(dave.session) == caps.features_of(alice.session) == FEATURES
    assert not caps._asking


@pytest.mark.parametrize("presence", [with_caps(hash="md5"), with_caps(value=""), with_caps(value="x" * 600)])
async def test_hashes_that_cannot_be_verified_are_not_asked_for(story: Story, presence: str) -> None:
    alice = await story("alice")
    alice.send(presence)
    await alice.receives("<presence/>")
    await alice.receives_nothing()


async def test_what_is_known_is_bounded_and_the_oldest_goes(story: Story) -> None:
    alice = await story("alice")
    caps = story.world.module("caps")
    caps._known = {("sha-1", str(n)): frozenset() for n in range(2_000)}
    alice.send(with_caps("0"))
    alice.send(with_caps())
    await alice.receives("<presence/>")
    id = await asked(alice)
    alice.send(f"<iq type='result' id='{id}' to='story.example'>{SIMPLE}</iq>")
    assert len(caps._known) == 2_000
    assert ("sha-1", "1") not in caps._known
    assert ("sha-1", "0") in caps._known


async def test_the_server_shows_its_own_hash_and_explains_it(story: Story) -> None:
    alice = await story("alice")
    (feature,) = [
        element
        for element in (shown(story.world.host) for shown in story.world.host.table.stream_features)
        if element is not None and element.ns == ns.CAPS
    ]
    node = f"{NODE}#{feature.attrs['ver']}"
    answer = await alice.asks(
        f"<iq type='get' id='d' to='story.example'><query xmlns='{ns.DISCO_INFO}' node='{node}'/></iq>"
    )
    info = answer.find(ns.DISCO_INFO, "query")
    assert info is not None
    assert ver(info) == feature.attrs["ver"]
    assert ns.CAPS in [f.attrs["var"] for f in info.find_all(ns.DISCO_INFO, "feature")]


def with_interest(*nodes: str) -> tuple[str, str]:
    """A presence and the answer that explains its hash, of a client that wants the events of these nodes."""
    features = "".join(f"<feature var='{node}+notify'/>" for node in nodes)
    info = SIMPLE.replace("</query>", features + "</query>")
    return with_caps(ver(query(info))), info


async def test_modules_learn_what_a_client_wants_once_it_is_known(story: Story) -> None:
    alice, bob = await story("alice", "bob")
    caps = story.world.module("caps")
    told = []
    caps.learned["test"] = lambda session: told.append((session.jid.local, set(caps.interests_of(session))))
    presence, info = with_interest("urn:tune", "urn:mood")
    for client in (alice, bob):
        client.send(presence)
    assert told == []
    alice.send(f"<iq type='result' id='{await asked(alice)}' to='story.example'>{info}</iq>")
    assert told == [("alice", {"urn:tune", "urn:mood"}), ("bob", {"urn:tune", "urn:mood"})]
    bob.send(presence.replace("<presence>", "<presence><show>away</show>"))
    assert len(told) == 2, "the same capabilities are no news"
    bob.send("<presence type='unavailable'/>")
    bob.send(presence)
    assert told[2:] == [("bob", {"urn:tune", "urn:mood"})], "a client that comes again has just become known"


async def test_who_could_not_explain_the_hash_learns_from_another(story: Story) -> None:
    alice, bob = await story("alice", "bob")
    caps = story.world.module("caps")
    presence, info = with_interest("urn:tune")
    alice.send(presence)
    await asked(alice)
    bob.send(presence)
    story.world.clock.advance(61)
    got = (await bob.receives("<presence/>", "<iq type='get'/>")).attrs["id"]
    told = []
    caps.learned["test"] = lambda session: told.append(session.jid.local)
    bob.send(f"<iq type='result' id='{got}' to='story.example'>{info}</iq>")
    assert told == ["bob", "alice"]
    assert caps.interests_of(alice.session) == {"urn:tune"}


async def test_what_a_session_can_do_outlives_the_cache(story: Story) -> None:
    alice = await story("alice")
    caps = story.world.module("caps")
    alice.send(with_caps())
    alice.send(f"<iq type='result' id='{await asked(alice)}' to='story.example'>{SIMPLE}</iq>")
    caps._known.clear()
    assert caps.features_of(alice.session) == FEATURES
