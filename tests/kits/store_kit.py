"""What every implementation of the store protocols must do (the ledger's own part is in `ledger_kit.py`).

A test module defines the fixtures `stores` (empty, serving the domain kit.example), `give_token` and `set_state`,
which reach behind the protocols, and takes the class in:

    class TestMemory(StoreKit):
        @pytest.fixture
        def stores(self): ...
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable

import pytest

from xmpp_engine.storage.protocols import AccountExists, QuotaExceeded, Stores
from xmpp_engine.storage.pubsub import Item, NodeRecord, PurgeItems, PutItem
from xmpp_engine.storage.types import (
    REMOVED_KEPT,
    AccountData,
    ArchiveRow,
    Batch,
    OfflineRow,
    RosterItem,
    ScramKeys,
    StreamMark,
)
from xmpp_engine.xml import ns

ROMEO = "romeo@kit.example"
JULIET = "juliet@kit.example"
SALT = b"0123456789abcdef"
GiveToken = Callable[[str, list[ScramKeys], float], object]
SetState = Callable[[str, str], object]


def keys(mark: bytes = b"k") -> list[ScramKeys]:
    """Keys of a password as stores see them: opaque bytes."""
    return [
        ScramKeys("SCRAM-SHA-1", SALT, 4096, mark * 20, b"v" * 20),
        ScramKeys("SCRAM-SHA-256", SALT, 4096, mark * 32, b"v" * 32),
    ]


def offline(account_id: int, body: str, *, expires: float = 0.0) -> OfflineRow:
    """A stored message."""
    xml = f"<message from='{ROMEO}/x' to='{JULIET}' type='chat'><body>{body}</body></message>"
    return OfflineRow(account_id, time.time(), xml, len(xml), expires=expires)


async def account(stores: Stores, bare: str = ROMEO) -> AccountData:
    """A new account, loaded."""
    await stores.accounts.create(bare, keys())
    return await loaded(stores, bare)


async def loaded(stores: Stores, bare: str = ROMEO) -> AccountData:
    """An account that must exist."""
    data = await stores.accounts.load(bare)
    assert data is not None
    return data


class StoreKit:
    """The behaviour; `stores` is empty at the beginning of each test."""

    async def test_an_unknown_account_is_none(self, stores: Stores) -> None:
        assert await stores.accounts.credentials(ROMEO) is None
        assert await stores.accounts.load(ROMEO) is None
        assert await stores.vcards.get(ROMEO) is None
        assert await stores.private.get(4711, "urn:x", "x") is None
        assert await stores.offline.pending(4711, 10) == []
        assert await stores.offline.usage(4711) == (0, 0)
        assert not await stores.accounts.use_token(ROMEO, b"t" * 20)
        await stores.accounts.remove(ROMEO)
        await stores.accounts.record_login(ROMEO, time.time())

    async def test_a_new_account_is_active_and_empty(self, stores: Stores) -> None:
        before = time.time()
        await stores.accounts.create(ROMEO, keys())
        credentials = await stores.accounts.credentials(ROMEO)
        assert credentials is not None
        assert (credentials.bare, credentials.state, credentials.tokens, credentials.is_admin) == (
            ROMEO,
            "active",
            [],
            False,
        )
        assert credentials.keys == {key.mechanism: key for key in keys()}
        data = await loaded(stores)
        assert data.account_id == credentials.account_id
        assert before - 1 <= data.created <= time.time() + 1
        data.created = 0.0
        assert data == AccountData(data.account_id, ROMEO, "active", {}, 0)

    async def test_an_account_exists_once(self, stores: Stores) -> None:
        await stores.accounts.create(ROMEO, keys())
        with pytest.raises(AccountExists):
            await stores.accounts.create(ROMEO, keys(b"z"))
        credentials = await stores.accounts.credentials(ROMEO)
        assert credentials is not None
        assert credentials.keys["SCRAM-SHA-1"].stored_key == b"k" * 20

    async def test_two_that_make_one_account_at_once_make_one(self, stores: Stores) -> None:
        made = await asyncio.gather(*(stores.accounts.create(ROMEO, keys()) for _ in range(4)), return_exceptions=True)
        assert made.count(None) == 1
        assert all(isinstance(result, AccountExists) for result in made if result is not None)

    async def test_an_account_needs_a_domain_that_is_served(self, stores: Stores) -> None:
        with pytest.raises(ValueError, match="nowhere"):
            await stores.accounts.create("romeo@nowhere.example", keys())
        assert await stores.accounts.load("romeo@nowhere.example") is None

    async def test_keys_are_replaced(self, stores: Stores) -> None:
        await account(stores)
        await stores.accounts.change_keys(ROMEO, keys(b"n"))
        credentials = await stores.accounts.credentials(ROMEO)
        assert credentials is not None
        assert credentials.keys == {key.mechanism: key for key in keys(b"n")}
        with pytest.raises(ValueError):
            await stores.accounts.change_keys(JULIET, keys())

    async def test_a_state_is_seen(self, stores: Stores, set_state: SetState) -> None:
        await account(stores)
        set_state(ROMEO, "disabled")
        credentials = await stores.accounts.credentials(ROMEO)
        assert credentials is not None
        assert credentials.state == "disabled"
        assert (await loaded(stores)).state == "disabled"

    async def test_a_token_is_spent_once_for_all_mechanisms(self, stores: Stores, give_token: GiveToken) -> None:
        await account(stores)
        token = keys(b"t")
        give_token(ROMEO, token, time.time() + 60)
        credentials = await stores.accounts.credentials(ROMEO)
        assert credentials is not None
        assert sorted(credentials.tokens, key=lambda key: key.mechanism) == token
        assert not await stores.accounts.use_token(JULIET, token[1].stored_key)
        spent = await asyncio.gather(
            *(stores.accounts.use_token(ROMEO, token[index % 2].stored_key) for index in range(6))
        )
        assert spent.count(True) == 1
        credentials = await stores.accounts.credentials(ROMEO)
        assert credentials is not None
        assert credentials.tokens == []

    async def test_an_expired_token_is_none(self, stores: Stores, give_token: GiveToken) -> None:
        await account(stores)
        give_token(ROMEO, keys(b"t"), time.time() - 1)
        credentials = await stores.accounts.credentials(ROMEO)
        assert credentials is not None
        assert credentials.tokens == []
        assert not await stores.accounts.use_token(ROMEO, b"t" * 20)

    async def test_a_new_password_takes_the_tokens_away(self, stores: Stores, give_token: GiveToken) -> None:
        await account(stores)
        give_token(ROMEO, keys(b"t"), time.time() + 60)
        await stores.accounts.change_keys(ROMEO, keys(b"n"))
        assert not await stores.accounts.use_token(ROMEO, b"t" * 20)

    async def test_logins_and_logouts_are_remembered(self, stores: Stores) -> None:
        await account(stores)
        when = float(int(time.time()))
        await stores.accounts.record_login(ROMEO, when - 5)
        await stores.accounts.record_logout(ROMEO, when, "gone to Mantua")
        await stores.accounts.record_motd(ROMEO, when + 0.25)
        data = await loaded(stores)
        assert data.motd_seen == when + 0.25
        assert (data.last_logout, data.last_status) == (when, "gone to Mantua")

    async def test_who_has_a_contact(self, stores: Stores) -> None:
        first, second = (await account(stores)).account_id, (await account(stores, JULIET)).account_id
        await account(stores, "tybalt@kit.example")
        nurse, gone = RosterItem("nurse@kit.example", subscription="both"), RosterItem("gone@kit.example", ask=True)
        await stores.rosters.put(first, [nurse, gone], 1)
        await stores.rosters.put(second, [gone], 1)
        found = await stores.rosters.holders(["gone@kit.example"], (0, ""), 10)
        assert [(number, bare) for number, bare, _ in found] == [(first, ROMEO), (second, JULIET)]
        assert all(item.jid == "gone@kit.example" and item.ask for _, _, item in found)
        assert await stores.rosters.holders(["gone@kit.example"], (0, ""), 1) == found[:1]
        assert await stores.rosters.holders(["gone@kit.example"], (first, "gone@kit.example"), 10) == found[1:]
        both = await stores.rosters.holders(["nurse@kit.example", "gone@kit.example"], (0, ""), 10)
        assert [(number, item.jid.partition("@")[0]) for number, _, item in both] == [
            (first, "gone"),
            (first, "nurse"),
            (second, "gone"),
        ]
        rest = await stores.rosters.holders(["nurse@kit.example", "gone@kit.example"], (first, "gone@kit.example"), 9)
        assert rest == both[1:]
        assert await stores.rosters.holders(["nobody@kit.example"], (0, ""), 10) == []

    async def test_removal_takes_everything_but_the_archive(self, stores: Stores) -> None:
        data = await account(stores)
        number = data.account_id
        await stores.rosters.put(number, [RosterItem(JULIET, subscription="both")], 1)
        await stores.rosters.remove(number, ["nurse@kit.example"], 2)
        await stores.blocks.add(number, ["tybalt@kit.example"])
        await stores.private.put(number, "urn:x", "x", "<x xmlns='urn:x'/>", 1000)
        await stores.vcards.put(number, "<vCard xmlns='vcard-temp'/>")
        row = ArchiveRow(17, time.time(), ROMEO, JULIET, number, 0, "chat", "b", "o1", "<message/>")
        await stores.ledger.commit(
            Batch(archive=[row], offline=[offline(number, "x")], marks={"s1": StreamMark("s1", number, 3)})
        )
        await stores.accounts.remove(ROMEO)
        assert await stores.accounts.credentials(ROMEO) is None
        assert await stores.offline.usage(number) == (0, 0)
        assert await stores.ledger.stream_mark("s1") is None
        assert await stores.vcards.get(ROMEO) is None
        again = await account(stores)
        again.created = 0.0
        assert again == AccountData(again.account_id, ROMEO, "active", {}, 0)
        assert await stores.private.get(again.account_id, "urn:x", "x") is None

    async def test_roster_items_come_back_as_they_were(self, stores: Stores) -> None:
        number = (await account(stores)).account_id
        full = RosterItem(
            JULIET,
            name="Julia \N{SMILING FACE WITH SMILING EYES} <&>'\"",
            subscription="from",
            ask=True,
            approved=True,
            groups=("Capulets", "Friends, dear"),
            version=1,
            pending_in=True,
            request="<presence type='subscribe'/>",
        )
        plain = RosterItem("nurse@kit.example", version=1)
        await stores.rosters.put(number, [full, plain], 1)
        data = await loaded(stores)
        assert data.roster == {JULIET: full, "nurse@kit.example": plain}
        assert (data.roster_version, data.removed) == (1, [])

    async def test_roster_items_are_replaced_and_removed(self, stores: Stores) -> None:
        number = (await account(stores)).account_id
        await stores.rosters.put(number, [RosterItem(JULIET, name="old", version=1)], 1)
        await stores.rosters.put(number, [RosterItem(JULIET, name="new", groups=("a",), version=2)], 2)
        assert (await loaded(stores)).roster == {JULIET: RosterItem(JULIET, name="new", groups=("a",), version=2)}
        await stores.rosters.remove(number, [JULIET, "never@kit.example"], 3)
        data = await loaded(stores)
        assert data.roster == {}
        assert data.roster_version == 3
        assert sorted(data.removed) == [(JULIET, 3), ("never@kit.example", 3)]
        await stores.rosters.remove(number, [JULIET], 4)
        assert (await loaded(stores)).removed == [("never@kit.example", 3), (JULIET, 4)]
        await stores.rosters.put(number, [RosterItem(JULIET, version=5)], 5)
        data = await loaded(stores)
        assert data.removed == [("never@kit.example", 3)]
        assert list(data.roster) == [JULIET]

    async def test_the_version_of_a_roster_only_grows_and_who_writes_learns_which_it_was(self, stores: Stores) -> None:
        number = (await account(stores)).account_id
        other = (await account(stores, JULIET)).account_id
        assert await stores.rosters.put(number, [RosterItem(JULIET, version=513)], 513) == 0
        assert await stores.rosters.put(number, [RosterItem("nurse@kit.example", version=256)], 256) == 513
        assert await stores.rosters.remove(number, [JULIET], 257) == 513
        data = await loaded(stores)
        assert (data.roster_version, data.removed) == (513, [(JULIET, 257)])
        assert await stores.rosters.versions([number, other, 4711]) == {number: 513, other: 0}
        assert await stores.rosters.versions([]) == {}

    async def test_removed_contacts_have_a_bound(self, stores: Stores) -> None:
        number = (await account(stores)).account_id
        await stores.rosters.remove(number, [f"old{index}@kit.example" for index in range(50)], 1)
        await stores.rosters.remove(number, [f"new{index}@kit.example" for index in range(REMOVED_KEPT - 10)], 2)
        removed = (await loaded(stores)).removed
        assert len(removed) == REMOVED_KEPT
        assert [version for _jid, version in removed].count(1) == 10

    async def test_a_roster_needs_its_account(self, stores: Stores) -> None:
        with pytest.raises(ValueError):
            await stores.rosters.put(4711, [RosterItem(JULIET)], 1)

    async def test_what_is_given_out_is_a_copy(self, stores: Stores) -> None:
        number = (await account(stores)).account_id
        item = RosterItem(JULIET, version=1)
        await stores.rosters.put(number, [item], 1)
        item.name = "changed by the caller"
        data = await loaded(stores)
        data.roster[JULIET].name = "changed again"
        data.roster["x@kit.example"] = RosterItem("x@kit.example")
        data.blocked.add("x@kit.example")
        assert (await loaded(stores)).roster == {JULIET: RosterItem(JULIET, version=1)}
        assert (await loaded(stores)).blocked == set()

    async def test_a_large_roster(self, stores: Stores) -> None:
        number = (await account(stores)).account_id
        items = [RosterItem(f"c{index}@kit.example", version=1) for index in range(1_500)]
        await stores.rosters.put(number, items, 1)
        assert len((await loaded(stores)).roster) == 1_500

    async def test_blocks(self, stores: Stores) -> None:
        number = (await account(stores)).account_id
        await stores.blocks.add(number, ["a@x.example", "x.example", "a@x.example/r"])
        await stores.blocks.add(number, ["a@x.example", "b@x.example"])
        assert (await loaded(stores)).blocked == {"a@x.example", "x.example", "a@x.example/r", "b@x.example"}
        await stores.blocks.remove(number, ["x.example", "unknown.example"])
        assert (await loaded(stores)).blocked == {"a@x.example", "a@x.example/r", "b@x.example"}
        await stores.blocks.remove(number, None)
        assert (await loaded(stores)).blocked == set()

    async def test_an_account_knows_the_picture_that_it_shows(self, stores: Stores) -> None:
        assert (await account(stores)).avatar is None
        record = NodeRecord(ROMEO, ns.AVATAR_METADATA, config={"access_model": "open"})
        number = await stores.pubsub.create(record)
        assert (await loaded(stores)).avatar is None
        for id in ("a", "b"):
            await stores.pubsub.commit([PutItem(number, Item(id, f"<metadata id='{id}'/>"))])
        found = (await loaded(stores)).avatar
        assert found is not None
        assert (found[0], json.loads(found[1])) == ("<metadata id='b'/>", {"access_model": "open"})
        await stores.pubsub.commit([PurgeItems(number)])
        assert (await loaded(stores)).avatar is None

    async def test_who_blocks_an_address(self, stores: Stores) -> None:
        first = (await account(stores)).account_id
        other = (await account(stores, "nurse@kit.example")).account_id
        await stores.blocks.add(first, ["a@x.example", "y.example"])
        await stores.blocks.add(other, ["b@x.example"])
        both = [first, other, 987_654]
        assert await stores.blocks.blocking(both, ["a@x.example", "x.example"]) == {first}
        assert await stores.blocks.blocking(both, ["b@x.example", "y.example"]) == {first, other}
        assert await stores.blocks.blocking([other], ["a@x.example"]) == set()
        assert await stores.blocks.blocking([], ["a@x.example"]) == await stores.blocks.blocking(both, []) == set()

    async def test_offline_messages_in_order(self, stores: Stores) -> None:
        number = (await account(stores)).account_id
        other = (await account(stores, JULIET)).account_id
        rows = [offline(number, f"m{index}") for index in range(5)]
        await stores.ledger.commit(Batch(offline=[*rows[:3], offline(other, "not mine")]))
        await stores.ledger.commit(Batch(offline=rows[3:]))
        first = await stores.offline.pending(number, 3)
        assert [row.xml for row in first] == [row.xml for row in rows[:3]]
        assert [row.stamp for row in first] == [row.stamp for row in rows[:3]]
        rest = await stores.offline.pending(number, 10, after=first[-1].id)
        assert [row.xml for row in rest] == [row.xml for row in rows[3:]]
        assert await stores.offline.usage(number) == (5, sum(row.size for row in rows))
        assert await stores.offline.waiting([number, 4711]) == {number}
        assert await stores.offline.waiting([]) == set()
        data = await loaded(stores)
        assert (data.offline_count, data.offline_bytes) == (5, sum(row.size for row in rows))
        await stores.offline.delete(number, [row.id for row in first])
        assert [row.xml for row in await stores.offline.pending(number, 10)] == [row.xml for row in rows[3:]]
        # Only these: an older one may be committed by another node when the newer one was read already.
        await stores.offline.delete(number, [rest[-1].id])
        assert [row.xml for row in await stores.offline.pending(number, 10)] == [rows[3].xml]
        await stores.offline.delete(number, [])
        assert len(await stores.offline.pending(other, 10)) == 1

    async def test_expired_messages_are_not_given(self, stores: Stores) -> None:
        number = (await account(stores)).account_id
        now = time.time()
        rows = [
            offline(number, "gone", expires=now - 1),
            offline(number, "stays"),
            offline(number, "later", expires=now + 600),
        ]
        await stores.ledger.commit(Batch(offline=rows))
        assert [row.xml for row in await stores.offline.pending(number, 10)] == [rows[1].xml, rows[2].xml]

    async def test_private_data_and_its_quota(self, stores: Stores) -> None:
        number = (await account(stores)).account_id
        xml = "<x xmlns='urn:x'>\N{EURO SIGN}</x>"
        size = len(xml.encode())
        await stores.private.put(number, "urn:x", "x", xml, size)
        assert await stores.private.get(number, "urn:x", "x") == xml
        assert await stores.private.get(number, "urn:y", "x") is None
        await stores.private.put(number, "urn:x", "x", xml, size)
        with pytest.raises(QuotaExceeded):
            await stores.private.put(number, "urn:y", "x", "<x xmlns='urn:y'/>", size)
        with pytest.raises(QuotaExceeded):
            await stores.private.put(number, "urn:x", "x", xml + " ", size)
        await stores.private.put(number, "urn:y", "x", "<x xmlns='urn:y'/>", 2 * size)
        assert await stores.private.get(number, "urn:x", "x") == xml

    async def test_a_vcard_is_replaced(self, stores: Stores) -> None:
        number = (await account(stores)).account_id
        assert await stores.vcards.get(ROMEO) is None
        await stores.vcards.put(number, "<vCard xmlns='vcard-temp'><FN>R</FN></vCard>")
        await stores.vcards.put(number, "<vCard xmlns='vcard-temp'><FN>Romeo</FN></vCard>")
        assert await stores.vcards.get(ROMEO) == "<vCard xmlns='vcard-temp'><FN>Romeo</FN></vCard>"
        with pytest.raises(ValueError):
            await stores.vcards.put(4711, "<vCard xmlns='vcard-temp'/>")
