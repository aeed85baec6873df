"""The archive page by requests: what it shows, to whom, and what it makes of odd input."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test import Client
from django.utils.html import escape

from archive import ids
from archive.models import Message
from archive.text import for_postgres, index_text
from mlink_web.accounts import services
from mlink_web.accounts.models import Account
from mlink_web.conf.models import Domain
from mlink_web.stores.models import RosterItem
from xmpp_engine.xml.writer import escape as xml_escape

pytestmark = pytest.mark.django_db
START = datetime(2026, 3, 1, 23, 30, tzinfo=UTC)


@pytest.fixture
def ada() -> Account:
    """The reader."""
    Domain.objects.get_or_create(name="localhost")
    return services.create_account("ada@localhost", "correct horse")


@pytest.fixture
def eve(ada: Account) -> Account:
    """Somebody else of the domain."""
    return services.create_account("eve@localhost", "correct horse")


@pytest.fixture
def reader(client: Client, ada: Account) -> Client:
    """A browser in which Ada is signed in."""
    client.force_login(ada)
    return client


def say(sender: str | Account, recipient: str | Account, body: str, after: timedelta, inner: str = "") -> str:
    """Archive a message some time after START; returns its id as text."""
    one, other = (str(side) for side in (sender, recipient))
    id = ids.first_at((START + after).timestamp())
    content = f"<body>{xml_escape(body)}</body>{inner}" if body else inner
    Message.objects.create(
        id=id,
        sender=one,
        recipient=other,
        sender_account=sender.pk if isinstance(sender, Account) else None,
        recipient_account=recipient.pk if isinstance(recipient, Account) else None,
        kind="chat",
        search=for_postgres(index_text(body)),
        xml=f"<message from='{one}/r' type='chat' to='{other}'>{content}</message>",
    )
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO archive_slice (low, high, size) VALUES (%s, %s, 1)", [id, id])
    return ids.text_of(id)


def minutes(number: int) -> timedelta:
    return timedelta(minutes=number)


def get(reader: Client, status: int = 200, **query: str) -> str:
    response = reader.get("/archive/", query)
    assert response.status_code == status
    return response.content.decode()


def bodies(page: str) -> list[str]:
    """The messages shown, without marks."""
    found = re.findall(r'class="body" dir="auto">(.*?)</(?:span|p)>', page, re.S)
    return [re.sub(r"</?mark>", "", body) for body in found]


def href(page: str, words: str) -> str:
    """Where the link with this text leads."""
    match = re.search(rf'<a[^>]*href="([^"]*)"[^>]*>{words}', page)
    assert match, words
    return match.group(1).replace("&amp;", "&")


def test_only_who_is_signed_in_may_read(client: Client, ada: Account) -> None:
    response = client.get("/archive/?peer=bob@localhost")
    assert response.status_code == 302
    assert response.headers["Location"].startswith("/accounts/sign-in/")


def test_an_empty_archive(reader: Client) -> None:
    assert "Nothing is archived yet" in get(reader)


def test_contacts_are_listed_newest_first_and_found(reader: Client, ada: Account) -> None:
    RosterItem.objects.create(account=ada, jid="bob@localhost", name="Bob the Builder")
    say(ada, "bob@localhost", "old", minutes(0))
    say("carol@far.example", ada, "new & shiny", minutes(5))
    page = get(reader)
    assert page.index("carol@far.example") < page.index("Bob the Builder")
    assert "<bdi>You</bdi>: <bdi>old</bdi>" in page
    assert "new &amp; shiny" in page
    page = get(reader, contact="BUILD")
    assert "Bob the Builder" in page
    assert "carol@far.example" not in page
    assert "No contact has" in get(reader, contact="nobody")


def test_a_conversation_by_days_in_the_readers_zone(reader: Client, ada: Account) -> None:
    say(ada, "bob@localhost", "before midnight", minutes(0))
    say("bob@localhost", ada, "after midnight", minutes(60))
    page = get(reader, peer="bob@localhost")
    assert bodies(page) == ["before midnight", "after midnight"]
    assert "Sunday, 1 March 2026" in page
    assert "Monday, 2 March 2026" in page
    assert "23:30" in page
    reader.cookies["zone"] = "Europe/Berlin"
    page = get(reader, peer="bob@localhost")
    assert "Sunday, 1 March 2026" not in page
    assert "00:30" in page
    assert "time zone Europe/Berlin" in page


@pytest.mark.parametrize("zone", ["Nowhere/City", "../../etc/passwd", "x" * 500, "/etc/localtime"])
def test_an_odd_zone_is_utc(reader: Client, ada: Account, zone: str) -> None:
    say(ada, "bob@localhost", "x", minutes(0))
    reader.cookies["zone"] = zone
    assert "time zone UTC" in get(reader, peer="bob@localhost")


def test_paging_a_long_conversation_there_and_back(reader: Client, ada: Account) -> None:
    for number in range(120):
        say(ada, "bob@localhost", f"number {number}", minutes(number))
    page = get(reader, peer="bob@localhost")
    assert bodies(page) == [f"number {number}" for number in range(70, 120)]
    assert "Newer messages" not in page
    page = reader.get(href(page, "Older messages")).content.decode()
    assert bodies(page) == [f"number {number}" for number in range(20, 70)]
    first = reader.get(href(page, "Older messages")).content.decode()
    assert bodies(first) == [f"number {number}" for number in range(20)]
    assert "The beginning of the conversation" in first
    assert "Older messages" not in first
    page = reader.get(href(first, "Newer messages")).content.decode()
    assert bodies(page) == [f"number {number}" for number in range(20, 70)]


def test_a_search_marks_hits_and_leads_to_their_place(reader: Client, ada: Account) -> None:
    for number in range(80):
        say(ada, "bob@localhost", f"line {number}", minutes(number))
    hit = say("bob@localhost", ada, "the Façade is done", minutes(100))
    say("carol@far.example", ada, "another facade", minutes(101))
    page = get(reader, words="facade")
    assert bodies(page) == ["another facade", "the Façade is done"]
    assert "<mark>Façade</mark>" in page
    page = get(reader, words="facade", peer="bob@localhost")
    assert bodies(page) == ["the Façade is done"]
    link = href(page, "Show in the conversation")
    assert link.endswith(f"#m{hit}")
    page = reader.get(link).content.decode()
    assert bodies(page)[-1] == "the Façade is done"
    assert bodies(page)[-2] == "line 79"
    assert len(bodies(page)) == 26
    assert f'id="m{hit}" class="bubble target"' in page
    assert "<mark>Façade</mark>" in page
    assert bodies(reader.get(href(page, "Back to the results")).content.decode()) == ["the Façade is done"]


def test_a_time_range(reader: Client, ada: Account) -> None:
    say(ada, "bob@localhost", "first day", minutes(0))
    say(ada, "bob@localhost", "second day", minutes(60))
    say(ada, "bob@localhost", "third day", timedelta(days=2))
    assert bodies(get(reader, peer="bob@localhost", end="2026-03-01")) == ["first day"]
    assert bodies(get(reader, peer="bob@localhost", start="2026-03-02", end="2026-03-02")) == ["second day"]
    assert bodies(get(reader, words="day", start="2026-03-02")) == ["third day", "second day"]
    assert "in these days" in get(reader, peer="bob@localhost", start="2027-01-01")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"start": "yesterday"}, "Enter a date"),
        ({"start": "2026-03-02", "end": "2026-03-01"}, "ends before it begins"),
        ({"words": "!!!"}, "only letters and digits"),
        ({"peer": "@@"}, "not an XMPP address"),
    ],
)
def test_mistyped_searches_are_explained(reader: Client, query: dict[str, str], words: str) -> None:
    assert words in get(reader, 400, **query)


@pytest.mark.parametrize("place", ["", "x", "0" * 16, "ffffffffffffffff", "0123456789abcdef", "<script>"])
def test_odd_places_do_no_harm(reader: Client, ada: Account, place: str) -> None:
    say(ada, "bob@localhost", "here", minutes(0))
    for name in ("before", "after"):
        get(reader, peer="bob@localhost", **{name: place})
        get(reader, words="here", **{name: place})


def test_a_place_that_is_not_there(reader: Client, ada: Account) -> None:
    say(ada, "bob@localhost", "here", minutes(0))
    assert "no such message" in get(reader, 404, peer="bob@localhost", at="0123456789abcdef")


def test_nobody_reads_the_messages_of_another(reader: Client, ada: Account, eve: Account) -> None:
    secret = say(eve, "bob@localhost", "secret word", minutes(0))
    say(ada, "bob@localhost", "my own", minutes(1))
    assert "secret" not in get(reader, peer="bob@localhost")
    assert bodies(get(reader, words="secret")) == []
    assert "secret" not in get(reader, 404, peer="bob@localhost", at=secret)
    assert bodies(get(reader, peer="bob@localhost", after=secret)) == ["my own"]
    assert "secret" not in get(reader)


def test_both_sides_see_one_message(client: Client, ada: Account, eve: Account) -> None:
    say(ada, eve, "to eve", minutes(0))
    for account, peer, own in ((ada, eve, True), (eve, ada, False)):
        client.force_login(account)
        page = get(client, peer=str(peer))
        assert bodies(page) == ["to eve"]
        assert ("bubble own" in page) is own


def test_everything_is_escaped(reader: Client, ada: Account) -> None:
    evil = "<script>alert('x')</script>\" onmouseover=x & facade"
    RosterItem.objects.create(account=ada, jid="bob@localhost", name=evil)
    say("bob@localhost", ada, evil, minutes(0), f"<subject>{xml_escape(evil)}</subject>")
    for query in ({}, {"peer": "bob@localhost"}, {"words": "facade"}, {"words": evil}, {"contact": evil}):
        page = get(reader, **query)
        assert "<script>alert" not in page
        assert escape("<script>") in page


def test_addresses_in_messages_are_links_that_tell_nobody_where_they_stood(reader: Client, ada: Account) -> None:
    say("bob@localhost", ada, 'see https://example.org/plan?a=1&b="2" or javascript:alert(1)', minutes(0))
    answer = reader.get("/archive/", {"peer": "bob@localhost"})
    page = answer.content.decode()
    assert '<a href="https://example.org/plan?a=1&amp;b=' in page
    assert 'href="javascript' not in page
    assert answer.headers["Referrer-Policy"] == "same-origin"


def test_signals_are_not_shown_and_messages_without_text_are_named(reader: Client, ada: Account) -> None:
    say(ada, "bob@localhost", "", minutes(0), "<received xmlns='urn:xmpp:receipts' id='1'/>")
    say(ada, "bob@localhost", "", minutes(1), "<x xmlns='urn:something:else'/>")
    say(ada, "bob@localhost", "", minutes(2), "<broken")
    say(ada, "bob@localhost", "", minutes(3), "<x xmlns='jabber:x:conference' jid='r@muc.localhost'/>")
    page = get(reader, peer="bob@localhost")
    assert page.partition('id="stretch"')[2].count("An invitation to the room r@muc.localhost") == 1
    assert page.count("A message without text") == 1
    assert page.count("cannot be read any more") == 1
    assert page.count('class="bubble') - page.count('class="bubbles') == 3


def test_only_reading_is_possible(reader: Client) -> None:
    assert reader.post("/archive/").status_code == 405
    assert reader.head("/archive/").status_code == 200
    assert "no-store" in reader.get("/archive/").headers["Cache-Control"]
