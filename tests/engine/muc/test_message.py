"""Messages to a room and between occupants (XEP-0045, 7.4, 7.5, 8.1)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engine.muc.inside import ROOM, USER, begin, drain, enter, hall, refusal, room_of, says
from xmpp_engine.plugin.module import Module
from xmpp_engine.plugin.phases import Phase
from xmpp_engine.plugin.registrar import Registrar
from xmpp_engine.plugin.verdict import Reject, Verdict
from xmpp_engine.xml import ns
from xmpp_engine.xml.writer import write


async def test_everybody_gets_a_message_the_sender_too(story: Any) -> None:
    people = await hall(story, "bob", "carol")
    people[1].send(
        f"<message to='{ROOM}' type='groupchat' id='1' xml:lang='de'><body>hallo</body>"
        "<origin-id xmlns='urn:xmpp:sid:0' id='o'/></message>"
    )
    for client in people:
        seen = await client.receives(
            f"<message from='{ROOM}/bob' type='groupchat' id='1' to='{client.full}' xml:lang='de'><body>hallo</body>"
            "<origin-id xmlns='urn:xmpp:sid:0' id='o'/></message>"
        )
        (id,) = seen.find_all(ns.OCCUPANT_ID, "occupant-id")
        assert id.get("id") == room_of(story).occupant_id(people[1].bare)


async def test_what_only_the_room_may_say_is_removed(story: Any) -> None:
    alice, bob = await hall(story, "bob")
    forged = (
        f"<stanza-id xmlns='urn:xmpp:sid:0' id='1' by='{ROOM}'/><x xmlns='{USER}'><status code='104'/></x>"
        f"<delay xmlns='urn:xmpp:delay' from='{ROOM}' stamp='2020-01-01T00:00:00Z'/>"
        "<occupant-id xmlns='urn:xmpp:occupant-id:0' id='alice'/>"
    )
    bob.send(f"<message to='{ROOM}' type='groupchat'><body>hi</body>{forged}</message>")
    bob.send(f"<message to='{ROOM}/alice' type='chat'><body>hi</body>{forged}</message>")
    for expected in (["body", "occupant-id"], ["body", "x", "occupant-id"]):
        seen = await alice.receives("<message><body>hi</body></message>")
        assert [child.name for child in seen.elements()] == expected
    assert seen.find(USER, "x").children == []


async def test_who_may_speak(story: Any) -> None:
    alice, bob = await hall(story, "bob", moderated=True)
    carol = await story("carol")
    bob.send(says("hi"))
    await bob.receives(f"<message type='error' from='{ROOM}' id='m'>{refusal('forbidden', 'auth')}</message>")
    carol.send(says("hi"))
    await carol.receives(f"<message type='error' id='m'>{refusal('not-acceptable')}</message>")
    room = room_of(story)
    room.set_role(room.occupants["bob"], "participant")
    await drain(alice, bob)
    bob.send(says("hi"))
    await alice.receives(f"<message from='{ROOM}/bob'><body>hi</body></message>")
    bob.send(f"<message to='{ROOM}/alice' type='groupchat' id='g'><body>hi</body></message>")
    await bob.receives("<message><body>hi</body></message>", f"<message id='g'>{refusal('bad-request')}</message>")


async def test_the_subject(story: Any) -> None:
    alice, bob = await hall(story, "bob")
    bob.send(f"<message to='{ROOM}' type='groupchat' id='s'><subject>Mine</subject></message>")
    await bob.receives(f"<message type='error' id='s'>{refusal('forbidden')}</message>")
    room = room_of(story)
    room.reconfigure(room.with_config(change_subject=True))
    await drain(alice, bob)
    bob.send(f"<message to='{ROOM}' type='groupchat' id='s'><subject>Mine</subject></message>")
    for client in (alice, bob):
        seen = await client.receives(
            f"<message from='{ROOM}/bob' type='groupchat' id='s'><subject>Mine</subject></message>"
        )
        assert seen.find(ns.DELAY, "delay") is None
    assert (room.record.subject, room.record.subject_nick) == ("Mine", "bob")
    # With a body it is an ordinary message.
    bob.send(f"<message to='{ROOM}' type='groupchat'><subject>no</subject><body>text</body></message>")
    await alice.receives("<message><subject>no</subject><body>text</body></message>")
    bob.send(f"<message to='{ROOM}' type='groupchat'><subject>no</subject><thread>t</thread></message>")
    await alice.receives("<message><subject>no</subject><thread>t</thread></message>")
    assert room.record.subject == "Mine"
    await drain(bob)
    bob.send(f"<message to='{ROOM}' type='groupchat' id='t'><subject>{'s' * 9_000}</subject></message>")
    await bob.receives(f"<message type='error' id='t'>{refusal('policy-violation')}</message>")
    room.set_role(room.occupants["bob"], "visitor")
    await drain(alice, bob)
    bob.send(f"<message to='{ROOM}' type='groupchat' id='u'><subject>x</subject></message>")
    await bob.receives(f"<message type='error' id='u'>{refusal('forbidden')}</message>")
    alice.send(f"<message to='{ROOM}' type='groupchat'><subject/></message>")
    await bob.receives("<message><subject/></message>")
    assert room.record.subject == ""
    assert room.record.subject_time > 0


@pytest.mark.parametrize(
    ("allowed", "condition"), [("anyone", ""), ("moderators", "forbidden"), ("nobody", "forbidden")]
)
async def test_private_messages(story: Any, allowed: Any, condition: str) -> None:
    alice, bob, carol = await hall(story, "bob", "carol", private_messages=allowed)
    phone = await story.world.login("carol", "phone")
    phone.send(f"<presence to='{ROOM}/carol'><x xmlns='http://jabber.org/protocol/muc'/></presence>")
    await drain(phone)
    bob.send(f"<message to='{ROOM}/carol' type='chat' id='p'><body>psst</body></message>")
    if condition:
        await bob.receives(f"<message type='error' id='p' from='{ROOM}/carol'>{refusal(condition)}</message>")
    else:
        for client in (carol, phone):
            await client.receives(
                f"<message from='{ROOM}/bob' type='chat' id='p'><body>psst</body><x xmlns='{USER}'/></message>"
            )
    alice.send(f"<message to='{ROOM}/carol' type='chat' id='q'><body>psst</body></message>")
    if allowed == "nobody":
        await alice.receives(f"<message type='error' id='q'>{refusal('forbidden')}</message>")
    else:
        await carol.receives(f"<message from='{ROOM}/alice' id='q'/>")
    await drain(alice, bob)
    bob.send(f"<message to='{ROOM}/nobody' type='chat' id='r'><body>psst</body></message>")
    await bob.receives("<message type='error' id='r'/>")
    eve = await story("eve")
    eve.send(f"<message to='{ROOM}/bob' type='chat' id='e'><body>psst</body></message>")
    await eve.receives(f"<message type='error' id='e'>{refusal('not-acceptable')}</message>")
    eve.send(f"<message to='nowhere@{ROOM.partition('@')[2]}' type='groupchat' id='n'><body>hi</body></message>")
    await eve.receives(f"<message type='error' id='n'>{refusal('item-not-found')}</message>")


async def test_iqs_between_occupants(story: Any) -> None:
    _alice, bob, carol = await hall(story, "bob", "carol")
    version = "<query xmlns='jabber:iq:version'/>"
    bob.send(f"<iq to='{ROOM}/carol' type='get' id='v'>{version}</iq>")
    asked = await carol.receives(f"<iq from='{ROOM}/bob' to='{carol.full}' type='get'>{version}</iq>")
    carol.send(f"<iq to='{ROOM}/bob' type='result' id='{asked.attrs['id']}'><query xmlns='jabber:iq:version'/></iq>")
    await bob.receives(f"<iq from='{ROOM}/carol' to='{bob.full}' type='result' id='v'>{version}</iq>")
    # Only who was asked can answer, and only once.
    bob.send(f"<iq to='{ROOM}/carol' type='get' id='w'>{version}</iq>")
    asked = await carol.receives(f"<iq from='{ROOM}/bob' type='get'/>")
    _alice.send(f"<iq to='{ROOM}/bob' type='result' id='{asked.attrs['id']}'/>")
    await bob.receives_nothing()
    carol.send(
        f"<iq to='{ROOM}/bob' type='error' id='{asked.attrs['id']}'>{refusal('service-unavailable', 'cancel')}</iq>"
    )
    await bob.receives(f"<iq from='{ROOM}/carol' type='error' id='w'>{refusal('service-unavailable')}</iq>")
    assert "carol" in room_of(story).occupants
    # The vCard is that of the account.
    bob.send(f"<iq to='{ROOM}/carol' type='get' id='c'><vCard xmlns='vcard-temp'/></iq>")
    await bob.receives(f"<iq from='{ROOM}/carol' id='c'/>")
    await carol.receives_nothing()
    dave = await story("dave")
    dave.send(f"<iq to='{ROOM}/carol' type='get' id='o'>{version}</iq>")
    dave.send(f"<iq to='{ROOM}/carol' type='get' id='d'><query xmlns='{ns.DISCO_INFO}'/></iq>")
    await dave.receives(f"<iq type='error' id='o'>{refusal('not-acceptable')}</iq>")
    await dave.receives(f"<iq type='error' id='d'>{refusal('bad-request')}</iq>")
    bob.send(f"<iq to='{ROOM}/nobody' type='get' id='n'>{version}</iq>")
    await bob.receives(f"<iq type='error' id='n'>{refusal('item-not-found')}</iq>")


async def test_iqs_to_a_nickname_of_several_clients(story: Any) -> None:
    """The client that is shown is asked, and no other; the account for what is the account's; the room for a ping to
    one's own nickname, whichever client sends it."""
    _alice, bob = await hall(story, "bob")
    desk, phone = await story("carol:2")
    desk.send(enter("carol", children="<priority>1</priority>"))
    phone.send(enter("carol"))
    await drain(_alice, bob, desk, phone)
    ask = f"<iq to='{ROOM}/carol' type='{{}}' id='i'>{{}}</iq>"
    for payload in (
        f"<query xmlns='{ns.DISCO_INFO}'/>",
        "<ping xmlns='urn:xmpp:ping'/>",
        "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:xmpp:avatar:data'/></pubsub>",
    ):
        bob.send(ask.format("get", payload))
        asked = await desk.receives(f"<iq from='{ROOM}/bob' to='{desk.full}' type='get'>{payload}</iq>")
        await phone.receives_nothing()
        # The other client cannot answer for it; a refusal does not tell who it is.
        phone.send(f"<iq to='{ROOM}/bob' type='result' id='{asked.attrs['id']}'/>")
        await bob.receives_nothing()
        error = refusal("service-unavailable", "cancel").replace("<error", f"<error by='{desk.full}'")
        desk.send(f"<iq to='{ROOM}/bob' type='error' id='{asked.attrs['id']}'>{error}</iq>")
        answer = await bob.receives(f"<iq from='{ROOM}/carol' type='error' id='i'/>")
        assert "carol@" not in write(answer)
    # The vCard is the account's, and nobody's to write but the account's own.
    bob.send(ask.format("get", "<vCard xmlns='vcard-temp'/>"))
    answer = await bob.receives(f"<iq from='{ROOM}/carol' id='i'/>")
    assert "carol@" not in write(answer)
    bob.send(ask.format("set", "<vCard xmlns='vcard-temp'/>"))
    await bob.receives(f"<iq from='{ROOM}/carol' type='error' id='i'/>")
    await desk.receives_nothing()
    await phone.receives_nothing()
    for client in (desk, phone):
        client.send(ask.format("get", "<ping xmlns='urn:xmpp:ping'/>"))
        await client.receives(f"<iq from='{ROOM}/carol' to='{client.full}' type='result' id='i'/>")
    # Another is shown, another is asked.
    desk.send(f"<presence to='{ROOM}/carol'><show>xa</show></presence>")
    await drain(_alice, bob, desk, phone)
    bob.send(ask.format("get", "<query xmlns='jabber:iq:version'/>"))
    await phone.receives(f"<iq from='{ROOM}/bob' to='{phone.full}' type='get'/>")
    await desk.receives_nothing()


async def test_an_error_to_a_private_message_tells_no_address(story: Any) -> None:
    _alice, bob, carol = await hall(story, "bob", "carol")
    bob.send(f"<message to='{ROOM}/carol' type='chat' id='m'><body>psst</body></message>")
    await carol.receives("<message type='chat'/>")
    error = refusal("not-acceptable", "modify").replace("<error", f"<error by='{carol.full}'")
    carol.send(f"<message to='{ROOM}/bob' type='error' id='m'>{error}</message>")
    answer = await bob.receives(f"<message from='{ROOM}/carol' type='error'>{refusal('not-acceptable')}</message>")
    assert "carol@" not in write(answer)


async def test_a_ping_to_oneself_tells_whether_one_is_inside(story: Any) -> None:
    (_alice, bob) = await hall(story, "bob")
    ping = f"<iq to='{ROOM}/bob' type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>"
    bob.send(ping)
    await bob.receives(f"<iq from='{ROOM}/bob' type='result' id='p'/>")
    bob.send(f"<presence to='{ROOM}/bob' type='unavailable'/>")
    await drain(bob)
    bob.send(ping)
    await bob.receives(f"<iq from='{ROOM}/bob' type='error' id='p'>{refusal('not-acceptable')}</iq>")


class Judge(Module):
    """Looks at what rooms send."""

    name = "judge"

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.seen: list[tuple[Any, ...]] = []

    def setup(self, reg: Registrar) -> None:
        reg.room_message(Phase.POLICY, self.judge)
        reg.room_message(Phase.STORE, self.store)

    def judge(self, stanza: Any, room: Any, occupant: Any) -> Verdict:
        self.seen.append((stanza.sender.full, stanza.to, room.jid.full, occupant.nick if occupant else None))
        text = stanza.element.child_text(ns.CLIENT, "body") or ""
        return Reject("policy-violation", "no") if "bad" in text else None

    def store(self, stanza: Any, _room: Any, _occupant: Any) -> Verdict:
        stanza.commit = 1
        return None


async def test_hooks_judge_what_a_room_sends(story: Any) -> None:
    from tests.engine.muc import inside

    world = await story.begin(modules=(*inside.MODULES, "tests.engine.muc.test_message.Judge"))
    alice = await story("alice")
    alice.send(inside.enter("alice"))
    await world.settle()
    world.module("muc").room(ROOM).unlock()
    await drain(alice)
    alice.send(says("good") + says("bad", "n"))
    await alice.receives("<message id='m'><body>good</body></message>")
    await alice.receives(f"<message type='error' id='n' from='{ROOM}'>{refusal('policy-violation')}</message>")
    assert world.module("judge").seen == [(f"{ROOM}/alice", None, ROOM, "alice")] * 2
    assert len(room_of(story).history) == 1


async def test_messages_that_no_handler_takes(story: Any) -> None:
    service = await begin(story)
    alice = await story("alice")
    alice.send(f"<message to='{service.domain}' id='d'><body>hi</body></message>")
    await alice.receives(f"<message type='error' id='d'>{refusal('service-unavailable')}</message>")
