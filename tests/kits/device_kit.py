"""What every implementation of DeviceStore must do; `stores` serves the domain kit.example."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.kits.store_kit import JULIET, account, keys
from xmpp_engine.storage.devices import FAST, MAX_DEVICES, PASSWORD, DeviceVisit, TokenRow
from xmpp_engine.storage.protocols import Stores


def visit(account_id: int, device: str = "one", stamp: float = 100.0, **more: Any) -> DeviceVisit:
    """A sign-in with a password."""
    return DeviceVisit(account_id, device, stamp, **{"method": PASSWORD, **more})


def token(account_id: int, issued: float = 100.0, device: str = "one") -> TokenRow:
    """A token whose nonce is its time."""
    return TokenRow(account_id, device, "HT-SHA-256-NONE", str(issued).encode().ljust(16), issued, issued + 1000)


class DeviceKit:
    """Devices and tokens."""

    async def test_a_device_is_remembered_as_it_came_last(self, stores: Stores) -> None:
        own = (await account(stores)).account_id
        store = stores.devices
        first = visit(own, software="Psi", name="laptop", address="192.0.2.1", mechanism="PLAIN", resource="r")
        await store.seen([first])
        await store.seen(
            [
                visit(own, stamp=200.0, software="Psi+", method=FAST, mechanism="HT-SHA-256-NONE", named=True),
                visit(own, "two", 150.0),
            ]
        )
        await store.seen([DeviceVisit(own, "two", 180.0, ended=True), DeviceVisit(own, "gone", 180.0, ended=True)])
        one, two = await store.devices(own)
        assert (one.device, one.software, one.name, one.first_seen, one.last_seen) == ("one", "Psi+", "", 100.0, 200.0)
        assert (one.methods, one.named, one.mechanism) == (PASSWORD | FAST, True, "HT-SHA-256-NONE")
        assert (two.device, two.first_seen, two.last_seen, two.named) == ("two", 150.0, 180.0, False)

    async def test_unknown_accounts_are_passed_over(self, stores: Stores) -> None:
        own = (await account(stores)).account_id
        await stores.devices.seen([visit(own + 1000), visit(own)])
        assert await stores.devices.devices(own + 1000) == []
        assert len(await stores.devices.devices(own)) == 1
        assert await stores.devices.tokens(own + 1000, "one") == []

    async def test_an_account_has_a_limited_number(self, stores: Stores) -> None:
        own = (await account(stores)).account_id
        await stores.devices.add_token(token(own, device="d0"))
        for index in range(MAX_DEVICES + 3):
            await stores.devices.seen([visit(own, f"d{index}", 100.0 + index)])
        found = await stores.devices.devices(own)
        assert [row.device for row in found] == [f"d{index}" for index in range(MAX_DEVICES + 2, 2, -1)]
        assert await stores.devices.tokens(own, "d0") == []

    async def test_an_account_has_a_limited_number_of_tokens(self, stores: Stores) -> None:
        own = (await account(stores)).account_id
        for index in range(2 * MAX_DEVICES + 1):
            await stores.devices.add_token(token(own, 100.0 + index, f"d{index}"))
        assert await stores.devices.tokens(own, "d0") == []
        assert len(await stores.devices.tokens(own, "d1")) == 1

    async def test_a_new_token_replaces_one_that_was_not_used(self, stores: Stores) -> None:
        own = (await account(stores)).account_id
        store = stores.devices
        await store.add_token(token(own, 100.0))
        await store.add_token(token(own, 200.0))
        assert [row.issued for row in await store.tokens(own, "one")] == [200.0]
        assert not await store.use_token(token(own, 100.0), None)
        assert await store.use_token(token(own, 200.0), None)
        await store.add_token(token(own, 300.0))
        # Both are good until the newer one is used.
        assert [(row.issued, row.current) for row in await store.tokens(own, "one")] == [(300.0, False), (200.0, True)]
        assert await store.use_token(token(own, 200.0), None)
        assert await store.use_token(token(own, 300.0), None)
        assert [(row.issued, row.current) for row in await store.tokens(own, "one")] == [(300.0, True)]
        assert not await store.use_token(token(own, 200.0), None)

    async def test_a_token_of_a_revoked_device_has_no_heir(self, stores: Stores) -> None:
        own = (await account(stores)).account_id
        assert await stores.devices.add_token(token(own, 100.0))
        assert await stores.devices.use_token(token(own, 100.0), None)
        assert await stores.devices.add_token(token(own, 200.0), token(own, 100.0))
        await stores.devices.revoke(own, "one")
        assert not await stores.devices.add_token(token(own, 300.0), token(own, 100.0))
        assert await stores.devices.tokens(own, "one") == []

    async def test_a_counter_only_grows(self, stores: Stores) -> None:
        own = (await account(stores)).account_id
        await stores.devices.add_token(token(own))
        row = token(own)
        assert await stores.devices.use_token(row, 0)
        assert await stores.devices.use_token(row, 7)
        assert not await stores.devices.use_token(row, 7)
        assert not await stores.devices.use_token(row, 3)
        at_once = await asyncio.gather(*(stores.devices.use_token(row, 8) for _ in range(4)))
        assert at_once.count(True) == 1
        assert (await stores.devices.tokens(own, "one"))[0].count == 8

    async def test_a_token_is_dropped_once(self, stores: Stores) -> None:
        own = (await account(stores)).account_id
        await stores.devices.add_token(token(own))
        assert await stores.devices.drop_token(token(own))
        assert not await stores.devices.drop_token(token(own))
        assert not await stores.devices.use_token(token(own), 1)

    async def test_revoking_takes_the_tokens_too(self, stores: Stores) -> None:
        own = (await account(stores)).account_id
        other = (await account(stores, JULIET)).account_id
        for id in (own, other):
            await stores.devices.seen([visit(id)])
            await stores.devices.add_token(token(id))
        (before,) = await stores.devices.devices(own)
        assert before.token_expires == 1100.0
        assert await stores.devices.revoke(own, "one") == before
        assert await stores.devices.revoke(own, "one") is None
        assert await stores.devices.devices(own) == []
        assert await stores.devices.tokens(own, "one") == []
        assert len(await stores.devices.tokens(other, "one")) == 1

    async def test_a_new_password_ends_tokens_and_what_devices_know(self, stores: Stores) -> None:
        own = (await account(stores)).account_id
        await stores.devices.seen([visit(own)])
        await stores.devices.add_token(token(own))
        await stores.accounts.change_keys("romeo@kit.example", keys(b"n"))
        await stores.devices.forget_password(own)
        (row,) = await stores.devices.devices(own)
        assert (row.methods, row.token_expires) == (0, 0.0)

    async def test_old_rows_go(self, stores: Stores) -> None:
        own = (await account(stores)).account_id
        await stores.devices.seen([visit(own), visit(own, "two", 200.0)])
        await stores.devices.add_token(token(own))
        await stores.devices.add_token(token(own, 300.0, "two"))
        assert await stores.devices.expire("other.example", 150.0, 2000.0) == 0
        # The old device goes with its token, though that would have lived on.
        assert await stores.devices.expire("kit.example", 150.0, 1000.0) == 2
        (row,) = await stores.devices.devices(own)
        assert (row.device, row.token_expires) == ("two", 1300.0)
        assert await stores.devices.expire("kit.example", 150.0, 1400.0) == 1
        assert await stores.devices.tokens(own, "two") == []

    async def test_a_removed_account_leaves_nothing(self, stores: Stores) -> None:
        own = (await account(stores)).account_id
        await stores.devices.seen([visit(own)])
        await stores.devices.add_token(token(own))
        await stores.accounts.remove("romeo@kit.example")
        assert await stores.devices.devices(own) == []
