"""Framings: headers, elements and namespaces of a stream."""

from __future__ import annotations

import pytest

from tests.engine.stream.fakes import Server, last_element
from xmpp_engine.config.schema import StreamLimits
from xmpp_engine.stream.framing import BODIES, CLIENT_STREAM, FRAMES, xml_limits
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element


def test_header_escapes_what_the_peer_gave() -> None:
    header = CLIENT_STREAM.header("i", "localhost", "o'neill&co@localhost").decode()
    assert "to='o&apos;neill&amp;co@localhost'" in header


@pytest.mark.parametrize("framing", [FRAMES, BODIES])
def test_frames_declare_their_namespaces(framing: object) -> None:
    encode = framing.encode  # type: ignore[attr-defined]
    assert encode(Element(ns.CLIENT, "message")) == b"<message xmlns='jabber:client'/>"
    assert encode(Element(ns.STREAM, "features")) == (
        b"<stream:features xmlns:stream='http://etherx.jabber.org/streams'/>"
    )


def test_the_body_is_the_transports() -> None:
    assert BODIES.header("i", "localhost", "") == FRAMES.header("i", "localhost", "")
    assert BODIES.closing == b""


def test_limits_are_shared_and_smaller_before_authentication() -> None:
    limits = StreamLimits()
    assert xml_limits(limits, False) is xml_limits(limits, False)
    assert xml_limits(limits, False).stanza_bytes == limits.preauth_bytes
    assert xml_limits(limits, True).stanza_bytes == limits.stanza_bytes


STREAMS = "http://etherx.jabber.org/streams"


@pytest.mark.parametrize(
    ("header", "condition"),
    [
        (f"<stream:stream xmlns='jabber:client' xmlns:stream='{STREAMS}' to='localhost' version='1.0'>", None),
        (f"<s:stream xmlns='jabber:client' xmlns:s='{STREAMS}' to='localhost' version='1.0'>", None),
        (f"<stream xmlns='{STREAMS}' to='localhost' version='1.0'>", None),
        (f"<stream xmlns='{STREAMS}' xmlns:c='jabber:client' to='localhost' version='1.0'>", None),
        (f"<s:stream xmlns:c='jabber:client' xmlns:s='{STREAMS}' to='localhost' version='1.0'>", None),
        (
            "<stream:stream xmlns='jabber:client' xmlns:stream='urn:x' version='1.0'>",
            "invalid-namespace",
        ),
        (
            f"<stream:stream xmlns='jabber:server' xmlns:stream='{STREAMS}' version='1.0'>",
            "invalid-namespace",
        ),
        (f"<stream:stream xmlns:stream='{STREAMS}' to='localhost' version='1.0'>", "invalid-namespace"),
        ("<message xmlns='jabber:client' to='localhost'>", "invalid-namespace"),
        (f"<stream:flow xmlns='jabber:client' xmlns:stream='{STREAMS}' to='localhost' version='1.0'>", "bad-format"),
        ("<stream:stream to='localhost' version='1.0'>", "not-well-formed"),
    ],
)
def test_namespaces_of_a_header(header: str, condition: str | None) -> None:
    client = Server().connect()
    client.send(header)
    if condition is None:
        assert last_element(client.output).name == "features"
    else:
        assert client.error() == condition
