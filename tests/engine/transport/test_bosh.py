"""BOSH rules (XEP-0124, XEP-0206), one by one, with a fake clock and without HTTP."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.engine.transport.doubles import Recorder
from xmpp_engine.config.schema import HttpConfig, ListenerConfig, StreamLimits
from xmpp_engine.runtime.clock import FakeClock
from xmpp_engine.transport import bosh
from xmpp_engine.transport.bosh import EMPTY, Exchange
from xmpp_engine.transport.bosh_sessions import BoshSessions
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.parser import parse_document

OPEN = b"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' version='1.0' id='s1' from='example.org' xml:lang='en'/>"
FEATURES = b"<stream:features xmlns:stream='http://etherx.jabber.org/streams'/>"
CLOSE = b"<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>"


class Tick:
    """A dirty set that is flushed by hand: the end of the loop's tick."""

    def __init__(self) -> None:
        self.dirty: list[Any] = []

    def mark(self, connection: Any) -> None:
        """See DirtySet."""
        self.dirty.append(connection)

    def end(self) -> None:
        """Flush until nothing is dirty."""
        while self.dirty:
            dirty, self.dirty = self.dirty, []
            for connection in dirty:
                connection.flush()


class Client:
    """A BOSH client: numbers its requests and reads the answers; `auto` lets the stream answer each `<open/>`."""

    def __init__(self, config: HttpConfig | None = None, auto: bool = True) -> None:
        self.clock = FakeClock()
        self.tick = Tick()
        self.config = config or HttpConfig()
        self.recorders: list[Recorder] = []
        self.listeners: list[ListenerConfig] = []
        self.auto = auto
        self.sessions = BoshSessions(self.clock, self.tick, self._accept, lambda: self.config)  # type: ignore[arg-type]
        self.sid = ""
        self.rid = 1_000

    def _accept(self, transport: Any, listener: ListenerConfig) -> Recorder:
        recorder = _Server(transport, self.auto)
        self.recorders.append(recorder)
        self.listeners.append(listener)
        return recorder

    @property
    def stream(self) -> Recorder:
        """The receiver of the newest session."""
        return self.recorders[-1]

    @property
    def session(self) -> Any:
        """Its transport."""
        return self.stream.transport

    @property
    def heard(self) -> list[str]:
        """Names of the frames that the stream got."""
        return [element.name for element in self.stream.elements]

    def post(self, rid: int | None = None, payload: str = "", address: str = "192.0.2.1", **attrs: str) -> Exchange:
        """One request as it comes in; without a rid the next one."""
        if rid is None:
            rid = self.rid = self.rid + 1
        named = {name.replace("__", ":"): value for name, value in attrs.items()}
        given = {"sid": self.sid, "rid": str(rid), **named} if self.sid else {"rid": str(rid), **named}
        text = "".join(f" {name}='{value}'" for name, value in given.items() if value)
        body = f"<body xmlns='{ns.HTTP_BIND}' xmlns:xmpp='{ns.XBOSH}'{text}>{payload}</body>"
        return self.sessions.request(body.encode(), address, True)

    def send(self, *arguments: Any, **attrs: Any) -> Exchange:
        """`post` and the end of the tick."""
        exchange = self.post(*arguments, **attrs)
        self.tick.end()
        return exchange

    def create(self, **attrs: str) -> Element:
        """A new session; returns the answer."""
        wanted = {"to": "example.org", "wait": "60", "hold": "1", "ver": "1.6", "xmpp__version": "1.0", **attrs}
        answer = read(self.send(**wanted))
        self.sid = answer.get("sid") or ""
        return answer


class _Server(Recorder):
    def __init__(self, transport: Any, auto: bool) -> None:
        super().__init__(transport)
        self._auto = auto

    def frame_element(self, element: Element) -> None:
        super().frame_element(element)
        if element.name == "open" and self._auto:
            self.transport.write(OPEN)
            self.transport.write(FEATURES)
        elif element.name == "close":
            self.transport.write(CLOSE)
            self.transport.close()


def read(exchange: Exchange) -> Element:
    """The body of an answer that has been given."""
    assert exchange.response is not None, "no answer yet"
    body = parse_document(exchange.response)
    assert (body.ns, body.name) == (ns.HTTP_BIND, "body")
    return body


def names(exchange: Exchange) -> list[str]:
    """What an answer carries."""
    return [element.name for element in read(exchange).elements()]


def condition(exchange: Exchange) -> str:
    """The condition of a terminate, "" for a plain one."""
    body = read(exchange)
    assert body.get("type") == "terminate"
    return body.get("condition") or ""


def message(text: str) -> str:
    """A stanza to send."""
    return f"<message xmlns='jabber:client'><body>{text}</body></message>"


# Creation


def test_creation_answers_with_what_was_agreed() -> None:
    client = Client()
    answer = client.create(**{"from": "romeo@example.org", "xml__lang": "de"})
    given = dict(answer.attrs)
    assert len(given.pop("sid")) >= 20
    assert given == {
        "wait": "60",
        "hold": "1",
        "requests": "2",
        "inactivity": "90",
        "maxpause": "120",
        "ver": "1.6",
        "charsets": "UTF-8",
        "authid": "s1",
        "from": "example.org",
        "xml:lang": "en",
        f"{ns.XBOSH} version": "1.0",
        f"{ns.XBOSH} restartlogic": "true",
    }
    assert [element.name for element in answer.elements()] == ["features"]
    opening = client.stream.elements[0]
    assert (opening.ns, opening.name) == (ns.FRAMING, "open")
    assert opening.attrs == {"version": "1.0", "to": "example.org", "from": "romeo@example.org", "xml:lang": "de"}
    assert (client.session.framed, client.session.name, client.session.secure) == (True, "bosh", True)
    assert client.session.peer == "192.0.2.1"


def test_the_listener_says_whether_passwords_may_pass_in_clear() -> None:
    client = Client()
    client.create()
    assert client.listeners[-1].tls == "required"
    client.config = replace(client.config, allow_plain_http=True)
    client.sid = ""
    client.create()
    assert client.listeners[-1].tls == "optional"


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ({"wait": "999"}, {"wait": "60"}),
        ({"wait": "5"}, {"wait": "5", "requests": "2"}),
        ({"hold": "7"}, {"hold": "1", "requests": "2"}),
        ({"hold": "0"}, {"hold": "0", "requests": "1", "polling": "2"}),
        ({"wait": "0"}, {"wait": "0", "hold": "0", "polling": "2"}),
        ({"ver": "2.0"}, {"ver": "1.11"}),
        ({"ver": "1.9"}, {"ver": "1.9"}),
        ({"ver": "nonsense"}, {"ver": "1.11"}),
        ({"ack": "1"}, {"ack": "1001"}),
        ({"secure": "true"}, {"secure": "true"}),
    ],
)
def test_no_more_than_configured_and_no_more_than_asked(asked: dict[str, str], given: dict[str, str]) -> None:
    answer = Client().create(**asked)
    assert {name: answer.get(name) for name in given} == given


@pytest.mark.parametrize("asked", ["text/html", "application/javascript; charset=utf-8", "x"])
def test_a_dangerous_content_type_is_not_given(asked: str) -> None:
    client = Client()
    assert client.send(to="example.org", content=asked).content_type == "text/xml; charset=utf-8"


def test_a_harmless_content_type_is_given() -> None:
    client = Client()
    exchange = client.send(to="example.org", content="application/xml; charset=utf-8")
    assert exchange.content_type == "application/xml; charset=utf-8"


@pytest.mark.parametrize("rid", ["", "-1", "x", "1.5", "9" * 16, "٣"])
def test_a_creation_without_a_proper_number_is_a_bad_request(rid: str) -> None:
    client = Client()
    body = f"<body xmlns='{ns.HTTP_BIND}' to='example.org' rid='{rid}'/>"
    assert condition(client.sessions.request(body.encode(), "192.0.2.1", True)) == "bad-request"
    assert client.recorders == []


def test_a_creation_without_a_domain_is_improper() -> None:
    assert condition(Client().send()) == "improper-addressing"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nonsense",
        b"<body/>",
        b"<body xmlns='jabber:client' rid='1' to='example.org'/>",
        b"<!DOCTYPE x><body xmlns='http://jabber.org/protocol/httpbind' rid='1' to='x'/>",
        b"<body xmlns='http://jabber.org/protocol/httpbind' rid='1' to='x'>",
        b"<body xmlns='http://jabber.org/protocol/httpbind' rid='1' to='x'/><body/>",
        b"\xff\xfe<\x00b\x00",
    ],
)
def test_what_is_no_body_is_a_bad_request(data: bytes) -> None:
    client = Client()
    assert condition(client.sessions.request(data, "192.0.2.1", True)) == "bad-request"
    assert client.recorders == []


def test_an_unknown_session_is_not_found() -> None:
    client = Client()
    client.sid = "unknown"
    assert condition(client.send()) == "item-not-found"


def test_sessions_of_one_address_are_limited() -> None:
    client = Client(HttpConfig(bosh_sessions_per_address=2))
    client.create()
    client.sid = ""
    client.create()
    held, client.sid = client.sid, ""
    assert condition(client.send(to="example.org")) == "policy-violation"
    assert names(client.send(to="example.org", address="192.0.2.2")) == ["features"]
    client.sid = held
    client.send(type="terminate")
    client.sid = ""
    client.create()


def test_a_stranger_may_not_send_much_but_a_user_may() -> None:
    client = Client()
    client.create()
    big = message("x" * 30_000)
    assert condition(client.send(payload=big)) == "policy-violation"
    assert len(client.sessions) == 0
    client.sid = ""
    assert condition(client.send(to="example.org", payload=big)) == "policy-violation"
    client.create()
    client.session.authenticated()
    client.send(payload=big)
    assert client.heard == ["open", "message"]


def test_a_stream_that_cannot_be_made_leaves_nothing(caplog: pytest.LogCaptureFixture) -> None:
    client = Client()

    def fail(*_: Any) -> Any:
        raise ValueError("no stream today")

    client.sessions._accept = fail
    assert condition(client.send(to="example.org")) == "internal-server-error"
    assert len(client.sessions) == 0
    assert "no stream today" in caplog.text


# Holding and answering


def test_a_request_is_held_until_there_is_something_to_say() -> None:
    client = Client()
    client.create()
    held = client.send()
    assert held.response is None
    client.session.write(message("1").encode())
    client.session.write(message("2").encode())
    assert held.response is None, "answers wait for the end of the tick"
    client.tick.end()
    assert names(held) == ["message", "message"]


def test_a_request_is_answered_empty_after_wait() -> None:
    client = Client()
    client.create(wait="20")
    held = client.send()
    client.clock.advance(19.9)
    assert held.response is None
    client.clock.advance(0.2)
    assert held.response == EMPTY


def test_a_second_request_answers_the_first() -> None:
    client = Client()
    client.create()
    first = client.send()
    second = client.send(payload=message("hello"))
    assert first.response == EMPTY
    assert second.response is None
    assert client.heard == ["open", "message"]


def test_replies_to_a_stanza_ride_on_the_oldest_request() -> None:
    client = Client()
    client.create()
    first = client.send()
    second = client.post(payload=message("hello"))
    client.session.write(b"<presence xmlns='jabber:client'/>")
    client.tick.end()
    assert names(first) == ["presence"]
    assert second.response is None


def test_nothing_is_lost_between_requests() -> None:
    client = Client()
    client.create()
    client.session.write(message("1").encode())
    client.tick.end()
    assert client.session.idle_bytes() > 0
    assert names(client.send()) == ["message"]
    assert client.session.idle_bytes() == 0


def test_several_stanzas_in_one_body_come_in_order() -> None:
    client = Client()
    client.create()
    client.send(payload=message("1") + "<presence xmlns='jabber:client'/>" + message("3"))
    assert client.heard == ["open", "message", "presence", "message"]


def test_a_very_long_answer_is_split() -> None:
    client = Client()
    client.create()
    for _ in range(4):
        client.session.write(message("x" * 100_000).encode())
    answers = [client.send(), client.send()]
    assert [len(names(answer)) for answer in answers] == [2, 2]


def test_a_client_that_does_not_fetch_is_cut() -> None:
    client = Client(HttpConfig(limits=StreamLimits(write_buffer_bytes=10_000)))
    client.create()
    for _ in range(20):
        client.session.write(message("x" * 1_000).encode())
    client.clock.advance(0)
    assert client.stream.lost == ["policy-violation: slow reader"]
    assert condition(client.send()) == "item-not-found"
    assert len(client.sessions) == 0


# Order, repeats, window


def test_requests_out_of_order_are_put_in_order() -> None:
    client = Client()
    client.create()
    base = client.rid
    second = client.send(base + 2, payload=message("second"))
    assert client.heard == ["open"]
    assert second.response is None
    first = client.send(base + 1, payload=message("first"))
    assert [element.find(ns.CLIENT, "body").text for element in client.stream.elements[1:]] == ["first", "second"]  # type: ignore[union-attr]
    assert first.response == EMPTY
    assert second.response is None


def test_a_repeated_request_gets_the_same_answer_and_is_not_processed_again() -> None:
    client = Client()
    client.create()
    client.session.write(message("for you").encode())
    answer = client.send(payload=message("once"))
    again = client.send(client.rid, payload=message("once"))
    assert again.response == answer.response
    assert client.heard == ["open", "message"]


def test_a_repeated_creation_gets_the_same_answer() -> None:
    client = Client()
    created = client.create()
    again = client.send(client.rid)
    assert read(again).get("sid") == created.get("sid") == client.sid
    assert client.heard == ["open"]


def test_a_repeat_takes_the_place_of_the_request_that_is_open() -> None:
    client = Client()
    client.create()
    first = client.send(payload=message("once"))
    again = client.send(client.rid, payload=message("once"))
    assert first.response == EMPTY
    assert again.response is None
    client.session.write(message("answer").encode())
    client.tick.end()
    assert names(again) == ["message"]
    assert client.heard == ["open", "message"]


def test_a_repeat_that_is_too_old_ends_the_session() -> None:
    client = Client()
    client.create()
    for _ in range(6):
        client.send()
    assert condition(client.send(client.rid - 5)) == "item-not-found"
    client.clock.advance(0)
    assert len(client.stream.lost) == 1
    assert len(client.sessions) == 0


def test_the_window_is_as_wide_as_agreed() -> None:
    client = Client()
    client.create()
    base = client.rid
    assert client.send(base + 2).response is None
    held = client.send(base + 3)
    assert condition(held) == "item-not-found"
    assert condition(client.send(base + 1)) == "item-not-found"
    client.clock.advance(0)
    assert client.stream.lost


def test_what_was_open_is_told_when_the_session_breaks() -> None:
    client = Client()
    client.create()
    open_one = client.send()
    early = client.send(client.rid + 2)
    client.send(client.rid + 50)
    assert condition(open_one) == condition(early) == "item-not-found"


def test_a_gap_that_never_closes_ends_with_inactivity() -> None:
    client = Client()
    client.create()
    early = client.send(client.rid + 2)
    client.clock.advance(91)
    assert condition(early) == ""
    assert client.stream.lost


def test_acknowledgements_tell_the_highest_request_when_it_is_not_this_one() -> None:
    client = Client()
    client.create(ack="1")
    first = client.post()
    client.post()
    client.tick.end()
    assert read(first).get("ack") == str(client.rid)


# Broken connections


def test_data_waits_for_a_live_request_when_one_broke() -> None:
    client = Client()
    client.create()
    broken = client.send()
    broken.abandon()
    client.session.write(message("1").encode())
    client.tick.end()
    assert client.session.idle_bytes() > 0
    again = client.send(client.rid)
    assert names(again) == ["message"]


def test_a_broken_request_is_passed_over_when_the_client_goes_on() -> None:
    client = Client()
    client.create()
    client.send().abandon()
    client.session.write(message("1").encode())
    assert names(client.send()) == ["message"]
    assert client.send(client.rid - 1).response == EMPTY


def test_a_broken_request_starts_the_clock_of_inactivity() -> None:
    client = Client()
    client.create()
    client.send().abandon()
    client.clock.advance(89)
    assert client.stream.lost == []
    client.clock.advance(2)
    assert client.stream.lost == ["the client has not asked any more"]


# Silence


def test_a_silent_session_ends_after_inactivity() -> None:
    client = Client()
    client.create()
    client.clock.advance(89)
    held = client.send()
    client.clock.advance(61)
    assert held.response == EMPTY, "a held request is no silence"
    client.clock.advance(88)
    assert client.stream.lost == []
    client.clock.advance(3)
    assert client.stream.lost == ["the client has not asked any more"]
    assert len(client.sessions) == 0
    assert condition(client.send()) == "item-not-found"


def test_a_page_that_nobody_sees_asks_once_a_minute_and_keeps_its_session() -> None:
    # What Chromium does to Converse.js in a tab behind others: the timer of its next request is woken late.
    client = Client()
    client.create()
    for _ in range(3):
        held = client.send()
        client.clock.advance(60)
        assert held.response == EMPTY
        client.clock.advance(61)
    assert client.stream.lost == []


def test_pause_answers_all_and_lengthens_the_patience() -> None:
    client = Client()
    client.create()
    held = client.send()
    pausing = client.send(pause="100")
    assert held.response == pausing.response == EMPTY
    client.clock.advance(99)
    assert client.stream.lost == []
    client.send(payload=message("back"))
    assert client.heard[-1] == "message"
    client.clock.advance(60)
    client.clock.advance(91)
    assert client.stream.lost, "the pause is over"


def test_a_pause_ends_too() -> None:
    client = Client()
    client.create()
    client.send(pause="100")
    client.clock.advance(101)
    assert client.stream.lost


def test_a_pause_longer_than_allowed_is_refused() -> None:
    client = Client()
    client.create()
    assert condition(client.send(pause="121")) == "policy-violation"
    client.clock.advance(0)
    assert client.stream.lost


# Polling


def test_polling_too_often_is_refused() -> None:
    client = Client()
    client.create(hold="0")
    assert client.send().response == EMPTY
    assert condition(client.send()) == "policy-violation"


def test_polling_slowly_is_welcome() -> None:
    client = Client()
    client.create(hold="0")
    for _ in range(3):
        assert client.send().response == EMPTY
        client.clock.advance(bosh.POLLING_SECONDS)


def test_polling_again_after_an_answer_with_stanzas_is_welcome() -> None:
    client = Client()
    client.create(hold="0")
    client.session.write(message("1").encode())
    assert names(client.send()) == ["message"]
    assert client.send(payload=message("2")).response == EMPTY
    assert client.send().response == EMPTY


def test_a_holding_session_may_ask_at_once() -> None:
    client = Client()
    client.create()
    for _ in range(10):
        client.send()
    assert client.stream.lost == []


# Keys


def chain(length: int) -> list[str]:
    """Keys in the order of their use: each is the hash of the next."""
    keys = ["seed"]
    for _ in range(length):
        keys.append(hashlib.sha1(keys[-1].encode()).hexdigest())
    return keys[::-1]


def test_a_key_sequence_is_followed_and_renewed() -> None:
    keys, fresh = chain(4), chain(3)
    client = Client()
    client.create(newkey=keys[0])
    client.send(key=keys[1], payload=message("1"))
    client.send(key=keys[2], newkey=fresh[0], payload=message("2"))
    client.send(key=fresh[1], payload=message("3"))
    assert client.heard == ["open", "message", "message", "message"]


@pytest.mark.parametrize("key", ["", "wrong", None])
def test_a_wrong_key_ends_the_session(key: str | None) -> None:
    keys = chain(4)
    client = Client()
    client.create(newkey=keys[0])
    assert condition(client.send(key=keys[2] if key is None else key, payload=message("1"))) == "item-not-found"
    assert client.heard == ["open"]
    client.clock.advance(0)
    assert client.stream.lost


def test_a_repeat_needs_the_key_it_had() -> None:
    keys = chain(4)
    client = Client()
    client.create(newkey=keys[0])
    client.session.write(message("secret").encode())
    answer = client.send(key=keys[1])
    assert client.send(client.rid, key=keys[1]).response == answer.response
    assert condition(client.send(client.rid, key="guess")) == "item-not-found"


# Restart and the end


def test_restart_opens_the_stream_again() -> None:
    client = Client()
    client.create()
    answer = read(client.send(xmpp__restart="true", to="example.org", xml__lang="fr"))
    assert client.heard == ["open", "open"]
    assert client.stream.elements[1].get("to") == "example.org"
    assert client.stream.elements[1].get("xml:lang") == "fr"
    assert answer.get("authid") == "s1"
    assert answer.get("sid") is None
    assert answer.find(ns.STREAM, "features") is not None


def test_restart_remembers_the_domain() -> None:
    client = Client()
    client.create()
    client.send(xmpp__restart="true")
    assert client.stream.elements[1].get("to") == "example.org"


def test_terminate_delivers_its_stanzas_and_ends_everything() -> None:
    client = Client()
    client.create()
    held = client.send()
    last = client.send(type="terminate", payload="<presence xmlns='jabber:client' type='unavailable'/>")
    assert client.heard == ["open", "presence", "close"]
    assert condition(held) == condition(last) == ""
    client.clock.advance(0)
    assert client.stream.lost == ["closed"]
    assert len(client.sessions) == 0


def test_close_by_the_server_takes_what_is_queued_along() -> None:
    client = Client()
    client.create()
    held = client.send()
    client.session.write(message("bye").encode())
    client.session.close()
    client.session.write(message("never").encode())
    assert names(held) == ["message"]
    assert condition(held) == ""
    client.clock.advance(0)
    assert client.stream.lost == ["closed"]


def test_close_without_an_open_request_waits_for_the_next() -> None:
    client = Client()
    client.create()
    client.session.write(message("bye").encode())
    client.session.close()
    client.clock.advance(1)
    assert client.stream.lost == ["closed"]
    last = client.send(payload=message("late"))
    assert names(last) == ["message"]
    assert condition(last) == ""
    assert client.heard == ["open"], "nothing reaches a stream that has ended"
    assert len(client.sessions) == 0


def test_a_closed_session_that_nobody_asks_is_forgotten() -> None:
    client = Client()
    client.create()
    client.session.close()
    client.clock.advance(91)
    assert len(client.sessions) == 0
    assert client.stream.lost == ["closed"]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("host-unknown", "host-unknown"),
        ("improper-addressing", "improper-addressing"),
        ("system-shutdown", "system-shutdown"),
        ("conflict", "remote-stream-error"),
        ("not-authorized", "remote-stream-error"),
    ],
)
def test_a_stream_error_becomes_a_condition_and_travels_along(error: str, expected: str) -> None:
    client = Client()
    client.create()
    held = client.send()
    client.session.write(
        f"<stream:error xmlns:stream='{ns.STREAM}'><{error} xmlns='{ns.STREAM_ERRORS}'/></stream:error>".encode()
    )
    client.session.write(CLOSE)
    client.session.close()
    assert condition(held) == expected
    found = read(held).find(ns.STREAM, "error")
    assert found is not None
    assert found.find(ns.STREAM_ERRORS, error) is not None


def test_abort_tells_open_requests_and_the_stream() -> None:
    client = Client()
    client.create()
    held = client.send()
    client.session.abort()
    client.session.abort()
    assert condition(held) == "internal-server-error"
    assert client.stream.lost == []
    client.clock.advance(0)
    assert client.stream.lost == ["aborted"]


# Flow control


def test_bodies_wait_while_the_stream_reads_nothing() -> None:
    client = Client()
    client.create()
    client.session.pause()
    first = client.send(payload=message("1"))
    second = client.send(payload=message("2"))
    assert client.heard == ["open"]
    assert first.response is second.response is None
    client.session.resume()
    client.clock.advance(0)
    client.tick.end()
    assert client.heard == ["open", "message", "message"]
    assert first.response == EMPTY
    assert second.response is None


def test_what_a_client_pumps_into_a_paused_stream_is_bounded_by_the_window() -> None:
    client = Client()
    client.create()
    client.session.pause()
    client.send()
    client.send()
    assert condition(client.send()) == "item-not-found"


def test_a_pause_in_the_middle_of_a_body_holds_the_rest() -> None:
    client = Client()
    client.create()
    real: Callable[[Element], None] = client.stream.frame_element

    def once(element: Element) -> None:
        real(element)
        client.session.pause()

    client.stream.frame_element = once  # type: ignore[method-assign]
    client.send(payload=message("1") + message("2"))
    assert client.heard == ["open", "message"]
    client.session.resume()
    client.clock.advance(0)
    assert client.heard == ["open", "message", "message"]


def test_tls_is_not_the_sessions_affair() -> None:
    client = Client()
    client.create()
    assert not client.session.can_start_tls
    assert client.session.tls_facts() == {}
    assert client.session.channel_binding("tls-exporter") is None
    with pytest.raises(RuntimeError):
        client.session.start_tls(None, "")
