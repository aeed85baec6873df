"""Adding a child keeps encoded forms: they read as if the child had been there from the beginning."""

from __future__ import annotations

import pytest

from xmpp_engine.stanza.stanza import CLIENT, FRAMED, SERVER, Stanza
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element

CHILD = b"<stanza-id xmlns='urn:xmpp:sid:0' id='1' by='a@b.example'/>"


@pytest.mark.parametrize("inner", ["", "<body>hello</body>", "text"])
@pytest.mark.parametrize("encoded_before", [(), (CLIENT,), (CLIENT, FRAMED, SERVER)])
def test_extended_and_encoded_anew_are_the_same(inner: str, encoded_before: tuple[int, ...]) -> None:
    stanza = Stanza.restore(f"<message xmlns='jabber:client' from='c@b.example/r' to='a@b.example'>{inner}</message>")
    for flavour in encoded_before:
        stanza.encode(b"a@b.example", flavour)
    stanza.extend(Element(ns.STANZA_ID, "stanza-id", {"id": "1", "by": "a@b.example"}), CHILD)
    kept = [stanza.encode(b"a@b.example", flavour) for flavour in (CLIENT, FRAMED, SERVER)]
    stanza.changed()
    assert kept == [stanza.encode(b"a@b.example", flavour) for flavour in (CLIENT, FRAMED, SERVER)]
    assert CHILD in kept[0]


def test_a_stanza_that_shares_its_encoding_is_not_touched() -> None:
    stanza = Stanza.restore(
        "<message xmlns='jabber:client' from='c@b.example' to='a@b.example'><body>x</body></message>"
    )
    other = stanza.addressed(stanza.sender)
    before = other.encode(b"c@b.example")
    stanza.extend(Element(ns.STANZA_ID, "stanza-id", {"id": "1", "by": "a@b.example"}), CHILD)
    assert other.encode(b"c@b.example") == before
