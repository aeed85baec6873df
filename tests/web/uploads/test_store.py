"""The store of files over SQLite and PostgreSQL."""

from __future__ import annotations

from tests.kits.upload_kit import UploadKit


class TestDatabaseUploads(UploadKit):
    """See the kit."""
