"""go-sendxmpp, a client written in Go: sends and listens, over STARTTLS and direct TLS."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from tests.clients.conftest import Login
from tests.clients.slix import STEP_SECONDS
from tests.live import LiveNode, User
from tests.patience import in_time

pytestmark = pytest.mark.skipif(shutil.which("go-sendxmpp") is None, reason="go-sendxmpp is not installed")
WAYS = pytest.mark.parametrize("direct_tls", [False, True], ids=["starttls", "direct"])


def arguments(node: LiveNode, user: User, *more: str, direct_tls: bool) -> list[str]:
    """The command line of a client of this user."""
    port = node.c2s_tls_port if direct_tls else node.c2s_port
    tls = ["-t"] if direct_tls else []
    return ["go-sendxmpp", "-u", user.jid, "-p", user.password, "-j", f"127.0.0.1:{port}", "-n", *tls, *more]


async def send(node: LiveNode, user: User, to: str, text: str, *, direct_tls: bool) -> tuple[int, str]:
    """Send one message; returns exit code and what was printed."""
    process = await asyncio.create_subprocess_exec(
        *arguments(node, user, to, direct_tls=direct_tls),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await in_time(process.communicate(text.encode()), STEP_SECONDS)
    return process.returncode or 0, output.decode()


@asynccontextmanager
async def listening(
    node: LiveNode, user: User, *, direct_tls: bool, more: tuple[str, ...] = ()
) -> AsyncIterator[asyncio.StreamReader]:
    """A listening client; gives what it prints."""
    process = await asyncio.create_subprocess_exec(
        *arguments(node, user, "-l", *more, direct_tls=direct_tls),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    try:
        yield process.stdout
    finally:
        process.terminate()
        await in_time(process.wait(), STEP_SECONDS)


@WAYS
async def test_sends(live_node: LiveNode, login: Login, user: Callable[[], User], direct_tls: bool) -> None:
    sender, other = user(), user()
    juliet = await login(other)
    code, output = await send(live_node, sender, other.jid, "From the command line: ü & <b>", direct_tls=direct_tls)
    assert (code, output) == (0, "")
    heard = await juliet.hears("From the command line: ü & <b>")
    assert heard["from"].bare == sender.jid
    # And it stands in the sender's own archive.
    again = await login(sender)
    archive = [m async for m in again.plugin["xep_0313"].iterate(with_jid=other.jid)]
    assert [m["mam_result"]["forwarded"]["stanza"]["body"] for m in archive] == ["From the command line: ü & <b>"]


@WAYS
async def test_listens(live_node: LiveNode, login: Login, user: Callable[[], User], direct_tls: bool) -> None:
    listener, other = user(), user()
    romeo = await login(other)
    # Sent before it comes: kept for it, and delivered when it does.
    romeo.send_message(listener.jid, "earlier")
    async with listening(live_node, listener, direct_tls=direct_tls) as output:
        first = (await in_time(output.readline(), STEP_SECONDS)).decode()
        assert "earlier" in first, first
        assert other.jid in first
        romeo.send_message(listener.jid, "now")
        second = (await in_time(output.readline(), STEP_SECONDS)).decode()
        assert "now" in second, second


async def test_two_of_them(live_node: LiveNode, user: Callable[[], User]) -> None:
    listener, sender = user(), user()
    async with listening(live_node, listener, direct_tls=True) as output:
        code, complaint = await send(live_node, sender, listener.jid, "Go to Go", direct_tls=False)
        assert (code, complaint) == (0, "")
        assert "Go to Go" in (await in_time(output.readline(), STEP_SECONDS)).decode()


async def test_a_wrong_password_is_refused(live_node: LiveNode, user: Callable[[], User]) -> None:
    sender = user()
    wrong = User(sender.jid, "wrong")
    code, output = await send(live_node, wrong, sender.jid, "never", direct_tls=True)
    assert code != 0
    assert "not-authorized" in output or "auth" in output.lower(), output
