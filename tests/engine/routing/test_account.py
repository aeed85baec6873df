"""Resident accounts: what is read of one anew, and what has changed meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.story import DOMAIN
from xmpp_engine.routing import account as module
from xmpp_engine.storage.types import AccountData, RosterItem
from xmpp_engine.xml import ns


class Slow:
    """A store that reads an account at once, and says what it has read when it is let go."""

    def __init__(self, accounts: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reads = 0
        self.go = asyncio.Event()
        load = accounts.load

        async def later(bare: str) -> AccountData | None:
            self.reads += 1
            data: AccountData | None = await load(bare)
            await self.go.wait()
            return data

        monkeypatch.setattr(accounts, "load", later)


async def test_what_changes_while_an_account_is_read_anew_stays(story: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    alice = await story("alice")
    slow = Slow(story.world.stores.accounts, monkeypatch)
    reading = asyncio.ensure_future(story.world.engine.outside.account_changed(alice.bare))
    await story.world.settle()
    mallory, bob = f"mallory@{DOMAIN}", f"bob@{DOMAIN}"
    await alice.asks(f"<iq type='set' id='b'><block xmlns='{ns.BLOCKING}'><item jid='{mallory}'/></block></iq>")
    await alice.asks(f"<iq type='set' id='r'><query xmlns='{ns.ROSTER}'><item jid='{bob}'/></query></iq>")
    await story.world.settle()
    slow.go.set()
    await reading
    assert alice.account.data.blocked == {mallory}
    assert set(alice.account.roster) == {bob}
    assert slow.reads == 2


async def test_an_account_that_never_rests_is_read_a_few_times(story: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    alice = await story("alice")
    slow = Slow(story.world.stores.accounts, monkeypatch)
    slow.go.set()
    load = story.world.stores.accounts.load
    roster = story.world.engine.router.hosts[DOMAIN].modules["roster"]

    async def meanwhile(bare: str) -> AccountData | None:
        data: AccountData | None = await load(bare)
        roster.put(alice.account, RosterItem(f"c{slow.reads}@{DOMAIN}"))
        await roster.saved(alice.account)
        return data

    monkeypatch.setattr(story.world.stores.accounts, "load", meanwhile)
    await story.world.engine.outside.account_changed(alice.bare)
    assert slow.reads == module._READS
