"""The stores of invitations and reports over SQLite and PostgreSQL."""

from __future__ import annotations

import pytest

from mlink_web.stores.build import DatabaseStores
from tests.kits.invitation_kit import InvitationKit, ReportKit, invitation


class TestDatabase(InvitationKit, ReportKit):
    """See the kits."""


async def test_a_domain_that_is_not_served_has_no_invitations(stores: DatabaseStores) -> None:
    row = invitation()
    row.domain = "nowhere.example"
    with pytest.raises(ValueError, match="not served"):
        await stores.invitations.add(row, 0.0, 0)
