"""Notifications: an item published to a node with many subscribers, and a personal event shown to many contacts.

What counts is the CPU that one notification costs the server. An item has a payload of a kilobyte; the next one is
published when everybody was told of the last one. Subscribers of a node subscribe by their bare address and are there.
Contacts show by the hash of their capabilities (XEP-0115) that they want the node's events; the server asks the first
of them what the hash stands for, and the client answers.
"""

import asyncio
import base64
import hashlib
import time
from collections.abc import Sequence

from tests.bench.client import Session, SignInError, close_all, connect
from tests.bench.measures import Plan, Results
from tests.bench.rooms import befriend, until
from tests.bench.servers import HOST, Server

SERVICE = f"pubsub.{HOST}"
_NODE = "bench"
_EVENTS = "urn:example:bench:place"
_FEATURES = ("http://jabber.org/protocol/disco#info", f"{_EVENTS}+notify")
_CLIENT = "urn:example:bench:reader"
_VER = base64.b64encode(
    hashlib.sha1(("client/bot//bench<" + "".join(f"{feature}<" for feature in sorted(_FEATURES))).encode()).digest()
).decode()
_PRESENCE = (
    f"<presence><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='{_CLIENT}' ver='{_VER}'/></presence>"
).encode()
_TEXT = "The train at a quarter past eight is late again, shall we meet at the bridge instead? "
_PAYLOAD = f"<place xmlns='{_EVENTS}'><text>{(_TEXT * 12)[:960]}</text></place>"


class Reader(Session):
    """A client whose capabilities say that it wants events, and that answers when it is asked what they are."""

    def data_received(self, data: bytes) -> None:
        """Answer disco#info, count as ever."""
        if b"disco#info" in data and b"<iq" in data:
            self._explain(data)
        super().data_received(data)

    def _explain(self, data: bytes) -> None:
        for tag in data.split(b"<iq")[1:]:
            head, _, rest = tag.partition(b">")
            if b"disco#info" not in rest or b"get" not in head:
                continue
            values = {name: _attribute(head, name) for name in ("id", "from")}
            features = "".join(f"<feature var='{feature}'/>" for feature in _FEATURES)
            self.transport.write(
                f"<iq type='result' id='{values['id']}' to='{values['from']}'>"
                f"<query xmlns='http://jabber.org/protocol/disco#info' node='{_CLIENT}#{_VER}'>"
                f"<identity category='client' type='bot' name='bench'/>{features}</query></iq>".encode()
            )


def _attribute(head: bytes, name: str) -> str:
    for quote in ("'", '"'):
        _, found, rest = head.decode().partition(f" {name}={quote}")
        if found:
            return rest.partition(quote)[0]
    return ""


async def subscribers(server: Server, number: int, plan: Plan, results: Results) -> None:
    """One account publishes to a node of the service with so many subscribers."""
    await _notify(server, f"node, {number} subscribers", number, plan, results, personal=False)


async def readers(server: Server, number: int, plan: Plan, results: Results) -> None:
    """One account publishes a personal event (XEP-0163) that so many contacts want."""
    await _notify(server, f"personal, {number} contacts", number, plan, results, personal=True)


async def _notify(server: Server, cell: str, number: int, plan: Plan, results: Results, *, personal: bool) -> None:
    try:
        publisher = await connect(Session("u0"), server.port)
        others = await _connect_readers(server, number)
    except (SignInError, OSError, TimeoutError) as error:
        results.note(f"{server.name}, {cell}: sign-in failed ({error})")
        return
    try:
        if personal:
            await _befriend(publisher, others)
        else:
            await make_node(server, _NODE, 10)
            await _subscribe(others)
        await _publish(server, publisher, others, plan.warm, personal)
        copies, cpu, seconds = await _publish(server, publisher, others, plan.window, personal)
        results.put(f"notify|{cell}", server.name, cpu / copies * 1e6)
        results.put(f"notifyrate|{cell}", server.name, copies / seconds)
        results.progress(f"{server.name:9} {cell}: {cpu / copies * 1e6:.2f} us a copy, {copies / seconds:.0f}/s")
    except (TimeoutError, SignInError) as error:
        results.note(f"{server.name}, {cell}: {error}")
    finally:
        await close_all([publisher, *others])


async def _connect_readers(server: Server, number: int) -> list[Session]:
    sessions: list[Session] = []
    for first in range(0, number, 20):
        names = [f"u{index + 1}" for index in range(first, min(first + 20, number))]
        sessions += await asyncio.gather(
            *(connect(Reader(name), server.port, source=f"127.0.0.{1 + index % 8}") for index, name in enumerate(names))
        )
    return sessions


async def _befriend(publisher: Session, others: Sequence[Session]) -> None:
    """All see each other's presence and have said what they want to hear."""
    await befriend(publisher, others)
    begin = sum(session.presences for session in others)
    for session in others:
        publisher.transport.write(f"<presence type='subscribe' to='{session.user}@{HOST}'/>".encode())
    await until(
        lambda: sum(session.presences for session in others) - begin >= len(others), "not every request arrived"
    )
    begin = publisher.presences
    for session in others:
        session.transport.write(f"<presence type='subscribed' to='{publisher.user}@{HOST}'/>".encode())
    await until(lambda: publisher.presences - begin >= 2 * len(others), "the publisher was not accepted by everybody")
    for session in others:
        session.transport.write(_PRESENCE)
    # Whoever asks what the hash stands for has an answer within this time; nothing tells a client of it.
    await asyncio.sleep(3.0)


async def make_node(server: Server, node: str, max_items: int) -> None:
    """A node of u0 on the service, that everybody may read; raises SignInError."""
    form = "".join(
        f"<field var='{var}'><value>{value}</value></field>"
        for var, value in (
            ("pubsub#access_model", "open"),
            ("pubsub#persist_items", "1"),
            ("pubsub#max_items", str(max_items)),
            ("pubsub#send_last_published_item", "never"),
        )
    )
    kind = "<field var='FORM_TYPE' type='hidden'><value>http://jabber.org/protocol/pubsub#node_config</value></field>"
    maker = Session("u0", stream_management=False, conversing=True)
    maker.resource = "maker"
    await connect(maker, server.port)
    try:
        answer = await maker.ask(
            f"<iq type='set' id='n1' to='{SERVICE}'><pubsub xmlns='http://jabber.org/protocol/pubsub'>"
            f"<create node='{node}'/><configure><x xmlns='jabber:x:data' type='submit'>{kind}{form}</x></configure>"
            "</pubsub></iq>".encode(),
            b"id='n1'",
            b'id="n1"',
        )
    finally:
        await maker.close()
    if b"error" in answer:
        raise SignInError(f"the node was not made: {answer[-300:]!r}")


async def _subscribe(others: Sequence[Session]) -> None:
    begin = sum(session.acked for session in others)
    for session in others:
        session.transport.write(
            f"<iq type='set' id='s1' to='{SERVICE}'><pubsub xmlns='http://jabber.org/protocol/pubsub'>"
            f"<subscribe node='{_NODE}' jid='{session.user}@{HOST}'/></pubsub></iq>".encode()
        )
    await until(
        lambda: sum(session.acked for session in others) - begin >= len(others), "not every subscription was answered"
    )


async def _publish(
    server: Server, publisher: Session, others: Sequence[Session], seconds: float, personal: bool
) -> tuple[int, float, float]:
    """Publish again and again; returns notifications, CPU, seconds."""
    begin = sum(session.received for session in others)
    cpu, start = server.cpu(), time.perf_counter()
    end, number, wanted = start + seconds, 0, 0
    to, node = ("", _EVENTS) if personal else (f" to='{SERVICE}'", _NODE)
    while time.perf_counter() < end:
        number += 1
        publisher.transport.write(
            f"<iq type='set' id='p{number}'{to}><pubsub xmlns='http://jabber.org/protocol/pubsub'>"
            f"<publish node='{node}'><item id='i{number % 10}'>{_PAYLOAD}</item></publish></pubsub></iq>".encode()
        )
        wanted += len(others)
        await until(
            lambda wanted=wanted: sum(session.received for session in others) - begin >= wanted,  # type: ignore[misc]
            f"of {wanted} notifications some never came",
        )
    return wanted, server.cpu() - cpu, time.perf_counter() - start
