"""What of a message is worth archiving; the rest is seen in `test_engine.py`."""

from __future__ import annotations

import pytest

from archive.weigh import own_id, weigh
from xmpp_engine.stanza.stanza import Stanza

ORIGIN = "<origin-id xmlns='urn:xmpp:sid:0' id='o1'/>"


@pytest.mark.parametrize(
    ("id", "payload", "expected"),
    [
        ("m1", "", "m1"),
        ("m1", ORIGIN, "o1"),
        ("", ORIGIN, "o1"),
        ("", "", ""),
        ("m1", "<origin-id xmlns='urn:xmpp:sid:0'/>", "m1"),
        ("m1", "<origin-id xmlns='urn:example:other' id='o1'/>", "m1"),
        ("m1", ORIGIN + ORIGIN.replace("o1", "o2"), "o2"),
    ],
)
def test_the_id_alone_is_the_one_of_the_weight(id: str, payload: str, expected: str) -> None:
    given = f" id='{id}'" if id else ""
    stanza = Stanza.restore(f"<message from='a@x/r' to='b@x' type='chat'{given}><body>hello</body>{payload}</message>")
    weight = weigh(stanza)
    assert weight is not None
    assert own_id(stanza) == weight[1] == expected
