"""The stores of invitations and reports in memory."""

from __future__ import annotations

import pytest

from tests.kits.invitation_kit import DOMAIN, InvitationKit, ReportKit
from xmpp_engine.storage.memory import memory_stores
from xmpp_engine.storage.protocols import Stores


class TestMemory(InvitationKit, ReportKit):
    """See the kits."""

    @pytest.fixture
    def stores(self) -> Stores:
        return memory_stores((DOMAIN,))
