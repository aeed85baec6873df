"""Messages of an export as they are laid out for people: a cover, then each conversation with its days and messages.

Plain values, which `pdf.py` draws. Corrections stand in the place of what they correct, tombstones as a line, reactions
under their message, replies with what they answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, tzinfo
from itertools import islice
from typing import Final

from archive import events, ids
from archive.content import Label
from archive.export.gathered import ACTING, QUOTED, Entry, Gathered, Shared, Talk
from archive.export.reading import Content, Removal, line, read, visible
from xmpp_engine.api import build

#: What is shown of what acts on one message, and characters of a quotation and of a reaction.
_ACTING: Final = 200
_QUOTE: Final = 200
_REACTION: Final = 16
_NAMES: Final = 20
#: Messages that are laid out at a time.
_PAGE: Final = 200


@dataclass(frozen=True, slots=True)
class TalkHead:
    """Where a conversation begins, or goes on from the volume before; `period` says how many messages there are in all,
    from when to when."""

    talk: Talk
    key: str
    is_continued: bool
    period: str


@dataclass(frozen=True, slots=True)
class DayHead:
    """Where a day of a conversation begins."""

    text: str
    key: str


@dataclass(frozen=True, slots=True)
class Version:
    """An earlier text of a message."""

    when: str
    text: str


@dataclass(frozen=True, slots=True)
class Said:
    """A message. `address` is the sender's where that says more than the name; `gone` stands for the text of one that
    was taken away; `notes` say what else it is or does."""

    id: str
    time: str
    name: str
    address: str
    label: Label | None = None
    quote: tuple[str, str] | None = None
    subject: str = ""
    text: str = ""
    gone: str = ""
    notes: list[str] = field(default_factory=list)
    files: list[Shared] = field(default_factory=list)
    reactions: list[str] = field(default_factory=list)
    earlier: list[Version] = field(default_factory=list)


Item = TalkHead | DayHead | Said


@dataclass(frozen=True, slots=True)
class Layout:
    """How an export is laid out: times in `zone`, earlier versions of what was corrected or not."""

    gathered: Gathered
    zone: tzinfo
    earlier: bool

    def items(self, skip: int, limit: int) -> Iterator[Item]:
        """The items of so many messages behind the first `skip`, in the order of conversations."""
        talks = {talk.number: talk for talk in self.gathered.talks()}
        entries = self.gathered.by_talk(skip, limit)
        number = -1
        day = ""
        begun = skip == 0
        while page := list(islice(entries, _PAGE)):
            for entry, said in self._page(page, talks):
                if entry.talk != number:
                    number, day = entry.talk, ""
                    continued = not begun and self._is_continued(skip, number)
                    yield TalkHead(talks[number], f"talk-{number}", continued, self._period(number))
                begun = True
                if said is None:
                    continue
                moment = self.moment(entry.record.id)
                if f"{moment:%Y-%m-%d}" != day:
                    day = f"{moment:%Y-%m-%d}"
                    yield DayHead(f"{moment:%A}, {moment.day} {moment:%B %Y}", f"day-{number}-{day}")
                yield said

    def moment(self, id: int) -> datetime:
        """When a message was archived."""
        return datetime.fromtimestamp(ids.time_of(id), UTC).astimezone(self.zone)

    def _period(self, number: int) -> str:
        count, first, last = self.gathered.span(number)
        zone = self.moment(first).tzname() or "UTC"
        return f"{count:,} message{'s' * (count != 1)}, {self._when(first)} to {self._when(last)} ({zone})"

    def _is_continued(self, skip: int, number: int) -> bool:
        before = list(self.gathered.by_talk(skip - 1, 1))
        return bool(before) and before[0].talk == number

    def _page(self, page: list[Entry], talks: dict[int, Talk]) -> Iterator[tuple[Entry, Said | None]]:
        """Each message of a page as it is shown, None for one that stands with another."""
        targets = sorted({entry.target for entry in page if entry.target})
        known = self.gathered.of_ids(targets)
        ids_here = [entry.record.id for entry in page]
        acting: dict[int, list[tuple[Entry, Content]]] = {}
        for act in self.gathered.acting_on([*ids_here, *known], _ACTING):
            acting.setdefault(act.target, []).append((act, read(act.record.xml)))
        for entry in page:
            content = read(entry.record.xml)
            if content.signal or self._stands_with_another(entry, content, known):
                yield entry, None
            else:
                yield entry, self._said(entry, content, acting, known, talks[entry.talk])

    def _stands_with_another(self, entry: Entry, content: Content, known: dict[int, Entry]) -> bool:
        target = known.get(entry.target)
        if target is None or target.role == QUOTED or entry.event == events.REPLY:
            # What acts on a message that was not asked for is only with it.
            return entry.role == ACTING and entry.event != events.REPLY
        if entry.event == events.REACTION:
            return not content.text and content.removal is None
        return entry.event in (events.CORRECTION, events.RETRACTION)

    def _said(
        self,
        entry: Entry,
        content: Content,
        acting: dict[int, list[tuple[Entry, Content]]],
        known: dict[int, Entry],
        talk: Talk,
    ) -> Said:
        record = entry.record
        name, address = named(entry, content, talk)
        bare = Said(record.key, f"{self.moment(record.id):%H:%M:%S}", name, address)
        if content.damaged:
            return replace(bare, gone="This message cannot be read any more; the XML has it as it is stored.")
        if content.removal is not None:
            return replace(bare, gone=self._gone(content.removal))
        acts = acting.get(record.id, [])
        versions = [(record.id, content)] + [
            (act.record.id, changed)
            for act, changed in acts
            if act.event == events.CORRECTION and changed.removal is None and not changed.damaged
        ]
        newest = versions[-1][1]
        notes = []
        if newest.encrypted:
            notes.append(f"Encrypted with {newest.encrypted}: the archive holds what only the people's apps can read.")
        if content.private and not _is_of_occupant(entry, talk) and "/" in content.recipient:
            notes.append(f"To {line(content.recipient)}")
        if content.invitation:
            notes.append(f"An invitation to {content.invitation}")
        if record.kind == "error":
            notes.append("It could not be delivered.")
        if len(versions) > 1:
            notes.append(f"Corrected {self._when(versions[-1][0])}")
        notes += self._about_other(entry, content, known)
        if not (newest.text or newest.subject or newest.files or notes):
            notes.append("A message without text.")
        return replace(
            bare,
            label=newest.label or content.label,
            quote=self._quote(entry, acting, known, talk),
            subject=line(newest.subject),
            text=visible(newest.text),
            notes=notes,
            files=list(entry.files),
            reactions=_reactions(acts, talk),
            earlier=[Version(self._when(id), visible(version.text) or "(no text)") for id, version in versions[:-1]]
            if self.earlier
            else [],
        )

    def _about_other(self, entry: Entry, content: Content, known: dict[int, Entry]) -> list[str]:
        """What a message does to one that does not stand here."""
        event = content.event
        if event is None or (entry.event == events.REPLY and entry.target in known):
            return []
        where = f"of {self._when(entry.target)} ({ids.text_of(entry.target)})" if entry.target else "not in the archive"
        if event[0] == events.REPLY:
            return [f"An answer to a message {where}"]
        if event[0] == events.CORRECTION:
            return [f"A correction of a message {where}"]
        if event[0] == events.RETRACTION:
            return [f"Retracts a message {where}"]
        given = " ".join(line(text, _REACTION) for text in content.reactions[:_NAMES])
        return [f"Reacts with {given} to a message {where}" if given else f"Takes back a reaction to a message {where}"]

    def _quote(
        self, entry: Entry, acting: dict[int, list[tuple[Entry, Content]]], known: dict[int, Entry], talk: Talk
    ) -> tuple[str, str] | None:
        answered = known.get(entry.target) if entry.event == events.REPLY else None
        if answered is None or answered.talk != entry.talk:
            return None
        content = read(answered.record.xml)
        name, _address = named(answered, content, talk)
        if content.removal is not None:
            return name, "A message that was taken away."
        for act, changed in acting.get(answered.record.id, []):
            if act.event == events.CORRECTION and changed.removal is None and not changed.damaged:
                content = changed
        return name, line(content.text, _QUOTE) or "A message without text."

    def _gone(self, removal: Removal) -> str:
        when = ""
        if removal.stamp:
            try:
                when = f" {self._shown(build.parse_timestamp(removal.stamp))}"
            except (ValueError, OverflowError, OSError):
                when = ""
        by = f" by {line(removal.by)}" if removal.by else ""
        if removal.redaction:
            what = f"Redacted{when} (redaction {removal.redaction})"
        else:
            what = f"Removed by a moderator{when}{by}" if removal.moderated else f"Retracted{when}{by}"
        reason = line(removal.reason)
        return f"{what}: {reason}" if reason else f"{what}."

    def _when(self, id: int) -> str:
        return self._shown(ids.time_of(id))

    def _shown(self, seconds: float) -> str:
        return f"{datetime.fromtimestamp(seconds, UTC).astimezone(self.zone):%Y-%m-%d %H:%M:%S}"


def named(entry: Entry, content: Content, talk: Talk) -> tuple[str, str]:
    """Who sent a message, and the address where it says more than the name."""
    sender = entry.record.sender
    if not talk.room and content.private and _is_of_occupant(entry, talk):
        return line(content.sender) or sender, ""
    if not talk.room:
        name = line(talk.people.get(sender, ""))
        return (name, sender) if name and name != sender else (sender, "")
    name = line(content.nick) or "The room"
    real = sender if sender != talk.room and not sender.startswith(f"{talk.room}/") else ""
    return name, real


def _is_of_occupant(entry: Entry, talk: Talk) -> bool:
    """Whether a private message of a room came from the room's side: in one's own archive from the one that the
    conversation is with, for officers from the side that is no account here."""
    is_officers = "\n" in talk.key
    return not entry.record.sender_account if is_officers else entry.record.sender == talk.key


def _reactions(acts: Iterable[tuple[Entry, Content]], talk: Talk) -> list[str]:
    """What each person reacted with last, with who did, the most frequent first."""
    latest: dict[str, tuple[str, list[str]]] = {}
    for act, content in acts:
        if act.event == events.REACTION and content.removal is None:
            name, _address = named(act, content, talk)
            texts = [line(text, _REACTION) for text in content.reactions]
            latest[act.record.sender] = name, list(dict.fromkeys(filter(None, texts)))
    by_text: dict[str, list[str]] = {}
    for name, texts in latest.values():
        for text in texts:
            by_text.setdefault(text, []).append(name)
    ordered = sorted(by_text.items(), key=lambda entry: -len(entry[1]))[:_NAMES]
    return [f"{text} {', '.join(names[:_NAMES])}{' and others' * (len(names) > _NAMES)}" for text, names in ordered]
