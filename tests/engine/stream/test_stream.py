"""Stream: opening, errors, the end; whatever the transport or the handlers do."""

from __future__ import annotations

import gc
import logging

import pytest

from tests.engine.stream.fakes import HEADER, OPEN, Client, Server, last_element
from xmpp_engine.config.schema import StreamLimits
from xmpp_engine.stream.stream import Stream
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StreamError


def bound(**options: object) -> tuple[Server, Client]:
    server = Server()
    client = server.connect(**options)
    client.login()
    client.bind()
    return server, client


class TestElements:
    def test_after_bind_everything_goes_to_the_session(self) -> None:
        server, client = bound()
        client.send("<message xmlns='jabber:client'/><r xmlns='urn:xmpp:sm:3'/>")
        assert [(e.ns, e.name) for e in server.binder.received] == [(ns.CLIENT, "message"), (ns.SM, "r")]

    def test_white_space_is_free(self) -> None:
        server, client = bound()
        before = client.stream.bytes_in
        assert client.send(" \n ") == ""
        assert client.stream.active
        assert client.stream.bytes_in == before + 3
        assert server.binder.received == []

    def test_a_parked_stream_reads_on(self) -> None:
        server, client = bound()
        client.stream.park()
        client.send("<message xmlns='jabber:client'/>")
        assert len(server.binder.received) == 1

    def test_bytes_are_counted_both_ways(self) -> None:
        _, client = bound()
        assert client.stream.bytes_out == sum(map(len, client.transport.written))
        assert client.stream.bytes_in > 300

    def test_handlers_can_be_exchanged_in_the_middle_of_a_read(self) -> None:
        _, client = bound()
        seen: list[str] = []

        def second(element: Element) -> None:
            seen.append("second " + element.name)

        def first(element: Element) -> None:
            seen.append("first " + element.name)
            client.stream.on_element = second

        client.stream.on_element = first
        client.send("<a/><b/>")
        assert seen == ["first a", "second b"]


class TestErrors:
    @pytest.mark.parametrize(
        ("text", "condition"),
        [
            ("<message></presence>", "not-well-formed"),
            ("<message><!-- comment --></message>", "restricted-xml"),
            ("<message>&unknown;</message>", "restricted-xml"),
            ("<?php x ?>", "restricted-xml"),
            ("text between stanzas<a/>", "bad-format"),
            ("<message>" + "<a>" * 70, "policy-violation"),
            ("<message " + " ".join(f"a{n}=''" for n in range(70)) + "/>", "policy-violation"),
            ("<message>" + "x" * 300_000 + "</message>", "policy-violation"),
            ("<message a='" + ">" * 300_000, "policy-violation"),
        ],
    )
    def test_bad_xml_ends_the_stream_with_the_named_error(self, text: str, condition: str) -> None:
        server, client = bound()
        client.send(text)
        assert client.error() == condition
        assert client.transport.calls[-1] == "close"
        assert server.binder.lost[0][1] is False
        assert server.counters.rare("stream_errors_total") == {condition: 1}

    @pytest.mark.parametrize(
        ("text", "condition"),
        [
            (b"\xfe\xff\x00<\x00?", "unsupported-encoding"),
            (b"\xff\xfe<\x00?\x00", "unsupported-encoding"),
            (b"<?xml version='1.0' encoding='ISO-8859-1'?><stream:stream>", "unsupported-encoding"),
            (b"GET / HTTP/1.1\r\n\r\n<>", "not-well-formed"),
            (b"<!DOCTYPE x><stream:stream>", "restricted-xml"),
            (b" " * 2_000, "not-well-formed"),
        ],
    )
    def test_our_header_comes_before_the_error(self, text: bytes, condition: str) -> None:
        client = Server().connect()
        client.send(text)
        assert client.output.startswith("<?xml version='1.0'?><stream:stream ")
        assert "from='localhost'" in client.output
        assert client.error() == condition

    def test_an_error_is_logged_once_with_peer_and_condition(self, caplog: pytest.LogCaptureFixture) -> None:
        _, client = bound()
        with caplog.at_level(logging.INFO, "mlink.stream"):
            client.send("<message></presence>")
            client.send("<message></presence>")
            client.stream.connection_lost("closed")
        assert len(caplog.records) == 1
        assert "192.0.2.1" in caplog.text
        assert "not-well-formed" in caplog.text

    def test_a_defect_of_a_handler_is_an_internal_error(self, caplog: pytest.LogCaptureFixture) -> None:
        _, client = bound()

        def broken(_element: Element) -> None:
            raise KeyError("defect")

        client.stream.on_element = broken
        client.send("<message xmlns='jabber:client'/><message xmlns='jabber:client'/>")
        assert client.error() == "internal-server-error"
        assert [r.exc_info is not None for r in caplog.records if r.levelno == logging.ERROR] == [True]

    def test_the_error_is_sent_once(self) -> None:
        _, client = bound()
        client.stream.close(StreamError("conflict"))
        client.stream.close(StreamError("system-shutdown"))
        assert client.error() == "conflict"
        assert client.output.count("<stream:error>") == 1
        assert client.output.count("</stream:stream>") == 1

    def test_text_and_application_condition_are_sent(self) -> None:
        _, client = bound()
        client.stream.close(StreamError("undefined-condition", "why", app=Element("urn:x", "too-much")))
        error = last_element(client.output.removesuffix("</stream:stream>"))
        assert error.child_text(ns.STREAM_ERRORS, "text") == "why"
        assert error.find("urn:x", "too-much") is not None

    def test_many_streams_that_end_by_our_will_are_not_logged_each(self, caplog: pytest.LogCaptureFixture) -> None:
        _, client = bound()
        with caplog.at_level(logging.INFO, "mlink.stream"):
            client.stream.close(StreamError("system-shutdown"))
        assert caplog.records == []


class TestEnd:
    def test_the_peer_closes(self) -> None:
        server, client = bound()
        assert client.send("<message xmlns='jabber:client'/></stream:stream>") == "</stream:stream>"
        assert client.transport.calls[-1] == "close"
        assert len(server.binder.received) == 1
        assert [clean for _, clean in server.binder.lost] == [True]
        client.stream.connection_lost("closed")
        assert len(server.binder.lost) == 1

    def test_the_connection_breaks(self) -> None:
        server, client = bound()
        client.stream.connection_lost("reset by peer")
        assert server.binder.lost == [("reset by peer", False)]
        assert client.stream.closed
        assert client.stream not in server.sweeper.streams

    def test_writing_after_the_end_does_nothing(self) -> None:
        _, client = bound()
        client.stream.close()
        before = client.output
        client.stream.write(b"<message/>")
        client.stream.send(Element(ns.CLIENT, "message"))
        assert client.output == before

    def test_a_handler_closes_in_the_middle_of_a_read(self) -> None:
        server, client = bound()
        seen: list[str] = []

        def once(element: Element) -> None:
            seen.append(element.name)
            client.stream.close(StreamError("conflict"))

        client.stream.on_element = once
        client.send("<a/><b/><<<")
        client.send("<c/>")
        assert seen == ["a"]
        assert client.error() == "conflict"
        assert server.counters.rare("stream_errors_total") == {"conflict": 1}

    def test_a_handler_closes_and_then_raises(self) -> None:
        _, client = bound()

        def once(_element: Element) -> None:
            client.stream.close(StreamError("conflict"))
            raise StreamError("policy-violation")

        client.stream.on_element = once
        client.send("<a/>")
        assert client.error() == "conflict"

    def test_an_owner_that_fails_at_the_end_stops_nothing(self, caplog: pytest.LogCaptureFixture) -> None:
        _, client = bound()

        def broken(_reason: str, _clean: bool) -> None:
            raise KeyError("defect")

        client.stream.on_lost = broken
        client.stream.close()
        assert client.transport.calls[-1] == "close"
        assert "the owner of a stream failed" in caplog.text

    def test_an_owner_may_close_again_while_it_learns_of_the_end(self) -> None:
        _, client = bound()
        client.stream.on_lost = lambda _reason, _clean: client.stream.close(StreamError("conflict"))
        client.send("</stream:stream>")
        assert client.output.endswith("</stream:stream>")
        assert "<stream:error>" not in client.output

    def test_the_transport_fails_while_the_end_is_written(self) -> None:
        server, client = bound()
        client.transport.write = lambda data: client.stream.connection_lost("slow reader")  # type: ignore[method-assign]
        client.stream.close(StreamError("conflict"))
        assert len(server.binder.lost) == 1

    def test_handlers_set_after_the_end_get_nothing(self) -> None:
        _, client = bound()
        client.stream.close()
        seen: list[Element] = []
        client.stream.on_element = seen.append
        client.send("<a/>")
        client.stream.frame_element(Element(ns.CLIENT, "message"))
        assert seen == []

    def test_closing_before_anything_came(self) -> None:
        client = Server().connect()
        client.stream.close(StreamError("system-shutdown"))
        assert client.output.startswith("<?xml version='1.0'?><stream:stream ")
        assert client.error() == "system-shutdown"

    def test_memory_goes_without_the_collector(self) -> None:
        def streams() -> int:
            return sum(type(found) is Stream for found in gc.get_objects())

        gc.collect()
        gc.disable()
        try:
            before = streams()
            _, client = bound()
            early = Server().connect()
            early.open()
            assert streams() == before + 2
            for lost in (client, early):
                lost.stream.connection_lost("reset by peer")
            del client, early, lost
            assert streams() == before
        finally:
            gc.enable()


class TestFrames:
    def test_open_stanza_close(self) -> None:
        server, client = bound(framed=True, secure=True)
        client.send("<message xmlns='jabber:client'/>")
        assert len(server.binder.received) == 1
        assert (
            client.send("<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>")
            == client.stream.framing.closing.decode()
        )
        assert server.binder.lost == [("closed by the client", True)]

    def test_each_write_is_one_frame_with_its_declarations(self) -> None:
        client = Server().connect(framed=True, secure=True)
        client.open()
        header, features = client.transport.written
        assert header.startswith(b"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing'")
        assert features.startswith(b"<stream:features xmlns:stream='http://etherx.jabber.org/streams'>")

    def test_an_error_is_a_frame_between_open_and_close(self) -> None:
        client = Server().connect(framed=True, secure=True)
        client.send("<message")
        opened, error, closed = client.transport.written
        assert opened.startswith(b"<open ")
        assert error.startswith(b"<stream:error xmlns:stream='http://etherx.jabber.org/streams'><not-well-formed")
        assert closed == b"<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>"

    @pytest.mark.parametrize(
        ("frames", "condition"),
        [
            (["<message xmlns='jabber:client'/>"], "bad-format"),
            ([OPEN, OPEN], "bad-format"),
            ([OPEN, "<frame xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>"], "bad-format"),
            ([OPEN, "<message xmlns='jabber:client'>"], "not-well-formed"),
            ([OPEN, "</a>"], "not-well-formed"),
            (["<?xml version='1.0' encoding='latin1'?>" + OPEN], "unsupported-encoding"),
            ([HEADER], "not-well-formed"),
        ],
    )
    def test_frames_out_of_place(self, frames: list[str], condition: str) -> None:
        client = Server().connect(framed=True, secure=True)
        for frame in frames:
            client.send(frame)
        assert client.error() == condition

    def test_parsed_frames_take_the_same_way(self) -> None:
        server, client = bound(framed=True, secure=True)
        client.stream.active = False
        client.stream.frame_element(Element(ns.CLIENT, "message"))
        assert len(server.binder.received) == 1
        assert client.stream.active

    def test_a_parsed_frame_that_fails(self) -> None:
        client = Server().connect(framed=True, secure=True)
        client.stream.frame_element(Element(ns.CLIENT, "message"))
        assert client.error() == "bad-format"


class TestLimits:
    def test_before_authentication_elements_are_small(self) -> None:
        client = Server(limits=StreamLimits(preauth_bytes=10_000)).connect()
        client.open()
        client.send("<iq xmlns='jabber:client'>" + "x" * 11_000)
        assert client.error() == "policy-violation"

    def test_after_it_the_full_size_holds(self) -> None:
        server, client = bound()
        client.send("<message xmlns='jabber:client'><body>" + "x" * 200_000 + "</body></message>")
        assert len(server.binder.received) == 1
        assert not client.stream.closed

    def test_the_same_for_frames(self) -> None:
        server, client = bound(framed=True, secure=True)
        client.send("<message xmlns='jabber:client'><body>" + "x" * 200_000 + "</body></message>")
        assert len(server.binder.received) == 1
