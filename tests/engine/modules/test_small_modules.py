"""Private storage, vCards, client state, disco and the four trivial modules."""

from __future__ import annotations

from typing import Any

PRIVATE = "<query xmlns='jabber:iq:private'>{}</query>"
EMPTY = "<storage xmlns='storage:bookmarks'/>"


async def test_private_data_comes_back_as_it_went(story: Any) -> None:
    alice, bob = await story("alice", "bob")
    data = "<storage xmlns='storage:bookmarks'><conference jid='r@x' name='&lt;R&gt;'/></storage>"
    answer = await alice.asks(f"<iq type='get' id='1'>{PRIVATE.format(EMPTY)}</iq>")
    assert answer.find("jabber:iq:private", "query").first().children == []
    await alice.asks(f"<iq type='set' id='2'>{PRIVATE.format(data)}</iq>")
    answer = await alice.asks(f"<iq type='get' id='3'>{PRIVATE.format(EMPTY)}</iq>")
    stored = answer.find("jabber:iq:private", "query").first()
    assert stored.first().attrs == {"jid": "r@x", "name": "<R>"}
    foreign = await bob.asks(f"<iq type='get' id='4' to='{alice.bare}'>{PRIVATE.format(data)}</iq>")
    assert foreign.get("type") == "error"


async def test_private_data_has_rules(story: Any) -> None:
    await story.begin(options={"private": {"quota": 100}})
    alice = await story("alice")
    for number, payload in enumerate(("", "<x/>", f"<x xmlns='urn:y'>{'a' * 200}</x>")):
        answer = await alice.asks(f"<iq type='set' id='{number}'>{PRIVATE.format(payload)}</iq>")
        assert answer.get("type") == "error"


async def test_vcards_are_written_by_their_owner_and_read_by_all(story: Any) -> None:
    await story.begin(options={"vcard": {"limit": 100}})
    alice, bob = await story("alice", "bob")
    assert (await alice.asks("<iq type='get' id='0'><vCard xmlns='vcard-temp'/></iq>")).get("type") == "result"
    assert (await bob.asks(f"<iq type='get' id='1' to='{alice.bare}'><vCard xmlns='vcard-temp'/></iq>")).get(
        "type"
    ) == "error"
    await alice.asks("<iq type='set' id='2'><vCard xmlns='vcard-temp'><FN>Alice</FN></vCard></iq>")
    card = await bob.asks(f"<iq type='get' id='3' to='{alice.bare}'><vCard xmlns='vcard-temp'/></iq>")
    assert card.find("vcard-temp", "vCard").child_text("vcard-temp", "FN") == "Alice"
    forged = await bob.asks(
        f"<iq type='set' id='4' to='{alice.bare}'><vCard xmlns='vcard-temp'><FN>x</FN></vCard></iq>"
    )
    assert forged.get("type") == "error"
    big = await alice.asks(f"<iq type='set' id='5'><vCard xmlns='vcard-temp'><FN>{'x' * 100}</FN></vCard></iq>")
    assert big.get("type") == "error"


async def test_an_inactive_client_is_left_in_peace_until_it_matters(story: Any) -> None:
    alice, bob = await story("alice", "bob")
    await story.world.contacts(alice, bob)
    await alice.comes_online()
    await bob.comes_online()
    await bob.receives_all()
    bob.send("<inactive xmlns='urn:xmpp:csi:0'/>")
    state = "<{} xmlns='http://jabber.org/protocol/chatstates'/>"
    alice.send("<presence><show>away</show></presence><presence><show>xa</show></presence>")
    alice.send(f"<message to='{bob.full}' type='chat'>{state.format('composing')}</message>")
    alice.send(f"<message to='{bob.full}' type='chat'>{state.format('paused')}</message>")
    await bob.receives_nothing()
    alice.send(f"<message to='{bob.full}' type='chat'><body>hello</body></message>")
    await bob.receives(
        "<presence><show>xa</show></presence>",
        f"<message>{state.format('paused')}</message>",
        "<message><body>hello</body></message>",
    )
    alice.send("<presence/>")
    await bob.receives_nothing()
    bob.send("<active xmlns='urn:xmpp:csi:0'/>")
    await bob.receives("<presence/>")


async def test_the_server_describes_itself(story: Any) -> None:
    await story.begin(contacts={"abuse": ("mailto:abuse@example.org",)})
    alice = await story("alice")
    domain = story.world.host.domain
    info = await alice.asks(
        f"<iq type='get' id='1' to='{domain}'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
    )
    query = info.first()
    features = {e.get("var") for e in query.elements() if e.name == "feature"}
    assert {"urn:xmpp:ping", "urn:xmpp:carbons:2", "urn:xmpp:blocking", "vcard-temp", "msgoffline"} <= features
    assert query.find("jabber:x:data", "x") is not None
    for space, name, child in (
        ("urn:xmpp:ping", "ping", None),
        ("jabber:iq:version", "query", "version"),
        ("urn:xmpp:time", "time", "utc"),
        ("jabber:iq:last", "query", None),
        ("vcard-temp", "vCard", "FN"),
    ):
        answer = await alice.asks(f"<iq type='get' id='2' to='{domain}'><{name} xmlns='{space}'/></iq>")
        assert answer.get("type") == "result", space
        if child:
            assert answer.first().find(space, child) is not None
    unknown = await alice.asks(f"<iq type='get' id='3' to='{domain}'><x xmlns='urn:nothing'/></iq>")
    assert unknown.find("jabber:client", "error").find("urn:ietf:params:xml:ns:xmpp-stanzas", "service-unavailable")


async def test_last_activity_is_for_those_who_may_know(story: Any) -> None:
    alice, bob = await story("alice", "bob")
    ask = f"<iq type='get' id='1' to='{bob.bare}'><query xmlns='jabber:iq:last'/></iq>"
    assert (await alice.asks(ask)).get("type") == "error"
    await story.world.contacts(alice, bob)
    await bob.comes_online()
    await alice.receives_all()
    assert (await alice.asks(ask)).first().get("seconds") == "0"
    bob.send("<presence type='unavailable'><status>gone home</status></presence>")
    await alice.receives_all()
    story.world.clock.advance(60)
    answer = (await alice.asks(ask)).first()
    assert int(answer.get("seconds")) >= 60
    assert answer.text == "gone home"


async def test_iqs_need_an_id_a_type_and_one_payload(story: Any) -> None:
    alice = await story("alice")
    for xml in (
        "<iq type='get'><ping xmlns='urn:xmpp:ping'/></iq>",
        "<iq type='nonsense' id='1'/>",
        "<iq type='get' id='1'/>",
        "<iq type='get' id='1' to='a@@b'/>",
        "<message to='@'/>",
        "<presence type='nonsense'/>",
    ):
        alice.send(xml)
        answer = (await alice.receives_all())[0]
        assert answer.get("type") == "error", xml
    assert not alice.wire.closed
