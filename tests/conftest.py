"""What every test shares: the event loop of production, reproducible property tests, throw-away services."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

import hypothesis
import pytest
import uvloop

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from tests.cluster_story import ClusterStory
    from tests.story import Story

pytest_plugins = ["tests.services", "tests.strict", "tests.live", "tests.browser", "tests.kits.databases"]

# Derandomised: a red run is red again for whoever repeats it. "explore" is for looking for new failures by hand.
hypothesis.settings.register_profile(
    "ci", derandomize=True, database=None, deadline=timedelta(seconds=2), max_examples=100, print_blob=True
)
hypothesis.settings.register_profile("explore", deadline=None, max_examples=5000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], AbstractEventLoop]]:
    """Run every asynchronous test on uvloop, as nodes do; its TLS and write paths differ from the standard loop's."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def story() -> AsyncIterator[Story]:
    """Clients on a whole engine in memory, see tests/story.py."""
    from tests.story import Story  # only here: other tests must not depend on the whole engine

    told = Story()
    yield told
    await told.end()


@pytest.fixture
async def cluster() -> AsyncIterator[ClusterStory]:
    """Clients on several nodes in one process, see tests/cluster_story.py."""
    from tests.cluster_story import ClusterStory

    told = ClusterStory()
    yield told
    await told.end()
