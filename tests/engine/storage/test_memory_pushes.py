"""The store of push registrations in memory."""

from __future__ import annotations

import pytest

from tests.kits.push_kit import PushKit
from xmpp_engine.storage.memory import MemoryStores, memory_stores


class TestMemory(PushKit):
    """See the kit."""

    @pytest.fixture
    def stores(self) -> MemoryStores:
        return memory_stores(["kit.example"])
