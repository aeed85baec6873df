"""What tests of the platform share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from mlink_web.conf.models import Domain
from mlink_web.stores.build import DatabaseStores


@pytest.fixture
async def stores(database: str) -> AsyncIterator[DatabaseStores]:
    """All stores over an empty database with one domain."""
    Domain.objects.using(database).create(name="kit.example")
    made = DatabaseStores(database)
    yield made
    await made.close()
