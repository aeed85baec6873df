"""The console's pages of rooms in a browser on a running node: rooms are found, changed and ended while people are in
them."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from tests.browser import Visits
from tests.live import LiveNode, PlainClient, User

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]
MUC = "http://jabber.org/protocol/muc"


@contextmanager
def inside(node: LiveNode, user: User, room: str, nick: str) -> Iterator[PlainClient]:
    """A client that is in a room meanwhile."""
    client = PlainClient(node, user, "desk")
    try:
        client.say(f"<presence to='{room}/{nick}'><x xmlns='{MUC}'/></presence>", b"<subject")
        yield client
    finally:
        client.socket.close()


def new_room(node: LiveNode, owner: User, name: str = "") -> str:
    """A persistent room made by the terminal's command, with a name that no other test uses."""
    room = f"room-{secrets.token_hex(4)}@conference.{node.domain}"
    node.ctl("room", "create", room, owner.jid, "--options", f"roomname={name or 'A room'}")
    return room


def path(room: str) -> str:
    """Where a room's page is."""
    return f"/admin/rooms/room/{quote(room, safe='@')}/"


@pytest.fixture(scope="module")
def owner(live_node: LiveNode) -> User:
    """Somebody who owns the rooms of these tests."""
    return live_node.add_user("owner")


def test_a_room_is_added_found_and_opened(live_node: LiveNode, visit: Visits, owner: User) -> None:
    page = visit(live_node.admin, "/admin/")
    page.get_by_role("navigation", name="Console").get_by_role("link", name="Rooms").click()
    page.get_by_role("link", name="Add a room").click()
    local = f"library-{secrets.token_hex(3)}"
    page.get_by_label("Address").fill(local)
    page.get_by_label("Name").fill("The Reading Room")
    page.get_by_label("Owner").fill(owner.jid)
    page.get_by_label("Only members may enter").check()
    page.get_by_role("button", name="Add the room").click()
    expect(page.locator(".note.success")).to_contain_text(f"{local}@conference.{live_node.domain}")
    expect(page.get_by_role("heading", name="The Reading Room")).to_be_visible()
    expect(page.locator(".tag", has_text="members only")).to_be_visible()
    expect(page.locator(".affiliations tbody th")).to_have_text([owner.jid])
    page.get_by_role("link", name="All rooms").click()
    page.get_by_label("Address or name contains").fill("reading")
    page.get_by_label("Sort by").select_option("activity")
    page.get_by_role("button", name="Search").click()
    expect(page.locator("tr[data-room]")).to_have_count(1)
    page.get_by_role("link", name=local).click()
    expect(page).to_have_url(live_node.url + path(f"{local}@conference.{live_node.domain}"))
    # The same address again is refused with a sentence.
    page.goto(live_node.url + "/admin/rooms/add/")
    page.get_by_label("Address").fill(local)
    page.get_by_label("Owner").fill(owner.jid)
    visit.expected.append("400")
    page.get_by_role("button", name="Add the room").click()
    expect(page.locator(".note.bad")).to_contain_text("exists")


def test_the_list_counts_people_live(live_node: LiveNode, visit: Visits, owner: User) -> None:
    room = new_room(live_node, owner)
    page = visit(live_node.admin, f"/admin/rooms/?q={room.partition('@')[0]}")
    expect(page.locator("#live")).to_have_text("live")
    count = page.locator(f'tr[data-room="{room}"] [data-figure=occupants]')
    expect(count).to_have_text("0")
    with inside(live_node, owner, room, "Olga"):
        expect(count).to_have_text("1")
    expect(count).to_have_text("0")


def test_people_come_are_seen_and_are_kicked(live_node: LiveNode, visit: Visits, owner: User) -> None:
    guest = live_node.add_user("guest")
    room = new_room(live_node, owner)
    page = visit(live_node.admin, path(room))
    expect(page.locator("#live")).to_have_text("live")
    expect(page.get_by_text("Nobody is in the room.")).to_be_visible()
    with inside(live_node, owner, room, "Olga"), inside(live_node, guest, room, "Gus") as gus:
        row = page.locator('tr[data-nick="Gus"]')
        expect(row).to_contain_text(guest.jid)
        expect(row).to_contain_text("participant")
        expect(page.locator('tr[data-nick="Olga"]')).to_contain_text("moderator")
        expect(page.locator("#count")).to_have_text("2 occupants")
        gus.seen = b""
        row.get_by_role("button", name="Kick").click()
        gus.read(b"code='307'")
        expect(row).to_have_count(0)
        expect(page.locator("#count")).to_have_text("1 occupant")
    expect(page.get_by_text("Nobody is in the room.")).to_be_visible()
    assert page.url.endswith(path(room)), "the page was not left"


def test_kicking_works_without_scripts(live_node: LiveNode, visit: Visits, owner: User) -> None:
    room = new_room(live_node, owner)
    with inside(live_node, owner, room, "Olga") as olga:
        page = visit(live_node.admin, path(room), java_script_enabled=False)
        olga.seen = b""
        page.locator('tr[data-nick="Olga"]').get_by_role("button", name="Kick").click()
        expect(page.locator(".note.success")).to_have_text("Olga is put out of the room.")
        olga.read(b"code='307'")


def test_the_configuration_is_changed_by_the_owners_form(live_node: LiveNode, visit: Visits, owner: User) -> None:
    room = new_room(live_node, owner)
    page = visit(live_node.admin, path(room))
    with inside(live_node, owner, room, "Olga") as olga:
        page.get_by_role("link", name="Configure").click()
        page.get_by_label("Name", exact=True).fill("Another <name>")
        page.get_by_label("Visitors need voice to speak").check()
        page.get_by_role("group", name="Whose presence is shown").get_by_label("Visitors").uncheck()
        olga.seen = b""
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("heading", name="Another <name>")).to_be_visible()
        expect(page.locator(".facts .tag").filter(has_text="moderated")).to_be_visible()
        olga.read(b"code='104'")
    shown = {row["field"]: row["values"] for row in live_node.ctl_json("room", "config", room)}
    assert shown["muc#roomconfig_roomname"] == ["Another <name>"]
    assert shown["muc#roomconfig_moderatedroom"] == ["1"]
    assert shown["muc#roomconfig_presencebroadcast"] == ["moderator", "participant"]
    assert shown["muc#roomconfig_persistentroom"] == ["1"]
    page.get_by_role("link", name="Configure").click()
    page.get_by_label("Messages of history sent to who enters").fill("many")
    visit.expected.append("400")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".field .error")).to_have_text("A number is expected")
    expect(page.get_by_label("Messages of history sent to who enters")).to_have_value("many")


def test_subject_and_affiliations_are_changed(live_node: LiveNode, visit: Visits, owner: User) -> None:
    room = new_room(live_node, owner)
    guest = live_node.add_user("guest")
    page = visit(live_node.admin, path(room))
    with inside(live_node, guest, room, "Gus") as gus:
        gus.seen = b""
        page.get_by_role("textbox", name="Subject").fill("Tea & cake")
        page.get_by_role("button", name="Set the subject").click()
        expect(page.locator(".note.success")).to_contain_text("subject")
        gus.read(b"Tea &amp; cake</subject>")
        page.get_by_label("Address or domain").fill(guest.jid)
        page.get_by_label("Affiliation", exact=True).select_option("admin")
        page.get_by_role("button", name="Set the affiliation").click()
        expect(page.locator('tr[data-nick="Gus"]')).to_contain_text("moderator")
        gus.seen = b""
        page.get_by_label(f"Affiliation of {guest.jid}", exact=True).select_option("outcast")
        page.get_by_role("button", name=f"Change the affiliation of {guest.jid}").click()
        gus.read(b"code='301'")
    # The last owner cannot go, and the page says so.
    page.get_by_label(f"Affiliation of {owner.jid}", exact=True).select_option("none")
    page.get_by_role("button", name=f"Change the affiliation of {owner.jid}").click()
    expect(page.locator(".note.error")).to_contain_text("owner")
    kinds = {row["jid"]: row["affiliation"] for row in live_node.ctl_json("room", "affiliations", room)}
    assert kinds == {owner.jid: "owner", guest.jid: "outcast"}


def test_a_room_is_destroyed_after_a_question(live_node: LiveNode, visit: Visits, owner: User) -> None:
    room, other = new_room(live_node, owner), new_room(live_node, owner)
    page = visit(live_node.admin, path(room))
    with inside(live_node, owner, room, "Olga") as olga:
        page.get_by_role("link", name="Destroy this room").click()
        visit.expected.append("400|404")
        page.get_by_label("to confirm").fill("something else")
        page.get_by_role("button", name="Destroy for good").click()
        expect(page.locator(".field .error")).to_be_visible()
        page.get_by_label("to confirm").fill(room)
        page.get_by_label("Reason").fill("We move")
        page.get_by_label("Room to go to instead").fill(other)
        olga.seen = b""
        page.get_by_role("button", name="Destroy for good").click()
        expect(page.locator(".note.success")).to_have_text(f"{room} is destroyed.")
        olga.read(b"We move")
        assert other.encode() in olga.seen
    page.goto(live_node.url + path(room))
    expect(page.locator(".note.bad")).to_have_text("There is no such room.")


def test_history_is_cleared_after_a_question(live_node: LiveNode, visit: Visits, owner: User) -> None:
    room = new_room(live_node, owner)
    with inside(live_node, owner, room, "Olga") as olga:
        olga.say(f"<message to='{room}' type='groupchat' id='m'><body>to be forgotten</body></message>", b"forgotten")
        page = visit(live_node.admin, path(room))
        page.get_by_role("link", name="Clear the history").click()
        page.get_by_role("button", name="Delete the messages").click()
        expect(page.locator(".note.success")).to_contain_text("deleted")
    with inside(live_node, live_node.add_user("late"), room, "Late") as late:
        assert b"to be forgotten" not in late.seen


def test_idle_rooms_are_reported_and_nothing_else(live_node: LiveNode, visit: Visits, owner: User) -> None:
    room = new_room(live_node, owner)
    page = visit(live_node.admin, "/admin/rooms/")
    page.get_by_role("link", name="Idle rooms").click()
    page.get_by_label("Days without activity").fill("1")
    page.get_by_role("button", name="Show the report").click()
    expect(page.get_by_text("No room has been idle for 1 day.")).to_be_visible()
    assert any(row["room"] == room for row in live_node.ctl_json("room", "list"))


@pytest.mark.parametrize("where", ["", "add/", "idle/?days=1", "room", "config", "destroy", "clear"])
def test_pages_fit_a_small_phone(live_node: LiveNode, visit: Visits, owner: User, where: str) -> None:
    room = new_room(live_node, owner, "A room with a rather long name that nobody would type on a telephone")
    below = {"room": "", "config": "config/", "destroy": "destroy/", "clear": "clear/"}
    target = path(room) + below[where] if where in below else f"/admin/rooms/{where}"
    page = visit(live_node.admin, target, viewport={"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.locator("h1").count() == 1


def test_others_get_neither_pages_nor_the_live_list(live_node: LiveNode, visit: Visits, owner: User) -> None:
    room = new_room(live_node, owner)
    visit.expected.append("403")
    page = visit(owner, "/")
    for where in ("/admin/rooms/", path(room), path(room) + "config/"):
        answer = page.goto(live_node.url + where)
        assert answer is not None
        assert answer.status == 403
