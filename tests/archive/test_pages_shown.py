# ruff: noqa: F811  (fixtures that are imported)
"""The archive page by requests: the chart, files, markings, what is encrypted or too long, links to messages, printing,
saving; and that a page costs the same however much is on it."""

from __future__ import annotations

import re
import secrets
import time
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from archive import ids, records
from archive.models import Message
from archive.redaction.models import Redacted, Redaction
from archive.redaction.tombstone import left_of
from mlink_web.accounts.models import Account
from mlink_web.jobs.models import Job
from mlink_web.rooms.models import Room
from mlink_web.stores.models import RosterItem
from mlink_web.uploads import services as uploads
from mlink_web.uploads.models import Upload
from tests.archive.test_pages import START, ada, bodies, eve, get, href, minutes, reader, say  # noqa: F401
from tests.archive.test_pages_rooms import BOB, hall, speak, write  # noqa: F401

pytestmark = pytest.mark.django_db


def oob(url: str) -> str:
    return f"<x xmlns='jabber:x:oob'><url>{url}</url></x>"


def upload(owner: Account, name: str = "view.png", **given: object) -> str:
    """A stored file of our own; its address."""
    values = {
        "served_type": "image/png",
        "state": Upload.State.STORED,
        "expires": 0.0,
        "size": 4321,
        **given,
    }
    row = Upload.objects.create(
        token=secrets.token_urlsafe(24),
        secret="",
        account_id=owner.pk,
        owner=str(owner),
        name=name,
        purpose="message",
        created=time.time(),
        put_until=0,
        **values,
    )
    return uploads.link(owner.domain, row)


def days(number: int) -> timedelta:
    return timedelta(days=number)


def bars(page: str) -> list[tuple[str, str]]:
    """Of the chart: its titles and links."""
    found = re.findall(r'<a href="([^"]*)" tabindex="-1"[^>]*><title>([^<]*)</title>', page)
    return [(title, link.replace("&amp;", "&")) for link, title in found]


def test_the_chart_of_a_conversation_narrows_to_a_day(reader: Client, ada: Account) -> None:
    for number in range(5):
        say(ada, BOB, f"first {number}", minutes(number))
    say(ada, BOB, "third day", days(2))
    say(ada, "carol@localhost", "another talk", days(1))
    page = get(reader, peer=BOB)
    assert [title for title, _link in bars(page)] == [
        "Sunday, 1 March 2026: 5",
        "Monday, 2 March 2026: 0",
        "Tuesday, 3 March 2026: 1",
    ]
    assert "6 messages" in page
    listed = re.search(r'class="chart-list".*?</details>', page, re.S)
    assert listed
    assert listed.group().count("<li>") == 2
    day = reader.get(bars(page)[2][1]).content.decode()
    assert bodies(day) == ["third day"]
    assert "1 message<" in day
    assert len(bars(day)) == 31
    assert bodies(reader.get(href(day, "All time")).content.decode())[0] == "first 0"


def test_the_chart_is_of_the_readers_days(reader: Client, ada: Account) -> None:
    say(ada, BOB, "before midnight", minutes(0))
    say(ada, BOB, "after it", minutes(60))
    assert [title[-1] for title, _link in bars(get(reader, peer=BOB))] == ["1", "1"]
    reader.cookies["zone"] = "Asia/Tokyo"
    (only,) = bars(get(reader, peer=BOB))
    assert only[0] == "Monday, 2 March 2026: 2"
    assert len(bodies(reader.get(only[1]).content.decode())) == 2


def test_the_chart_of_a_long_time_has_months_and_of_hits_those(reader: Client, ada: Account, hall: Room) -> None:
    for number in range(0, 400, 10):
        say(ada, BOB, "needle" if number % 20 else "hay", days(number))
    speak(hall, BOB, "Bobby", "needle in the hall", days(3))
    page = get(reader, words="needle")
    assert "March 2026: 3" in [title for title, _link in bars(page)]
    assert "21 hits" in page
    narrowed = reader.get(bars(page)[0][1]).content.decode()
    assert len(bodies(narrowed)) == 3
    assert "3 hits" in narrowed


def test_no_messages_in_a_range_keeps_the_way_back(reader: Client, ada: Account) -> None:
    say(ada, BOB, "here", minutes(0))
    page = get(reader, peer=BOB, start="2027-01-01", end="2027-01-31")
    assert "in these days" in page
    assert href(page, "All time")


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31", "1066-10-14", "2100-01-01"])
def test_absurd_days_are_explained(reader: Client, ada: Account, day: str) -> None:
    say(ada, BOB, "here", minutes(0))
    for name in ("start", "end"):
        assert "between the years 1990 and 2099" in get(reader, 400, peer=BOB, **{name: day})


def test_a_picture_of_ours_is_shown_and_others_are_links(reader: Client, ada: Account) -> None:
    own = upload(ada)
    say(BOB, ada, own, minutes(0), oob(own))
    other = "https://files.example/upload/abc/x.png"
    say(BOB, ada, other, minutes(1), oob(other))
    answer = reader.get("/archive/", {"peer": BOB})
    page = answer.content.decode()
    assert re.findall(r'<img src="([^"]*)"', page) == [own]
    assert f'href="{other}" target="_blank" rel="noopener noreferrer"' in page
    assert "at files.example" in page
    assert bodies(page) == []
    policy = answer.headers["Content-Security-Policy"]
    assert uploads.origin(ada.domain) in policy.partition("img-src")[2].partition(";")[0]
    assert "files.example" not in policy


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({"state": "gone"}, "no longer on the server"),
        ({"expires": 5.0}, "no longer on the server"),
        ({"size": 20_000_000}, "19.1"),
        ({"served_type": "application/octet-stream"}, "4.2"),
    ],
)
def test_what_is_not_shown_in_place(reader: Client, ada: Account, given: dict[str, object], shown: str) -> None:
    own = upload(ada, **given)
    say(BOB, ada, own, minutes(0), oob(own))
    page = get(reader, peer=BOB)
    assert "<img" not in page
    assert shown in page.replace("\xa0", " ")
    assert ("no longer" in page) is (f'href="{own}"' not in page)


def test_a_token_on_another_host_is_not_ours(reader: Client, ada: Account) -> None:
    own = upload(ada)
    stolen = "https://evil.example" + own[own.index("/upload/") :]
    say(BOB, ada, "", minutes(0), oob(stolen))
    page = get(reader, peer=BOB)
    assert "<img" not in page
    assert "at evil.example" in page


def test_the_files_of_a_conversation(reader: Client, ada: Account, hall: Room) -> None:
    own = upload(ada)
    for number in range(60):
        say(ada, BOB, f"line {number}", minutes(number))
    first = say(BOB, ada, "the plan", minutes(70), oob("https://files.example/plan.pdf"))
    say(ada, BOB, "", minutes(80), oob(own))
    say("carol@localhost", ada, "", minutes(90), oob("https://files.example/secret-of-carol.pdf"))
    speak(hall, BOB, "Bobby", "", minutes(95), oob("https://files.example/hall.pdf"))
    page = get(reader, peer=BOB, view="files")
    assert re.findall(r'file-name"><a[^>]*><bdi>([^<]*)', page) == ["view.png", "plan.pdf"]
    assert "carol" not in page.partition('id="stretch"')[2]
    there = get(reader, peer=BOB, view="files", at=first)
    assert "the plan" in bodies(there)
    assert "view=files" in href(there, "Back to the files")
    assert "hall.pdf" in get(reader, room=str(hall), view="files")
    assert "No files were shared" in get(reader, peer="carol@localhost", view="files", end="2026-01-01")


def test_many_files_are_paged(reader: Client, ada: Account) -> None:
    for number in range(45):
        say(ada, BOB, "", minutes(number), oob(f"https://files.example/{number}.pdf"))
    page = get(reader, peer=BOB, view="files")
    assert page.count('class="file-name"') == 40
    page = reader.get(href(page, "Older files")).content.decode()
    assert page.count('class="file-name"') == 5
    assert "Older files" not in page


def test_markings_and_what_is_encrypted(reader: Client, ada: Account) -> None:
    label = (
        "<securitylabel xmlns='urn:xmpp:sec-label:0'><displaymarking bgcolor='navy'>SECRET &lt;b&gt;</displaymarking>"
        "<label/></securitylabel>"
    )
    say(BOB, ada, "the numbers", minutes(0), label)
    say(BOB, ada, "I sent you an encrypted message", minutes(1), "<encrypted xmlns='urn:xmpp:omemo:2'/>")
    page = get(reader, peer=BOB)
    assert 'class="label light"' in page
    assert 'fill="#000080"' in page
    assert "SECRET &lt;b&gt;" in page
    assert "Encrypted with OMEMO" in page
    assert "I sent you" not in page
    assert "(encrypted)" in get(reader)
    assert "SECRET" in get(reader, words="numbers")


def redacted(id: str) -> None:
    """Leave of a message what a redaction leaves."""
    message = Message.objects.get(id=ids.from_text(id))
    row = records.by_ids(connection, [message.pk])[0]
    xml = left_of(row, 7, START.timestamp(), "court order")
    Message.objects.filter(pk=message.pk).update(xml=xml, search="")


def test_what_an_officer_removed(reader: Client, ada: Account, hall: Room) -> None:
    ids_of = [say(BOB, ada, "gone words", minutes(0)), speak(hall, BOB, "Bobby", "gone words", minutes(1))]
    redaction = Redaction.objects.create(reason="court order", operator="officer@localhost", created=0.0)
    for id in ids_of:
        redacted(id)
        forged = get(reader, peer=BOB) + get(reader, room=str(hall))
        assert "An archive officer" not in forged or id != ids_of[0]
        Redacted.objects.create(
            redaction=redaction, message=ids.from_text(id), sender=BOB, recipient=str(ada), state=Redacted.State.GONE
        )
    for query in ({"peer": BOB}, {"room": str(hall)}):
        page = get(reader, **query)
        assert "An archive officer removed this message: court order" in page
        assert "gone words" not in page
        assert 'name="pick"' not in get(reader, **query, select="1")


def test_long_texts_are_cut_and_can_be_shown(reader: Client, ada: Account) -> None:
    text = "x" * 150_000 + " the end"
    id = say(BOB, ada, text, minutes(0))
    page = get(reader, peer=BOB)
    assert len(page) < 60_000
    assert "Show all 150008 characters" in page
    whole = reader.get(href(page, "Show all")).content.decode()
    assert "the end</span>" in whole
    assert f"at={id}" in href(whole, "Show less")
    lines = say(BOB, ada, "line\n" * 1000, minutes(1))
    assert get(reader, peer=BOB, at=lines).count("line\n") < 70
    quick = time.monotonic()
    get(reader, words="end")
    assert time.monotonic() - quick < 20


def test_a_hit_deep_in_a_long_text_is_shown(reader: Client, ada: Account) -> None:
    say(BOB, ada, "hay " * 10_000 + "needle" + " hay" * 1_000, minutes(0))
    page = get(reader, words="needle")
    assert "<mark>needle</mark>" in page
    assert len(bodies(page)[0]) < 900


HOSTILE = (
    "\u202e evil \u2066 text",
    "\u0085\u009f\u200b\ufeff",
    "e" + "\u0301" * 3000,
    "👨‍👩‍👧‍👦" * 2000,
    "]]></script><svg onload=alert(1)>",
    "{{ 7|add:7 }}{% now 'Y' %}",
    "\U000e0001\U000e0041 tags",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text(reader: Client, ada: Account, hall: Room, text: str) -> None:
    RosterItem.objects.create(account=ada, jid=BOB, name=text[:200])
    say(BOB, ada, f"{text} findme", minutes(0), f"<subject>{text.replace('<', '&lt;').replace('>', '&gt;')}</subject>")
    speak(hall, BOB, "nick\u202e", f"{text} findme", minutes(1))
    for query in ({}, {"peer": BOB}, {"words": "findme"}, {"room": str(hall)}, {"peer": BOB, "print": "1"}):
        page = get(reader, **query)
        assert "<svg onload" not in page
        # Texts are always inside an element of their own direction.
        for piece in re.findall(r"<[^<>]*>[^<>]*findme", page.partition("<main")[2]):
            assert 'dir="auto"' in piece or piece.startswith(("<bdi>", "<mark>"))


def test_the_short_address_of_a_message(reader: Client, ada: Account, eve: Account, hall: Room) -> None:
    own = say(BOB, ada, "mine", minutes(0))
    inside = speak(hall, BOB, "Bobby", "in the hall", minutes(1))
    closed = Room.objects.create(service="conference.localhost", local="closed", config={"members_only": True})
    others = [say(eve, BOB, "of others", minutes(2)), speak(closed, BOB, "Bobby", "not for Ada", minutes(3))]
    for id, text in ((own, "mine"), (inside, "in the hall")):
        answer = reader.get(f"/archive/m/{id}/")
        assert answer.status_code == 302
        assert answer.headers["Location"].endswith(f"#m{id}")
        page = reader.get(answer.headers["Location"]).content.decode()
        assert text in bodies(page)
        assert "bubble target" in page
    answers = {
        re.sub(r"\s+", " ", reader.get(f"/archive/m/{key}/").content.decode().partition('class="reader"')[2])
        for key in (*others, "0123456789abcdef", "f" * 16, "x", "..")
        if key != ".."
    }
    assert len(answers) == 1
    assert "no such message" in answers.pop()
    assert reader.get(f"/archive/m/{others[0]}/").status_code == 404


def test_a_link_leads_back_after_signing_in(client: Client, ada: Account) -> None:
    id = say(BOB, ada, "mine", minutes(0))
    answer = client.get(f"/archive/m/{id}/")
    assert answer.status_code == 302
    sign_in = answer.headers["Location"]
    answer = client.post(sign_in, {"username": str(ada), "password": "correct horse"}, follow=True)
    assert "bubble target" in answer.content.decode()


def test_a_part_is_only_the_messages(reader: Client, ada: Account) -> None:
    for number in range(60):
        say(ada, BOB, f"line {number}", minutes(number))
    page = get(reader, peer=BOB)
    part = reader.get(href(page, "Older messages").replace("#end", "&part=1")).content.decode()
    assert bodies(part) == [f"line {number}" for number in range(10)]
    assert "<html" not in part
    assert "contact" not in part.partition("<section")[0]


def test_the_list_alone(reader: Client, ada: Account) -> None:
    say(ada, BOB, "hi", minutes(0))
    say(ada, "carol@localhost", "hi", minutes(1))
    answer = reader.get("/archive/contacts/", {"contact": "BOB", "peer": BOB})
    assert answer.status_code == 200
    page = answer.content.decode()
    assert "bob@localhost" in page
    assert "carol" not in page
    assert 'aria-current="true"' in page
    assert "<html" not in page


def test_a_transcript(reader: Client, ada: Account) -> None:
    RosterItem.objects.create(account=ada, jid=BOB, name="Bob")
    write(ada, BOB, "good nihgt", minutes(0), "", "a1")
    write(ada, BOB, "good night", minutes(1), "<replace xmlns='urn:xmpp:message-correct:0' id='a1'/>", "a2")
    for number in range(70):
        say(BOB, ada, f"line {number}", minutes(2 + number))
    page = get(reader, peer=BOB, print="1")
    assert len(bodies(page)) == 71
    assert "good nihgt" in page
    assert "Archive of ada@localhost" in page
    assert "there are older ones" not in page
    assert "Messages with" in get(reader, words="line", print="1")


def test_choosing_what_to_save(reader: Client, ada: Account) -> None:
    chosen = [say(ada, BOB, f"line {number}", minutes(number)) for number in range(5)]
    page = get(reader, peer=BOB)
    question = reader.get(href(page, "Save")).content.decode()
    assert "<dd>5</dd>" in re.sub(r"\s+", "", question)
    assert "the conversation with" in question
    page = get(reader, peer=BOB, select="1")
    assert page.count('name="pick"') == 5
    answer = reader.post("/archive/save/", {"peer": BOB, "pick": chosen[:2]})
    assert answer.status_code == 200
    question = answer.content.decode()
    assert "The 2 that you ticked" in question
    assert question.count('name="pick"') == 2
    page = get(reader, words="line")
    assert "5 with" in re.sub(r"\s+", " ", reader.get(href(page, "Save")).content.decode())


@pytest.mark.parametrize("format", ["pdf", "xml", "jsonl"])
def test_a_file_is_ordered(reader: Client, ada: Account, eve: Account, format: str) -> None:
    chosen = say(ada, BOB, "to keep", minutes(0))
    answer = reader.post("/archive/save/", {"peer": BOB, "pick": [chosen], "format": format})
    (job,) = Job.objects.all()
    assert answer.status_code == 302
    assert answer.headers["Location"] == job.get_absolute_url()
    assert job.owner == str(ada)
    assert job.parameters["format"] == format
    assert job.about in reader.get("/archive/saved/").content.decode()
    reader.force_login(eve)
    assert job.about not in reader.get("/archive/saved/").content.decode()


@pytest.mark.parametrize(
    ("given", "status", "words"),
    [
        ({"peer": BOB, "format": "exe"}, 400, "Choose one of the formats"),
        ({"peer": BOB, "pick": ["nonsense"], "format": "pdf"}, 400, "not known"),
        ({"peer": BOB, "pick": ["0123456789abcdef"] * 901, "format": "pdf"}, 400, "At most 900"),
        ({"room": "closed@conference.localhost", "format": "pdf"}, 400, "not open to you"),
        ({"peer": "@@", "format": "pdf"}, 400, "not an XMPP address"),
        ({"peer": BOB, "start": "2026-03-02", "end": "2026-03-01", "format": "pdf"}, 400, "ends before it begins"),
        ({"peer": BOB, "pick": ["0123456789abcdef"], "format": "pdf"}, 409, "no such message"),
    ],
)
def test_what_cannot_be_saved_is_explained(
    reader: Client, ada: Account, given: dict[str, object], status: int, words: str
) -> None:
    say(ada, BOB, "here", minutes(0))
    answer = reader.post("/archive/save/", given)
    assert answer.status_code == status
    assert words in answer.content.decode()
    assert not Job.objects.exists()


def test_a_page_costs_the_same_however_much_is_on_it(reader: Client, ada: Account, hall: Room) -> None:
    def fill(start: int, count: int) -> None:
        for number in range(start, start + count):
            own = upload(ada, f"{number}.png")
            write(BOB, ada, f"needle {number}", minutes(3 * number), oob(own), f"b{number}")
            write(
                ada,
                BOB,
                "",
                minutes(3 * number + 1),
                f"<reactions xmlns='urn:xmpp:reactions:0' id='b{number}'><reaction>x</reaction></reactions>",
                "",
            )
            say(ada, f"person{number}@localhost", "hi", minutes(3 * number + 2))
            speak(hall, BOB, "Bobby", f"needle {number}", minutes(3 * number + 2) + timedelta(seconds=1))

    def cost(**query: str) -> int:
        get(reader, **query)
        cache.clear()
        with CaptureQueriesContext(
            connection,
        ) as queries:
            get(reader, **query)
        return len(queries)

    asked = ({"peer": BOB}, {"words": "needle"}, {"room": str(hall)}, {"peer": BOB, "view": "files"}, {"contact": "p"})
    fill(0, 3)
    before = [cost(**query) for query in asked]
    fill(3, 40)
    assert [cost(**query) for query in asked] == before
    assert max(before) < 40


def test_a_room_that_was_destroyed_is_closed(reader: Client, ada: Account, hall: Room) -> None:
    id = speak(hall, str(ada), "Ada", "words of the hall", minutes(0))
    address = str(hall)
    assert bodies(get(reader, words="hall")) == ["words of the hall"]
    hall.delete()
    assert "hall" not in get(reader).partition('id="people-list"')[2].partition("</nav>")[0]
    assert bodies(get(reader, words="hall")) == []
    get(reader, 404, room=address)
    assert reader.get(f"/archive/m/{id}/").status_code == 404
    # One that is made at the address later is another one.
    made = Room.objects.create(service="conference.localhost", local="hall", config={"persistent": True})
    speak(made, str(ada), "Ada", "new words", minutes(1))
    assert bodies(get(reader, room=address)) == ["new words"]


@pytest.mark.parametrize("words", ["x" * 501, "x " * 300, "\U0001f600" * 600])
def test_too_many_words_are_explained(reader: Client, ada: Account, words: str) -> None:
    assert "at most 500 characters" in get(reader, 400, words=words)


@pytest.mark.parametrize(
    "words", ["*", '"', '""', "a" * 500, "* * *", "'; DROP", "NEAR(a b)", "owners:O1", "a AND b", "-a ^b"]
)
def test_words_are_never_a_language(reader: Client, ada: Account, eve: Account, words: str) -> None:
    say(eve, BOB, "a b owners o1 near drop and", minutes(0))
    answer = reader.get("/archive/", {"words": words})
    assert answer.status_code in (200, 400)
    assert bodies(answer.content.decode()) == []
