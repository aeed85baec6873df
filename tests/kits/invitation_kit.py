"""What every implementation of InvitationStore and ReportStore must do; `stores` serves the domain kit.example."""

from __future__ import annotations

import asyncio

import pytest

from tests.kits.store_kit import account
from xmpp_engine.storage.invitations import Invitation, digest_of, new_token
from xmpp_engine.storage.protocols import QuotaExceeded, Stores
from xmpp_engine.storage.reports import Report

DOMAIN = "kit.example"
ROMEO = "romeo@kit.example"


def invitation(inviter: str = ROMEO, *, created: float = 100.0, **more: object) -> Invitation:
    """A new one with a token of its own."""
    return Invitation(digest_of(new_token()), DOMAIN, "account", inviter, created=created, **more)  # type: ignore[arg-type]


def report(reporter: str = ROMEO, reported: str = "spam@evil.example", created: float = 100.0) -> Report:
    """A report of two messages."""
    messages = (("1", ROMEO), ("2", ROMEO))
    return Report(DOMAIN, reporter, reported, "spam", "Buy!", messages, origin=True, created=created)


class InvitationKit:
    """Invitations."""

    async def test_it_is_found_as_it_was_made(self, stores: Stores) -> None:
        row = invitation(local="juliet", expires=500.0, contact=True, most=3)
        row.id = await stores.invitations.add(row, 0.0, 0)
        assert await stores.invitations.find(row.digest) == row
        assert await stores.invitations.find("0" * 64) is None

    async def test_the_quota_counts_one_inviter_since_a_time(self, stores: Stores) -> None:
        store = stores.invitations
        for created in (10.0, 100.0, 101.0):
            await store.add(invitation(created=created), 50.0, 2)
        with pytest.raises(QuotaExceeded):
            await store.add(invitation(created=102.0), 50.0, 2)
        await store.add(invitation("other@kit.example", created=102.0), 50.0, 2)
        await store.add(invitation(created=200.0), 100.5, 2)

    async def test_it_is_used_as_often_as_it_says(self, stores: Stores) -> None:
        store = stores.invitations
        row = invitation(most=2)
        await store.add(row, 0.0, 0)
        made = await asyncio.gather(*(store.use(row.digest, f"u{n}@kit.example", 200.0) for n in range(5)))
        assert sum(found is not None for found in made) == 2
        found = await store.find(row.digest)
        assert found is not None
        assert found.uses == 2
        assert not found.valid(200.0)

    async def test_what_failed_is_taken_back_by_who_used_it(self, stores: Stores) -> None:
        store = stores.invitations
        row = invitation()
        await store.add(row, 0.0, 0)
        assert await store.use(row.digest, "a@kit.example", 200.0) is not None
        await store.release(row.digest, "b@kit.example")
        assert await store.use(row.digest, "b@kit.example", 200.0) is None
        await store.release(row.digest, "a@kit.example")
        used = await store.use(row.digest, "b@kit.example", 200.0)
        assert used is not None
        assert used.used_by == "b@kit.example"

    async def test_expiry_and_revocation(self, stores: Stores) -> None:
        store = stores.invitations
        row = invitation(expires=300.0)
        number = await store.add(row, 0.0, 0)
        assert await store.use(row.digest, "a@kit.example", 300.0) is None
        assert not await store.revoke(number, "other@kit.example")
        assert not await store.revoke(number + 1)
        assert await store.revoke(number, ROMEO)
        assert not await store.revoke(number, ROMEO)
        assert await store.use(row.digest, "a@kit.example", 0.0) is None
        late = invitation(expires=300.0)
        await store.add(late, 0.0, 0)
        assert await store.use(late.digest, "a@kit.example", 0.0) is not None

    async def test_a_name_is_reserved_while_its_invitation_is_valid(self, stores: Stores) -> None:
        store = stores.invitations
        row = invitation(local="juliet", expires=300.0)
        number = await store.add(row, 0.0, 0)
        assert await store.reserved(DOMAIN, "juliet", 200.0) == row.digest
        assert await store.reserved(DOMAIN, "juliet", 301.0) == ""
        assert await store.reserved(DOMAIN, "", 200.0) == ""
        with pytest.raises(ValueError, match="juliet"):
            await store.add(invitation(local="juliet"), 0.0, 0)
        await store.revoke(number)
        await store.add(invitation(local="juliet"), 0.0, 0)

    async def test_lists_are_newest_first_and_by_pages(self, stores: Stores) -> None:
        store = stores.invitations
        numbers = [await store.add(invitation(created=float(n)), 0.0, 0) for n in range(1, 6)]
        other = await store.add(invitation("", created=9.0), 0.0, 0)
        page = await store.made(DOMAIN, ROMEO, 2)
        assert [row.id for row in page] == [numbers[4], numbers[3]]
        assert [row.id for row in await store.made(DOMAIN, ROMEO, 2, page[-1].id)] == [numbers[2], numbers[1]]
        assert (await store.made(DOMAIN, None, 1))[0].id == other
        assert await store.made("other.example", None, 10) == []

    async def test_a_removed_account_leaves_none(self, stores: Stores) -> None:
        store = stores.invitations
        await account(stores)
        made, other = invitation(), invitation("", local="juliet")
        reset = Invitation(digest_of(new_token()), DOMAIN, "reset", local="romeo", register=False)
        of_juliet = Invitation(digest_of(new_token()), DOMAIN, "reset", local="juliet", register=False)
        for row in (made, reset, other, of_juliet):
            await store.add(row, 0.0, 0)
        await stores.accounts.remove(ROMEO)
        assert await store.find(made.digest) is None
        assert await store.find(reset.digest) is None, "or it would set the password of who gets the name later"
        assert await store.find(other.digest) is not None
        assert await store.find(of_juliet.digest) is not None

    async def test_those_that_ended_go(self, stores: Stores) -> None:
        store = stores.invitations
        await store.add(invitation(expires=300.0), 0.0, 0)
        await store.add(invitation(expires=0.0), 0.0, 0)
        assert await store.expire(300.0) == 0
        assert await store.expire(301.0) == 1
        assert len(await store.made(DOMAIN, None, 10)) == 1


class ReportKit:
    """Reports."""

    async def test_it_is_kept_as_it_came(self, stores: Stores) -> None:
        row = report()
        (row.id,) = await stores.reports.add([row], 0.0, 10)
        assert await stores.reports.get(row.id) == row
        assert await stores.reports.get(row.id + 1) is None

    async def test_the_quota_takes_as_many_as_there_is_room_for(self, stores: Stores) -> None:
        assert len(await stores.reports.add([report() for _ in range(3)], 0.0, 2)) == 2
        assert await stores.reports.add([report()], 0.0, 2) == []
        assert len(await stores.reports.add([report("other@kit.example")], 0.0, 2)) == 1
        assert len(await stores.reports.add([report(created=200.0)], 150.0, 2)) == 1

    async def test_closing_happens_once(self, stores: Stores) -> None:
        first, second = await stores.reports.add([report(), report()], 0.0, 10)
        assert await stores.reports.open_count() == 2
        assert await stores.reports.close(first, "admin@kit.example", "handled", 300.0)
        assert not await stores.reports.close(first, "other@kit.example", "again", 301.0)
        closed = await stores.reports.get(first)
        assert closed is not None
        assert (closed.closed, closed.closed_by, closed.note) == (300.0, "admin@kit.example", "handled")
        assert [row.id for row in await stores.reports.listed(opened=True, limit=10)] == [second]
        assert [row.id for row in await stores.reports.listed(opened=False, limit=10)] == [first]
        assert [row.id for row in await stores.reports.listed(opened=None, limit=1)] == [second]
        assert [row.id for row in await stores.reports.listed(opened=None, limit=9, before=second)] == [first]
        assert await stores.reports.open_count() == 1
