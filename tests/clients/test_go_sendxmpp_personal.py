"""go-sendxmpp and personal eventing: keys of OpenPGP are published by one client and found by the other (XEP-0373)."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients.slix import STEP_SECONDS
from tests.clients.test_go_sendxmpp import arguments
from tests.live import LiveNode, User
from tests.patience import in_time

pytestmark = pytest.mark.skipif(shutil.which("go-sendxmpp") is None, reason="go-sendxmpp is not installed")


async def start(node: LiveNode, user: User, home: Path, *more: str) -> asyncio.subprocess.Process:
    """A client of this user that keeps its keys in a home of its own."""
    places = {name: str(home) for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME")}
    return await asyncio.create_subprocess_exec(
        *arguments(node, user, *more, direct_tls=False),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, **places},
    )


async def ends(process: asyncio.subprocess.Process, text: str = "") -> None:
    """Give the client a text and wait for its end, which must be a good one."""
    output, _ = await in_time(process.communicate(text.encode()), STEP_SECONDS)
    assert process.returncode == 0, output.decode()


@pytest.fixture
def homes(tmp_path: Path) -> tuple[Path, Path]:
    """Two empty homes."""
    places = tmp_path / "one", tmp_path / "other"
    for place in places:
        place.mkdir()
    return places


async def test_one_writes_to_the_other_in_secret(
    live_node: LiveNode, user: Callable[[], User], homes: tuple[Path, Path]
) -> None:
    one, other = user(), user()
    for who, home in zip((one, other), homes, strict=True):
        await ends(await start(live_node, who, home, "--ox-genprivkey-x25519"))
    listener = await start(live_node, other, homes[1], "-l", "--ox")
    assert listener.stdout is not None
    try:
        await ends(await start(live_node, one, homes[0], "--ox", other.jid), "Hello in secret")
        line = await in_time(listener.stdout.readline(), STEP_SECONDS)
        assert f"[OX] {one.jid}: Hello in secret" in line.decode()
    finally:
        listener.terminate()
        await in_time(listener.wait(), STEP_SECONDS)
