"""The store of devices in memory."""

from __future__ import annotations

import pytest

from tests.kits.device_kit import DeviceKit
from xmpp_engine.storage.memory import MemoryStores
from xmpp_engine.storage.protocols import Stores


class TestMemory(DeviceKit):
    """See the kit."""

    @pytest.fixture
    def stores(self) -> Stores:
        """Empty stores."""
        return MemoryStores(("kit.example",))
