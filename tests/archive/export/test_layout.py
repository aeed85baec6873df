"""How messages of an export are laid out: what stands where, and what it says."""

from __future__ import annotations

from datetime import UTC
from pathlib import Path

import pytest
from django.db import connection

from archive import ids, records
from archive.export import gathering, making
from archive.export.gathered import Gathered
from archive.export.layout import DayHead, Item, Layout, Said, TalkHead
from archive.export.ordered import zone_of
from archive.models import Message
from archive.redaction import tombstone
from mlink_web.accounts.models import Account
from mlink_web.stores.models import RosterItem
from tests.kits.exported import START, account, room, say, settle

pytestmark = pytest.mark.django_db
BOB = "bob@far.example"
CORRECT = "<replace xmlns='urn:xmpp:message-correct:0' id='{}'/>"
RETRACT = "<retract xmlns='urn:xmpp:message-retract:1' id='{}'/>"
REACT = "<reactions xmlns='urn:xmpp:reactions:0' id='{}'>{}</reactions>"
REPLY = "<reply xmlns='urn:xmpp:reply:0' id='{}'/>"


@pytest.fixture
def ada() -> Account:
    """Whose archive it is."""
    return account("ada")


def laid_out(owner: Account, folder: Path, *, zone: str = "", earlier: bool = True, **wanted: object) -> list[Item]:
    """The items of an own export."""
    settle()
    order = making.own_order(owner, zone=zone, **wanted)  # type: ignore[arg-type]
    with Gathered(folder / "gathered.sqlite3") as gathered:
        gathering.gather(connection, order.source(connection), gathered, gathering.nothing, quotes=True)
        return list(Layout(gathered, zone_of(zone) if zone else UTC, earlier).items(0, 1_000_000))


def said(items: list[Item]) -> list[Said]:
    """The messages among them."""
    return [item for item in items if isinstance(item, Said)]


def test_conversations_and_days(ada: Account, tmp_path: Path) -> None:
    RosterItem.objects.create(account=ada, jid=BOB, name="Bob")
    cave = room("cave", {str(ada): "member"}, name="The cave", whois="anyone")
    say(ada, BOB, "one", 0)
    say("eve@localhost", cave, "deep", 10, nick="Shadow")
    say(BOB, ada, "two", 12 * 3600)
    say(str(cave), cave, "<body>The room is open now</body>", 20)
    items = laid_out(ada, tmp_path, zone="Pacific/Auckland")
    heads = [item for item in items if isinstance(item, TalkHead)]
    assert [(head.talk.title, head.talk.room, head.is_continued) for head in heads] == [
        ("Bob", "", False),
        ("The cave", str(cave), False),
    ]
    assert heads[0].period == "2 messages, 2026-09-22 02:13:20 to 2026-09-22 14:13:20 (NZST)"
    assert heads[0].talk.people == {"ada@localhost": "", BOB: "Bob"}
    days = [item.text for item in items if isinstance(item, DayHead)]
    assert days == ["Tuesday, 22 September 2026", "Tuesday, 22 September 2026"]
    one, two, deep, told = said(items)
    assert (told.name, told.address) == ("The room", "")
    assert (one.time, one.name, one.address, one.text) == ("02:13:20", "ada@localhost", "", "one")
    assert one.id == ids.text_of(ids.first_at(START))
    assert (two.time, two.name, two.address) == ("14:13:20", "Bob", BOB)
    assert (deep.name, deep.address) == ("Shadow", "eve@localhost")


def test_corrections_stand_in_the_place_of_what_they_correct(ada: Account, tmp_path: Path) -> None:
    say(ada, BOB, "frist", 0, id="a")
    say(BOB, ada, "between", 1)
    say(ada, BOB, f"<body>first</body>{CORRECT.format('a')}", 2)
    say(ada, BOB, f"<body>the first</body>{CORRECT.format('a')}", 3)
    first, between = said(laid_out(ada, tmp_path))
    assert first.text == "the first"
    assert first.notes == ["Corrected 2026-09-21 14:13:23"]
    assert [(version.when, version.text) for version in first.earlier] == [
        ("2026-09-21 14:13:20", "frist"),
        ("2026-09-21 14:13:22", "first"),
    ]
    assert between.text == "between"
    (tmp_path / "plain").mkdir()
    assert said(laid_out(ada, tmp_path / "plain", earlier=False))[0].earlier == []


def test_a_correction_comes_with_what_it_corrects_and_alone(ada: Account, tmp_path: Path) -> None:
    say(ada, BOB, "the harbour", 0, id="a")
    say(ada, BOB, f"<body>the haven</body>{CORRECT.format('a')}", 10)
    (tmp_path / "first").mkdir()
    (only,) = said(laid_out(ada, tmp_path / "first", end=START + 5))
    assert only.text == "the haven"
    (only,) = said(laid_out(ada, tmp_path, words="haven"))
    assert only.text == "the haven"
    assert only.notes == [f"A correction of a message of 2026-09-21 14:13:20 ({ids.text_of(ids.first_at(START))})"]


def test_tombstones(ada: Account, tmp_path: Path) -> None:
    cave = room("cave", {str(ada): "member"}, whois="moderators")
    say(ada, BOB, "regretted", 0, id="a")
    say(ada, BOB, f"<body>Please forget it</body>{RETRACT.format('a')}", 60)
    bad = say("eve@localhost", cave, "spam", 1, nick="Shadow")
    moderated = (
        f"<retract xmlns='urn:xmpp:message-retract:1' id='{ids.text_of(bad)}'>"
        "<moderated xmlns='urn:xmpp:message-moderate:1' by='cave@rooms.localhost/Boss'/><reason>Off topic</reason>"
        "</retract>"
    )
    say(str(cave), cave, moderated, 61)
    gone = said(laid_out(ada, tmp_path))
    assert [item.gone for item in gone] == [
        "Retracted 2026-09-21 14:14:20.",
        "Removed by a moderator 2026-09-21 14:14:21 by cave@rooms.localhost/Boss: Off topic",
    ]
    assert all(not item.text and not item.earlier for item in gone)


def test_private_messages_of_a_room(ada: Account, tmp_path: Path) -> None:
    mark = "<x xmlns='http://jabber.org/protocol/muc#user'/>"
    cave = "cave@rooms.localhost"
    one = say(ada, cave, f"<body>psst</body>{mark}", 0)
    other = say(cave, ada, f"<body>what?</body>{mark}", 1)
    for key, old, new in ((one, f"to='{cave}'", f"to='{cave}/Shadow'"), (other, f"{cave}/phone", f"{cave}/Shadow")):
        row = Message.objects.get(pk=key)
        row.xml = row.xml.replace(old, new)
        row.save()
    sent, got = said(laid_out(ada, tmp_path))
    assert (sent.name, sent.text, sent.notes) == ("ada@localhost", "psst", [f"To {cave}/Shadow"])
    assert (got.name, got.text, got.notes) == (f"{cave}/Shadow", "what?", [])


def test_redactions(ada: Account, tmp_path: Path) -> None:
    key = say(ada, BOB, "the code is 4711", 0)
    (record,) = records.by_ids(connection, [key])
    left = tombstone.left_of(record, 12, START + 60, "Not for everybody")
    Message.objects.filter(pk=key).update(xml=left, search="")
    (gone,) = said(laid_out(ada, tmp_path))
    assert gone.gone == "Redacted 2026-09-21 14:14:20 (redaction 12): Not for everybody"


def test_a_mark_that_somebody_sends_hides_nothing(ada: Account, tmp_path: Path) -> None:
    mark = "<retracted xmlns='urn:xmpp:message-retract:1' stamp='2026-09-21T14:14:20Z'/>"
    redacted = "<redacted xmlns='urn:mlink:archive:0' number='3' stamp='2026-09-21T14:14:20Z'/>"
    say(BOB, ada, f"<body>a threat</body>{mark}{redacted}", 0)
    (only,) = said(laid_out(ada, tmp_path))
    assert (only.text, only.gone) == ("a threat", "")


def test_reactions_and_quotes(ada: Account, tmp_path: Path) -> None:
    RosterItem.objects.create(account=ada, jid=BOB, name="Bob")
    say(ada, BOB, "shall we?", 0, id="a")
    say(BOB, ada, f"<body>yes</body>{REPLY.format('a')}", 10)
    say(BOB, ada, REACT.format("a", "<reaction>👎</reaction>"), 11)
    say(BOB, ada, REACT.format("a", "<reaction>👍</reaction><reaction>🎉</reaction>"), 12)
    say(ada, BOB, REACT.format("a", "<reaction>👍</reaction>"), 13)
    first, answer = said(laid_out(ada, tmp_path))
    assert first.reactions == ["👍 Bob, ada@localhost", "🎉 Bob"]
    assert answer.quote == ("ada@localhost", "shall we?")
    (tmp_path / "later").mkdir()
    answer, *others = said(laid_out(ada, tmp_path / "later", start=START + 5))
    assert answer.quote == ("ada@localhost", "shall we?")
    assert [note.partition(" to a message")[0] for other in others for note in other.notes] == [
        "Reacts with 👎",
        "Reacts with 👍 🎉",
        "Reacts with 👍",
    ]


def test_what_a_message_carries(ada: Account, tmp_path: Path) -> None:
    say(
        ada,
        BOB,
        "<body>see this</body><x xmlns='jabber:x:oob'><url>https://files.example/a%20b.pdf</url><desc>Plan</desc></x>",
        0,
    )
    say(
        ada,
        BOB,
        "<body>x</body><securitylabel xmlns='urn:xmpp:sec-label:0'>"
        "<displaymarking fgcolor='black' bgcolor='red'>SECRET \u202efoo</displaymarking><label/></securitylabel>",
        1,
    )
    say(ada, BOB, "<body>no</body><encrypted xmlns='eu.siacs.conversations.axolotl'/>", 2)
    say(ada, BOB, "<subject>Lunch</subject>", 3, kind="normal")
    say(ada, BOB, "<x xmlns='jabber:x:conference' jid='cave@rooms.localhost'/>", 4)
    say(BOB, ada, "<received xmlns='urn:xmpp:receipts' id='1'/>", 5)
    say(BOB, ada, f"<body/>{REPLY.format('nowhere')}", 6)
    items = laid_out(ada, tmp_path)
    file, label, sealed, subject, invitation, answer = said(items)
    assert [(each.url, each.name, each.about) for each in file.files] == [
        ("https://files.example/a%20b.pdf", "a b.pdf", "Plan")
    ]
    assert file.text == "see this"
    assert label.label is not None
    assert label.label.ground == "#ff0000"
    assert "\u202e" not in label.label.text
    assert (sealed.text, sealed.notes) == (
        "",
        ["Encrypted with OMEMO: the archive holds what only the people's apps can read."],
    )
    assert subject.subject == "Lunch"
    assert invitation.notes == ["An invitation to cave@rooms.localhost"]
    assert answer.notes == ["An answer to a message not in the archive"]


def test_what_turns_the_direction_of_writing_is_spelled_out(ada: Account, tmp_path: Path) -> None:
    RosterItem.objects.create(account=ada, jid=BOB, name="Bob\u202egpj.exe\x07")
    say(BOB, ada, "pay \u202e000,1\u202c to \u2066me\u2069\x7f <b>&amp;</b>", 0)
    items = laid_out(ada, tmp_path)
    (only,) = said(items)
    assert only.text == "pay [U+202E]000,1[U+202C] to [U+2066]me[U+2069]\ufffd <b>&amp;</b>"
    assert only.name == "Bob[U+202E]gpj.exe\ufffd"


def test_nothing_of_a_room_is_quoted_that_may_not_be_read(ada: Account, tmp_path: Path) -> None:
    secret = say("eve@localhost", "mallory@localhost", "the code is 4711", 0, id="s")
    cave = room("cave", {str(ada): "member"})
    say("mallory@localhost", cave, f"<body>look</body>{REPLY.format(ids.text_of(secret))}", 1, nick="M")
    say("mallory@localhost", ada, f"<body>look</body>{REPLY.format('s')}", 2)
    for item in said(laid_out(ada, tmp_path)):
        assert item.quote is None
        assert "4711" not in str(item)
