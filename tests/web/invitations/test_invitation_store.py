"""The stores of invitations and reports over SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from mlink_web.conf.models import Domain
from mlink_web.stores.build import DatabaseStores
from tests.kits.invitation_kit import DOMAIN, InvitationKit, ReportKit, invitation


@pytest.fixture
async def stores(database: str) -> AsyncIterator[DatabaseStores]:
    """All stores over an empty database with one domain."""
    Domain.objects.using(database).create(name=DOMAIN)
    made = DatabaseStores(database)
    yield made
    await made.close()


class TestDatabase(InvitationKit, ReportKit):
    """See the kits."""


async def test_a_domain_that_is_not_served_has_no_invitations(stores: DatabaseStores) -> None:
    row = invitation()
    row.domain = "nowhere.example"
    with pytest.raises(ValueError, match="not served"):
        await stores.invitations.add(row, 0.0, 0)
