"""Rooms with real clients: slixmpp does all that owners, moderators and members do; two others come by.

None of them is ours, so what they do not understand is our mistake.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from slixmpp import JID
from slixmpp.exceptions import IqError, PresenceError

from tests.clients.conftest import Login
from tests.clients.slix import STEP_SECONDS, Slix
from tests.clients.terminal import Profanity
from tests.clients.test_go_sendxmpp import arguments, listening
from tests.live import LiveNode, User
from tests.patience import in_time

NewUser = Callable[[], User]


@pytest.fixture
def room(live_node: LiveNode) -> JID:
    """An address where no room is yet."""
    return JID(f"room-{secrets.token_hex(4)}@conference.{live_node.domain}")


def muc(client: Slix) -> Any:
    """slixmpp's part for rooms."""
    return client.plugin["xep_0045"]


async def enter(client: Slix, room: JID, nick: str, **how: Any) -> Any:
    """Enter and wait for the subject, which comes last."""
    return await muc(client).join_muc_wait(room, nick, timeout=STEP_SECONDS, **how)


async def make(client: Slix, room: JID, **fields: Any) -> None:
    """Enter a new room as its owner and set some fields of its configuration."""
    await enter(client, room, "Owner")
    await configure(client, room, **fields)


async def configure(client: Slix, room: JID, **fields: Any) -> None:
    """Change fields of the configuration, by names without their prefix."""
    form = await muc(client).get_room_config(room)
    for name, value in fields.items():
        form.field[f"muc#roomconfig_{name}"]["value"] = value
    await muc(client).set_room_config(room, form)


async def presences(client: Slix, room: JID) -> list[Any]:
    """A list that grows with what the client sees of the room."""
    seen: list[Any] = []
    client.add_event_handler(f"muc::{room}::presence", seen.append)
    return seen


def codes(stanza: Any) -> set[int]:
    """The status codes."""
    return set(stanza["muc"]["status_codes"])


async def test_people_talk_in_a_room(login: Login, user: NewUser, room: JID) -> None:
    romeo, juliet = await login(user()), await login(user())
    mine = await enter(romeo, room, "Romeo")
    assert {110, 201} <= codes(mine[0])
    await configure(romeo, room, roomname="The Garden")
    theirs = await enter(juliet, room, "Juliet")
    assert 110 in codes(theirs[0])
    assert [presence["from"].resource for presence in theirs[2]] == ["Romeo", "Juliet"], "others first, oneself last"
    assert theirs[0]["muc"]["role"] == "participant"
    await romeo.until(lambda: "Juliet" in muc(romeo).get_roster(room), "Juliet inside")

    juliet.send_message(room, "Who is there?", mtype="groupchat")
    for client in (romeo, juliet):
        heard = await client.hears("Who is there?")
        assert heard["from"] == f"{room}/Juliet"
        assert heard["stanza_id"]["by"] == room
        assert heard["occupant-id"]["id"]
    juliet.send_message(f"{room}/Romeo", "Only for you", mtype="chat")
    assert (await romeo.hears("Only for you"))["from"] == f"{room}/Juliet"

    assert await muc(juliet).set_self_nick(room, "Giulietta", timeout=STEP_SECONDS) == "Giulietta"
    await romeo.until(lambda: "Giulietta" in muc(romeo).get_roster(room), "the new nickname")
    assert "Juliet" not in muc(romeo).get_roster(room)

    muc(juliet).leave_muc(room, "Giulietta", "Good night")
    await romeo.until(lambda: muc(romeo).get_roster(room) == ["Romeo"], "Juliet outside")


async def test_the_room_tells_what_it_is(login: Login, user: NewUser, room: JID, live_node: LiveNode) -> None:
    romeo, stranger = await login(user()), await login(user())
    await make(romeo, room, roomname="Garden", roomdesc="Below the balcony", persistentroom=True, publicroom=True)
    items = await stranger.plugin["xep_0030"].get_items(jid=f"conference.{live_node.domain}", iterator=False)
    assert any(jid == room and name.startswith("Garden") for jid, _node, name in items["disco_items"]["items"])
    info = (await stranger.plugin["xep_0030"].get_info(jid=room))["disco_info"]
    assert {"http://jabber.org/protocol/muc", "muc_persistent", "muc_public", "urn:xmpp:mam:2"} <= set(info["features"])
    assert {"urn:xmpp:occupant-id:0", "urn:xmpp:sid:0", "muc_semianonymous", "muc_unsecured"} <= set(info["features"])
    assert info["form"].get_values()["muc#roominfo_description"] == "Below the balcony"
    services = (await stranger.plugin["xep_0030"].get_items(jid=live_node.domain))["disco_items"]["items"]
    assert any(jid == f"conference.{live_node.domain}" for jid, _node, _name in services)


async def test_moderation(login: Login, user: NewUser, room: JID) -> None:
    names = [user(), user()]
    romeo, tybalt = [await login(name) for name in names]
    await make(romeo, room, moderatedroom=True)
    await enter(tybalt, room, "Tybalt")
    tybalt.send_message(room, "I may not speak", mtype="groupchat")
    await tybalt.until(lambda: any(m["error"]["condition"] == "forbidden" for m in tybalt.messages), "the refusal")

    seen = await presences(tybalt, room)
    muc(tybalt).request_voice(room, "participant")
    await romeo.until(lambda: any(m["form"]["fields"] for m in romeo.messages if m["from"] == room), "the request")
    await muc(romeo).set_role(room, "Tybalt", "participant")
    await tybalt.until(lambda: any(p["muc"]["role"] == "participant" for p in seen), "voice")
    tybalt.send_message(room, "Now I may", mtype="groupchat")
    await romeo.hears("Now I may")
    with pytest.raises(IqError) as refused:
        await muc(tybalt).set_role(room, "Owner", "none")
    assert refused.value.condition in ("forbidden", "not-allowed")

    await muc(romeo).set_role(room, "Tybalt", "none", reason="Rude")
    await tybalt.until(lambda: any(307 in codes(p) for p in seen), "the kick")
    await enter(tybalt, room, "Tybalt")
    await muc(romeo).set_affiliation(room, "outcast", jid=names[1].jid, reason="Very rude")
    await tybalt.until(lambda: any(301 in codes(p) for p in seen), "the ban")
    assert JID(names[1].jid) in [JID(jid) for jid in await muc(romeo).get_affiliation_list(room, "outcast")]
    with pytest.raises(PresenceError) as banned:
        await enter(tybalt, room, "Tybalt")
    assert banned.value.condition == "forbidden"


async def test_doors(login: Login, user: NewUser, room: JID) -> None:
    names = [user(), user()]
    romeo, juliet = [await login(name) for name in names]
    await make(romeo, room, membersonly=True)
    with pytest.raises(PresenceError) as refused:
        await enter(juliet, room, "Juliet")
    assert refused.value.condition == "registration-required"
    # slixmpp shows no invitation to a room that it believes to be in.
    muc(juliet).rooms[None].pop(room, None)
    muc(romeo).invite(room, names[1].jid, "Come in")
    await juliet.until(lambda: any(m["muc"]["invite"]["from"].bare == names[0].jid for m in juliet.messages), "invited")
    await enter(juliet, room, "Juliet")
    with pytest.raises(IqError):
        await muc(juliet).get_room_config(room)
    await muc(romeo).set_affiliation(room, "none", jid=names[1].jid)
    await romeo.until(lambda: muc(romeo).get_roster(room) == ["Owner"], "only members stay")

    await configure(romeo, room, membersonly=False, passwordprotectedroom=True, roomsecret="sesame")
    for password in (None, "wrong"):
        with pytest.raises(PresenceError) as locked:
            await enter(juliet, room, "Juliet", password=password)
        assert locked.value.condition == "not-authorized"
    await enter(juliet, room, "Juliet", password="sesame")
    with pytest.raises(PresenceError) as taken:
        await enter(await login(user()), room, "Juliet", password="sesame")
    assert taken.value.condition == "conflict"


async def test_history_subject_and_archive(login: Login, user: NewUser, room: JID) -> None:
    romeo, juliet = await login(user()), await login(user())
    await make(romeo, room, persistentroom=True)
    for number in range(5):
        romeo.send_message(room, f"line {number}", mtype="groupchat")
    muc(romeo).set_subject(room, "Stars")
    await romeo.until(lambda: any(m["subject"] == "Stars" for m in romeo.messages), "the subject")
    _own, subject, _others, history = await enter(juliet, room, "Juliet", maxstanzas=2)
    assert [message["body"] for message in history if message["body"]] == ["line 3", "line 4"]
    assert subject["subject"] == "Stars"
    # The archive is written in batches; the answer waits for them.
    found = [m async for m in juliet.plugin["xep_0313"].iterate(jid=room)]
    bodies = [m["mam_result"]["forwarded"]["stanza"]["body"] for m in found]
    assert [body for body in bodies if body] == [f"line {number}" for number in range(5)]


async def test_two_clients_of_a_person_share_a_nickname(login: Login, user: NewUser, room: JID) -> None:
    one = user()
    desk, phone, juliet = await login(one, "desk"), await login(one, "phone"), await login(user())
    await make(desk, room)
    await enter(juliet, room, "Juliet")
    seen = await presences(juliet, room)
    await enter(phone, room, "Owner")
    juliet.send_message(room, "To both of you", mtype="groupchat")
    await desk.hears("To both of you")
    await phone.hears("To both of you")
    muc(desk).leave_muc(room, "Owner")
    juliet.send_message(room, "To the one that stayed", mtype="groupchat")
    await phone.hears("To the one that stayed")
    assert not any(p["type"] == "unavailable" for p in seen), "one of two left, so nobody left"
    muc(phone).leave_muc(room, "Owner")
    await juliet.until(lambda: any(p["type"] == "unavailable" for p in seen), "the last one left")


async def test_self_ping_and_a_lost_connection(login: Login, user: NewUser, room: JID) -> None:
    romeo, juliet = await login(user()), await login(user())
    await make(romeo, room)
    await enter(juliet, room, "Juliet")
    await juliet.plugin["xep_0199"].ping(f"{room}/Juliet", timeout=STEP_SECONDS)
    muc(juliet).leave_muc(room, "Juliet")
    await romeo.until(lambda: muc(romeo).get_roster(room) == ["Owner"], "Juliet outside")
    ping = juliet.make_iq_get("urn:xmpp:ping", ito=f"{room}/Juliet")
    with pytest.raises(IqError) as outside:
        await ping.send()
    assert outside.value.condition == "not-acceptable"
    await enter(juliet, room, "Juliet")
    await juliet.go()
    await romeo.until(lambda: muc(romeo).get_roster(room) == ["Owner"], "Juliet gone")


async def test_the_end_of_a_room(login: Login, user: NewUser, room: JID, live_node: LiveNode) -> None:
    romeo, juliet = await login(user()), await login(user())
    await make(romeo, room)
    await enter(juliet, room, "Juliet")
    seen = await presences(juliet, room)
    await muc(romeo).destroy(room, "The end", JID(f"other@conference.{live_node.domain}"))
    await juliet.until(lambda: any(p["type"] == "unavailable" for p in seen), "the end")
    with pytest.raises(IqError) as gone:
        await juliet.plugin["xep_0030"].get_info(jid=room)
    assert gone.value.condition == "item-not-found"


@pytest.mark.skipif(shutil.which("go-sendxmpp") is None, reason="go-sendxmpp is not installed")
async def test_go_sendxmpp_speaks_and_listens(live_node: LiveNode, login: Login, user: NewUser, room: JID) -> None:
    romeo = await login(user())
    await make(romeo, room)
    process = await asyncio.create_subprocess_exec(
        *arguments(live_node, user(), "-c", "-a", "Gopher", str(room), direct_tls=True),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await in_time(process.communicate(b"From the command line"), STEP_SECONDS)
    assert (process.returncode, output) == (0, b"")
    assert (await romeo.hears("From the command line"))["from"] == f"{room}/Gopher"
    async with listening(live_node, user(), direct_tls=True, more=("-c", "-a", "Ear", str(room))) as heard:
        await romeo.until(lambda: "Ear" in muc(romeo).get_roster(room), "the listener inside")
        romeo.send_message(room, "Listen", mtype="groupchat")
        async with asyncio.timeout(STEP_SECONDS):
            while "Listen" not in (await heard.readline()).decode():
                pass


@pytest.fixture
def profanity() -> Iterator[Profanity]:
    """A running profanity."""
    client = Profanity()
    client.start()
    yield client
    client.stop()


@pytest.mark.skipif(
    shutil.which("profanity") is None or shutil.which("tmux") is None, reason="profanity or tmux is not installed"
)
async def test_profanity_makes_a_room(
    live_node: LiveNode, login: Login, user: NewUser, room: JID, profanity: Profanity
) -> None:
    one = user()
    juliet = await login(user())
    await profanity.sign_in(one.jid, one.password, live_node.c2s_port)
    profanity.type(f"/join {room} nick Terminal")
    await profanity.sees("Room locked")
    profanity.type("/room accept")
    await enter_when_open(juliet, room)
    await profanity.sees("Juliet")
    juliet.send_message(room, "Hello, terminal", mtype="groupchat")
    await profanity.sees("Hello, terminal")
    profanity.type("Hello, Juliet")
    assert (await juliet.hears("Hello, Juliet"))["from"] == f"{room}/Terminal"
    profanity.type("/subject set Terminals")
    await juliet.until(lambda: any(m["subject"] == "Terminals" for m in juliet.messages), "the subject")
    seen = await presences(juliet, room)
    profanity.type("/kick Juliet enough")
    await juliet.until(lambda: any(307 in codes(p) for p in seen), "the kick")


async def enter_when_open(client: Slix, room: JID) -> None:
    """Enter as soon as the owner has unlocked the room."""
    async with asyncio.timeout(STEP_SECONDS):
        while True:
            try:
                await enter(client, room, "Juliet")
                return
            except PresenceError as locked:
                if locked.condition != "item-not-found":
                    raise
                await asyncio.sleep(0.1)
