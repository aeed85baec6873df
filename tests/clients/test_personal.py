"""Personal eventing with slixmpp: events of contacts, bookmarks, pictures, keys (XEP-0163, 0402, 0084, 0384)."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import secrets
from collections.abc import Callable
from typing import Any
from xml.etree.ElementTree import Element, SubElement, fromstring, tostring

import pytest
from slixmpp.exceptions import IqError

from tests.clients.conftest import Login
from tests.clients.slix import STEP_SECONDS, Slix
from tests.live import LiveNode, User
from tests.patience import in_time

NewUser = Callable[[], User]
BOOKMARKS, OLD = "urn:xmpp:bookmarks:1", "storage:bookmarks"
AVATAR_DATA, AVATAR_METADATA = "urn:xmpp:avatar:data", "urn:xmpp:avatar:metadata"
DEVICES, BUNDLES = "eu.siacs.conversations.axolotl.devicelist", "eu.siacs.conversations.axolotl.bundles"
#: A node by which a client learns that events reach it.
READY = "urn:example:ready"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(200))


class Listener(Slix):
    """A client that wants the events of some nodes, and keeps them."""

    def __init__(self, user: User, resource: str, *nodes: str) -> None:
        super().__init__(user, resource)
        for plugin in ("xep_0060", "xep_0115", "xep_0163", "xep_0107", "xep_0118", "xep_0172", "xep_0084"):
            self.register_plugin(plugin)
        # A message without a body is none to slixmpp.
        for kind in ("pubsub_publish", "pubsub_retract"):
            self.add_event_handler(kind, self.messages.append)
        for node in nodes:
            self.plugin["xep_0163"].add_interest(node)

    def told(self, node: str) -> list[tuple[str, list[str]]]:
        """(from, ids of items) of each event of a node; ids of retracted items begin with a minus."""
        found = []
        for message in self.messages:
            event = message.xml.find("{http://jabber.org/protocol/pubsub#event}event")
            for items in event if event is not None else ():
                if items.get("node") == node:
                    ids = [("-" if each.tag.endswith("retract") else "") + (each.get("id") or "") for each in items]
                    found.append((message["from"].bare, ids))
        return found


@pytest.fixture
async def listener(live_node: LiveNode) -> Any:
    """A function that signs in a client that wants events."""
    clients: list[Listener] = []

    async def come(user: User, resource: str, *nodes: str) -> Listener:
        client = Listener(user, resource, *nodes, READY)
        clients.append(client)
        await client.come(live_node)
        await ready(client)
        return client

    yield come
    for client in clients:
        if client.is_connected():
            await client.go()


async def ready(client: Listener) -> None:
    """Until the node has asked the client what it wants (XEP-0115): events before that pass it by."""
    deadline = asyncio.get_running_loop().time() + STEP_SECONDS
    while not client.told(READY):
        assert asyncio.get_running_loop().time() < deadline, "the node does not know what the client wants"
        await publish(client, READY, "now", Element("{urn:example:ready}ready"))
        await asyncio.sleep(0.05)


async def friends(one: Slix, other: Slix) -> None:
    """Both see each other's presence."""
    for client, contact in ((one, other), (other, one)):
        client.auto_authorize = client.auto_subscribe = True
        client.send_presence_subscription(pto=contact.boundjid.bare)
    for client, contact in ((one, other), (other, one)):
        roster = client.client_roster
        await client.until(lambda r=roster, c=contact: r[c.boundjid.bare]["subscription"] == "both", "a contact")


def owner_form(values: dict[str, str]) -> Element:
    """A form of options to publish with."""
    form = Element("{jabber:x:data}x", {"type": "submit"})
    fields = {"FORM_TYPE": "http://jabber.org/protocol/pubsub#publish-options"}
    fields |= {f"pubsub#{name}": value for name, value in values.items()}
    for var, value in fields.items():
        field = SubElement(form, "{jabber:x:data}field", {"var": var})
        SubElement(field, "{jabber:x:data}value").text = value
    return form


async def publish(client: Slix, node: str, id: str, payload: Element, options: dict[str, str] | None = None) -> None:
    """Publish an item to an own node, with options."""
    iq = client.make_iq_set()
    pubsub = Element("{http://jabber.org/protocol/pubsub}pubsub")
    within = SubElement(pubsub, "{http://jabber.org/protocol/pubsub}publish", {"node": node})
    SubElement(within, "{http://jabber.org/protocol/pubsub}item", {"id": id}).append(payload)
    if options is not None:
        SubElement(pubsub, "{http://jabber.org/protocol/pubsub}publish-options").append(owner_form(options))
    iq.append(pubsub)
    await iq.send(timeout=STEP_SECONDS)


async def test_contacts_hear_and_who_comes_later_gets_the_last(user: NewUser, listener: Any) -> None:
    one, other = user(), user()
    tune, mood = "http://jabber.org/protocol/tune", "http://jabber.org/protocol/mood"
    romeo = await listener(one, "desk", tune)
    juliet = await listener(other, "desk", tune, mood)
    await friends(romeo, juliet)
    await romeo.plugin["xep_0118"].publish_tune(artist="Finzi", title="Introduction")
    await juliet.until(lambda: juliet.told(tune), "the tune")
    await romeo.until(lambda: romeo.told(tune), "the own tune")
    heard = next(message for message in juliet.messages if message["pubsub_event"]["items"]["node"] == tune)
    assert heard["type"] == "headline"
    assert (heard["from"].full, heard["to"]) == (one.jid, juliet.boundjid)
    assert heard["pubsub_event"]["items"]["item"]["tune"]["title"] == "Introduction"
    await romeo.plugin["xep_0107"].publish_mood("happy")
    await juliet.until(lambda: juliet.told(mood), "the mood")
    unwanted = "urn:example:unwanted"
    await publish(romeo, unwanted, "one", Element(f"{{{unwanted}}}event"))
    await romeo.go()
    phone = await listener(other, "phone", tune, mood)
    await phone.until(lambda: phone.told(tune) and phone.told(mood), "what an absent contact has published")
    assert [jid for jid, _ids in phone.told(tune)] == [one.jid]
    assert juliet.told(unwanted) == phone.told(unwanted) == []


async def test_bookmarks_are_the_same_in_old_clients_and_new_ones(user: NewUser, listener: Any, login: Login) -> None:
    me = user()
    room = f"room-{secrets.token_hex(3)}@conference.localhost"
    old = await listener(me, "old", OLD)
    old.register_plugin("xep_0048")
    new = await listener(me, "new", BOOKMARKS)
    bookmark = Element(f"{{{BOOKMARKS}}}conference", {"name": "A room", "autojoin": "true"})
    SubElement(bookmark, f"{{{BOOKMARKS}}}nick").text = "Romeo"
    private = {"persist_items": "true", "max_items": "max", "send_last_published_item": "never"}
    await publish(new, BOOKMARKS, room, bookmark, {**private, "access_model": "whitelist"})
    await new.until(lambda: (me.jid, [room]) in new.told(BOOKMARKS), "the own bookmark")
    await old.until(lambda: old.told(OLD), "the list")
    for method in ("xep_0049", "xep_0223"):
        stored = await old.plugin["xep_0048"].get_bookmarks(method=method)
        text = tostring(stored.xml, encoding="unicode")
        assert room in text
        assert "A room" in text

    from slixmpp.plugins.xep_0048 import Bookmarks

    other = f"other-{secrets.token_hex(3)}@conference.localhost"
    written = Bookmarks()
    written.add_conference(other, "Romeo", name="Another", autojoin=True)
    await old.plugin["xep_0048"].set_bookmarks(written, method="xep_0049")
    await new.until(lambda: (me.jid, [other]) in new.told(BOOKMARKS), "the new room")
    await new.until(lambda: (me.jid, [f"-{room}"]) in new.told(BOOKMARKS), "that the old one is gone")
    items = await new.plugin["xep_0060"].get_items(me.jid, BOOKMARKS)
    assert [item["id"] for item in items["pubsub"]["items"]] == [other]


async def test_one_picture_in_nodes_vcards_and_presence(user: NewUser, listener: Any, login: Login) -> None:
    one, other = user(), user()
    romeo = await listener(one, "desk")
    juliet = await listener(other, "desk", AVATAR_METADATA)
    juliet.register_plugin("xep_0153")
    await friends(romeo, juliet)
    id = hashlib.sha1(PNG, usedforsecurity=False).hexdigest()
    shown = juliet.event_future("vcard_avatar_update")
    avatars = romeo.plugin["xep_0084"]
    opened = await _options(romeo, {"access_model": "open"})
    await romeo.plugin["xep_0060"].publish(one.jid, AVATAR_DATA, id=id, payload=_data(), options=opened)
    await avatars.publish_avatar_metadata({"id": id, "type": "image/png", "bytes": str(len(PNG))})
    await juliet.until(lambda: (one.jid, [id]) in juliet.told(AVATAR_METADATA), "the new picture")
    assert (await in_time(shown, STEP_SECONDS))["vcard_temp_update"]["photo"] == id
    found = await juliet.plugin["xep_0084"].retrieve_avatar(one.jid, id)
    assert base64.b64decode(found["pubsub"]["items"]["item"].xml[0].text) == PNG
    card = (await juliet.plugin["xep_0054"].get_vcard(one.jid))["vcard_temp"]
    assert (card["PHOTO"]["BINVAL"], card["PHOTO"]["TYPE"]) == (PNG, "image/png")
    # The other way, by an old client.
    jpeg = b"\xff\xd8\xff\xe0" + PNG
    old = await login(one, "old", presence=False)
    old.register_plugin("xep_0153")
    await old.plugin["xep_0153"].set_avatar(avatar=jpeg, mtype="image/jpeg")
    new = hashlib.sha1(jpeg, usedforsecurity=False).hexdigest()
    await juliet.until(lambda: (one.jid, [new]) in juliet.told(AVATAR_METADATA), "the picture of the vCard")
    stored = await juliet.plugin["xep_0084"].retrieve_avatar(one.jid, new)
    assert base64.b64decode(stored["pubsub"]["items"]["item"].xml[0].text) == jpeg


async def test_keys_of_devices_are_for_everybody(user: NewUser, listener: Any) -> None:
    one, other, third = user(), user(), user()
    romeo, juliet, stranger = (
        await listener(one, "desk"),
        await listener(other, "d", DEVICES),
        await listener(third, "d"),
    )
    await friends(romeo, juliet)
    with pytest.raises(IqError) as nothing:
        await stranger.plugin["xep_0060"].get_items(one.jid, DEVICES)
    assert nothing.value.condition == "item-not-found"
    opened = {"persist_items": "true", "access_model": "open"}
    space = "eu.siacs.conversations.axolotl"
    devices = fromstring(f"<list xmlns='{space}'><device id='31415'/></list>")
    keys = f"<bundle xmlns='{space}'><identityKey>{'A' * 44}</identityKey></bundle>"
    await publish(romeo, f"{BUNDLES}:31415", "current", fromstring(keys), opened)
    await publish(romeo, DEVICES, "current", devices, opened)
    await juliet.until(lambda: (one.jid, ["current"]) in juliet.told(DEVICES), "the device")
    await romeo.go()
    for client in (juliet, stranger):
        found = await client.plugin["xep_0060"].get_items(one.jid, DEVICES)
        assert found["pubsub"]["items"]["item"]["payload"][0].get("id") == "31415"
        bundle = await client.plugin["xep_0060"].get_items(one.jid, f"{BUNDLES}:31415")
        assert bundle["pubsub"]["items"]["item"]["payload"][0].text == "A" * 44


async def _options(client: Slix, values: dict[str, str]) -> Any:
    form = client.plugin["xep_0004"].make_form(ftype="submit")
    form.add_field("FORM_TYPE", ftype="hidden", value="http://jabber.org/protocol/pubsub#publish-options")
    for name, value in values.items():
        form.add_field(f"pubsub#{name}", value=value)
    return form


def _data() -> Element:
    data = Element(f"{{{AVATAR_DATA}}}data")
    data.text = base64.b64encode(PNG).decode()
    return data
