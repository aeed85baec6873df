"""What every implementation of PushStore must do; `stores` serves the domain kit.example."""

from __future__ import annotations

import asyncio

import pytest

from xmpp_engine.storage.devices import DeviceVisit
from xmpp_engine.storage.protocols import Stores
from xmpp_engine.storage.pushes import MAX_NODE, MAX_OPTIONS, PushRow

ROMEO = "romeo@kit.example"
SERVICE = "push.kit.example"


async def made(stores: Stores, bare: str = ROMEO) -> int:
    """The number of a new account."""
    await stores.accounts.create(bare, [])
    data = await stores.accounts.load(bare)
    assert data is not None
    return data.account_id


class PushKit:
    """Push registrations."""

    async def test_they_are_found_in_their_order(self, stores: Stores) -> None:
        number = await made(stores)
        rows = [PushRow(number, SERVICE, node, f"<x>{node} \u2665</x>", 1.5) for node in ("b", "a", "")]
        for row in rows:
            assert await stores.pushes.put(row, 10) == []
        assert await stores.pushes.load(number) == rows
        assert await stores.pushes.load(number + 1) == []
        assert await stores.pushes.accounts() == {number}

    async def test_another_with_its_names_takes_its_place(self, stores: Stores) -> None:
        number = await made(stores)
        for options in ("<old/>", "<new/>"):
            await stores.pushes.put(PushRow(number, SERVICE, "n", options), 10)
        assert [row.options for row in await stores.pushes.load(number)] == ["<new/>"]

    async def test_the_oldest_make_room(self, stores: Stores) -> None:
        number = await made(stores)
        for node in ("a", "b", "a"):
            await stores.pushes.put(PushRow(number, SERVICE, node), 2)
        gone = await stores.pushes.put(PushRow(number, SERVICE, "c"), 2)
        assert [row.node for row in gone] == ["b"]
        assert [row.node for row in await stores.pushes.load(number)] == ["a", "c"]

    async def test_removal_of_one_and_of_all_of_a_service(self, stores: Stores) -> None:
        number, other = await made(stores), await made(stores, "juliet@kit.example")
        for jid, node in ((SERVICE, "a"), (SERVICE, "b"), (SERVICE, ""), ("other.example", "a")):
            await stores.pushes.put(PushRow(number, jid, node), 10)
        await stores.pushes.put(PushRow(other, SERVICE, "a"), 10)
        assert await stores.pushes.remove(number, SERVICE, "a") == 1
        assert await stores.pushes.remove(number, SERVICE, "a") == 0
        assert await stores.pushes.remove(number, SERVICE, None) == 2
        assert [row.jid for row in await stores.pushes.load(number)] == ["other.example"]
        assert len(await stores.pushes.load(other)) == 1

    async def test_they_go_with_their_device(self, stores: Stores) -> None:
        number, other = await made(stores), await made(stores, "juliet@kit.example")
        for account, node, device in (
            (number, "a", "one"),
            (number, "b", "two"),
            (number, "c", ""),
            (other, "d", "one"),
        ):
            await stores.pushes.put(PushRow(account, SERVICE, node, device=device), 10)
        await stores.devices.seen([DeviceVisit(number, "one", 100.0), DeviceVisit(number, "two", 200.0)])
        assert [row.device for row in await stores.pushes.load(number)] == ["one", "two", ""]
        await stores.devices.revoke(number, "one")
        assert [row.node for row in await stores.pushes.load(number)] == ["b", "c"]
        await stores.devices.expire("kit.example", 300.0, 300.0)
        assert [row.node for row in await stores.pushes.load(number)] == ["c"]
        assert [row.node for row in await stores.pushes.load(other)] == ["d"]

    async def test_they_go_with_their_account(self, stores: Stores) -> None:
        number = await made(stores)
        await stores.pushes.put(PushRow(number, SERVICE, "a"), 10)
        await stores.accounts.remove(ROMEO)
        assert await stores.pushes.accounts() == set()
        assert await stores.pushes.load(number) == []

    async def test_what_cannot_be_stored(self, stores: Stores) -> None:
        number = await made(stores)
        for row in (
            PushRow(number + 1, SERVICE, "a"),
            PushRow(number, SERVICE, "n" * (MAX_NODE + 1)),
            PushRow(number, SERVICE, "a", "\u2665" * MAX_OPTIONS),
        ):
            with pytest.raises(ValueError, match=r"no account|too long"):
                await stores.pushes.put(row, 10)
        assert await stores.pushes.load(number) == []

    async def test_two_at_once_do_not_pass_the_limit(self, stores: Stores) -> None:
        number = await made(stores)
        await asyncio.gather(*(stores.pushes.put(PushRow(number, SERVICE, str(n)), 3) for n in range(8)))
        assert len(await stores.pushes.load(number)) == 3
