"""What stanzas hold besides text: files, markings, encryption; of friends and of liars."""

from __future__ import annotations

import pytest

from archive import content
from archive.document import element_of
from xmpp_engine.api import Element


def stanza(inner: str) -> Element:
    return element_of(f"<message from='a@b/c' to='d@e'>{inner}</message>")


def oob(url: str, inner: str = "") -> str:
    return f"<x xmlns='jabber:x:oob'><url>{url}</url>{inner}</x>"


SHARED = (
    "<file-sharing xmlns='urn:xmpp:sfs:0' disposition='inline'><file xmlns='urn:xmpp:file:metadata:0'>"
    "<media-type>image/jpeg</media-type><name>summit.jpg</name><size>3032449</size><desc>From the summit</desc></file>"
    "<sources><url-data xmlns='http://jabber.org/protocol/url-data' target='https://files.example/1/summit.jpg'/>"
    "</sources></file-sharing>"
)
SIMS = (
    "<reference xmlns='urn:xmpp:reference:0' begin='17' end='20' type='data'><media-sharing xmlns='urn:xmpp:sims:1'>"
    "<file xmlns='urn:xmpp:jingle:apps:file-transfer:5'><media-type>image/jpeg</media-type><name>view.jpg</name>"
    "<size>12</size></file><sources>"
    "<reference xmlns='urn:xmpp:reference:0' type='data' uri='xmpp:romeo@montague.lit?jingle'/>"
    "<reference xmlns='urn:xmpp:reference:0' type='data' uri='https://files.example/2/view.jpg'/>"
    "</sources></media-sharing></reference>"
)


def test_files_of_all_three_ways_each_once() -> None:
    found = content.files(
        stanza(SHARED + SIMS + oob("https://files.example/1/summit.jpg") + oob("http://x.example/a%20b.txt"))
    )
    assert [(file.name, file.url, file.size, file.media_type) for file in found] == [
        ("summit.jpg", "https://files.example/1/summit.jpg", 3032449, "image/jpeg"),
        ("view.jpg", "https://files.example/2/view.jpg", 12, "image/jpeg"),
        ("a b.txt", "http://x.example/a%20b.txt", -1, ""),
    ]
    assert found[0].description == "From the summit"
    assert found[2].host == "x.example"


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "//evil.example/x",
        "https://",
        "http://[::1",
        "",
    ],
)
def test_only_addresses_of_the_web_lead_anywhere(url: str) -> None:
    assert [file.url for file in content.files(stanza(oob(url)))] in ([], [""])


def test_an_encrypted_file_is_known_as_one() -> None:
    (file,) = content.files(stanza(oob("aesgcm://files.example/upload/t/x.jpg#0011")))
    assert file.sealed
    assert file.name == "x.jpg"


@pytest.mark.parametrize("size", ["-1", "1e9", "٣", "9" * 40, "many", ""])
def test_sizes_that_are_none(size: str) -> None:
    (file,) = content.files(stanza(SHARED.replace("3032449", size)))
    assert file.size == -1


def test_names_show_what_turns_them_round_and_are_cut() -> None:
    (file,) = content.files(stanza(SHARED.replace("summit.jpg</name>", "photo\u202egpj.exe</name>")))
    assert file.name == "photo\N{REPLACEMENT CHARACTER}gpj.exe"
    (file,) = content.files(stanza(SHARED.replace("summit.jpg</name>", "x" * 5000 + "</name>")))
    assert len(file.name) == 120


def test_many_files_are_bounded() -> None:
    assert len(content.files(stanza("".join(oob(f"https://x.example/{n}") for n in range(500))))) == 20


def test_the_address_of_a_file_is_no_text() -> None:
    url = "https://files.example/1/x.png"
    assert content.text_of(stanza(f"<body>{url}</body>{oob(url)}")) == ""
    assert content.text_of(stanza(f"<body>look: {url}</body>{oob(url)}")) == f"look: {url}"
    fallback = "<fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:sfs:0'><body/></fallback>"
    assert content.text_of(stanza(f"<body>see {url}</body>{SHARED}{fallback}")) == ""


@pytest.mark.parametrize(
    ("inner", "method"),
    [
        ("<encrypted xmlns='eu.siacs.conversations.axolotl'/>", "OMEMO"),
        ("<encrypted xmlns='urn:xmpp:omemo:2'/>", "OMEMO"),
        ("<openpgp xmlns='urn:xmpp:openpgp:0'>x</openpgp>", "OpenPGP"),
        ("<x xmlns='jabber:x:encrypted'>x</x>", "OpenPGP"),
        ("<encryption xmlns='urn:xmpp:eme:0' namespace='urn:xmpp:otr:0'/>", "OTR"),
        ("<encryption xmlns='urn:xmpp:eme:0' namespace='urn:new:1' name='Shiny'/>", "Shiny"),
        ("<encryption xmlns='urn:xmpp:eme:0'/>", "an unknown method"),
        ("<devices xmlns='urn:xmpp:omemo:2'/>", ""),
        ("", ""),
    ],
)
def test_what_is_encrypted_says_so_and_not_its_stand_in(inner: str, method: str) -> None:
    element = stanza(f"<body>Your client does not support this.</body>{inner}")
    assert content.encryption(element) == method
    assert content.text_of(element) == ("" if method else "Your client does not support this.")


def marking(attributes: str, text: str = "SECRET") -> content.Label | None:
    return content.label(
        stanza(
            f"<securitylabel xmlns='urn:xmpp:sec-label:0'><displaymarking {attributes}>{text}</displaymarking>"
            "<label/></securitylabel>"
        )
    )


@pytest.mark.parametrize(
    ("attributes", "ground", "light"),
    [
        ("fgcolor='black' bgcolor='red'", "#ff0000", False),
        ("fgcolor='black' bgcolor='navy'", "#000080", True),
        ("bgcolor='ORANGE'", "#ffa500", False),
        ("bgcolor='#0A1b2C'", "#0a1b2c", True),
        ("", "#ffffff", False),
        ("bgcolor='url(https://evil.example)'", "#ffffff", False),
        ("bgcolor='#fff'", "#ffffff", False),
        ("bgcolor='red;}'", "#ffffff", False),
    ],
)
def test_markings_are_readable_on_safe_colours(attributes: str, ground: str, light: bool) -> None:
    found = marking(attributes)
    assert found is not None
    assert (found.text, found.ground, found.light) == ("SECRET", ground, light)


def test_a_label_without_marking_and_a_long_one() -> None:
    assert content.label(stanza("<securitylabel xmlns='urn:xmpp:sec-label:0'><label/></securitylabel>")) is None
    assert marking("", "  ") is None
    assert content.label(stanza("")) is None
    found = marking("", "S" * 10_000)
    assert found is not None
    assert len(found.text) == 200


@pytest.mark.parametrize(
    ("inner", "sentence"),
    [
        ("<x xmlns='jabber:x:conference' jid='hall@rooms.example'/>", "An invitation to the room hall@rooms.example."),
        (
            "<x xmlns='http://jabber.org/protocol/muc#user'><invite from='x@y'/></x>",
            "An invitation to the room a@b.",
        ),
        ("<propose xmlns='urn:xmpp:jingle-message:0' id='1'/>", "A call."),
        ("<reject xmlns='urn:xmpp:jingle-message:0' id='1'/>", "The call was declined."),
        ("<ringing xmlns='urn:xmpp:jingle-message:0' id='1'/>", ""),
        ("<x xmlns='http://jabber.org/protocol/muc#user'/>", ""),
        ("", ""),
    ],
)
def test_messages_without_text_say_what_they_do(inner: str, sentence: str) -> None:
    assert content.does(stanza(inner)) == sentence
