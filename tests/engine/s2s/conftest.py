"""What the tests of federation share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.engine.s2s.servers import Network


@pytest.fixture
async def network(tmp_path: Path) -> AsyncIterator[Network]:
    """Names and an authority; servers are made by the tests."""
    async with Network(tmp_path) as network:
        yield network
