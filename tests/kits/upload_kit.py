"""What every implementation of UploadStore must do. A test module defines the fixture `stores` (empty, serving the
domain kit.example) and takes the class in, as with `store_kit.py`."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tests.kits.store_kit import account
from xmpp_engine.storage.protocols import Stores
from xmpp_engine.storage.uploads import DAY, UploadLimits, UploadRow, UploadsFull

NOW = 1_800_000_000.0
LIMITS = UploadLimits(total_bytes=1_000, day_bytes=600, files=5, slots=3, purposes=("message", "ephemeral"))


def row(account_id: int, number: int = 1, **values: object) -> UploadRow:
    """A slot."""
    made = UploadRow(
        token=f"token-{number:026d}",
        secret="5" * 64,
        account_id=account_id,
        owner="romeo@kit.example",
        name="très cool ☠.jpg",
        size=100,
        content_type="image/jpeg",
        purpose="message",
        created=NOW,
        put_until=NOW + 300,
        expires=NOW + 30 * DAY,
    )
    return replace(made, **values)  # type: ignore[arg-type]


async def stored(stores: Stores, slot: UploadRow, limits: UploadLimits = LIMITS) -> None:
    """Make a slot and fill it."""
    await stores.uploads.reserve(slot, limits)
    assert await stores.uploads.claim(slot.token)
    assert await stores.uploads.finish(slot.token, "image/jpeg", "d" * 64, slot.created + 1)


class UploadKit:
    """The behaviour; `stores` is empty at the beginning of each test."""

    async def test_a_slot_is_kept_as_it_was_made(self, stores: Stores) -> None:
        slot = row((await account(stores)).account_id)
        await stores.uploads.reserve(slot, LIMITS)
        assert await stores.uploads.get(slot.token) == slot
        assert await stores.uploads.get("token-of-nobody-at-all") is None
        assert await stores.uploads.usage(slot.account_id) == (0, 0)

    async def test_what_was_cut_off_is_free_again(self, stores: Stores) -> None:
        number = (await account(stores)).account_id
        cut, done, other = row(number), row(number, 2), row(number, 3, owner="romeo@other.kit.example")
        for slot in (cut, other):
            await stores.uploads.reserve(slot, LIMITS)
            assert await stores.uploads.claim(slot.token)
        await stored(stores, done)
        assert await stores.uploads.release_all("kit.example") == 1
        assert await stores.uploads.claim(cut.token)
        assert not await stores.uploads.claim(other.token)
        assert not await stores.uploads.claim(done.token)

    async def test_the_life_of_a_file(self, stores: Stores) -> None:
        slot = row((await account(stores)).account_id)
        await stores.uploads.reserve(slot, LIMITS)
        assert not await stores.uploads.finish(slot.token, "image/jpeg", "d" * 64, NOW)
        assert await stores.uploads.claim(slot.token)
        assert not await stores.uploads.claim(slot.token)
        await stores.uploads.release(slot.token)
        assert await stores.uploads.claim(slot.token)
        assert await stores.uploads.finish(slot.token, "image/png", "d" * 64, NOW + 9)
        assert not await stores.uploads.claim(slot.token)
        await stores.uploads.release(slot.token)
        await stores.uploads.discard(slot.token)
        found = await stores.uploads.get(slot.token)
        assert found == replace(slot, state="stored", served_type="image/png", digest="d" * 64, stored=NOW + 9)
        assert await stores.uploads.usage(slot.account_id) == (1, 100)

    async def test_a_discarded_slot_is_gone(self, stores: Stores) -> None:
        slot = row((await account(stores)).account_id)
        await stores.uploads.reserve(slot, LIMITS)
        await stores.uploads.claim(slot.token)
        await stores.uploads.discard(slot.token)
        assert await stores.uploads.get(slot.token) is None
        assert not await stores.uploads.finish(slot.token, "image/jpeg", "d" * 64, NOW)
        await stores.uploads.discard(slot.token)
        await stores.uploads.release(slot.token)

    async def test_one_claim_wins(self, stores: Stores) -> None:
        slot = row((await account(stores)).account_id)
        await stores.uploads.reserve(slot, LIMITS)
        assert sum(await asyncio.gather(*(stores.uploads.claim(slot.token) for _ in range(8)))) == 1

    async def test_wrong_rows_are_refused(self, stores: Stores) -> None:
        slot = row((await account(stores)).account_id)
        for wrong in (
            replace(slot, account_id=slot.account_id + 4711),
            replace(slot, size=0),
            replace(slot, name=""),
            replace(slot, name="☠" * 100),
            replace(slot, content_type="x/" + "y" * 200),
            replace(slot, token=""),
        ):
            with pytest.raises(ValueError):
                await stores.uploads.reserve(wrong, LIMITS)
        await stores.uploads.reserve(slot, LIMITS)
        with pytest.raises(ValueError):
            await stores.uploads.reserve(slot, LIMITS)

    async def test_waiting_slots_are_limited_until_they_are_over(self, stores: Stores) -> None:
        me = (await account(stores)).account_id
        for number in range(3):
            await stores.uploads.reserve(row(me, number, put_until=NOW + 100 + number, size=1), LIMITS)
        with pytest.raises(UploadsFull) as full:
            await stores.uploads.reserve(row(me, 3, size=1), LIMITS)
        assert full.value.retry == NOW + 100
        later = row(me, 3, size=1, created=NOW + 101, put_until=NOW + 400)
        await stores.uploads.reserve(later, LIMITS)

    async def test_the_bytes_of_a_day(self, stores: Stores) -> None:
        me = (await account(stores)).account_id
        await stored(stores, row(me, 1, size=400))
        await stored(stores, row(me, 2, size=200, created=NOW + 60, put_until=NOW + 360))
        with pytest.raises(UploadsFull) as full:
            await stores.uploads.reserve(row(me, 3, size=1, created=NOW + 120), LIMITS)
        assert full.value.retry == NOW + DAY
        tomorrow = row(me, 3, size=400, created=NOW + DAY + 1, put_until=NOW + DAY + 300)
        await stores.uploads.reserve(tomorrow, LIMITS)

    async def test_all_bytes_together(self, stores: Stores) -> None:
        me = (await account(stores)).account_id
        await stored(stores, row(me, 1, size=600, expires=NOW + 3 * DAY))
        day = NOW + DAY + 1
        await stored(stores, row(me, 2, size=400, created=day, put_until=day + 300))
        later = day + DAY
        with pytest.raises(UploadsFull) as full:
            await stores.uploads.reserve(row(me, 3, size=10, created=later, put_until=later + 300), LIMITS)
        assert full.value.retry == NOW + 3 * DAY
        with pytest.raises(UploadsFull) as full:
            await stores.uploads.reserve(row(me, 3, size=1_001, created=later), LIMITS)
        assert full.value.retry == 0.0

    async def test_the_number_of_files(self, stores: Stores) -> None:
        me = (await account(stores)).account_id
        for number in range(5):
            await stored(stores, row(me, number, size=1))
        with pytest.raises(UploadsFull):
            await stores.uploads.reserve(row(me, 6, size=1), LIMITS)

    async def test_purposes_and_accounts_are_counted_apart(self, stores: Stores) -> None:
        me = (await account(stores)).account_id
        other = (await account(stores, "juliet@kit.example")).account_id
        await stored(stores, row(me, 1, size=600))
        await stored(stores, row(other, 2, size=600))
        profile = UploadLimits(100, 100, 5, 3, ("profile",))
        await stored(stores, row(me, 3, purpose="profile"), profile)
        with pytest.raises(UploadsFull):
            await stores.uploads.reserve(row(me, 4, purpose="profile", size=1), profile)
        with pytest.raises(UploadsFull):
            await stores.uploads.reserve(row(me, 4, size=1), LIMITS)

    async def test_requests_at_one_moment_pass_no_limit_together(self, stores: Stores) -> None:
        me = (await account(stores)).account_id
        limits = replace(LIMITS, slots=10, files=50)
        slots = [stores.uploads.reserve(row(me, number, size=100), limits) for number in range(10)]
        results = await asyncio.gather(*slots, return_exceptions=True)
        assert sum(result is None for result in results) == 6
        assert sum(isinstance(result, UploadsFull) for result in results) == 4
