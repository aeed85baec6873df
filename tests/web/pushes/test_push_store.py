"""The store of push registrations over SQLite and PostgreSQL."""

from __future__ import annotations

from tests.kits.push_kit import PushKit


class TestDatabase(PushKit):
    """See the kit."""
