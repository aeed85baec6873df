"""The pages of rooms by requests. No node runs here: they show what the database holds and refuse every change.
test_browser_rooms.py has a running node."""

from __future__ import annotations

import json
import logging
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.test import Client

from mlink_web.accounts import services as accounts
from mlink_web.accounts.models import Account
from mlink_web.conf.models import Domain
from mlink_web.console import commands
from mlink_web.console.config_form import ConfigForm
from mlink_web.rooms.models import Room, RoomAffiliation
from mlink_web.rooms.rows import list_query

pytestmark = pytest.mark.django_db
ROOM = "hall@conference.localhost"
PAGE = f"/admin/rooms/room/{ROOM}/"


@pytest.fixture(autouse=True)
def _no_node(settings, tmp_path: Path) -> None:
    settings.MLINK_HOME = tmp_path


@pytest.fixture
def admin() -> Account:
    """An administrator."""
    Domain.objects.get_or_create(name="localhost")
    return accounts.create_account("admin@localhost", None, is_staff=True, is_superuser=True)


@pytest.fixture
def console(client: Client, admin: Account) -> Client:
    """A browser in which the administrator is signed in."""
    client.force_login(admin)
    return client


@pytest.fixture
def room() -> Room:
    """A stored room."""
    made = Room.objects.create(
        service="conference.localhost",
        local="hall",
        config={"name": "The <Hall>", "public": False, "secret": "sesame"},
        subject="Dinner",
        last_activity=1_700_000_000.0,
    )
    for jid, kind in (("ada@localhost", "owner"), ("evil.example", "outcast"), ("left@localhost", "none")):
        RoomAffiliation.objects.create(room=made, jid=jid, affiliation=kind, version=1)
    return made


def text(response) -> str:
    """The page as text."""
    return response.content.decode()


@pytest.mark.parametrize("path", ["/admin/rooms/", "/admin/rooms/add/", "/admin/rooms/idle/", PAGE, f"{PAGE}config/"])
def test_only_administrators_see_rooms(client: Client, admin: Account, room: Room, path: str) -> None:
    assert client.get(path).status_code == 302
    client.force_login(accounts.create_account("ada@localhost", None))
    assert client.get(path).status_code == 403


@pytest.mark.parametrize("path", ["subject", "affiliation", "kick", "approve", "clear/", "destroy/", "config/"])
def test_only_administrators_change_rooms(client: Client, admin: Account, room: Room, path: str) -> None:
    client.force_login(accounts.create_account("ada@localhost", None))
    assert client.post(f"{PAGE}{path}", {"name": ROOM}).status_code == 403
    assert Room.objects.count() == 1


def test_without_a_node_the_database_is_shown(console: Client, room: Room) -> None:
    shown = text(console.get("/admin/rooms/"))
    assert "No node is running" in shown
    assert "hall<wbr>@conference.localhost" in shown
    assert "The &lt;Hall&gt;" in shown
    shown = text(console.get(PAGE))
    assert "Dinner" in shown
    assert "evil.example" in shown
    assert "left@localhost" not in shown
    assert "sesame" not in shown
    assert "No room matches" in text(console.get("/admin/rooms/?q=cellar"))
    assert console.get("/admin/rooms/room/none@conference.localhost/").status_code == 404


def test_without_a_node_nothing_is_changed(console: Client, room: Room, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "mlink.audit")
    page = console.post(f"{PAGE}subject", {"subject": "Lunch"}, follow=True)
    assert "No node is running" in text(page)
    answer = console.post(f"{PAGE}kick", {"nick": "x"}, headers={"accept": "application/json"})
    assert answer.status_code == 503
    assert "No node" in answer.json()["error"]
    page = console.post(f"{PAGE}destroy/", {"name": ROOM})
    assert page.status_code == 400
    assert console.post(f"{PAGE}clear/").status_code == 302
    assert console.post(f"{PAGE}config/", {}).status_code == 503
    console.post("/admin/rooms/idle/", {"days": "1", "room": ROOM})
    room.refresh_from_db()
    assert room.subject == "Dinner"
    lines = [record.getMessage() for record in caplog.records if record.name == "mlink.audit"]
    assert sum("failed" in line for line in lines) == len(lines) >= 4


def test_destroying_needs_the_address(console: Client, room: Room) -> None:
    page = console.post(f"{PAGE}destroy/", {"name": "hall"})
    assert page.status_code == 400
    assert "not the address of the room" in text(page)


def test_the_idle_report(console: Client, room: Room) -> None:
    assert "hall<wbr>@conference.localhost" in text(console.get("/admin/rooms/idle/?days=30"))
    assert "No room has been idle" in text(console.get("/admin/rooms/idle/?days=30000"))
    assert console.get("/admin/rooms/idle/?days=0").status_code == 400
    assert console.get("/admin/rooms/idle/?days=x").status_code == 400


def test_marked_idle_rooms_are_removed_in_requests_of_a_bounded_size(
    console: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "mlink.audit")
    marked = [f"{'r' * 900}{index}@conference.localhost" for index in range(20)]
    asked: list[dict[str, str]] = []

    def ask(command: str, seconds: float = 1.0, **arguments: str) -> object:
        if command == "room page":
            return {"services": ["conference.localhost"], "total": 0, "waiting": 0, "rooms": []}
        asked.append(arguments)
        return [{"room": room, "removed": room != marked[0]} for room in arguments["only"].split()]

    monkeypatch.setattr(commands, "ask", ask)
    page = console.post("/admin/rooms/idle/", {"days": "90", "service": "", "room": marked}, follow=True)
    assert sorted(room for arguments in asked for room in arguments["only"].split()) == sorted(marked)
    assert all(len(arguments["only"]) <= 10_000 and arguments["remove"] == "yes" for arguments in asked)
    assert all(arguments["days"] == "90" for arguments in asked)
    assert "19 rooms are removed" in text(page)
    (line,) = [record.getMessage() for record in caplog.records if record.name == "mlink.audit"]
    assert 'did="removed idle rooms"' in line
    assert marked[0] not in line
    page = console.post("/admin/rooms/idle/", {"days": "90", "service": ""}, follow=True)
    assert "No room was marked" in text(page)


def ctl(*words: str) -> object:
    """What the terminal's command prints, as JSON."""
    out, err = StringIO(), StringIO()
    call_command("xmppctl", "--json", *words, stdout=out, stderr=err)
    return json.loads(out.getvalue())


def test_the_terminal_reads_rooms_of_a_stopped_node(room: Room) -> None:
    rows = ctl("room", "list", "conference.localhost", "--search", "HALL")
    assert rows == [
        {
            "room": ROOM,
            "name": "The <Hall>",
            "occupants": 0,
            "affiliated": 1,
            "persistent": True,
            "public": False,
            "waits": None,
            "last_activity": "2023-11-14T22:13:20Z",
        }
    ]
    assert ctl("room", "list", "other.localhost") == []
    shown = ctl("room", "show", ROOM)
    assert (shown["subject"], shown["password"]) == ("Dinner", True)  # type: ignore[index]
    assert ctl("room", "of", "ada@localhost") == [{"room": ROOM, "affiliation": "owner", "nick": ""}]
    assert ctl("room", "occupants", ROOM) == []
    kinds = [row["affiliation"] for row in ctl("room", "affiliations", ROOM)]  # type: ignore[attr-defined]
    assert kinds == ["owner", "outcast"]
    assert [row["room"] for row in ctl("room", "idle", "--days", "30")] == [ROOM]  # type: ignore[attr-defined]
    assert ctl("room", "idle", "--days", "30", "--exclude", ROOM) == []


@pytest.mark.parametrize(
    "words",
    [
        ("room", "destroy", ROOM),
        ("room", "idle", "--days", "30", "--remove", "yes"),
        ("room", "show", "none@conference.localhost"),
        ("room", "config", ROOM),
    ],
)
def test_the_terminal_changes_nothing_of_a_stopped_node(room: Room, words: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit):
        call_command("xmppctl", *words, stdout=StringIO(), stderr=StringIO())
    assert Room.objects.count() == 1


def test_deleting_an_account_takes_its_affiliations(admin: Account, room: Room) -> None:
    accounts.create_account("ada@localhost", None)
    accounts.remove(accounts.find("ada@localhost"))
    entry = RoomAffiliation.objects.get(jid="ada@localhost")
    assert (entry.affiliation, entry.version) == ("none", 1)
    room.refresh_from_db()
    assert room.affiliation_version == 1


FIELDS = [
    {"field": "muc#roomconfig_roomname", "label": "Name", "type": "text-single", "values": ["Hall"]},
    {"field": "muc#roomconfig_membersonly", "label": "Members", "type": "boolean", "values": ["1"]},
    {
        "field": "muc#roomconfig_maxusers",
        "label": "Most",
        "type": "list-single",
        "values": ["7"],
        "options": [["none", "No limit"]],
    },
    {
        "field": "muc#roomconfig_presencebroadcast",
        "label": "Shown",
        "type": "list-multi",
        "values": ["moderator"],
        "options": [["moderator", ""], ["visitor", "Visitors"]],
    },
    {"field": "muc#roomconfig_roomowners", "label": "Owners", "type": "jid-multi", "values": ["a@x", "b@x"]},
    {"field": "muc#roomconfig_roomsecret", "label": "Password", "type": "text-private", "values": ["sesame"]},
    {"field": "x", "label": "Nobody fills this in", "type": "fixed", "values": ["text"]},
]
DESCRIBED = [{"options": [], "help": "", "open": False, **row} for row in FIELDS]
#: What a browser sends of the untouched form; `initial-` are the values when the page was made.
UNTOUCHED = {
    "roomconfig_roomname": "Hall",
    "initial-roomconfig_roomname": "Hall",
    "roomconfig_membersonly": "on",
    "initial-roomconfig_membersonly": "True",
    "roomconfig_maxusers": "7",
    "initial-roomconfig_maxusers": "7",
    "roomconfig_presencebroadcast": ["moderator"],
    "initial-roomconfig_presencebroadcast": ["moderator"],
    "roomconfig_roomowners": "a@x\r\nb@x",
    "initial-roomconfig_roomowners": "a@x\r\nb@x",
    "roomconfig_roomsecret": "sesame",
}


def submitted(rf, **changes: object) -> dict[str, list[str]]:
    """What a changed form asks of the node."""
    form = ConfigForm(DESCRIBED, rf.post("/", {**UNTOUCHED, **changes}).POST)
    assert form.is_valid(), form.errors
    return json.loads(form.submission())


def test_the_form_sends_only_what_was_changed(rf) -> None:
    assert submitted(rf) == {}
    assert submitted(rf, roomconfig_roomname="New") == {"muc#roomconfig_roomname": ["New"]}
    assert submitted(rf, roomconfig_maxusers="none") == {"muc#roomconfig_maxusers": ["none"]}
    assert submitted(rf, roomconfig_roomowners=" c@x \r\n\r\n") == {"muc#roomconfig_roomowners": ["c@x"]}
    assert submitted(rf, roomconfig_presencebroadcast=[]) == {"muc#roomconfig_presencebroadcast": []}
    assert submitted(rf, roomconfig_roomsecret="") == {"muc#roomconfig_roomsecret": [""]}
    # Somebody else renamed the room while the page was open: that name is left alone.
    renamed = {"roomconfig_roomname": "Old", "initial-roomconfig_roomname": "Old"}
    assert submitted(rf, **renamed) == {}


def test_a_refusal_stands_at_its_field() -> None:
    form = ConfigForm(DESCRIBED, {})
    form.is_valid()
    form.refuse("Name: at most 255 characters fit")
    form.refuse("a room needs an owner")
    assert form.errors["roomconfig_roomname"] == ["At most 255 characters fit"]
    assert form.non_field_errors() == ["a room needs an owner"]


@pytest.mark.parametrize(
    ("given", "page"), [({}, 1), ({"page": "3"}, 3), ({"page": "0"}, 1), ({"page": "x"}, 1), ({"page": "9" * 20}, 1)]
)
def test_a_query_that_makes_no_sense_counts_as_none(given: dict[str, str], page: int) -> None:
    assert list_query({**given, "sort": "'; --"}).page == page
    assert list_query({"sort": "age"}).sort == "room"


async def test_the_node_is_asked_with_a_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    async def forever(*_words: object, **_arguments: object) -> None:
        import asyncio

        await asyncio.sleep(60)

    monkeypatch.setattr(commands.EngineClient, "call", forever)
    with pytest.raises(commands.NodeUnavailable, match="did not answer"):
        await commands.aask("room list", 0.05)


def test_the_rooms_of_a_person_stand_on_his_page(console: Client, room: Room) -> None:
    ada = accounts.create_account("ada@localhost", None)
    page = f"/admin/users/{ada.pk}/"
    other = Room.objects.create(service="conference.localhost", local="attic & co")
    RoomAffiliation.objects.create(room=other, jid="ada@localhost", affiliation="outcast", version=1)
    shown = text(console.get(page))
    assert f'<a href="{PAGE}">{ROOM}</a>' in shown
    assert "owner" in shown
    assert "attic &amp; co@conference.localhost" in shown
    assert "banned" in shown
    assert shown.index(ROOM) < shown.index("attic"), "owned ones first"
    RoomAffiliation.objects.filter(jid="ada@localhost").update(affiliation="none")
    assert "no part in a stored room" in text(console.get(page))
    RoomAffiliation.objects.filter(jid="ada@localhost", room=room).update(nick="Lovelace")
    assert "Lovelace" in text(console.get(page))


def test_the_card_of_rooms_is_bounded(console: Client) -> None:
    ada = accounts.create_account("ada@localhost", None)
    rooms = [Room.objects.create(service="conference.localhost", local=f"r{number:03}") for number in range(103)]
    RoomAffiliation.objects.bulk_create(
        RoomAffiliation(room=one, jid="ada@localhost", affiliation="member") for one in rooms
    )
    shown = text(console.get(f"/admin/users/{ada.pk}/"))
    assert "These are 100 of 103 rooms." in shown
    assert "r099@" in shown
    assert "r100@" not in shown
