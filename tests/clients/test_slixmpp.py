"""slixmpp: everything a full client does, over real TLS."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree.ElementTree import fromstring

import pytest
from slixmpp.exceptions import IqError

from tests.clients.conftest import Login
from tests.clients.slix import STEP_SECONDS, Slix
from tests.live import LiveNode, User
from tests.patience import in_time

NewUser = Callable[[], User]


@pytest.mark.parametrize("direct_tls", [False, True], ids=["starttls", "direct"])
@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"])
async def test_signs_in_and_chats(login: Login, user: NewUser, mechanism: str, direct_tls: bool) -> None:
    one, other = user(), user()
    romeo = await login(one, mechanism=mechanism, direct_tls=direct_tls)
    juliet = await login(other, direct_tls=direct_tls)
    used = romeo.plugin["feature_mechanisms"].mech
    assert used.name == mechanism
    juliet.send_message(one.jid, "What's in a name? ☠ <&>")
    heard = await romeo.hears("What's in a name? ☠ <&>")
    assert heard["from"] == juliet.boundjid
    romeo.send_message(juliet.boundjid, "A rose")
    assert (await juliet.hears("A rose"))["from"] == romeo.boundjid


async def test_a_wrong_password_is_refused(live_node: LiveNode, user: NewUser) -> None:
    client = Slix(user(), "desk", password="wrong")
    client.ssl_context.check_hostname = False
    with pytest.raises(TimeoutError):
        await in_time(client.come(live_node), 2)
    await client.until(lambda: "failed_auth" in client.events, "the refusal")
    assert "session_start" not in client.events
    client.abort()


async def test_contacts_are_added_accepted_and_removed(login: Login, user: NewUser) -> None:
    one, other = user(), user()
    romeo, juliet = await login(one), await login(other)
    await romeo.update_roster(other.jid, name="Juliet", groups=["Capulets"])
    asked = juliet.event_future("presence_subscribe")
    romeo.send_presence_subscription(pto=other.jid)
    assert (await in_time(asked, STEP_SECONDS))["from"].bare == one.jid
    there = romeo.event_future("got_online")
    juliet.send_presence_subscription(pto=one.jid, ptype="subscribed")
    assert (await in_time(there, STEP_SECONDS))["from"] == juliet.boundjid
    juliet.send_presence_subscription(pto=one.jid, ptype="subscribe")
    await romeo.until(lambda: romeo.client_roster[other.jid]["pending_in"], "the request of the other")
    romeo.send_presence_subscription(pto=other.jid, ptype="subscribed")
    await romeo.until(lambda: romeo.client_roster[other.jid]["subscription"] == "both", "both, for Romeo")
    await juliet.until(lambda: juliet.client_roster[one.jid]["subscription"] == "both", "both, for Juliet")

    phone = await login(one, "phone", presence=False)
    fresh = (await phone.get_roster())["roster"]["items"]
    (item,) = (value for jid, value in fresh.items() if jid.bare == other.jid)
    assert (item["name"], item["subscription"], item["groups"]) == ("Juliet", "both", ["Capulets"])

    gone = juliet.event_future("got_offline")
    await romeo.del_roster_item(other.jid)
    await in_time(gone, STEP_SECONDS)
    tablet = await login(one, "tablet", presence=False)
    items = (await tablet.get_roster())["roster"]["items"]
    assert all(jid.bare != other.jid for jid in items)
    await juliet.until(lambda: juliet.client_roster[one.jid]["subscription"] == "none", "none")


async def test_the_archive_is_read_page_by_page(login: Login, user: NewUser) -> None:
    one, other, third = user(), user(), user()
    romeo, juliet = await login(one), await login(other)
    before = datetime.now(UTC) - timedelta(seconds=1)
    bodies = [f"line {number}" for number in range(25)]
    for number, body in enumerate(bodies):
        (romeo if number % 2 else juliet).send_message((other if number % 2 else one).jid, body)
        # One after the other, or two senders' lines have no order between them.
        await (juliet if number % 2 else romeo).hears(body)
    romeo.send_message(third.jid, "to somebody else")

    async def read(client: Slix, **query: Any) -> list[str]:
        results = [message async for message in client.plugin["xep_0313"].iterate(rsm={"max": 10}, **query)]
        return [message["mam_result"]["forwarded"]["stanza"]["body"] for message in results]

    assert await read(romeo, with_jid=other.jid) == bodies
    assert await read(juliet, with_jid=one.jid) == bodies
    assert await read(juliet, start=before, with_jid=one.jid, total=5) == bodies[:5]
    assert await read(romeo, with_jid=other.jid, reverse=True, total=10) == bodies[:-11:-1]
    assert await read(romeo, end=before) == []
    assert await read(romeo) == [*bodies, "to somebody else"]


async def test_each_message_carries_its_archive_id(login: Login, user: NewUser) -> None:
    one, other = user(), user()
    romeo, juliet = await login(one), await login(other)
    juliet.send_message(one.jid, "find me")
    heard = await romeo.hears("find me")
    marked = {mark.get("by"): mark.get("id") for mark in heard.xml.iter("{urn:xmpp:sid:0}stanza-id")}
    results = [m async for m in romeo.plugin["xep_0313"].iterate(with_jid=other.jid)]
    assert marked == {one.jid: results[0]["mam_result"]["id"]}


async def test_carbons_between_two_resources(login: Login, user: NewUser) -> None:
    one, other = user(), user()
    desk, phone, juliet = await login(one, "desk"), await login(one, "phone"), await login(other)
    await phone.plugin["xep_0280"].enable()
    sent, received = phone.event_future("carbon_sent"), phone.event_future("carbon_received")
    desk.send_message(other.jid, "from my desk")
    await juliet.hears("from my desk")
    copy = (await in_time(sent, STEP_SECONDS))["carbon_sent"]
    assert (copy["body"], copy["from"], copy["to"].bare) == ("from my desk", desk.boundjid, other.jid)
    juliet.send_message(desk.boundjid, "to your desk")
    await desk.hears("to your desk")
    copy = (await in_time(received, STEP_SECONDS))["carbon_received"]
    assert (copy["body"], copy["from"]) == ("to your desk", juliet.boundjid)


async def test_a_lost_connection_is_resumed(login: Login, user: NewUser, live_node: LiveNode) -> None:
    one, other = user(), user()
    romeo, juliet = await login(one), await login(other)
    await romeo.until(lambda: romeo.plugin["xep_0198"].sm_id, "a resumable stream")
    bound = romeo.boundjid.full
    resumed = romeo.event_future("session_resumed")
    romeo.transport.abort()
    await romeo.until(lambda: not romeo.is_connected(), "the loss")
    juliet.send_message(bound, "while you were gone")
    romeo.connect("127.0.0.1", live_node.c2s_port)
    await in_time(resumed, STEP_SECONDS)
    heard = await romeo.hears("while you were gone")
    assert heard["to"] == bound
    romeo.send_message(other.jid, "still the same")
    assert (await juliet.hears("still the same"))["from"] == bound
    assert [m["body"] for m in romeo.messages].count("while you were gone") == 1


async def test_blocking(login: Login, user: NewUser) -> None:
    one, other = user(), user()
    romeo, juliet = await login(one), await login(other)
    blocking = juliet.plugin["xep_0191"]
    await blocking.block(one.jid)
    listed = await blocking.get_blocked()
    assert [item.get("jid") for item in listed.xml.iter("{urn:xmpp:blocking}item")] == [one.jid]
    refused = romeo.event_future("message_error")
    romeo.send_message(other.jid, "Let me in")
    assert (await in_time(refused, STEP_SECONDS))["error"]["condition"] == "service-unavailable"
    await blocking.unblock(one.jid)
    romeo.send_message(other.jid, "Again")
    await juliet.hears("Again")
    assert all(m["body"] != "Let me in" for m in juliet.messages)


async def test_vcard(login: Login, user: NewUser) -> None:
    one, other = user(), user()
    romeo, juliet = await login(one), await login(other)
    card = romeo.plugin["xep_0054"].make_vcard()
    card["FN"] = "Romeo Montague"
    card["NICKNAME"] = "R <3"
    await romeo.plugin["xep_0054"].publish_vcard(card)
    seen = await juliet.plugin["xep_0054"].get_vcard(jid=one.jid, cached=False)
    assert (seen["vcard_temp"]["FN"], seen["vcard_temp"]["NICKNAME"]) == ("Romeo Montague", ["R <3"])


async def test_private_xml(login: Login, user: NewUser) -> None:
    romeo = await login(user())

    async def private(type: str, inner: str) -> Any:
        iq = romeo.make_iq(itype=type)
        iq.append(fromstring(f"<query xmlns='jabber:iq:private'>{inner}</query>"))
        return await iq.send()

    await private("set", "<notes xmlns='urn:example:notes'><note>Balcony, midnight</note></notes>")
    answer = await private("get", "<notes xmlns='urn:example:notes'/>")
    assert answer.xml.findtext(".//{urn:example:notes}note") == "Balcony, midnight"


async def test_offline_messages_arrive_with_their_time(login: Login, user: NewUser) -> None:
    one, other = user(), user()
    romeo = await login(one)
    romeo.send_message(other.jid, "Wherefore art thou?")
    romeo.send_message(other.jid, "And where?")
    await romeo.plugin["xep_0199"].ping(romeo.boundjid.host)
    juliet = await login(other)
    first = await juliet.hears("Wherefore art thou?")
    await juliet.hears("And where?")
    assert abs(datetime.now(UTC) - first["delay"]["stamp"]) < timedelta(seconds=60)
    assert [m["body"] for m in juliet.messages] == ["Wherefore art thou?", "And where?"]


async def test_questions_to_the_server(login: Login, user: NewUser) -> None:
    one = user()
    romeo = await login(one)
    domain = romeo.boundjid.host
    assert await romeo.plugin["xep_0199"].ping(domain) < STEP_SECONDS
    version = await romeo.plugin["xep_0092"].get_version(domain)
    assert version["software_version"]["name"] == "mlink"
    answered = await romeo.plugin["xep_0202"].get_entity_time(domain)
    clock = datetime.fromisoformat(answered.xml.findtext(".//{urn:xmpp:time}utc"))
    assert abs(datetime.now(UTC) - clock) < timedelta(seconds=5)
    uptime = await romeo.plugin["xep_0012"].get_last_activity(domain)
    assert 0 <= uptime["last_activity"]["seconds"] < 3600
    info = await romeo.plugin["xep_0030"].get_info(jid=domain)
    assert ("server", "im") in {identity[:2] for identity in info["disco_info"]["identities"]}
    assert {"urn:xmpp:carbons:2", "urn:xmpp:blocking", "urn:xmpp:ping"} <= info["disco_info"]["features"]
    own = await romeo.plugin["xep_0030"].get_info(jid=one.jid)
    assert "urn:xmpp:mam:2" in own["disco_info"]["features"]
    assert await romeo.plugin["xep_0030"].get_items(jid=domain)


async def test_what_the_server_does_not_know_is_refused(login: Login, user: NewUser) -> None:
    romeo = await login(user())
    iq = romeo.make_iq_get(ito=romeo.boundjid.host)
    iq.append(fromstring("<query xmlns='urn:example:unknown'/>"))
    with pytest.raises(IqError) as refused:
        await iq.send()
    assert refused.value.condition == "service-unavailable"
