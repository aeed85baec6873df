"""Officers' pages by requests: searching, narrowing, walking back, looking around, saved searches, hostile input."""

from __future__ import annotations

import pytest
from django.db import DatabaseError
from django.test import Client

from archive.events import CORRECTION, REACTION, RETRACTION
from archive.oversight import search, trail
from archive.oversight.models import SavedSearch, Search
from mlink_web.accounts.models import Account
from mlink_web.audit import log
from tests.archive.oversight.kit import audited, bodies, href, officer, origin, person, say

pytestmark = pytest.mark.django_db
HALL = "hall@conference.localhost"


@pytest.fixture
def ada() -> Account:
    """Somebody who writes."""
    return person("ada@localhost")


@pytest.fixture
def bob(ada: Account) -> Account:
    """Somebody to whom she does."""
    return person("bob@localhost")


@pytest.fixture
def console(client: Client, ada: Account) -> Client:
    """A browser in which an administrator is signed in."""
    client.force_login(person("boss@localhost", is_staff=True, is_superuser=True))
    return client


def ask(console: Client, status: int = 200, **fields: object) -> str:
    """Send the form and follow it to the page."""
    response = console.post("/admin/archive/", fields, follow=True)
    assert response.status_code == status
    return response.content.decode()


def get(console: Client, path: str, status: int = 200) -> str:
    response = console.get(path)
    assert response.status_code == status
    assert status == 404 or "no-store" in response.headers["Cache-Control"]
    return response.content.decode()


def test_only_officers_may_search(client: Client, ada: Account) -> None:
    say(ada, "far@b.example", "secret")
    paths = ("/admin/archive/", "/admin/archive/saved/", "/admin/archive/requests/", "/admin/archive/officers/")
    for path in paths:
        assert client.get(path).headers["Location"].startswith("/accounts/sign-in/")
    client.force_login(ada)
    for path in paths:
        assert client.get(path).status_code == 403
    assert client.post("/admin/archive/", {"words": "secret"}).status_code == 403
    assert audited("archive refused")


def test_search_refine_and_walk_back(console: Client, ada: Account, bob: Account) -> None:
    say(ada, bob, "the red house", 0)
    say(ada, bob, "the red car", 1)
    say(bob, ada, "a red house again", 2)
    say(ada, HALL, "red houses in the hall", 3, room=7, nick="Ada L.")
    page = ask(console, words="red")
    assert bodies(page) == ["red houses in the hall", "a red house again", "the red car", "the red house"]
    assert "4 messages" in page
    assert "<mark>red</mark>" in page
    assert "Ada L." in page
    assert "ada@localhost" in page
    token = page.partition("/admin/archive/s/")[2].partition("/")[0]
    page = ask(console, words="house*", within=token)
    assert bodies(page) == ["red houses in the hall", "a red house again", "the red house"]
    assert "<mark>red</mark>" in page
    assert "<mark>house</mark>" in page
    inner = href(page, "Change").partition("change=")[2]
    page = ask(console, people="bob@localhost", kinds=["chat"], within=inner)
    assert bodies(page) == ["a red house again", "the red house"]
    assert page.count('aria-current="step"') == 1
    # Back to the first and the second step, as links.
    assert bodies(get(console, href(page, "house*"))) == [
        "red houses in the hall",
        "a red house again",
        "the red house",
    ]
    assert len(bodies(get(console, href(page, "red")))) == 4
    # The last step is changed, and those before it stay.
    assert 'value="bob@localhost"' in get(console, href(page, "Change"))
    page = get(console, f"/admin/archive/?change={inner}")
    assert 'value="house*"' in page
    before = page.partition('name="within" value="')[2].partition('"')[0]
    assert bodies(ask(console, words="car", within=before)) == ["the red car"]
    told = [entry.target for entry in audited("archive search")]
    assert told[:3] == ["red", "red › house*", "red › house* › by or to bob@localhost, chat"]


def test_changing_a_search_keeps_what_was_asked(console: Client, ada: Account, bob: Account) -> None:
    page = ask(
        console,
        words='one "two three" -four begin*',
        people="bob@localhost ada@localhost",
        together="on",
        start="2026-01-01",
        end="2026-02-01",
        attachment="no",
        domains="localhost",
        rooms=HALL,
    )
    assert "Nothing was found" in page
    page = get(console, href(page, "Change"))
    for value in (
        'value="one &quot;two three&quot; begin* -four"',
        'value="bob@localhost ada@localhost"',
        'value="2026-01-01"',
        'value="2026-02-01"',
        'value="localhost"',
        f'value="{HALL}"',
        'value="no" selected',
        "checked",
    ):
        assert value in page


def test_pages_of_hits_go_both_ways(console: Client, ada: Account, bob: Account) -> None:
    for number in range(120):
        say(ada, bob, f"word {number}", number)
    page = ask(console, words="word")
    assert bodies(page) == [f"word {number}" for number in range(119, 69, -1)]
    assert "120 messages" in page
    page = get(console, href(page, "Older results"))
    assert bodies(page)[0] == "word 69"
    page = get(console, href(page, "Older results"))
    assert bodies(page) == [f"word {number}" for number in range(19, -1, -1)]
    assert "Older results" not in page
    page = get(console, href(page, "Newer results"))
    assert bodies(page)[-1] == "word 20"
    assert [entry.target for entry in audited("archive search")] == ["word"] * 4


def test_links_from_elsewhere_open_an_archive(console: Client, ada: Account, bob: Account) -> None:
    say(ada, bob, "hello")
    say("x@b.example", bob, "not hers")
    assert bodies(console.get("/admin/archive/?people=ada@localhost", follow=True).content.decode()) == ["hello"]
    account = get(console, f"/admin/users/{ada.pk}/")
    assert bodies(console.get(href(account, "Archive of ada@localhost"), follow=True).content.decode()) == ["hello"]


def test_a_record_with_all_that_belongs_to_it(console: Client, ada: Account, bob: Account) -> None:
    first = say(ada, bob, "helo", 0, inner="<x xmlns='jabber:x:oob'><url>https://files.example/cat.png</url></x>")
    say(ada, bob, "hello", 1, inner="<replace xmlns='urn:xmpp:message-correct:0'/>", act=(CORRECTION, origin(first)))
    reaction = "<reactions xmlns='urn:xmpp:reactions:0'><reaction>+1</reaction></reactions>"
    say(bob, ada, "", 2, inner=reaction, act=(REACTION, origin(first)))
    page = ask(console, people="ada@localhost", attachment="yes")
    assert bodies(page) == ["helo"]
    assert "cat.png" in page
    assert "corrected" in page
    page = get(console, href(page, "Record"))
    assert bodies(page) == ["helo", "hello"]
    assert "Reaction: +1" in page
    assert "The archive of the sender" in page
    assert origin(first) in page
    assert "&lt;body&gt;helo&lt;/body&gt;" in page
    entry = audited("archive record viewed")[0]
    assert (entry.who, entry.target) == ("boss@localhost", first)


def test_a_retracted_message_shows_what_is_left(console: Client, ada: Account, bob: Account) -> None:
    first = say(ada, bob, "secret", 0)
    inner = f"<retract xmlns='urn:xmpp:message-retract:1' id='{origin(first)}'/>"
    say(ada, bob, "", 1, inner=inner, act=(RETRACTION, origin(first)))
    assert bodies(ask(console, words="secret")) == []
    page = ask(console, people="ada@localhost bob@localhost", together="on")
    assert "This message was removed" in page
    assert "Retracts a message" in page
    assert "secret" not in get(console, f"/admin/archive/r/{first}/")


def test_looking_around_a_record(console: Client, ada: Account, bob: Account) -> None:
    middle = say(ada, bob, "middle", 0)
    say(bob, ada, "soon after", 2)
    say(ada, bob, "much later", 600)
    say(ada, "x@b.example", "to somebody else", 3)
    say("y@b.example", bob, "from somebody else", 4)
    say(bob, HALL, "in a room", 5, room=7)
    base = f"/admin/archive/r/{middle}/around/"
    assert bodies(get(console, base)) == ["middle", "soon after"]
    assert bodies(get(console, f"{base}?minutes=1440")) == ["middle", "soon after", "much later"]
    assert bodies(get(console, f"{base}?what=sender")) == ["middle", "soon after", "to somebody else"]
    found = ["middle", "soon after", "from somebody else", "in a room"]
    assert bodies(get(console, f"{base}?what=recipient")) == found
    page = get(console, f"{base}?what=all")
    assert len(bodies(page)) == 5
    assert page.count("<rect") == 96
    assert "5 messages from" in page
    get(console, f"{base}?what=nonsense", 404)
    get(console, f"{base}?minutes=99999999999999999999")
    room = say(ada, HALL, "another in the room", 6, room=7)
    assert bodies(get(console, f"/admin/archive/r/{room}/around/")) == ["in a room", "another in the room"]
    assert audited("archive looked around")[0].target == middle


def test_looking_around_goes_on(console: Client, ada: Account, bob: Account) -> None:
    keys = [say(ada, bob, f"m{number}", number / 10) for number in range(100)]
    page = get(console, f"/admin/archive/r/{keys[50]}/around/")
    assert bodies(page) == [f"m{number}" for number in range(25, 76)]
    page = get(console, f"/admin/archive/r/{keys[50]}/around/" + href(page, "Earlier"))
    assert bodies(page)[0] == "m0"
    assert "Earlier" not in page
    page = get(console, f"/admin/archive/r/{keys[50]}/around/" + href(page, "Later"))
    assert "m50" in bodies(page)


def test_saved_searches(console: Client, client: Client, ada: Account, bob: Account) -> None:
    say(ada, bob, "red")
    token = trail.keep(search.Criteria(people=("ada@localhost",)))
    console.post(f"/admin/archive/s/{token}/save", {"name": "Ada's", "shared": "on"})
    row = SavedSearch.objects.get()
    assert (row.name, row.shared) == ("Ada's", True)
    assert "Ada&#x27;s" in get(console, "/admin/archive/")
    assert "by or to ada@localhost" in get(console, "/admin/archive/saved/")
    Search.objects.all().delete()
    assert bodies(console.get(f"/admin/archive/saved/{row.pk}/", follow=True).content.decode()) == ["red"]
    console.post(f"/admin/archive/s/{token}/save", {"name": "mine"})
    mine = SavedSearch.objects.get(name="mine")
    client.force_login(officer("eve@localhost", "search"))
    assert "Ada&#x27;s" in get(client, "/admin/archive/saved/")
    get(client, f"/admin/archive/saved/{mine.pk}/", 404)
    assert client.post(f"/admin/archive/saved/{row.pk}/remove").status_code == 404
    client.force_login(Account.objects.get(username="boss@localhost"))
    client.post(f"/admin/archive/saved/{row.pk}/remove")
    assert not SavedSearch.objects.filter(pk=row.pk).exists()
    assert [entry.target for entry in audited("archive search saved")] == ["Ada's", "mine"]


def test_nothing_is_shown_while_the_audit_log_takes_nothing(
    console: Client, ada: Account, bob: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = say(ada, bob, "secret")
    token = trail.keep(search.Criteria())

    def broken(*_arguments: object, **_given: object) -> None:
        raise log.NotWritten("the disk is full")

    monkeypatch.setattr(log, "append", broken)
    for path in (f"s/{token}/", f"r/{key}/", f"r/{key}/around/"):
        page = get(console, f"/admin/archive/{path}", 503)
        assert "secret" not in page
        assert "audit log cannot be written" in page
    console.post(f"/admin/archive/s/{token}/save", {"name": "x"})
    assert not SavedSearch.objects.exists()


def test_hostile_texts_are_only_texts(console: Client, ada: Account, bob: Account) -> None:
    evil = "<script>alert(1)</script> word \u202egnp.exe"
    say(ada, bob, evil, inner="<subject>\u202e&lt;b&gt;</subject>")
    say(ada, HALL, "word", 1, room=7, nick="\u202e<i>nick")
    page = ask(console, words="word")
    assert "<script>alert" not in page
    assert "&lt;script&gt;" in page
    # A text's direction ends with its element; a name's marks are made visible.
    assert "<bdi>&lt;script&gt;" in page
    assert "\ufffd&lt;i&gt;nick" in page
    assert "\u202e" not in get(console, href(page, "Record")).partition("<pre")[2]


def test_absurd_searches_are_refused_with_a_sentence(console: Client, ada: Account) -> None:
    assert "1000" in ask(console, 400, words="x" * 1_000_000)
    assert "At most 16 words" in ask(console, 400, words=" ".join(f"w{n}" for n in range(400))[:1_000])
    assert "letters and digits" in ask(console, 400, words="!!! ???")
    assert "is no XMPP address" in ask(console, 400, people="a@@b")
    assert "At most 20" in ask(console, 400, people=" ".join(f"p{n}@b.example" for n in range(30)))
    assert "ends before it begins" in ask(console, 400, start="2026-02-01", end="2026-01-01")
    assert "Enter a date" in ask(console, 400, start="yesterday")
    assert "is an address" in ask(console, 400, domains="a@b.example")
    assert "Nothing was found" in ask(console, start="0001-01-01", end="0001-01-02")
    assert "Nothing was found" in ask(console, start="9999-12-30", end="9999-12-31")
    assert console.post("/admin/archive/", {"words": "a\x00b"}).status_code == 400
    assert "two letters" in ask(console, 400, words="a*")
    get(console, "/admin/archive/s/nonsense/", 404)
    get(console, "/admin/archive/?within=%00", 404)
    get(console, "/admin/archive/officers/?change=%00", 200)
    assert console.post("/admin/archive/officers/remove", {"account": "\x00"}).status_code == 302
    get(console, "/admin/archive/r/ffffffffffffffff/", 404)
    get(console, "/admin/archive/r/0000000000000001/", 404)


def test_a_search_is_narrowed_so_often_and_no_more(console: Client, ada: Account) -> None:
    token = trail.keep(search.Criteria())
    for number in range(9):
        page = ask(console, words=f"w{number}", within=token)
        token = href(page, "Change").partition("change=")[2]
    assert "at most 9 times" in ask(console, 400, words="w10", within=token)


def test_a_search_that_is_too_slow_says_so(console: Client, ada: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*_arguments: object, **_given: object) -> None:
        raise search.TooSlow

    monkeypatch.setattr(search, "page", slow)
    assert "takes too long" in ask(console, 503, words="word")


def test_the_menu_survives_a_database_that_is_away(
    console: Client, ada: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    from archive.oversight import access

    def away(_user: object) -> None:
        raise DatabaseError

    monkeypatch.setattr(access, "rights_of", away)
    assert "Console" in console.get("/").content.decode()
