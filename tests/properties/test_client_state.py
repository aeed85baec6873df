"""Whatever a client that comes and goes is sent: nothing important is lost or late, and each sender's order holds."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.modules.client_state import ClientState, ClientStateOptions
from xmpp_engine.stanza.build import message, presence
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.stream.feature_csi import key_of
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element

JULIET = Jid.parse("juliet@x.example/phone")
SENDERS = tuple(Jid.parse(text) for text in ("romeo@x.example/a", "romeo@x.example/b", "nurse@x.example/a"))
KINDS = ("available", "unavailable", "composing", "body")
ACTS = st.one_of(
    st.tuples(st.sampled_from(SENDERS), st.sampled_from(KINDS)),
    st.sampled_from(("active", "inactive", "lost", "resumed")),
)


def make(sender: Jid, kind: str, number: int) -> Stanza:
    """A stanza with a number of its own."""
    if kind == "body":
        return message(sender, JULIET, "chat", Element(ns.CLIENT, "body", None, "hi"), id=str(number))
    if kind == "composing":
        return message(sender, JULIET, "chat", Element(ns.CHAT_STATES, "composing"), id=str(number))
    return presence(sender, JULIET, "" if kind == "available" else kind, id=str(number))


@given(st.lists(ACTS, max_size=60))
def test_order_and_importance(acts: list[Any]) -> None:
    module = ClientState(None, None, ClientStateOptions(), {})
    out: list[Stanza] = []
    session: Any = SimpleNamespace(inactive=False, notes=None, stream=object(), directed=None, transmit=out.append)
    sent: list[Stanza] = []
    for number, act in enumerate(acts):
        if isinstance(act, tuple):
            stanza = make(*act, number)
            sent.append(stanza)
            if module.hold_back(stanza, session) is None:
                out.append(stanza)
            if not session.inactive or key_of(stanza) is None:
                assert out[-1] is stanza
        elif act in ("inactive", "lost"):
            module.sleep(session)
            session.stream = None if act == "lost" else session.stream
        else:
            session.stream = object()
            module.flush(session)
    module.flush(session)

    assert len({stanza.id for stanza in out}) == len(out)
    for bare in {sender.bare for sender in SENDERS}:
        numbers = [int(stanza.id or 0) for stanza in out if stanza.sender.bare == bare]
        assert numbers == sorted(numbers)
    for sender in SENDERS:
        there = [stanza for stanza in sent if stanza.sender == sender and stanza.kind == "presence"]
        if there:
            assert there[-1] in out
    assert all(stanza in out for stanza in sent if key_of(stanza) is None)
