"""Paging requests and answers (XEP-0059)."""

from __future__ import annotations

import pytest

from xmpp_engine.stanza import rsm
from xmpp_engine.stanza.rsm import PageAnswer, PageRequest
from xmpp_engine.xml import ns
from xmpp_engine.xml.errors import StanzaError
from xmpp_engine.xml.parser import parse_document
from xmpp_engine.xml.writer import write


def request(inner: str) -> PageRequest:
    return rsm.parse(parse_document(f"<query xmlns='q'><set xmlns='{ns.RSM}'>{inner}</set></query>".encode()))


@pytest.mark.parametrize(
    ("inner", "expected"),
    [
        ("", PageRequest()),
        ("<max>10</max>", PageRequest(10)),
        ("<max> 0 </max>", PageRequest(0)),
        ("<max>5</max><after>x y</after>", PageRequest(5, after="x y")),
        ("<before/>", PageRequest(before="")),
        ("<before>b</before>", PageRequest(before="b")),
        ("<index>371</index><max>10</max>", PageRequest(10, index=371)),
        ("<after>a</after><before/>", PageRequest(after="a", before="")),
    ],
)
def test_requests(inner: str, expected: PageRequest) -> None:
    assert request(inner) == expected
    assert request(inner).backwards is (expected.before is not None)


def test_a_request_without_a_set() -> None:
    assert rsm.parse(parse_document(b"<query xmlns='q'/>")) == PageRequest()


@pytest.mark.parametrize(
    "inner",
    [
        "<max>-1</max>",
        "<max>many</max>",
        "<max/>",
        "<max>1_0</max>",
        "<max>١٢</max>",
        f"<max>{'9' * 5000}</max>",
        "<index>1.5</index>",
        "<after/>",
        "<after>a</after><before>b</before>",
    ],
)
def test_bad_requests(inner: str) -> None:
    with pytest.raises(StanzaError) as caught:
        request(inner)
    assert caught.value.condition == "bad-request"
    assert caught.value.text


@pytest.mark.parametrize(
    ("page", "inner"),
    [
        (PageAnswer(), ""),
        (PageAnswer(count=0), "<count>0</count>"),
        (PageAnswer("a", "b"), "<first>a</first><last>b</last>"),
        (PageAnswer("a", "b", 9, 3), "<first index='3'>a</first><last>b</last><count>9</count>"),
    ],
)
def test_answers(page: PageAnswer, inner: str) -> None:
    expected = f"<set xmlns='{ns.RSM}'>{inner}</set>" if inner else f"<set xmlns='{ns.RSM}'/>"
    assert write(rsm.answer(page)) == expected
