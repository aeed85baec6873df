# ruff: noqa: F811  (fixtures that are imported)
"""The archive page by requests: rooms, and messages that act on others."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client

from archive import ids
from archive.document import element_of
from archive.events import event_in
from archive.models import Event, Message
from archive.text import for_postgres, index_text
from mlink_web.accounts.models import Account
from mlink_web.conf.models import Domain
from mlink_web.groups import services as groups
from mlink_web.rooms.models import Room, RoomAffiliation
from tests.archive.test_pages import START, ada, bodies, get, href, minutes, reader, say  # noqa: F401
from xmpp_engine.xml.writer import escape

pytestmark = pytest.mark.django_db
BOB = "bob@localhost"
HALL = "hall@conference.localhost"


def act(id: str) -> str:
    """List the message as an event where it is one, as the ledger does."""
    message = Message.objects.get(id=ids.from_text(id))
    event = event_in(element_of(message.xml))
    if event is not None:
        Event.objects.create(id=message.pk, kind=event[0], named=event[1])
    return id


def write(sender: str | Account, recipient: str | Account, body: str, after: timedelta, inner: str, origin: str) -> str:
    """A message with an id of its own."""
    id = say(sender, recipient, body, after, inner)
    Message.objects.filter(id=ids.from_text(id)).update(origin_id=origin)
    return act(id)


def speak(room: Room, sender: str, nick: str, body: str, after: timedelta, inner: str = "", origin: str = "") -> str:
    """Archive a message of a room."""
    id = ids.first_at((START + after).timestamp())
    content = f"<body>{escape(body)}</body>{inner}" if body else inner
    source = f"{room}/{nick}" if nick else str(room)
    Message.objects.create(
        id=id,
        sender=sender,
        recipient=str(room),
        kind="groupchat",
        search=for_postgres(index_text(body)),
        origin_id=origin,
        xml=f"<message from='{source}' type='groupchat'>{content}</message>",
        room=room.pk,
    )
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO archive_slice (low, high, size) VALUES (%s, %s, 1)", [id, id])
    return act(ids.text_of(id))


@pytest.fixture
def hall(ada: Account) -> Room:
    """A room of which Ada is a member."""
    room = Room.objects.create(
        service="conference.localhost", local="hall", config={"persistent": True, "name": "Hall"}
    )
    RoomAffiliation.objects.create(room=room, jid=str(ada), affiliation="member")
    return room


def correct(id: str) -> str:
    return f"<replace xmlns='urn:xmpp:message-correct:0' id='{id}'/>"


def retract(id: str) -> str:
    return f"<retract xmlns='urn:xmpp:message-retract:1' id='{id}'/>"


def react(id: str, *texts: str) -> str:
    inner = "".join(f"<reaction>{text}</reaction>" for text in texts)
    return f"<reactions xmlns='urn:xmpp:reactions:0' id='{id}'>{inner}</reactions>"


def test_a_correction_is_shown_in_its_place_with_the_earlier_text(reader: Client, ada: Account) -> None:
    first = write(ada, BOB, "good nihgt", minutes(0), "", "a1")
    write(BOB, ada, "parting is such", minutes(1), "", "b1")
    write(ada, BOB, "good night", minutes(2), correct("a1"), "a2")
    page = get(reader, peer=BOB)
    assert bodies(page) == ["good night", "parting is such"]
    assert "edited" in page
    assert "good nihgt</span>" in page
    assert bodies(get(reader, words="nihgt")) == []
    page = get(reader, words="night")
    assert bodies(page) == ["good night"]
    page = get(
        reader, **dict(re.findall(r"(\w+)=([^&#]+)", href(page, "Show in the conversation").replace("%40", "@")))
    )
    assert f'id="m{first}" class="bubble own target"' in page


def test_somebody_else_does_not_correct(reader: Client, ada: Account) -> None:
    write(ada, BOB, "mine", minutes(0), "", "a1")
    write(BOB, ada, "not mine", minutes(1), correct("a1"), "b1")
    page = get(reader, peer=BOB)
    assert bodies(page) == ["mine", "not mine"]
    assert "edited" not in page


def test_a_retraction_is_a_line(reader: Client, ada: Account) -> None:
    write(ada, BOB, "secret one", minutes(0), "", "a1")
    write(BOB, ada, "secret two", minutes(1), react("a1", "x"), "b1")
    write(BOB, ada, "", minutes(2), retract("b1"), "b2")
    write(ada, BOB, "", minutes(3), retract("a1"), "a2")
    page = get(reader, peer=BOB)
    assert "secret" not in page
    assert "You retracted this message." in page
    assert "This message was retracted." in page
    assert bodies(get(reader, words="secret")) == []


def test_reactions_stand_under_their_message(reader: Client, ada: Account) -> None:
    write(ada, BOB, "we won", minutes(0), "", "a1")
    write(BOB, ada, "", minutes(1), react("a1", "🎉", "🥳"), "b1")
    write(BOB, ada, "", minutes(2), react("a1", "👍", "<b>"[0:0] + "🎉"), "b2")
    write(ada, BOB, "", minutes(3), react("a1", "🎉"), "a2")
    assert "<bdi>You</bdi>: <bdi>(🎉)</bdi>" in get(reader)
    page = get(reader, peer=BOB)
    assert bodies(page) == ["we won"]
    found = re.findall(r'<li title="([^"]*)"><span dir="auto">([^<]*)</span>( \d+)?', page)
    assert found == [(f"{BOB}, You", "🎉", " 2"), (BOB, "👍", "")]


def test_a_reply_quotes_what_it_answers(reader: Client, ada: Account) -> None:
    first = write(BOB, ada, "shall we meet?", minutes(0), "", "b1")
    fallback = (
        "<reply xmlns='urn:xmpp:reply:0' to='bob@localhost' id='b1'/>"
        "<fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:reply:0'><body start='0' end='17'/></fallback>"
    )
    write(ada, BOB, "> shall we meet?\nYes!", minutes(1), fallback, "a1")
    page = get(reader, peer=BOB)
    assert bodies(page) == ["shall we meet?", "Yes!"]
    quote = re.search(r"<blockquote.*?</blockquote>", page, re.S)
    assert quote
    assert f'href="#m{first}"' in quote.group()
    assert "shall we meet?" in quote.group()
    write(BOB, ada, "shall we dine?", minutes(2), correct("b1"), "b2")
    quote = re.search(r"<blockquote.*?</blockquote>", get(reader, peer=BOB), re.S)
    assert quote
    assert "shall we dine?" in quote.group()


def test_a_member_reads_the_room(reader: Client, ada: Account, hall: Room) -> None:
    speak(hall, BOB, "Bobby", "hello hall", minutes(0))
    speak(hall, str(ada), "Ada", "hello Bobby", minutes(1))
    page = get(reader)
    assert "Room</span> <bdi>Hall</bdi>" in page
    assert "<bdi>You</bdi>: <bdi>hello Bobby</bdi>" in page
    page = get(reader, room=HALL)
    assert bodies(page) == ["hello hall", "hello Bobby"]
    assert '<strong class="who" dir="auto">Bobby' in page
    assert page.count('class="bubble own"') == 1
    # Members do not see who is behind a nickname.
    assert BOB not in page
    hits = get(reader, words="hello")
    assert len(bodies(hits)) == 2
    assert "<strong><bdi>Bobby</bdi></strong>" in hits
    assert "<bdi>Hall</bdi></a>" in hits
    assert bodies(get(reader, words="bobby", room=HALL)) == [
        "hello <mark>Bobby</mark>".replace("<mark>", "").replace("</mark>", "")
    ]
    Room.objects.filter(pk=hall.pk).update(config={"persistent": True, "whois": "anyone"})
    assert f'title="{BOB}"' in get(reader, room=HALL)


def test_private_messages_of_a_room_are_a_conversation_of_their_own(
    reader: Client,
    ada: Account,
    hall: Room,
) -> None:
    speak(hall, BOB, "Bobby", "in public", minutes(0))
    say(ada, HALL, "in private", minutes(1), "<x xmlns='http://jabber.org/protocol/muc#user'/>")
    answer = say(HALL, ada, "also in private", minutes(2), "<x xmlns='http://jabber.org/protocol/muc#user'/>")
    message = Message.objects.get(id=ids.from_text(answer))
    Message.objects.filter(pk=message.pk).update(xml=message.xml.replace(f"from='{HALL}/r'", f"from='{HALL}/Bobby'"))
    assert bodies(get(reader, room=HALL)) == ["in public"]
    page = get(reader, peer=HALL)
    assert bodies(page) == ["in private", "also in private"]
    assert "Hall (private messages)" in page
    assert '<strong class="who" dir="auto"><bdi>Bobby</bdi>' in page
    assert "<bdi>Bobby</bdi></strong>" in get(reader, words="also")


@pytest.mark.parametrize(
    ("config", "affiliation", "spoke", "seen"),
    [
        ({}, "member", False, True),
        ({}, "none", True, True),
        ({}, "none", False, False),
        ({}, "outcast", True, False),
        ({"members_only": True}, "none", True, False),
        ({"members_only": True}, "member", False, True),
        ({"secret": "x"}, "none", True, False),
        ({"archive_access": "members"}, "none", True, False),
        ({"archive_access": "admins"}, "member", True, False),
        ({"archive_access": "admins"}, "admin", False, True),
        ({"archive_access": "nobody"}, "owner", True, False),
        ({"groups": [["trolls", "outcast"]]}, "none", True, False),
        ({"groups": [["others", "outcast"]]}, "none", True, True),
        ({"groups": [["trolls", "outcast"]]}, "member", True, True),
        ({"groups": [["crew", "member"]], "members_only": True}, "none", False, True),
        ({"groups": [["Crew", "admin"]], "archive_access": "admins"}, "none", False, True),
        ({"groups": [["crew", "member"]], "archive_access": "admins"}, "none", False, False),
        ({"groups": [["crew", "member"], ["trolls", "outcast"]]}, "none", False, False),
        ({"groups": [["others", "member"]], "members_only": True}, "none", True, False),
    ],
)
def test_which_rooms_a_person_may_read(
    reader: Client,
    ada: Account,
    config: dict[str, object],
    affiliation: str,
    spoke: bool,
    seen: bool,
) -> None:
    cache.clear()
    for group, members in (("trolls", [str(ada)]), ("crew", ["localhost"]), ("others", [BOB])):
        groups.add_members(groups.add_group(Domain.objects.get(), group), members)
    room = Room.objects.create(service="conference.localhost", local="cellar", config=config)
    RoomAffiliation.objects.create(room=room, jid=str(ada), affiliation=affiliation)
    speak(room, str(ada) if spoke else BOB, "Somebody", "words of the cellar", minutes(0))
    assert ("cellar" in get(reader)) is seen
    page = get(reader, 200 if seen else 404, room=str(room))
    assert ("words of the cellar" in page) is seen
    assert bool(bodies(get(reader, words="words"))) is seen
    id = ids.text_of(Message.objects.get().pk)
    assert ("words of the cellar" in get(reader, 200 if seen else 404, room=str(room), at=id)) is seen
    # Not through somebody's conversation either.
    get(reader, 404, peer=BOB, at=id)


def test_a_ban_of_the_whole_domain_and_the_services_defaults(reader: Client, ada: Account) -> None:
    room = Room.objects.create(service="conference.localhost", local="cellar", config={})
    speak(room, str(ada), "Ada", "words", minutes(0))
    get(reader, room=str(room))
    entry = RoomAffiliation.objects.create(room=room, jid="localhost", affiliation="outcast")
    get(reader, 404, room=str(room))
    entry.delete()
    options = {"muc": {"services": {"conference": {"defaults": {"archive_access": "owners"}}}}}
    Domain.objects.filter(name="localhost").update(modules=options)
    get(reader, 404, room=str(room))


def test_what_acts_on_messages_of_a_room(reader: Client, ada: Account, hall: Room) -> None:
    one = speak(hall, BOB, "Bobby", "spam spam", minutes(0), origin="b1")
    two = speak(hall, BOB, "Bobby", "lovely", minutes(1), origin="b2")
    speak(hall, str(ada), "Ada", "", minutes(2), react(two, "❤"))
    speak(hall, "carl@localhost", "Carl", "", minutes(3), retract(two))
    moderated = (
        f"<retract xmlns='urn:xmpp:message-retract:1' id='{one}'><moderated xmlns='urn:xmpp:message-moderate:1'/>"
        "<reason>no ads</reason></retract>"
    )
    speak(hall, HALL, "", "", minutes(4), moderated)
    page = get(reader, room=HALL)
    assert "spam" not in page
    assert "A moderator removed this message: no ads" in page
    assert "lovely" in bodies(page)
    assert '<li title="You"><span dir="auto">❤</span>' in page


def test_an_odd_room_address_is_refused(reader: Client) -> None:
    assert "This is not an XMPP address" in get(reader, 400, room="@@")
