"""The stream parser: what comes out, what is refused, what it costs in memory."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StreamError
from xmpp_engine.xml.parser import StreamParser, XmlLimits, parse_document, strip_declaration
from xmpp_engine.xml.writer import encode

HEADER = (
    b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'"
    b" to='localhost' version='1.0'>"
)
MESSAGE = (
    "<message to='juliet@example.org' id='1'><body>Gr\u00fc\u00dfe &amp; \u2764</body>"
    "<x xmlns='urn:x' a='>'/></message>"
).encode()


class Collector:
    """What a parser called."""

    def __init__(self, limits: XmlLimits | None = None) -> None:
        self.opened: list[Element] = []
        self.elements: list[Element] = []
        self.closed = 0
        self.parser = StreamParser(self.opened.append, self.elements.append, self._close, limits or XmlLimits())

    def _close(self) -> None:
        self.closed += 1


def test_a_stream_gives_root_stanzas_and_end() -> None:
    c = Collector()
    c.parser.feed(HEADER + MESSAGE + b" <presence/></stream:stream>")
    assert c.opened[0].ns == ns.STREAM
    assert c.opened[0].attrs == {"to": "localhost", "version": "1.0"}
    assert [e.name for e in c.elements] == ["message", "presence"]
    assert c.elements[0].child_text(ns.CLIENT, "body") == "Gr\u00fc\u00dfe & \u2764"
    assert c.elements[0].find("urn:x", "x").attrs == {"a": ">"}  # type: ignore[union-attr]
    assert c.closed == 1


def test_a_prefixed_content_namespace_is_accepted() -> None:
    c = Collector()
    c.parser.feed(b"<stream xmlns='http://etherx.jabber.org/streams' xmlns:c='jabber:client'><c:iq id='1'/>")
    assert (c.elements[0].ns, c.elements[0].name) == (ns.CLIENT, "iq")


@given(st.lists(st.integers(1, 40), max_size=60))
def test_a_stanza_comes_out_with_its_last_byte_however_it_is_cut(cuts: list[int]) -> None:
    data = HEADER + MESSAGE * 3
    ends = [len(HEADER) + len(MESSAGE) * n for n in (1, 2, 3)]
    c = Collector()
    position = 0
    for size in [*cuts, len(data)]:
        c.parser.feed(data[position : position + size])
        position = min(position + size, len(data))
        assert len(c.elements) == sum(end <= position for end in ends)
        if position == len(data):
            break
    whole = Collector()
    whole.parser.feed(data)
    assert c.elements == whole.elements


@given(st.integers(0, len(HEADER + MESSAGE) - 1))
def test_parking_between_any_two_bytes_changes_nothing(cut: int) -> None:
    data = HEADER + MESSAGE
    c = Collector()
    c.parser.feed(data[:cut])
    c.parser.park()
    c.parser.feed(data[cut:])
    c.parser.park()
    c.parser.feed(b"\n")
    c.parser.feed(MESSAGE)
    assert len(c.elements) == 2
    assert c.elements[0] == c.elements[1]


@pytest.mark.parametrize(
    ("data", "condition"),
    [
        (b"<!DOCTYPE x><stream/>", "restricted-xml"),
        (HEADER + b"<!-- hello -->", "restricted-xml"),
        (HEADER + b"<?php x ?>", "restricted-xml"),
        (HEADER + b"<message>&nbsp;</message>", "restricted-xml"),
        (b"<?xml version='1.0' encoding='ISO-8859-1'?><a>", "unsupported-encoding"),
        ("\ufeff<stream>".encode("utf-16-le"), "unsupported-encoding"),
        ("<stream>".encode("utf-16-be"), "unsupported-encoding"),
        (HEADER + b"<x:message/>", "not-well-formed"),
        (HEADER + b"<message></iq>", "not-well-formed"),
        (HEADER + b"<message a='1' a='2'>", "not-well-formed"),
        (HEADER + b"<message>\xff\xfe</message>", "not-well-formed"),
        (HEADER + b"hello<message/>", "bad-format"),
        (b"GET / HTTP/1.1\r\nHost: <x>\r\n", "not-well-formed"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n", "not-well-formed"),
        (b" \x16\x03\x01", "not-well-formed"),
    ],
)
def test_what_is_refused_has_its_condition(data: bytes, condition: str) -> None:
    with pytest.raises(StreamError) as error:
        Collector().parser.feed(data)
    assert error.value.condition == condition


def test_an_entity_bomb_never_expands() -> None:
    bomb = b"<!DOCTYPE l [<!ENTITY a 'ha'><!ENTITY b '&a;&a;&a;&a;'>]><stream>&b;</stream>"
    with pytest.raises(StreamError, match="restricted-xml"):
        Collector().parser.feed(bomb)


@pytest.mark.parametrize("piece", [17, 1_000, 65_536])
def test_a_stanza_over_the_limit_is_refused_before_it_ends(piece: int) -> None:
    c = Collector(XmlLimits(stanza_bytes=10_000))
    endless = b"<message><body>" + b"a&lt;" * 1_000_000
    c.parser.feed(HEADER)
    taken = 0

    def feed_on() -> None:
        nonlocal taken
        for start in range(0, len(endless), piece):
            c.parser.feed(endless[start : start + piece])
            taken += piece

    with pytest.raises(StreamError, match="policy-violation"):
        feed_on()
    assert taken <= 10_000 + 2 * piece


def test_a_tag_without_end_is_bounded() -> None:
    c = Collector(XmlLimits(stanza_bytes=10_000))
    c.parser.feed(HEADER)

    def feed_on() -> None:
        for _ in range(200):
            c.parser.feed(b"<message x='" + b"a" * 100)

    with pytest.raises(StreamError, match="policy-violation"):
        feed_on()


def test_depth_and_attributes_are_bounded() -> None:
    with pytest.raises(StreamError, match="nested"):
        Collector(XmlLimits(depth=5)).parser.feed(HEADER + b"<a>" * 7)
    with pytest.raises(StreamError, match="attributes"):
        Collector(XmlLimits(attributes=2)).parser.feed(HEADER + b"<a b='' c='' d=''/>")


def test_white_space_for_ever_keeps_nothing() -> None:
    c = Collector()
    c.parser.feed(HEADER)
    for _ in range(1_000):
        c.parser.feed(b" " * 1_000)
    c.parser.feed(MESSAGE)
    assert len(c.elements) == 1


def test_a_restart_inside_a_callback_drops_the_rest_of_the_read() -> None:
    c = Collector()

    def restart(element: Element) -> None:
        c.elements.append(element)
        c.parser.restart()

    c.parser.on_element = restart
    c.parser.feed(HEADER + b"<starttls xmlns='x'/><message><body>injected</body></message></broken>")
    assert [e.name for e in c.elements] == ["starttls"]
    c.parser.on_element = c.elements.append
    c.parser.feed(HEADER + MESSAGE)
    assert [e.name for e in c.elements] == ["starttls", "message"]
    assert len(c.opened) == 2


def test_framed_parsers_take_whole_elements() -> None:
    got: list[Element] = []
    parser = StreamParser.framed(got.append)
    parser.feed(b"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='x'/>")
    assert parser.between
    parser.feed(b"<message xmlns='jabber:client'>")
    assert not parser.between
    with pytest.raises(StreamError):
        StreamParser.framed(got.append).feed(b"</framed><x/>")


def test_documents() -> None:
    assert parse_document(b"<?xml version='1.0' encoding='utf-8'?>\n<a b='c'>d</a>") == Element(
        "", "a", {"b": "c"}, "d"
    )
    for bad in (b"", b"<a>", b"<a/><b/>", b"<a/></a>", b"text"):
        with pytest.raises(StreamError):
            parse_document(bad)
    with pytest.raises(StreamError, match="unsupported-encoding"):
        strip_declaration(b"<?xml version='1.0' encoding='latin1'?><a/>")


names = st.sampled_from(["a", "b-c", "body"])
spaces = st.sampled_from(["", "jabber:client", "urn:x", "urn:o'dd&<ns>"])
texts = st.text(
    st.characters(codec="utf-8", exclude_characters="\x00", exclude_categories=("Cs", "Cc"))
    | st.sampled_from("\t\n\r<>&'\""),
    max_size=20,
).filter(lambda s: "\ufffe" not in s and "\uffff" not in s)
attributes = st.dictionaries(st.sampled_from(["x", "xml:lang", "urn:y k", "urn:z k"]), texts, max_size=4)
elements = st.recursive(
    st.builds(lambda n, s, a, t: Element(n, s, a, *filter(None, [t])), spaces, names, attributes, texts),
    lambda inner: st.builds(
        lambda n, s, a, c: Element(n, s, a, *c),
        spaces,
        names,
        attributes,
        st.lists(inner | texts.filter(bool), max_size=4),
    ),
    max_leaves=12,
)


@given(elements)
def test_what_is_written_is_read_back(element: Element) -> None:
    assert parse_document(encode(element)) == element
