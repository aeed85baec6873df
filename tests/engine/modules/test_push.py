"""Push (XEP-0357) with client states (XEP-0352), sleeping sessions (XEP-0198) and several devices."""

from __future__ import annotations

import pytest

from tests.push_service import Notification, PushDomain
from tests.story import MODULES, Client, Story, Wire
from xmpp_engine.addressing.jid import Jid
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element

SERVICE = "push.story.example"


@pytest.fixture
async def push(story: Story) -> PushDomain:
    """The push service of a world that has one."""
    return await begin(story)


async def begin(story: Story, **options: object) -> PushDomain:
    """Begin a world with a push service."""
    world = await story.begin(modules=(*MODULES, "tests.push_service.PushDomain"), options={"push": options})
    domain: PushDomain = world.module("push_domain")
    return domain


async def enable(client: Client, node: str = "phone", form: str = "", jid: str = SERVICE) -> None:
    """Enable push for a device."""
    answer = await client.asks(
        f"<iq type='set' id='push'><enable xmlns='{ns.PUSH}' jid='{jid}' node='{node}'>{form}</enable></iq>"
    )
    assert answer.attrs["type"] == "result", client.show()


async def managed(client: Client) -> None:
    """Enable stream management with resumption."""
    client.send(f"<enable xmlns='{ns.SM}' resume='true'/>")
    await client.receives(f"<enabled xmlns='{ns.SM}' resume='true'/>")


async def resume(story: Story, client: Client, handled: int) -> None:
    """Come back over a new connection."""
    world = story.world
    wire = Wire(world)
    assert client.session.sm is not None
    element = Element(ns.SM, "resume", {"previd": client.session.sm.id, "h": str(handled)})
    assert await world.binder.resume(wire, Jid.parse(client.bare), element, client.session.facts)
    client.wire = wire
    await client.receives(f"<resumed xmlns='{ns.SM}'/>")


def say(to: Client, text: str = "hi") -> str:
    """A message to all of somebody's devices."""
    return f"<message to='{to.bare}' type='chat'><body>{text}</body></message>"


def counts(push: PushDomain) -> list[int]:
    """How many messages each push spoke of."""
    return [notification.count for notification in push.service.received]


async def test_somebody_who_is_away_is_told(story: Story, push: PushDomain) -> None:
    romeo, juliet = await story("romeo", "juliet")
    options = f"<x xmlns='{ns.DATA_FORMS}' type='submit'>"
    options += f"<field var='FORM_TYPE'><value>{ns.PUBLISH_OPTIONS}</value></field>"
    options += "<field var='secret'><value>eruio &amp; co</value></field></x>"
    await enable(juliet, "balcony", options)
    await juliet.leaves()
    romeo.send(say(juliet))
    await romeo.receives_nothing()
    assert push.service.received == [
        Notification("story.example", "balcony", {"message-count": "1"}, {"secret": "eruio & co"})
    ]


async def test_what_does_not_matter_wakes_nobody(story: Story, push: PushDomain) -> None:
    romeo, juliet = await story("romeo", "juliet")
    await enable(juliet)
    await juliet.leaves()
    for child in (
        f"<active xmlns='{ns.CHAT_STATES}'/>",
        f"<received xmlns='{ns.RECEIPTS}' id='1'/>",
        f"<displayed xmlns='{ns.CHAT_MARKERS}' id='1'/>",
        "<body/>",
    ):
        romeo.send(f"<message to='{juliet.bare}' type='chat'>{child}</message>")
    romeo.send(f"<message to='{juliet.bare}' type='headline'><body>news</body></message>")
    await romeo.receives_all()
    assert push.service.received == []
    romeo.send(f"<message to='{juliet.bare}' type='chat'><propose xmlns='{ns.JINGLE_MESSAGE}' id='c'/></message>")
    romeo.send(f"<message to='{juliet.bare}' type='chat'><encryption xmlns='{ns.ENCRYPTION}'/></message>")
    await romeo.receives_all()
    assert counts(push) == [1]


async def test_a_session_that_looks_is_not_pushed(story: Story, push: PushDomain) -> None:
    romeo, juliet = await story("romeo", "juliet")
    await juliet.comes_online()
    await enable(juliet)
    romeo.send(say(juliet))
    await juliet.receives("<message><body>hi</body></message>")
    assert push.service.received == []
    juliet.send(f"<inactive xmlns='{ns.CSI}'/>")
    romeo.send(say(juliet))
    await juliet.receives("<message><body>hi</body></message>")
    assert counts(push) == [1]


async def test_a_burst_is_one_push_and_its_end_another(story: Story, push: PushDomain) -> None:
    romeo, juliet = await story("romeo", "juliet")
    await enable(juliet)
    await juliet.leaves()
    for _ in range(20):
        romeo.send(say(juliet))
    await romeo.receives_nothing()
    assert counts(push) == [1]
    story.world.clock.advance(6)
    await romeo.receives_nothing()
    assert counts(push) == [1, 20]
    story.world.clock.advance(60)
    await romeo.receives_nothing()
    assert counts(push) == [1, 20]


async def test_one_push_is_under_way_at_a_time(story: Story, push: PushDomain) -> None:
    romeo, juliet = await story("romeo", "juliet")
    await enable(juliet)
    await juliet.leaves()
    push.service.holding = True
    romeo.send(say(juliet))
    await romeo.receives_nothing()
    story.world.clock.advance(10)
    romeo.send(say(juliet) + say(juliet))
    await romeo.receives_nothing()
    assert counts(push) == [1]
    push.release()
    await romeo.receives_nothing()
    assert counts(push) == [1, 3]


async def test_a_call_does_not_wait(story: Story, push: PushDomain) -> None:
    romeo, juliet = await story("romeo", "juliet")
    await enable(juliet)
    await juliet.leaves()
    romeo.send(say(juliet))
    await romeo.receives_nothing()
    romeo.send(f"<message to='{juliet.bare}' type='chat'><propose xmlns='{ns.JINGLE_MESSAGE}' id='c'/></message>")
    await romeo.receives_nothing()
    assert counts(push) == [1, 2]


async def test_content_only_where_the_host_says_so(story: Story) -> None:
    push = await begin(story, sender=True, body=True)
    romeo, juliet = await story("romeo", "juliet")
    await enable(juliet)
    await juliet.leaves()
    romeo.send(say(juliet, "Wherefore"))
    await romeo.receives_nothing()
    (notification,) = push.service.received
    assert notification.summary == {
        "message-count": "1",
        "last-message-sender": romeo.full,
        "last-message-body": "Wherefore",
    }


@pytest.mark.parametrize(("condition", "tries"), [("item-not-found", 3), ("remote-server-timeout", 20)])
async def test_a_service_that_fails_is_given_up(story: Story, push: PushDomain, condition: str, tries: int) -> None:
    romeo, juliet = await story("romeo", "juliet")
    await enable(juliet)
    await juliet.leaves()
    push.service.failing = condition
    for _ in range(tries + 2):
        romeo.send(say(juliet))
        await romeo.receives_nothing()
        story.world.clock.advance(10)
        await romeo.receives_nothing()
    assert len(push.service.received) == tries
    assert await story.world.stores.pushes.load(juliet.account.id) == []


async def test_errors_that_stop_are_forgotten(story: Story, push: PushDomain) -> None:
    romeo, juliet = await story("romeo", "juliet")
    await enable(juliet)
    await juliet.leaves()
    for failing in ("item-not-found", "item-not-found", "", "item-not-found", "item-not-found", ""):
        push.service.failing = failing
        romeo.send(say(juliet))
        await romeo.receives_nothing()
        story.world.clock.advance(10)
    assert len(await story.world.stores.pushes.load(juliet.account.id)) == 1


async def test_a_service_that_nobody_reaches_fails_at_once(story: Story, push: PushDomain) -> None:
    romeo, juliet = await story("romeo", "juliet")
    await enable(juliet, jid="push.far.example")
    await juliet.leaves()
    romeo.send(say(juliet))
    await romeo.receives_nothing()
    assert story.world.services.counters.rare("push_errors_total") == {"remote-server-not-found": 1}


async def test_disabling(story: Story, push: PushDomain) -> None:
    romeo, juliet = await story("romeo", "juliet")
    for node in ("a", "b", "c"):
        await enable(juliet, node)
    await juliet.asks(f"<iq type='set' id='d'><disable xmlns='{ns.PUSH}' jid='{SERVICE}' node='b'/></iq>")
    await juliet.leaves()
    romeo.send(say(juliet))
    await romeo.receives_nothing()
    assert [notification.node for notification in push.service.received] == ["a", "c"]
    again = await story("juliet")
    await again.asks(f"<iq type='set' id='d'><disable xmlns='{ns.PUSH}' jid='{SERVICE}'/></iq>")
    assert await story.world.stores.pushes.accounts() == set()


async def test_registrations_are_bounded(story: Story) -> None:
    await begin(story, limit=2)
    juliet = await story("juliet")
    for node in ("a", "b", "c"):
        await enable(juliet, node)
    rows = await story.world.stores.pushes.load(juliet.account.id)
    assert [row.node for row in rows] == ["b", "c"]


@pytest.mark.parametrize(
    ("xml", "condition"),
    [
        (f"<enable xmlns='{ns.PUSH}'/>", "bad-request"),
        (f"<enable xmlns='{ns.PUSH}' jid='a@b@c'/>", "jid-malformed"),
        (f"<enable xmlns='{ns.PUSH}' jid='story.example'/>", "not-allowed"),
        (f"<enable xmlns='{ns.PUSH}' jid='juliet@story.example/r1'/>", "not-allowed"),
        (f"<enable xmlns='{ns.PUSH}' jid='x.example' node='{'n' * 2000}'/>", "not-acceptable"),
        (
            f"<enable xmlns='{ns.PUSH}' jid='x.example'><x xmlns='{ns.DATA_FORMS}' type='submit'/></enable>",
            "bad-request",
        ),
    ],
)
async def test_malformed_requests(story: Story, push: PushDomain, xml: str, condition: str) -> None:
    juliet = await story("juliet")
    juliet.send(f"<iq type='set' id='p'>{xml}</iq>")
    await juliet.receives(f"<iq type='error'><error><{condition} xmlns='{ns.STANZA_ERRORS}'/></error></iq>")


async def test_nobody_registers_for_others(story: Story, push: PushDomain) -> None:
    romeo, juliet = await story("romeo", "juliet")
    romeo.send(f"<iq type='set' id='p' to='{juliet.bare}'><enable xmlns='{ns.PUSH}' jid='{SERVICE}'/></iq>")
    await romeo.receives(f"<iq type='error'><error><forbidden xmlns='{ns.STANZA_ERRORS}'/></error></iq>")


async def test_a_sleeping_session_is_woken_and_resumed_hours_later(story: Story, push: PushDomain) -> None:
    romeo, juliet = await story("romeo", "juliet")
    await managed(juliet)
    await enable(juliet)
    await juliet.comes_online()
    handled = juliet.session.sm.sent  # type: ignore[union-attr]
    await juliet.leaves(clean=False)
    story.world.clock.advance(12 * 3600)
    for text in ("one", "two", "three"):
        romeo.send(say(juliet, text))
    await romeo.receives_nothing()
    assert counts(push) == [1]
    await resume(story, juliet, handled)
    await juliet.receives(*(f"<message><body>{text}</body></message>" for text in ("one", "two", "three")))
    # The device is awake: nothing more is pushed, neither now nor for what was counted.
    story.world.clock.advance(60)
    romeo.send(say(juliet, "four"))
    await juliet.receives(f"<r xmlns='{ns.SM}'/>", "<message><body>four</body></message>")
    assert counts(push) == [1]


async def test_who_registers_first_is_told_how_long_it_may_sleep(story: Story, push: PushDomain) -> None:
    juliet = await story("juliet")
    await enable(juliet)
    juliet.send(f"<enable xmlns='{ns.SM}' resume='true'/>")
    await juliet.receives(f"<enabled xmlns='{ns.SM}' resume='true' max='86400'/>")
    assert juliet.session.resume_seconds == 86_400


async def test_what_was_on_its_way_to_a_dead_connection_is_pushed(story: Story, push: PushDomain) -> None:
    romeo, juliet = await story("romeo", "juliet")
    await managed(juliet)
    await enable(juliet)
    await juliet.comes_online()
    romeo.send(say(juliet))
    await romeo.receives_nothing()
    assert push.service.received == []
    await juliet.leaves(clean=False)
    assert counts(push) == [1]


async def test_a_queue_that_is_full_goes_to_offline_storage(story: Story) -> None:
    push = await begin(story)
    story.world.services.registry.unacked = 10
    romeo, juliet = await story("romeo", "juliet")
    await managed(juliet)
    await enable(juliet)
    await juliet.comes_online()
    await juliet.leaves(clean=False)
    for number in range(30):
        romeo.send(say(juliet, str(number)))
        story.world.clock.advance(2)
    await romeo.receives_nothing()
    assert juliet.session.ended
    again = await story("juliet")
    again.send("<presence/>")
    bodies = [e.child_text(ns.CLIENT, "body") for e in await again.receives_all() if e.name == "message"]
    assert bodies == [str(number) for number in range(30)]
    assert counts(push)[-1] == 30


async def test_sleeping_sessions_are_bounded(story: Story) -> None:
    await story.begin(options={"stream_management": {"asleep": 2}})
    sleepers = await story("juliet", "nurse", "tybalt")
    for sleeper in sleepers:
        await managed(sleeper)
        await sleeper.leaves(clean=False)
    assert [sleeper.session.ended for sleeper in sleepers] == [True, False, False]


async def test_every_device_gets_each_message_once(story: Story, push: PushDomain) -> None:
    romeo, laptop, phone, tablet = await story("romeo", "juliet:3")
    for device in (laptop, phone, tablet):
        await device.asks(f"<iq type='set' id='c'><enable xmlns='{ns.CARBONS}'/></iq>")
        await device.comes_online()
    for device in (laptop, phone, tablet):
        await device.receives_all()
    await managed(phone)
    await enable(phone, "phone")
    await enable(tablet, "tablet")
    tablet.send(f"<inactive xmlns='{ns.CSI}'/>")
    await tablet.receives_nothing()
    handled = phone.session.sm.sent
    await phone.leaves(clean=False)

    # To all of them, then to one: the others have carbons.
    romeo.send(say(laptop, "all"))
    await laptop.receives("<message><body>all</body></message>")
    await tablet.receives("<message><body>all</body></message>")
    romeo.send(f"<message to='{laptop.full}' type='chat'><body>one</body></message>")
    await laptop.receives("<message><body>one</body></message>")
    inner = f"<forwarded xmlns='{ns.FORWARD}'><message xmlns='jabber:client'><body>one</body></message></forwarded>"
    await tablet.receives(f"<message><received xmlns='{ns.CARBONS}'>{inner}</received></message>")
    laptop.send(f"<message to='{romeo.bare}' type='chat'><body>reply</body></message>")
    await tablet.receives(f"<message><sent xmlns='{ns.CARBONS}'/></message>")
    assert sorted((n.node, n.count) for n in push.service.received) == [("phone", 1), ("tablet", 1)]
    story.world.clock.advance(10)
    await laptop.receives_nothing()
    # Both incoming messages are counted for both devices, the copy of the own one for none.
    assert sorted((n.node, n.count) for n in push.service.received[2:]) == [("phone", 2), ("tablet", 2)]

    await resume(story, phone, handled)
    await phone.receives(
        "<message><body>all</body></message>",
        f"<message><received xmlns='{ns.CARBONS}'>{inner}</received></message>",
        f"<message><sent xmlns='{ns.CARBONS}'/></message>",
        f"<r xmlns='{ns.SM}'/>",
    )
    for device in (laptop, phone, tablet):
        await device.receives_nothing()


async def test_registrations_outlive_a_restart(story: Story, push: PushDomain) -> None:
    romeo, juliet = await story("romeo", "juliet")
    await enable(juliet)
    await juliet.leaves()
    module = story.world.module("push")
    module._registrations._known.clear()  # as after a start
    await module.started()
    romeo.send(say(juliet) + say(juliet))
    await romeo.receives_nothing()
    assert counts(push) == [1]


async def test_a_store_that_is_away_keeps_no_message_back(story: Story, push: PushDomain) -> None:
    romeo, juliet = await story("romeo", "juliet")
    await juliet.comes_online()
    await enable(juliet)
    module = story.world.module("push")
    module._registrations._known.clear()
    story.world.stores.memory.fail_with = "away"
    romeo.send(say(juliet))
    await juliet.receives("<message><body>hi</body></message>")
    story.world.stores.memory.fail_with = None


async def test_rooms_wake_but_not_for_the_own_message(story: Story, push: PushDomain) -> None:
    romeo, phone, laptop = await story("romeo", "juliet:2")
    room = "hall@conference.story.example"
    for client, nick in ((romeo, "romeo"), (phone, "jule"), (laptop, "jule")):
        client.send(f"<presence to='{room}/{nick}'><x xmlns='{ns.MUC}'/></presence>")
        await client.receives_all()
        if client is romeo:
            client.send(
                f"<iq type='set' id='o' to='{room}'><query xmlns='{ns.MUC}#owner'>"
                f"<x xmlns='{ns.DATA_FORMS}' type='submit'/></query></iq>"
            )
            await client.receives_all()
    await enable(phone)
    phone.send(f"<inactive xmlns='{ns.CSI}'/>")
    laptop.send(f"<message to='{room}' type='groupchat'><body>from my laptop</body></message>")
    assert any(e.find(ns.CLIENT, "body") is not None for e in await phone.receives_all())
    assert push.service.received == []
    romeo.send(f"<message to='{room}' type='groupchat'><body>hi all</body></message>")
    await romeo.receives_all()
    assert counts(push) == [1]


async def test_a_request_for_a_subscription_wakes_once(story: Story, push: PushDomain) -> None:
    romeo, juliet = await story("romeo", "juliet")
    await enable(juliet)
    await juliet.leaves()
    for _ in range(2):
        romeo.send(f"<presence to='{juliet.bare}' type='subscribe'/>")
        await romeo.receives_all()
    assert [one.summary for one in push.service.received] == [{"pending-subscription-count": "1"}]
    story.world.clock.advance(6)
    romeo.send(say(juliet))
    await romeo.receives_nothing()
    assert push.service.received[1].summary == {"message-count": "1", "pending-subscription-count": "1"}


async def test_an_approval_in_advance_wakes_nobody(story: Story, push: PushDomain) -> None:
    romeo, juliet = await story("romeo", "juliet")
    await juliet.comes_online()
    await enable(juliet)
    juliet.send(f"<presence to='{romeo.bare}' type='subscribed'/>")
    await juliet.receives_all()
    await juliet.leaves()
    romeo.send(f"<presence to='{juliet.bare}' type='subscribe'/>")
    await romeo.receives_all()
    assert push.service.received == []


async def test_an_inactive_device_learns_of_a_request(story: Story, push: PushDomain) -> None:
    romeo, juliet = await story("romeo", "juliet")
    await juliet.comes_online()
    await enable(juliet)
    juliet.send(f"<inactive xmlns='{ns.CSI}'/>")
    romeo.send(f"<presence to='{juliet.bare}' type='subscribe'/>")
    await juliet.receives(f"<presence type='subscribe' from='{romeo.bare}'/>")
    assert [one.summary for one in push.service.received] == [{"pending-subscription-count": "1"}]


async def test_a_revoked_device_is_told_nothing(story: Story, push: PushDomain) -> None:
    romeo, phone, laptop = await story("romeo", "juliet:2")
    phone.session.facts.device, laptop.session.facts.device = "phone", "laptop"
    await enable(phone, "phone")
    await enable(laptop, "laptop")
    await phone.leaves()
    await laptop.leaves()
    stores = story.world.stores
    account = await stores.accounts.load(phone.bare)
    assert account is not None
    assert [row.device for row in await stores.pushes.load(account.account_id)] == ["phone", "laptop"]
    await stores.devices.revoke(account.account_id, "phone")
    await story.world.engine.outside.pushes_changed(phone.bare)
    romeo.send(say(phone))
    await romeo.receives_nothing()
    assert [one.node for one in push.service.received] == ["laptop"]


async def test_a_registration_does_not_come_after_the_end_of_its_device(story: Story, push: PushDomain) -> None:
    phone = await story("juliet")
    phone.session.facts.device = "phone"
    phone.send(f"<iq type='set' id='push'><enable xmlns='{ns.PUSH}' jid='{SERVICE}' node='n'/></iq>")
    story.world.module("devices").end(phone.account, "phone")
    await story.world.settle()
    assert await story.world.stores.pushes.load(phone.account.id) == []


async def test_what_expired_in_the_store_is_noticed_within_an_hour(story: Story, push: PushDomain) -> None:
    romeo, juliet = await story("romeo", "juliet")
    juliet.session.facts.device = "phone"
    await enable(juliet)
    await juliet.leaves()
    await story.world.stores.devices.revoke(juliet.account.id, "phone")
    story.world.clock.advance(3_601)
    romeo.send(say(juliet))
    await romeo.receives_nothing()
    assert push.service.received == []
