"""The stores in memory show the behaviour that every implementation must."""

from __future__ import annotations

import pytest

from tests.kits.store_kit import ROMEO, GiveToken, SetState, StoreKit, account
from xmpp_engine.storage.memory import MemoryStores, memory_stores, origin_of
from xmpp_engine.storage.protocols import StoreUnavailable


class TestMemory(StoreKit):
    """See the kit."""

    @pytest.fixture
    def stores(self) -> MemoryStores:
        return memory_stores(["kit.example"])

    @pytest.fixture
    def give_token(self, stores: MemoryStores) -> GiveToken:
        return stores.memory_accounts.add_token

    @pytest.fixture
    def set_state(self, stores: MemoryStores) -> SetState:
        return stores.memory_accounts.set_state

    async def test_a_store_that_is_away_says_so(self, stores: MemoryStores) -> None:
        await account(stores)
        stores.memory.fail_with = "the disk is full"
        with pytest.raises(StoreUnavailable, match="the disk is full"):
            await stores.accounts.load(ROMEO)
        with pytest.raises(StoreUnavailable):
            await stores.blocks.add(1, ["x.example"])

    async def test_an_administrator_can_be_made(self, stores: MemoryStores) -> None:
        await account(stores)
        stores.memory_accounts.change(ROMEO, is_admin=True, archive="never")
        data = await stores.accounts.load(ROMEO)
        assert data is not None
        assert (data.is_admin, data.archive) == (True, "never")


@pytest.mark.parametrize(
    ("xml", "found"),
    [
        ("<message from='a@x/r' to='b@y/s' id='1'/>", ("a@x", "b@y", "1")),
        (
            "<message from='a@x' to='b@y' id='1'><origin-id xmlns='urn:xmpp:sid:0' id='o&lt;'/></message>",
            ("a@x", "b@y", "o<"),
        ),
        ("<message from='a@x' to='b@y'/>", None),
        ("<message from='a@x' id='1'/>", None),
        ("<message", None),
    ],
)
def test_the_origin_of_a_stored_message(xml: str, found: tuple[str, str, str] | None) -> None:
    assert origin_of(xml) == found
