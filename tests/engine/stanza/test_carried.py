"""Stanzas of another node: written without being parsed, parsed when asked."""

from __future__ import annotations

import pytest

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.stanza import carried as module
from xmpp_engine.stanza.carried import CarriedStanza, carry
from xmpp_engine.stanza.stanza import CLIENT, FRAMED, SERVER, Stanza
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.parser import parse_document

ROMEO, JULIET, NURSE = Jid.parse("romeo@a/r<&'1"), Jid.parse("juliet@a/b"), Jid.parse("nurse@a")
TEXTS = (
    "<message xmlns='jabber:client' type='chat' id='a&lt;b' xml:lang='en'><body>Hi &amp; &lt;bye&gt;</body>"
    "<x xmlns='urn:x'><y xmlns='jabber:client'/></x></message>",
    "<presence xmlns='jabber:client'/>",
    "<iq xmlns='jabber:client' type='get' id='1'><query xmlns='jabber:iq:version'/></iq>",
)


def both(text: str) -> tuple[Stanza, CarriedStanza]:
    stanza = Stanza.parse(parse_document(text.encode()), ROMEO)
    stanza.to = JULIET
    return stanza, CarriedStanza(carry(stanza), JULIET)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("flavour", [CLIENT, FRAMED, SERVER])
def test_it_is_written_as_the_other_node_would_have(text: str, flavour: int, monkeypatch: pytest.MonkeyPatch) -> None:
    stanza, there = both(text)
    monkeypatch.setattr(module, "parse_document", None)  # whoever parses now fails
    assert there.encode(JULIET.encoded, flavour) == stanza.encode(JULIET.encoded, flavour)
    assert there.addressed(NURSE).encode(NURSE.encoded, flavour) == stanza.encode(NURSE.encoded, flavour)
    assert (there.kind, there.type, there.id, there.sender) == (stanza.kind, stanza.type, stanza.id, stanza.sender)


@pytest.mark.parametrize("text", TEXTS)
def test_who_asks_gets_the_element(text: str) -> None:
    stanza, there = both(text)
    element = there.addressed(NURSE).element
    assert (element.name, element.ns) == (stanza.kind, ns.CLIENT)
    assert element.attrs == stanza.element.attrs
    assert there.text() == stanza.text()
    assert Stanza.restore(there.text()).text() == stanza.text()


def test_what_is_changed_is_written() -> None:
    _stanza, there = both(TEXTS[0])
    there.element.append(Element("urn:y", "more"))
    there.changed()
    for flavour in (CLIENT, FRAMED, SERVER):
        assert b"<more xmlns='urn:y'/></message>" in there.encode(None, flavour)
    again = CarriedStanza(carry(there), JULIET)
    assert again.element.find("urn:y", "more") is not None


def test_a_child_that_is_added_keeps_the_text() -> None:
    _stanza, there = both(TEXTS[0])
    there.encode(JULIET.encoded)
    there.extend(Element("urn:y", "more"), b"<more xmlns='urn:y'/>")
    assert there.encode(JULIET.encoded).endswith(b"<more xmlns='urn:y'/></message>")
    assert there.encode(JULIET.encoded, FRAMED).endswith(b"<more xmlns='urn:y'/></message>")
