"""One picture for everybody: nodes, vCards and presence show the same (XEP-0084, XEP-0153, XEP-0398)."""

from __future__ import annotations

import base64
import hashlib

import pytest

from tests.engine.pubsub.pep_stage import (
    comes,
    configuring,
    done,
    heard,
    items_of,
    publishing,
    reading,
    refused,
    stage,
)
from tests.story import Client, Story, elements
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(60))
JPEG = b"\xff\xd8\xff\xe0" + bytes(range(70))
OPEN = {"access_model": "open"}
ROOM = "coven@conference.story.example"


def id_of(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


def data_xml(data: bytes) -> str:
    return f"<data xmlns='{ns.AVATAR_DATA}'>{base64.b64encode(data).decode()}</data>"


def metadata_xml(data: bytes | None, type: str = "image/png") -> str:
    info = "" if data is None else f"<info bytes='{len(data)}' id='{id_of(data)}' type='{type}'/>"
    return f"<metadata xmlns='{ns.AVATAR_METADATA}'>{info}</metadata>"


async def publishes(client: Client, data: bytes, options: dict[str, str] | None = OPEN) -> None:
    await done(client, publishing(ns.AVATAR_DATA, data_xml(data), id_of(data), options))
    await done(client, publishing(ns.AVATAR_METADATA, metadata_xml(data), id_of(data), options))


def vcard(data: bytes | None, type: str = "image/png") -> str:
    photo = f"<PHOTO><TYPE>{type}</TYPE><BINVAL>{base64.b64encode(data or b'').decode()}</BINVAL></PHOTO>"
    return f"<iq type='set' id='v'><vCard xmlns='vcard-temp'><FN>Ada</FN>{photo if data else ''}</vCard></iq>"


async def photo_of(client: Client, bare: str) -> tuple[str, str] | None:
    """(type, picture in base64) of somebody's vCard as this client sees it."""
    answer = await done(client, f"<iq type='get' id='v' to='{bare}'><vCard xmlns='vcard-temp'/></iq>")
    photo = answer.first().find(ns.VCARD, "PHOTO")  # type: ignore[union-attr]
    if photo is None:
        return None
    return photo.child_text(ns.VCARD, "TYPE") or "", photo.child_text(ns.VCARD, "BINVAL") or ""


def shown(presence: Element) -> str | None:
    """The hash that a presence shows: "" for none, None where it says nothing."""
    update = presence.find(ns.VCARD_UPDATE, "x")
    return update.child_text(ns.VCARD_UPDATE, "photo") if update is not None else None


async def seen(client: Client, bare: str) -> list[str | None]:
    """What of somebody's picture the presences show that have come."""
    received = await client.receives_all()
    return [shown(e) for e in received if e.name == "presence" and e.attrs["from"].partition("/")[0] == bare]


async def test_a_published_picture_stands_in_the_vcard(story: Story) -> None:
    ada, eve = await stage(story, "ada", "eve")
    await done(ada, vcard(None))
    await publishes(ada, PNG)
    for client in (ada, eve):
        assert await photo_of(client, ada.bare) == ("image/png", base64.b64encode(PNG).decode())
    await publishes(ada, JPEG)
    assert await photo_of(eve, ada.bare) == ("image/jpeg", base64.b64encode(JPEG).decode())
    await done(ada, publishing(ns.AVATAR_METADATA, metadata_xml(None)))
    for client in (ada, eve):
        assert await photo_of(client, ada.bare) is None


async def test_a_picture_for_contacts_is_for_contacts(story: Story) -> None:
    ada, bob, eve = await stage(story, "ada", "bob", "eve")
    await story.world.contacts(ada, bob)
    await publishes(ada, PNG, None)
    assert (
        await photo_of(ada, ada.bare) == await photo_of(bob, ada.bare) == ("image/png", base64.b64encode(PNG).decode())
    )
    assert await refused(eve, f"<iq type='get' id='v' to='{ada.bare}'><vCard xmlns='vcard-temp'/></iq>") == [
        "item-not-found"
    ]


async def test_a_picture_that_is_not_what_its_metadata_say(story: Story) -> None:
    ada, eve = await stage(story, "ada", "eve")
    await done(ada, vcard(None))
    await done(ada, publishing(ns.AVATAR_DATA, data_xml(JPEG), id_of(PNG), OPEN))
    await done(ada, publishing(ns.AVATAR_METADATA, metadata_xml(PNG), id_of(PNG), OPEN))
    assert await photo_of(eve, ada.bare) is None


async def test_the_picture_of_a_vcard_is_published(story: Story) -> None:
    ada, bob = await stage(story, "ada", "bob")
    await story.world.contacts(ada, bob)
    await comes(bob, ns.AVATAR_METADATA)
    await done(ada, vcard(PNG, "image/x-wrong"))
    assert await heard(bob) == [(ada.bare, ns.AVATAR_METADATA, [id_of(PNG)])]
    metadata = items_of(await done(bob, reading(ns.AVATAR_METADATA, ada.bare)))[id_of(PNG)]
    assert metadata is not None
    info = metadata.first()
    assert info is not None
    assert info.attrs == {"bytes": str(len(PNG)), "id": id_of(PNG), "type": "image/png"}
    data = items_of(await done(bob, reading(ns.AVATAR_DATA, ada.bare)))[id_of(PNG)]
    assert data is not None
    assert base64.b64decode(data.text) == PNG
    assert await photo_of(bob, ada.bare) == ("image/png", base64.b64encode(PNG).decode())
    assert "PHOTO" not in (await story.world.stores.vcards.get(ada.bare) or ""), "there is one picture only"
    await done(ada, vcard(PNG))
    assert await heard(bob) == [], "the same picture is no news"
    await done(ada, vcard(None))
    ((_from, _node, ids),) = await heard(bob)
    gone = items_of(await done(bob, reading(ns.AVATAR_METADATA, ada.bare)))
    assert list(gone) == ids
    assert gone[ids[0]] == Element(ns.AVATAR_METADATA, "metadata")


async def test_a_picture_that_is_too_large_is_refused_with_its_vcard(story: Story) -> None:
    ada = await stage(story, "ada", options={"pep": {"bytes": 100}})
    assert (await refused(ada, vcard(PNG)))[0] == "resource-constraint"
    assert await story.world.stores.vcards.get(ada.bare) is None


async def test_presence_shows_the_picture_at_once_after_a_restart(story: Story) -> None:
    ada, bob = await stage(story, "ada", "bob")
    await story.world.contacts(ada, bob)
    await publishes(ada, PNG)
    await ada.leaves()
    story.world.engine.accounts.forget(ada.bare)
    story.world.module("pep").accounts.forget(ada.bare)
    await bob.comes_online()
    ada = await story("ada")
    ada.send("<presence/>")
    assert await seen(bob, ada.bare) == [id_of(PNG)]


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ("", id_of(PNG)),
        (f"<x xmlns='{ns.VCARD_UPDATE}'/>", id_of(PNG)),
        (f"<x xmlns='{ns.VCARD_UPDATE}'><photo/></x>", ""),
        (f"<x xmlns='{ns.VCARD_UPDATE}'><photo>{'0' * 40}</photo></x>", id_of(PNG)),
    ],
    ids=["nothing", "not-ready", "hidden", "another"],
)
async def test_what_a_client_says_of_its_picture(story: Story, sent: str, expected: str) -> None:
    ada, bob = await stage(story, "ada", "bob")
    await story.world.contacts(ada, bob)
    await publishes(ada, PNG)
    await bob.comes_online()
    ada.send(f"<presence>{sent}</presence>")
    assert await seen(bob, ada.bare) == [expected]
    await publishes(ada, JPEG)
    assert await seen(bob, ada.bare) == ([] if expected == "" else [id_of(JPEG)])


async def test_without_a_picture_presence_stays_as_it_is(story: Story) -> None:
    ada, bob = await stage(story, "ada", "bob")
    await story.world.contacts(ada, bob)
    await bob.comes_online()
    for sent, expected in (("", None), (f"<x xmlns='{ns.VCARD_UPDATE}'/>", None), ("<x xmlns='urn:x'/>", None)):
        ada.send(f"<presence>{sent}</presence>")
        assert await seen(bob, ada.bare) == [expected]


async def test_contacts_see_a_new_picture_and_that_it_is_gone(story: Story) -> None:
    ada, bob = await stage(story, "ada", "bob")
    await story.world.contacts(ada, bob)
    await bob.comes_online()
    await ada.comes_online("<presence><status>here</status></presence>")
    await bob.receives_all()
    await publishes(ada, PNG)
    received = [element for element in await bob.receives_all() if element.name == "presence"]
    assert [shown(presence) for presence in received] == [id_of(PNG)]
    assert received[0].child_text(ns.CLIENT, "status") == "here"
    await done(ada, vcard(None))
    assert await seen(bob, ada.bare) == [""]
    await publishes(ada, JPEG)
    assert await seen(bob, ada.bare) == [id_of(JPEG)], "that there was none was no wish of the client"


async def test_who_comes_later_sees_the_picture(story: Story) -> None:
    ada, bob = await stage(story, "ada", "bob")
    await story.world.contacts(ada, bob)
    await ada.comes_online()
    await publishes(ada, PNG)
    bob.send("<presence/>")
    assert await seen(bob, ada.bare) == [id_of(PNG)]


@pytest.mark.parametrize(("options", "expected"), [(OPEN, id_of(PNG)), (None, None)], ids=["everybody", "contacts"])
async def test_in_rooms_only_what_everybody_may_see(
    story: Story, options: dict[str, str] | None, expected: str | None
) -> None:
    ada, eve, bob = await stage(story, "ada", "eve", "bob")
    await story.world.contacts(ada, bob)
    await publishes(ada, PNG, options)
    eve.send(f"<presence to='{ROOM}/eve'><x xmlns='{ns.MUC}'/></presence>")
    eve.send(
        f"<iq type='set' id='make' to='{ROOM}'><query xmlns='{ns.MUC_OWNER}'><x xmlns='{ns.DATA_FORMS}' type='submit'/>"
        "</query></iq>"
    )
    await eve.receives_all()
    ada.send(f"<presence to='{ROOM}/ada'><x xmlns='{ns.MUC}'/></presence>")
    assert [shown(e) for e in await eve.receives_all() if e.attrs["from"] == f"{ROOM}/ada"] == [expected]
    await bob.comes_online()
    ada.send(f"<presence to='{bob.full}'/>")
    assert await seen(bob, ada.bare) == [id_of(PNG)]


@pytest.mark.parametrize("model", ["whitelist", "roster", "authorize"])
async def test_a_picture_that_not_all_contacts_may_see_is_not_in_presence(story: Story, model: str) -> None:
    ada, bob = await stage(story, "ada", "bob")
    await story.world.contacts(ada, bob)
    await publishes(ada, PNG)
    await bob.comes_online()
    await ada.comes_online()
    assert await seen(bob, ada.bare) == [id_of(PNG)]
    await done(ada, configuring(ns.AVATAR_METADATA, {"access_model": model}))
    assert await seen(bob, ada.bare) == [""]
    assert await photo_of(ada, ada.bare) is not None
    assert await refused(bob, f"<iq type='get' id='v' to='{ada.bare}'><vCard xmlns='vcard-temp'/></iq>") == [
        "item-not-found"
    ]


async def test_a_photo_elsewhere_is_left_in_the_vcard(story: Story) -> None:
    ada, eve = await stage(story, "ada", "eve")
    card = "<vCard xmlns='vcard-temp'><PHOTO><EXTVAL>https://example.org/a.png</EXTVAL></PHOTO></vCard>"
    await done(ada, f"<iq type='set' id='v'>{card}</iq>")
    answer = await done(eve, f"<iq type='get' id='v' to='{ada.bare}'><vCard xmlns='vcard-temp'/></iq>")
    assert answer.first() == elements(card)[0]


async def test_the_account_says_that_it_converts(story: Story) -> None:
    ada = await stage(story, "ada")
    answer = await done(ada, f"<iq type='get' id='d' to='{ada.bare}'><query xmlns='{ns.DISCO_INFO}'/></iq>")
    shown = {feature.get("var") for feature in answer.first().elements()}  # type: ignore[union-attr]
    assert ns.AVATAR_CONVERSION in shown
