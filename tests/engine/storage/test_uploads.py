"""The store of files in memory."""

from __future__ import annotations

import pytest

from tests.kits.upload_kit import UploadKit
from xmpp_engine.storage.memory import MemoryStores, memory_stores


class TestMemoryUploads(UploadKit):
    """See the kit."""

    @pytest.fixture
    def stores(self) -> MemoryStores:
        return memory_stores(["kit.example"])
