"""Made-up archives for measurements and trials: people who write to some much more than to others, rooms, words that
are frequent or rare, several languages, files, replies, reactions, corrections and retractions.

Everything follows from a seed. Ids are made from the times of the messages, so an archive of years is made in minutes;
rows go through the ledger's writer, as those of real messages do.
"""

from __future__ import annotations

import time
from bisect import bisect
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from random import Random
from typing import Final
from xml.sax.saxutils import escape

from archive import events, ids
from archive.filling_words import EMOJI, LANGUAGES, vocabulary
from mlink_web.accounts.models import Account
from mlink_web.conf.models import Domain
from mlink_web.rooms.models import Room, RoomAffiliation
from xmpp_engine.api import ArchiveRow, escape_attr

#: Messages between two, in which one answers the other.
_TALK: Final = (2, 40)
_TEXTS: Final = 4_000
_REMOTE: Final = 0.1
_ROOM_SHARE: Final = 0.3
#: Old messages that later ones may refer to, in each conversation.
_MEMORY: Final = 20


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who writes; `account` is 0 for somebody of another server."""

    address: str
    account: int


def zipf(count: int, exponent: float = 1.0) -> list[float]:
    """Cumulated weights of `count` things of which the first is the most frequent."""
    return list(accumulate(1.0 / (rank + 1) ** exponent for rank in range(count)))


class Filling:
    """Makes rows. `people` and `rooms` come from `population`; the messages spread over `days` days up to `end`
    (seconds since the epoch)."""

    def __init__(
        self, people: Sequence[Person], rooms: Sequence[Room], messages: int, *, days: float, end: float, seed: int
    ) -> None:
        self._random = Random(seed)  # noqa: S311  (nothing is to be kept secret)
        self._people = people
        self._rooms = rooms
        self._messages = messages
        self._start = end - days * 86_400
        self._step = days * 86_400_000 / max(messages, 1)
        self._texts = [self._text() for _ in range(_TEXTS)]
        self._writers = zipf(len(people), 0.8)
        self._room_weights = zipf(len(rooms), 0.9)
        self._peers: dict[int, list[int]] = {}
        self._members: dict[int, list[int]] = {}
        self._said: dict[tuple[str, str], deque[tuple[int, str]]] = {}
        self._made = 0

    def rows(self) -> Iterator[ArchiveRow]:
        """All rows in the order of their ids."""
        numbers = ids.Ids(0, self._clock)
        random, people = self._random, self._people
        while self._made < self._messages:
            length = min(random.randint(*_TALK), self._messages - self._made)
            if self._rooms and random.random() < _ROOM_SHARE:
                room = self._rooms[_pick(random, self._room_weights)]
                members = self._members_of(room.pk)
                for _ in range(length):
                    yield self._row(numbers, people[random.choice(members)], room)
            else:
                one = _pick(random, self._writers)
                other = random.choice(self._peers_of(one))
                if not people[one].account and not people[other].account:
                    continue  # no archive of this server has what they say
                for _ in range(length):
                    if random.random() < 0.5:
                        one, other = other, one
                    yield self._row(numbers, people[one], people[other])

    def _clock(self) -> float:
        return self._start + self._made * self._step / 1000

    def _row(self, numbers: ids.Ids, sender: Person, to: Person | Room) -> ArchiveRow:
        random = self._random
        id = numbers.next()
        self._made += 1
        own = f"{id:x}-{random.getrandbits(32):08x}"
        event: tuple[int, str] | None = None
        chance = random.random()
        language, body = random.choice(self._texts)
        if chance < 0.4:
            body = f"{body} {random.choice(self._texts)[1]}"
        more = ""
        is_room = isinstance(to, Room)
        recipient = str(to) if is_room else to.address
        key = (recipient, "") if is_room else _pair(sender.address, recipient)
        said = self._said.get(key)
        if said is None:
            said = self._said[key] = deque(maxlen=_MEMORY)
        if chance > 0.995:
            url = f"https://files.example/{random.getrandbits(64):016x}/picture.jpg"
            body = url
            more = f"<x xmlns='jabber:x:oob'><url>{url}</url></x>"
        elif chance > 0.96 and said:
            body, more, event = self._acting(said, is_room, body)
        elif chance > 0.94:
            body = f"{body} {random.choice(EMOJI)}"
        said.append((id, own))
        kind = "groupchat" if is_room else "chat"
        source = f"{recipient}/{sender.address.partition('@')[0]}" if is_room else f"{sender.address}/app.{own[-4:]}"
        xml = (
            f"<message from='{escape_attr(source)}' to='{escape_attr(recipient)}' type='{kind}' id='{own}'"
            f" xml:lang='{language}'>{f'<body>{escape(body)}</body>' if body else ''}{more}"
            f"<origin-id xmlns='urn:xmpp:sid:0' id='{own}'/></message>"
        )
        return ArchiveRow(
            id,
            ids.time_of(id),
            sender.address,
            recipient,
            0 if is_room else sender.account,
            0 if is_room else to.account,
            kind,
            body,
            own,
            xml,
            to.pk if is_room else 0,
            event,
        )

    def _acting(
        self, said: deque[tuple[int, str]], is_room: bool, body: str
    ) -> tuple[str, str, tuple[int, str] | None]:
        """A message that refers to one of those lately said in the conversation: body, payload, event."""
        id, own = self._random.choice(said)
        named = ids.text_of(id) if is_room else own
        chance = self._random.random()
        if chance < 0.5:
            reply = f"<reply xmlns='urn:xmpp:reply:0' id='{named}'/>"
            return body, reply, (events.REPLY, named)
        if chance < 0.8:
            emoji = self._random.choice(EMOJI)
            given = f"<reactions xmlns='urn:xmpp:reactions:0' id='{named}'><reaction>{emoji}</reaction></reactions>"
            return "", given, (events.REACTION, named)
        if chance < 0.95:
            replace = f"<replace xmlns='urn:xmpp:message-correct:0' id='{own}'/>"
            return body, replace, (events.CORRECTION, own)
        return "", f"<retract xmlns='urn:xmpp:message-retract:1' id='{named}'/>", (events.RETRACTION, named)

    def _peers_of(self, one: int) -> list[int]:
        """With whom somebody talks: some dozens, some of them much more often."""
        known = self._peers.get(one)
        if known is None:
            others = {_pick(self._random, self._writers) for _ in range(self._random.randint(5, 60))} - {one}
            drawn = list(others) or [(one + 1) % len(self._people)]
            weights = zipf(len(drawn))
            known = self._peers[one] = [drawn[_pick(self._random, weights)] for _ in range(64)]
        return known

    def _members_of(self, room: int) -> list[int]:
        known = self._members.get(room)
        if known is None:
            known = [_pick(self._random, self._writers) for _ in range(self._random.randint(3, 80))]
            self._members[room] = known
        return known

    def _text(self) -> tuple[str, str]:
        """Some words of one language, as frequent as they are in life."""
        random = self._random
        if not hasattr(self, "_vocabularies"):
            self._vocabularies = [
                (name, spaced, words, zipf(len(words)))
                for name, _share, spaced, known in LANGUAGES
                for words in [vocabulary(random, name, known, 4_000)]
            ]
            self._shares = list(accumulate(share for _name, share, _spaced, _known in LANGUAGES))
        name, spaced, words, weights = self._vocabularies[_pick(random, self._shares)]
        drawn = [words[_pick(random, weights)] for _ in range(random.randint(2, 16))]
        return name, (" " if spaced else "").join(drawn)


def population(domain: Domain, people: int, rooms: int, seed: int) -> tuple[list[Person], list[Room]]:
    """People with accounts in the domain (nobody can sign in as them), one in ten of other servers, and rooms of which
    some are members. What an earlier filling made is used again."""
    random = Random(seed)  # noqa: S311
    wanted = [f"p{number:05d}" for number in range(people)]
    names = [f"{local}@{domain.name}" for local in wanted]
    known = set(Account.objects.filter(username__in=names).values_list("username", flat=True))
    Account.objects.bulk_create(
        [
            Account(username=name, local=local, domain=domain)
            for name, local in zip(names, wanted, strict=True)
            if name not in known
        ],
        batch_size=500,
    )
    numbers = dict(Account.objects.filter(username__in=names).values_list("username", "pk"))
    found = [
        Person(f"{local}@other{number % 5}.example", 0)
        if random.random() < _REMOTE
        else Person(f"{local}@{domain.name}", numbers[f"{local}@{domain.name}"])
        for number, local in enumerate(wanted)
    ]
    service = f"conference.{domain.name}"
    places = [f"r{number:04d}" for number in range(rooms)]
    there = set(Room.objects.filter(service=service, local__in=places).values_list("local", flat=True))
    now = time.time()
    config = {"name": "A made-up room", "persistent": True}
    Room.objects.bulk_create(
        [Room(service=service, local=place, created=now, config=config) for place in places if place not in there]
    )
    made = list(Room.objects.filter(service=service, local__in=places).order_by("local"))
    members = [
        RoomAffiliation(room=room, jid=jid, affiliation="member")
        for room in made
        if room.local not in there
        for jid in {random.choice(found).address for _ in range(10)}
    ]
    RoomAffiliation.objects.bulk_create(members, batch_size=500)
    return found, made


def _pick(random: Random, weights: list[float]) -> int:
    return bisect(weights, random.random() * weights[-1])


def _pair(one: str, other: str) -> tuple[str, str]:
    return (one, other) if one < other else (other, one)
