"""What every implementation of `storage.rooms.RoomStore` must do.

A test module defines the fixture `stores` (empty, serving the domain kit.example) and takes the class in.
"""

from __future__ import annotations

import asyncio

import pytest

from tests.kits.store_kit import ROMEO, account
from xmpp_engine.storage import rooms
from xmpp_engine.storage.protocols import Stores
from xmpp_engine.storage.rooms import PersonRoom, RoomAffiliation, RoomRecord, RoomSummary, RoomTouch

SERVICE = "conference.kit.example"


def record(local: str = "hall", **values: object) -> RoomRecord:
    """A room to be stored."""
    return RoomRecord(SERVICE, local, **values)  # type: ignore[arg-type]


async def loaded(stores: Stores, local: str = "hall", service: str = SERVICE) -> RoomRecord:
    """A room that must be stored."""
    found = await stores.rooms.load(service, local)
    assert found is not None
    return found


class RoomKit:
    """The behaviour; `stores` is empty at the beginning of each test."""

    async def test_an_unknown_room_is_none(self, stores: Stores) -> None:
        assert await stores.rooms.load(SERVICE, "hall") is None
        assert await stores.rooms.rooms(SERVICE) == []
        assert await stores.rooms.of_person(ROMEO) == []
        assert await stores.rooms.forget_person(ROMEO) == []
        await stores.rooms.remove(4711)
        await stores.rooms.touch([RoomTouch(4711, 1.0)])
        with pytest.raises(ValueError, match="4711"):
            await stores.rooms.put_affiliations(4711, 1, [])
        with pytest.raises(ValueError, match="4711"):
            await stores.rooms.save(record(number=4711))

    async def test_a_room_is_stored_as_a_whole(self, stores: Stores) -> None:
        room = record(
            "große halle",
            config={"name": "Große Halle", "public": False, "presence_of": ["moderator"], "history": 7, "groups": []},
            subject="Was ⟨heute⟩ ist\nund morgen",
            subject_nick="Jülia",
            subject_time=1_700_000_000.25,
            created=1_600_000_000.5,
            creator=ROMEO,
            last_activity=1_700_000_001.125,
            extras={"vcard": "<vCard xmlns='vcard-temp'/>", "hats": [{"title": "Chef"}]},
            approved=True,
            activity={"since": 7, "counts": [1, 2]},
        )
        number = await stores.rooms.save(room)
        assert number > 0
        assert room.number == 0, "the caller's record is the caller's"
        room.number = number
        assert await loaded(stores, "große halle") == room
        assert await stores.rooms.load("other.kit.example", "große halle") is None

    async def test_saving_again_replaces_all_but_the_affiliations(self, stores: Stores) -> None:
        number = await stores.rooms.save(record(subject="first", config={"name": "One"}))
        await stores.rooms.put_affiliations(number, 3, [RoomAffiliation(ROMEO, "owner", version=3)])
        again = record(subject="second", config={"description": "Two"}, affiliation_version=99)
        again.affiliations["nobody@kit.example"] = RoomAffiliation("nobody@kit.example", "owner")
        for given in (0, number):
            again.number = given
            assert await stores.rooms.save(again) == number
            found = await loaded(stores)
            assert (found.subject, found.config) == ("second", {"description": "Two"})
            assert found.affiliations == {ROMEO: RoomAffiliation(ROMEO, "owner", version=3)}
            assert found.affiliation_version == 3

    async def test_a_number_is_never_used_again(self, stores: Stores) -> None:
        first = await stores.rooms.save(record("first"))
        await stores.rooms.put_affiliations(first, 1, [RoomAffiliation(ROMEO, "owner", version=1)])
        await stores.rooms.remove(first)
        assert await stores.rooms.load(SERVICE, "first") is None
        assert await stores.rooms.of_person(ROMEO) == []
        second = await stores.rooms.save(record("first"))
        assert second > first
        assert (await loaded(stores, "first")).affiliations == {}
        with pytest.raises(ValueError):
            await stores.rooms.save(record("first", number=first, subject="from beyond"))
        assert (await loaded(stores, "first")).subject == ""
        with pytest.raises(ValueError):
            await stores.rooms.put_affiliations(first, 2, [RoomAffiliation(ROMEO, "owner", version=2)])

    async def test_a_number_belongs_to_one_address(self, stores: Stores) -> None:
        first = await stores.rooms.save(record("first"))
        await stores.rooms.save(record("second"))
        with pytest.raises(ValueError):
            await stores.rooms.save(record("second", number=first))

    async def test_rooms_that_are_made_at_once_are_one(self, stores: Stores) -> None:
        numbers = await asyncio.gather(*(stores.rooms.save(record()) for _ in range(6)))
        assert len(set(numbers)) == 1
        assert len(await stores.rooms.rooms(SERVICE)) == 1

    async def test_affiliations_are_put_and_replaced(self, stores: Stores) -> None:
        number = await stores.rooms.save(record())
        entries = [
            RoomAffiliation(ROMEO, "owner", "Roméo", "founder", 1),
            RoomAffiliation("evil.example", "outcast", "", "spam", 1),
        ]
        for _ in range(2):
            await stores.rooms.put_affiliations(number, 1, entries)
            found = await loaded(stores)
            assert found.affiliations == {entry.jid: entry for entry in entries}
            assert found.affiliation_version == 1
        changed = RoomAffiliation("evil.example", "none", version=2)
        await stores.rooms.put_affiliations(number, 2, [changed])
        await stores.rooms.put_affiliations(number, 1, [])
        found = await loaded(stores)
        assert found.affiliations == {ROMEO: entries[0], "evil.example": changed}
        assert found.affiliation_version == 2, "a late repetition takes nothing back"

    async def test_of_two_entries_for_an_address_the_later_stands(self, stores: Stores) -> None:
        number = await stores.rooms.save(record())
        both = [RoomAffiliation(ROMEO, "member", version=1), RoomAffiliation(ROMEO, "admin", version=2)]
        await stores.rooms.put_affiliations(number, 2, both)
        assert (await loaded(stores)).affiliations == {ROMEO: both[1]}

    async def test_a_list_may_be_long_and_removed_entries_are_bounded(self, stores: Stores) -> None:
        number = await stores.rooms.save(record())
        many = [RoomAffiliation(f"m{index}@kit.example", "member", version=1) for index in range(2_500)]
        await stores.rooms.put_affiliations(number, 1, many)
        assert len((await loaded(stores)).affiliations) == 2_500
        gone = [RoomAffiliation(entry.jid, "none", version=2 + index) for index, entry in enumerate(many)]
        gone[0] = RoomAffiliation(gone[0].jid, "none", "kept nick", version=2)
        await stores.rooms.put_affiliations(number, 2_502, gone)
        found = (await loaded(stores)).affiliations
        assert len(found) == rooms.REMOVED_KEPT + 1
        assert gone[0].jid in found
        assert gone[-1].jid in found
        assert gone[1].jid not in found, "the oldest go"

    async def test_a_service_lists_its_rooms(self, stores: Stores) -> None:
        for local in ("b", "a", "ä", "B"):
            await stores.rooms.save(record(local))
        await stores.rooms.save(RoomRecord("other.kit.example", "elsewhere"))
        config = {"name": "Sea", "description": "Salt", "public": False}
        number = await stores.rooms.save(record("c", config=config, creator="x@kit.example", created=3.5))
        lists = [("x", "owner"), ("y", "member"), ("z", "outcast"), ("w", "none")]
        entries = [RoomAffiliation(f"{name}@kit.example", kind, version=1) for name, kind in lists]  # type: ignore[arg-type]
        await stores.rooms.put_affiliations(number, 1, entries)
        await stores.rooms.touch([RoomTouch(number, 12.5), RoomTouch(4711, 1.0)])
        listed = await stores.rooms.rooms(SERVICE)
        assert [summary.local for summary in listed] == ["B", "a", "b", "c", "ä"]
        assert listed[3] == RoomSummary(number, "c", "Sea", "Salt", False, 12.5, 2, "x@kit.example", 3.5)
        plain = listed[0]
        assert (plain.public, plain.lang, plain.members_only, plain.protected, plain.whois) == (None,) * 5

    async def test_a_list_tells_who_may_enter_and_who_is_known(self, stores: Stores) -> None:
        told = {"lang": "de", "members_only": True, "secret": "x", "whois": "anyone"}
        await stores.rooms.save(record("a", config=told, approved=True))
        await stores.rooms.save(record("b", config={"secret": "", "members_only": False, "whois": "moderators"}))
        first, second = await stores.rooms.rooms(SERVICE)
        assert (first.lang, first.members_only, first.protected, first.whois) == ("de", True, True, "anyone")
        assert (second.members_only, second.protected, second.whois) == (False, False, "moderators")
        assert (first.approved, second.approved) == (True, False)

    async def test_numbers_are_reserved(self, stores: Stores) -> None:
        plain = await stores.rooms.save(record("plain"))
        numbers = await stores.rooms.reserve(3)
        more = await stores.rooms.reserve(2)
        later = await stores.rooms.save(record("later"))
        assert len({plain, later, *numbers, *more}) == 7
        assert plain < min(numbers)
        assert max(numbers) < min(more)
        assert max(more) < later
        room = record("reserved", number=numbers[1], subject="first")
        with pytest.raises(ValueError):
            await stores.rooms.save(room)
        for subject in ("first", "again"):
            room.subject = subject
            assert await stores.rooms.save(room, new=True) == numbers[1]
            assert await loaded(stores, "reserved") == room
        for taken in (record("reserved", number=numbers[2]), record("other", number=numbers[1])):
            with pytest.raises(ValueError):
                await stores.rooms.save(taken, new=True)
        await stores.rooms.remove(numbers[1])
        assert await stores.rooms.save(record("reserved", number=numbers[2]), new=True) == numbers[2]
        assert await stores.rooms.save(record("last")) > later
        for count in (0, rooms.MAX_RESERVED + 1):
            with pytest.raises(ValueError):
                await stores.rooms.reserve(count)

    async def test_the_first_number_may_be_a_reserved_one(self, stores: Stores) -> None:
        (number,) = await stores.rooms.reserve(1)
        assert await stores.rooms.save(record(number=number), new=True) == number
        assert await stores.rooms.save(record("next")) > number

    async def test_touch_changes_the_activity_alone(self, stores: Stores) -> None:
        room = record(subject="same", last_activity=1.0)
        room.number = await stores.rooms.save(room)
        await stores.rooms.touch([RoomTouch(room.number, 2.5, {"hour": 3})])
        room.last_activity, room.activity = 2.5, {"hour": 3}
        assert await loaded(stores) == room
        await stores.rooms.touch([])

    async def test_rows_are_copies(self, stores: Stores) -> None:
        room = record(config={"presence_of": ["moderator"]}, extras={"hats": []})
        number = await stores.rooms.save(room)
        entry = RoomAffiliation(ROMEO, "owner", version=1)
        await stores.rooms.put_affiliations(number, 1, [entry])
        room.config["presence_of"].append("visitor")
        entry.affiliation = "none"
        first = await loaded(stores)
        first.extras["hats"].append("x")
        first.affiliations[ROMEO].nick = "changed"
        first.affiliations["x@kit.example"] = entry
        second = await loaded(stores)
        assert (second.config, second.extras) == ({"presence_of": ["moderator"]}, {"hats": []})
        assert second.affiliations == {ROMEO: RoomAffiliation(ROMEO, "owner", version=1)}

    async def test_what_is_too_long_is_refused_without_a_change(self, stores: Stores) -> None:
        number = await stores.rooms.save(record(subject="kept"))
        wrong = (
            record("x" * 1_024),
            record("ä" * 512),
            record(""),
            record(subject="x" * (rooms.MAX_SUBJECT_BYTES + 1)),
            record(subject_nick="x" * 1_024),
            record(config={"description": "x" * rooms.MAX_CONFIG_BYTES}),
            record(extras={"vcard": "x" * rooms.MAX_EXTRAS_BYTES}),
            record(activity={"counts": "x" * rooms.MAX_ACTIVITY_BYTES}),
            record(subject="\ud800"),
        )
        for room in wrong:
            with pytest.raises(ValueError):
                await stores.rooms.save(room)
        good = RoomAffiliation("good@kit.example", "member")
        for entry in (
            RoomAffiliation("", "member"),
            RoomAffiliation("x" * 2_048, "member"),
            RoomAffiliation("x@kit.example", "member", nick="x" * 1_024),
            RoomAffiliation("x@kit.example", "member", reason="x" * (rooms.MAX_REASON_BYTES + 1)),
        ):
            with pytest.raises(ValueError):
                await stores.rooms.put_affiliations(number, 5, [good, entry])
        found = await loaded(stores)
        assert (found.subject, found.affiliations, found.affiliation_version) == ("kept", {}, 0)

    async def test_the_longest_that_is_allowed_is_stored(self, stores: Stores) -> None:
        long = record("x" * 1_023, subject="ä" * 32_768, subject_nick="n" * 1_023)
        long.number = await stores.rooms.save(long)
        entry = RoomAffiliation(f"{'l' * 1_023}@{'d' * 1_023}", "member", "n" * 1_023, "r" * 4_096, 1)
        await stores.rooms.put_affiliations(long.number, 1, [entry])
        long.affiliations, long.affiliation_version = {entry.jid: entry}, 1
        assert await loaded(stores, long.local) == long

    async def test_the_rooms_of_a_person(self, stores: Stores) -> None:
        numbers = {}
        for local, kind, nick in (
            ("owned", "owner", ""),
            ("banned", "outcast", ""),
            ("left", "none", ""),
            ("named", "none", "Romy"),
        ):
            numbers[local] = await stores.rooms.save(record(local))
            entries = [
                RoomAffiliation(ROMEO, kind, nick, "because", 7),  # type: ignore[arg-type]
                RoomAffiliation("kit.example", "member", version=7),
            ]
            await stores.rooms.put_affiliations(numbers[local], 7, entries)
        assert await stores.rooms.of_person(ROMEO) == [
            PersonRoom(numbers["banned"], SERVICE, "banned", "outcast", ""),
            PersonRoom(numbers["named"], SERVICE, "named", "none", "Romy"),
            PersonRoom(numbers["owned"], SERVICE, "owned", "owner", ""),
        ]
        assert await stores.rooms.forget_person(ROMEO) == sorted([numbers["named"], numbers["owned"]])
        assert [row.local for row in await stores.rooms.of_person(ROMEO)] == ["banned"]
        owned = await loaded(stores, "owned")
        assert owned.affiliation_version == 8
        assert owned.affiliations == {
            ROMEO: RoomAffiliation(ROMEO, "none", version=8),
            "kit.example": RoomAffiliation("kit.example", "member", version=7),
        }
        assert (await loaded(stores, "left")).affiliation_version == 7

    async def test_a_removed_account_leaves_its_rooms(self, stores: Stores) -> None:
        await account(stores)
        number = await stores.rooms.save(record())
        await stores.rooms.put_affiliations(number, 1, [RoomAffiliation(ROMEO, "owner", "Romeo", version=1)])
        await stores.accounts.remove(ROMEO)
        assert await stores.rooms.of_person(ROMEO) == []
        assert (await loaded(stores)).affiliations == {ROMEO: RoomAffiliation(ROMEO, "none", version=2)}
