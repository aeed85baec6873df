"""Pictures in their two forms, and their hash in presence (XEP-0084, XEP-0153, XEP-0398)."""

from __future__ import annotations

import base64
import hashlib

import pytest

from tests.story import elements
from xmpp_engine.pubsub import pep_avatar_forms as avatars
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(40))
ID = hashlib.sha1(PNG, usedforsecurity=False).hexdigest()
BASE64 = base64.b64encode(PNG).decode()


def element(xml: str) -> Element:
    return elements(xml)[0]


def card(inside: str) -> Element:
    return element(f"<vCard xmlns='vcard-temp'><FN>Ada</FN>{inside}</vCard>")


def test_the_photo_of_a_vcard_becomes_both_items() -> None:
    found = avatars.photo(card(f"<PHOTO><TYPE>image/gif</TYPE><BINVAL>{BASE64[:20]}\n {BASE64[20:]}</BINVAL></PHOTO>"))
    assert found is not None
    assert (found.data, found.type, found.id) == (PNG, "image/png", ID), "the picture says itself what it is"
    assert avatars.data_element(found).text == BASE64
    metadata = avatars.metadata_element(found)
    assert avatars.info(metadata) == avatars.Info(ID, "image/png", len(PNG))
    assert avatars.picture(avatars.data_element(found), avatars.Info(ID, "", 0)) == found


@pytest.mark.parametrize(
    "inside",
    [
        "",
        "<PHOTO/>",
        "<PHOTO><BINVAL/></PHOTO>",
        "<PHOTO><BINVAL>no base64!</BINVAL></PHOTO>",
        "<PHOTO><EXTVAL>https://example.org/a.png</EXTVAL></PHOTO>",
    ],
)
def test_a_vcard_without_a_picture(inside: str) -> None:
    assert avatars.photo(card(inside)) is None


def test_a_picture_takes_the_place_of_another() -> None:
    old = card("<PHOTO><TYPE>image/png</TYPE><BINVAL>AAAA</BINVAL></PHOTO><NICKNAME>ada</NICKNAME>")
    new = avatars.with_photo(old, avatars.Picture(PNG, "image/png"))
    assert [child.name for child in new.elements()] == ["FN", "NICKNAME", "PHOTO"]
    assert avatars.photo(new) == avatars.Picture(PNG, "image/png")
    assert avatars.photo(avatars.without_photo(new)) is None
    assert avatars.photo(old) is not None, "the old one is as it was"


def test_a_photo_at_another_address_stays() -> None:
    old = card("<PHOTO><EXTVAL>https://example.org/a.png</EXTVAL></PHOTO>")
    assert avatars.without_photo(old) == old


def test_metadata_of_several_pictures() -> None:
    metadata = element(
        f"<metadata xmlns='{ns.AVATAR_METADATA}'><info id='{'a' * 40}' url='https://example.org/b' type='image/gif'/>"
        f"<info id='{ID.upper()}' bytes='48' type='image/png'/></metadata>"
    )
    assert avatars.info(metadata) == avatars.Info(ID, "image/png", 48)


@pytest.mark.parametrize(
    "metadata",
    [
        f"<metadata xmlns='{ns.AVATAR_METADATA}'/>",
        f"<metadata xmlns='{ns.AVATAR_METADATA}'><info id='short'/></metadata>",
        f"<metadata xmlns='{ns.AVATAR_METADATA}'><info/></metadata>",
        "<metadata xmlns='urn:other'/>",
    ],
)
def test_metadata_without_a_picture(metadata: str) -> None:
    assert avatars.info(element(metadata)) is None


def test_data_that_are_not_what_the_metadata_say() -> None:
    other = element(f"<data xmlns='{ns.AVATAR_DATA}'>AAAA</data>")
    assert avatars.picture(other, avatars.Info(ID, "image/png", 48)) is None
    assert avatars.picture(element("<data xmlns='urn:other'/>"), avatars.Info(ID, "image/png", 48)) is None


@pytest.mark.parametrize(
    ("start", "said", "type"),
    [
        (b"\xff\xd8\xff\xe0", "image/png", "image/jpeg"),
        (b"GIF89a", "", "image/gif"),
        (b"RIFF1234WEBP", "", "image/webp"),
        (b"<svg/>", "image/svg+xml", "image/svg+xml"),
        (b"what", "text/html", "image/png"),
    ],
)
def test_types(start: bytes, said: str, type: str) -> None:
    assert avatars.type_of(start + b"....", said) == type


UPDATE = "vcard-temp:x:update"


@pytest.mark.parametrize(
    ("sent", "id", "shown"),
    [
        ("<presence/>", ID, ID),
        ("<presence/>", "", None),
        (f"<presence><x xmlns='{UPDATE}'/></presence>", ID, ID),
        (f"<presence><x xmlns='{UPDATE}'/></presence>", "", ""),
        (f"<presence><x xmlns='{UPDATE}'><photo/></x></presence>", ID, ""),
        (f"<presence><x xmlns='{UPDATE}'><photo>{'b' * 40}</photo></x></presence>", ID, ID),
        (f"<presence><x xmlns='{UPDATE}'><photo>{'b' * 40}</photo></x></presence>", "", ""),
        (f"<presence><x xmlns='{UPDATE}'><photo>{ID}</photo></x></presence>", ID, ID),
    ],
    ids=["nothing", "none", "not-ready", "not-ready-none", "hidden", "another", "another-none", "the-same"],
)
def test_what_presence_shows(sent: str, id: str, shown: str | None) -> None:
    presence = element(sent)
    presence.add(ns.CLIENT, "status", text="here")
    before = presence.copy()
    changed = avatars.show(presence, id)
    update = presence.find(ns.VCARD_UPDATE, "x")
    assert (update.child_text(ns.VCARD_UPDATE, "photo") if update is not None else None) == shown
    assert changed is (presence != before)
    assert presence.child_text(ns.CLIENT, "status") == "here"
