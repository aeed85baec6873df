"""Dialback: keys as XEP-0185 makes them, elements as XEP-0220 has them."""

from __future__ import annotations

import pytest

from xmpp_engine.stream.dialback import Dialback, Keys, answer, read, refuse, request
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StreamError
from xmpp_engine.xml.parser import SERVER_NAMES, StreamParser


def parsed(data: bytes) -> Element:
    """An element as it comes in on a stream between servers."""
    found: list[Element] = []
    parser = StreamParser(lambda _root: None, found.append, lambda: None, names=SERVER_NAMES)
    parser.feed(f"<s:s xmlns='{ns.SERVER}' xmlns:s='{ns.STREAM}' xmlns:db='{ns.DIALBACK}'>".encode() + data)
    return found[0]


def test_the_key_of_the_specification() -> None:
    key = Keys("s3cr3tf0rd14lb4ck").make("xmpp.example.com", "example.org", "D60000229F")
    assert key == "37c69b1cf07a3f67c04a5ef5902fa5114f2c76fe4a2686482ba5b89323075643"


@pytest.mark.parametrize(
    ("receiving", "originating", "id"),
    [("b.example", "a.example", "2"), ("c.example", "a.example", "1"), ("b.example", "c.example", "1")],
)
def test_a_key_is_good_for_one_stream_of_one_pair(receiving: str, originating: str, id: str) -> None:
    keys = Keys("secret")
    key = keys.make("b.example", "a.example", "1")
    assert keys.check(key, "b.example", "a.example", "1")
    assert not keys.check(key, receiving, originating, id)
    assert not Keys("another").check(key, "b.example", "a.example", "1")
    assert not keys.check("", "b.example", "a.example", "1")


def test_elements_come_back_as_they_were() -> None:
    assert read(parsed(request("result", "a.example", "b.example", "k"))) == Dialback(
        "result", "a.example", "b.example", key="k"
    )
    asked = read(parsed(request("verify", "a.example", "b.example", "k", "x'<")))
    assert (asked.id, asked.key, asked.pair) == ("x'<", "k", ("a.example", "b.example"))
    assert read(parsed(answer("verify", "a.example", "b.example", True, "1"))).type == "valid"
    assert read(parsed(answer("result", "a.example", "b.example", False))).type == "invalid"


@pytest.mark.parametrize(
    ("condition", "told"),
    [("policy-violation", "policy-violation"), ("remote-connection-failed", "remote-connection-failed")],
)
def test_errors(condition: str, told: str) -> None:
    refused = read(parsed(refuse("result", "a.example", "b.example", condition, "because <of> that")))
    assert (refused.type, refused.condition, refused.text) == ("error", told, "because <of> that")


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("<db:result from='a.example'>k</db:result>", "improper-addressing"),
        ("<db:result from='a b' to='b.example'>k</db:result>", "invalid-from"),
        ("<db:result from='a.example' to='b b'>k</db:result>", "host-unknown"),
        (f"<db:result from='a.example' to='b.example'>{'k' * 2_000}</db:result>", "policy-violation"),
        ("<db:result from='a.example' to='b.example'>\u00e4</db:result>", "policy-violation"),
        ("<db:other from='a.example' to='b.example'/>", "unsupported-stanza-type"),
    ],
)
def test_what_makes_no_sense(text: str, condition: str) -> None:
    with pytest.raises(StreamError) as raised:
        read(parsed(text.encode()))
    assert raised.value.condition == condition


def test_domains_are_prepared() -> None:
    told = read(parsed("<db:result from='A.Example' to='B\u00dcCHER.example.'>k</db:result>".encode()))
    assert told.pair == ("a.example", "b\u00fccher.example")
