"""Fan-out: messages to rooms, entering rooms, presence to many contacts.

What counts is the CPU that one delivered copy costs the server. A room of N occupants is entered one small group after
the other; every entry is shown to everybody inside and shows everybody to who enters, so N entries make N squared
presence stanzas whatever the server does. What can be kept from growing is the cost of each of them.
"""

import asyncio
import time
from collections.abc import Callable, Sequence

from tests.bench.client import Session, SignInError, close_all, connect_many
from tests.bench.measures import Plan, Results
from tests.bench.servers import HOST, Server

ROOM = f"bench@conference.{HOST}"
_TOGETHER = 10
_SPEAKERS = 5
_PATIENCE = 120.0
_MESSAGE = (
    "<message to='{room}' type='groupchat' id='g-%08d-4c1e-9d0c'><body>The train at a quarter past eight is late "
    "again, shall we meet at the bridge instead? "
    "Bring the maps, and the key to the boat house if you can find it.</body>"
    "<active xmlns='http://jabber.org/protocol/chatstates'/>"
    "<origin-id xmlns='urn:xmpp:sid:0' id='g-%08d-4c1e-9d0c'/></message>"
)
_INSTANT = (
    f"<iq type='set' id='o1' to='{ROOM}'><query xmlns='http://jabber.org/protocol/muc#owner'>"
    "<x xmlns='jabber:x:data' type='submit'/></query></iq>"
).encode()
_CAPS = (
    "<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='urn:example:bench' "
    "ver='q07IKJEyjvHSyhy//CH0CxmKi8w='/>"
)


async def rooms(server: Server, occupants: int, plan: Plan, results: Results) -> None:
    """Enter a room with so many, then talk there."""
    cell = f"{occupants} occupants"
    try:
        sessions = await connect_many([f"u{number}" for number in range(occupants)], server.port)
    except (SignInError, OSError, TimeoutError) as error:
        results.note(f"{server.name}, rooms: sign-in failed ({error})")
        return
    try:
        if not await _enter(server, sessions, cell, results):
            return
        await _talk(server, sessions, plan.warm)
        copies, cpu, seconds = await _talk(server, sessions, plan.window)
        results.put(f"room|{cell}", server.name, cpu / copies * 1e6)
        results.put(f"roomrate|{cell}", server.name, copies / seconds)
        results.progress(f"{server.name:9} room, {cell}: {cpu / copies * 1e6:.2f} us a copy, {copies / seconds:.0f}/s")
        if lost := sum(session.closed for session in sessions):
            results.note(f"{server.name}, {cell}: {lost} sessions were closed")
    except TimeoutError as error:
        results.note(f"{server.name}, {cell}: {error}")
    finally:
        await close_all(sessions)


async def _enter(server: Server, sessions: Sequence[Session], cell: str, results: Results) -> bool:
    """All enter; False where not everybody saw everybody."""
    begin = _presences(sessions)
    cpu, start = server.cpu(), time.perf_counter()
    _send_entry(sessions[0])
    await until(lambda: _presences(sessions) - begin >= 1, "the room was not made")
    sessions[0].transport.write(_INSTANT)
    await asyncio.sleep(0.2)
    inside = 1
    for first in range(1, len(sessions), _TOGETHER):
        group = sessions[first : first + _TOGETHER]
        for session in group:
            _send_entry(session)
        inside += len(group)
        wanted = inside * inside
        await until(
            lambda wanted=wanted: _presences(sessions) - begin >= wanted,  # type: ignore[misc]
            f"of {wanted} presence stanzas some never came",
        )
    spent, stanzas = server.cpu() - cpu, _presences(sessions) - begin
    results.put(f"enter|{cell}", server.name, spent / stanzas * 1e6)
    results.put(f"entercpu|{cell}", server.name, spent)
    results.put(f"entercount|{cell}", server.name, stanzas)
    results.progress(
        f"{server.name:9} entering, {cell}: {stanzas} presence stanzas, {spent:.2f} s CPU, "
        f"{spent / stanzas * 1e6:.2f} us each, {time.perf_counter() - start:.1f} s"
    )
    return True


async def _talk(server: Server, sessions: Sequence[Session], seconds: float) -> tuple[int, float, float]:
    """Some occupants speak, each again as soon as its last message came to everybody; returns copies, CPU, seconds."""
    begin = _messages(sessions)
    cpu, start = server.cpu(), time.perf_counter()
    end, number, wanted = start + seconds, 0, 0
    while time.perf_counter() < end:
        for speaker in sessions[:_SPEAKERS]:
            number += 1
            speaker.transport.write((_MESSAGE.format(room=ROOM) % (number, number)).encode())
        wanted += _SPEAKERS * len(sessions)
        await until(
            lambda wanted=wanted: _messages(sessions) - begin >= wanted,  # type: ignore[misc]
            f"of {wanted} copies some never came",
        )
    return wanted, server.cpu() - cpu, time.perf_counter() - start


async def contacts(server: Server, number: int, plan: Plan, results: Results) -> None:
    """One account changes its presence, which so many contacts see."""
    cell = f"{number} contacts"
    try:
        sessions = await connect_many([f"u{index}" for index in range(number + 1)], server.port)
    except (SignInError, OSError, TimeoutError) as error:
        results.note(f"{server.name}, contacts: sign-in failed ({error})")
        return
    subject, others = sessions[0], sessions[1:]
    try:
        await befriend(subject, others)
        await _change(server, subject, others, plan.warm)
        copies, cpu, seconds = await _change(server, subject, others, plan.window)
        results.put(f"broadcast|{cell}", server.name, cpu / copies * 1e6)
        results.progress(
            f"{server.name:9} presence, {cell}: {cpu / copies * 1e6:.2f} us a copy, {copies / seconds:.0f}/s"
        )
    except TimeoutError as error:
        results.note(f"{server.name}, {cell}: {error}")
    finally:
        await close_all(sessions)


async def befriend(subject: Session, others: Sequence[Session]) -> None:
    """Everybody may see the presence of `subject`."""
    begin = subject.presences
    for session in others:
        session.transport.write(f"<presence type='subscribe' to='{subject.user}@{HOST}'/>".encode())
    await until(lambda: subject.presences - begin >= len(others), "not every request arrived")
    begin = _presences(others)
    for session in others:
        subject.transport.write(f"<presence type='subscribed' to='{session.user}@{HOST}'/>".encode())
    # Each contact sees that it was accepted, and then the presence.
    await until(lambda: _presences(others) - begin >= 2 * len(others), "not every contact was accepted")


async def _change(
    server: Server, subject: Session, others: Sequence[Session], seconds: float
) -> tuple[int, float, float]:
    """Change the presence again and again; returns copies, CPU, seconds."""
    begin = _presences(others)
    cpu, start = server.cpu(), time.perf_counter()
    end, number, wanted = start + seconds, 0, 0
    while time.perf_counter() < end:
        number += 1
        show = ("away", "chat", "xa", "dnd")[number % 4]
        subject.transport.write(
            f"<presence><show>{show}</show><status>in meeting {number}</status>{_CAPS}</presence>".encode()
        )
        wanted += len(others)
        await until(
            lambda wanted=wanted: _presences(others) - begin >= wanted,  # type: ignore[misc]
            f"of {wanted} copies some never came",
        )
    return wanted, server.cpu() - cpu, time.perf_counter() - start


def _send_entry(session: Session) -> None:
    session.transport.write(
        f"<presence to='{ROOM}/{session.user}'><x xmlns='http://jabber.org/protocol/muc'/>{_CAPS}</presence>".encode()
    )


def _presences(sessions: Sequence[Session]) -> int:
    return sum(session.presences for session in sessions)


def _messages(sessions: Sequence[Session]) -> int:
    return sum(session.received for session in sessions)


async def until(reached: Callable[[], bool], complaint: str) -> None:
    """Wait for something counted; raises TimeoutError with the complaint."""
    end = time.monotonic() + _PATIENCE
    while not reached():
        if time.monotonic() > end:
            raise TimeoutError(complaint)
        await asyncio.sleep(0.001)
