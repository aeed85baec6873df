"""Archived stanzas are read back whatever escaping has made of their length."""

from __future__ import annotations

import pytest

from archive.document import body_of, element_of
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StreamError

BODY = ">&<'\"" * 50_000


def test_a_body_that_escaping_made_long() -> None:
    stanza = Stanza.restore("<message xmlns='jabber:client' from='a@b.example' to='c@b.example'/>")
    stanza.extend(Element(ns.CLIENT, "body", None, BODY), b"")
    stanza.changed()
    assert body_of(element_of(stanza.encode(b"c@b.example").decode())) == BODY
    assert body_of(Stanza.restore(stanza.text()).element) == BODY


@pytest.mark.parametrize(
    "xml", ["<message/>", "<message xmlns='jabber:client'/>", "<message id='1' xmlns='jabber:client'/>"]
)
def test_with_and_without_the_namespace(xml: str) -> None:
    element = element_of(xml)
    assert (element.ns, element.name) == (ns.CLIENT, "message")
    assert body_of(element) == ""


@pytest.mark.parametrize("xml", ["", "<message", "<message/><message/>", "<message><!-- x --></message>"])
def test_damaged(xml: str) -> None:
    with pytest.raises(StreamError):
        element_of(xml)
