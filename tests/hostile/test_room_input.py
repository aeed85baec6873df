"""One bad stanza at a time to a room: the right error (XEP-0045), one line in the log, and the room as it was."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from xml.etree.ElementTree import Element
from xml.sax.saxutils import quoteattr

import pytest
import pytest_asyncio

from tests.durability.reader import CLIENT, name
from tests.hostile.chatter import worked
from tests.hostile.guests import (
    MUC,
    OWNER,
    SERVICE,
    USER,
    Guest,
    codes,
    field,
    form,
    hosting,
    in_step,
    items,
    occupants,
)
from tests.hostile.test_streams import bound, ending
from tests.live import LiveNode, User

pytestmark = [pytest.mark.net, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]
ROOM = f"parlour@{SERVICE}"
STANZA_ID, OCCUPANT_ID, DELAY = "urn:xmpp:sid:0", "urn:xmpp:occupant-id:0", "urn:xmpp:delay"

Logged = Callable[[], list[str]]


class Parlour:
    """A room with its owner, a guest inside and a stranger outside."""

    def __init__(self, owner: Guest, guest: Guest, stranger: Guest) -> None:
        self.owner, self.guest, self.stranger = owner, guest, stranger

    async def quiet(self) -> None:
        """Everything sent so far is dealt with, and forgotten."""
        for _ in range(2):
            for one in (self.owner, self.guest, self.stranger):
                await one.here()
        for one in (self.owner, self.guest, self.stranger):
            one.forget()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def parlour(node: LiveNode) -> AsyncIterator[Parlour]:
    """The room of these tests."""
    people = [
        await Guest.arrive(node, User(f"user{number}@localhost", "patience"), who)
        for number, who in ((2, "owner"), (3, "guest"), (4, "stranger"))
    ]
    made = Parlour(*people)
    await hosting(made.owner, ROOM)
    assert await made.guest.enter(ROOM, "guest") == ""
    yield made
    inside = await in_step(node, ROOM, people)
    assert inside == {"owner": [made.owner.jid], "guest": [made.guest.jid]}
    for one in people:
        await one.leave()


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def as_it_was(node: LiveNode, parlour: Parlour) -> AsyncIterator[None]:
    """Whatever came, the same two are inside and can talk."""
    await parlour.quiet()
    yield
    parlour.guest.send(f"<message type='groupchat' id='still' to='{ROOM}'><body>still here</body></message>")
    await parlour.owner.answer("still")
    await parlour.guest.here()
    assert parlour.owner.views[ROOM] == parlour.guest.views[ROOM] == {"owner", "guest"}
    assert ROOM not in parlour.stranger.views


def spaces(element: Element) -> set[str]:
    """The namespaces of an element's children."""
    return {child.tag[1:].partition("}")[0] for child in element}


def about(lines: list[str], who: str) -> list[str]:
    """The lines of the log about refusals to somebody."""
    return [line for line in lines if who in line and "mlink.refused" in line]


# Forged stanzas


@pytest.mark.parametrize("sender", [ROOM, f"{ROOM}/owner", SERVICE, "user2@localhost/owner"])
async def test_who_speaks_as_the_room_is_cut_off(
    node: LiveNode, users: list[User], parlour: Parlour, logged: Logged, sender: str
) -> None:
    forger = await bound(node, users[5], "forger")
    forger.send(f"<message from='{sender}' to='user3@localhost/guest' type='groupchat'><body>x</body></message>")
    assert await ending(forger) == "invalid-from"
    assert len(about(logged(), users[5].jid)) == 1
    await parlour.guest.here()
    assert not [e for e in parlour.guest.heard if e.findtext(name(CLIENT, "body")) == "x"]


FORGED = (
    f"<x xmlns='{USER}'><status code='110'/><status code='307'/><item affiliation='owner' role='moderator'/></x>"
    f"<stanza-id xmlns='{STANZA_ID}' id='forged' by='{ROOM}'/>"
    f"<occupant-id xmlns='{OCCUPANT_ID}' id='forged'/>"
    f"<delay xmlns='{DELAY}' from='{ROOM}' stamp='2001-01-01T00:00:00Z'/>"
    f"<delay xmlns='{DELAY}' from='PARLOUR@Conference.LocalHost' stamp='2001-01-01T00:00:00Z'/>"
    f"<delay xmlns='{DELAY}' stamp='2001-01-01T00:00:00Z'/>"
)


@pytest.mark.parametrize("to", [ROOM, f"{ROOM}/owner"], ids=["groupchat", "private"])
async def test_what_only_the_room_says_is_taken_out_of_messages(parlour: Parlour, to: str) -> None:
    type = "groupchat" if to == ROOM else "chat"
    parlour.guest.send(f"<message type='{type}' id='forged' to='{to}'><body>mine</body>{FORGED}</message>")
    came = await parlour.owner.answer("forged")
    assert came.get("from") == f"{ROOM}/guest"
    assert not codes(came)
    assert came.find(f".//{name(USER, 'item')}") is None
    assert DELAY not in spaces(came)
    ids = [
        child.get("id")
        for child in came
        if child.tag in (name(STANZA_ID, "stanza-id"), name(OCCUPANT_ID, "occupant-id"))
    ]
    assert "forged" not in ids
    assert len([child for child in came if child.tag == name(OCCUPANT_ID, "occupant-id")]) == 1


async def test_what_only_the_room_says_is_taken_out_of_presence(parlour: Parlour) -> None:
    hats = "<hats xmlns='urn:xmpp:hats:0'><hat uri='urn:example:king' title='King'/></hats>"
    parlour.guest.send(f"<presence to='{ROOM}/guest'><status>forged</status>{FORGED}{hats}</presence>")
    came = await parlour.owner.until(lambda e: e.findtext(name(CLIENT, "status")) == "forged")
    assert not codes(came)
    assert [item.get("affiliation") for item in came.iter(name(USER, "item"))] == ["none"]
    assert not {DELAY, STANZA_ID, "urn:xmpp:hats:0"} & spaces(came)
    (occupant,) = [child for child in came if child.tag == name(OCCUPANT_ID, "occupant-id")]
    assert occupant.get("id") != "forged"


async def test_answers_that_nobody_asked_for(parlour: Parlour) -> None:
    error = "<error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
    for sender in (parlour.guest, parlour.stranger):
        for to in (ROOM, f"{ROOM}/owner"):
            sender.send(f"<iq type='result' id='unasked' to='{to}'><query xmlns='jabber:iq:version'/></iq>")
            sender.send(f"<iq type='error' id='unasked' to='{to}'>{error}</iq>")
    # Who is outside can neither take anybody out nor write by an error.
    parlour.stranger.send(f"<presence type='error' id='unasked' to='{ROOM}/guest'>{error}</presence>")
    parlour.stranger.send(f"<presence type='error' id='unasked' to='{ROOM}'>{error}</presence>")
    parlour.stranger.send(f"<message type='error' id='unasked' to='{ROOM}/owner'><body>boo</body>{error}</message>")
    parlour.stranger.send(f"<message type='error' id='unasked' to='{ROOM}'><body>boo</body>{error}</message>")
    for one in (parlour.guest, parlour.stranger, parlour.owner):
        await one.here()
        assert not [e for e in one.heard if e.get("id") == "unasked"]


async def test_requests_of_strangers(parlour: Parlour, logged: Logged) -> None:
    stranger = parlour.stranger
    query = "<query xmlns='jabber:iq:version'/>"
    assert await stranger.ask("iq", f"type='get' to='{ROOM}/owner'", query) == "not-acceptable"
    assert await stranger.ask("message", f"type='groupchat' to='{ROOM}'", "<body>x</body>") == "not-acceptable"
    assert await stranger.ask("message", f"type='chat' to='{ROOM}/owner'", "<body>x</body>") == "not-acceptable"
    assert await stranger.ask("iq", f"type='get' to='{ROOM}'", f"<query xmlns='{OWNER}'/>") == "forbidden"
    assert await stranger.set(ROOM, f"<query xmlns='{OWNER}'><destroy/></query>") == "forbidden"
    assert await stranger.set(ROOM, items("nick='guest' role='none'")) == "forbidden"
    assert await stranger.set(ROOM, items("jid='user4@localhost' affiliation='owner'")) == "forbidden"
    assert len(about(logged(), "user4@localhost")) == 2  # one for each condition


# Nicknames and texts

NICKNAMES = {
    "": "jid-malformed",
    " ": "not-acceptable",
    "\u00a0\u3000": "not-acceptable",
    "x" * 300: "not-acceptable",
    "x" * 1024: "jid-malformed",
    "\u202eresu": "jid-malformed",
    "a\u2066b": "jid-malformed",
    "\u200b": "jid-malformed",
    "ow\u200bner": "jid-malformed",
    "ow\u00adner": "jid-malformed",
    "\ue000": "jid-malformed",
    "\ufdd0": "jid-malformed",
    "a\u0085b": "jid-malformed",
    "tab\tbed": "jid-malformed",
    "owner": "conflict",
    "\uff4fwner": None,
}


async def test_nicknames_that_are_none(parlour: Parlour, logged: Logged) -> None:
    wrong = {}
    for nick, condition in NICKNAMES.items():
        to = quoteattr(f"{ROOM}/{nick}").replace("\t", "&#9;")
        found = await parlour.stranger.ask("presence", f"to={to}", f"<x xmlns='{MUC}'/>")
        if found == "":
            parlour.stranger.send(f"<presence type='unavailable' to='{ROOM}/x'/>")
        if condition is not None and found != condition:
            wrong[ascii(nick[:20])] = (condition, found)
        changed = await parlour.guest.ask("presence", f"to={to}")
        if changed == "":
            parlour.guest.send(f"<presence to='{ROOM}/guest'/>")
        # Presence to the bare JID is a change of presence only.
        if condition is not None and nick and changed != condition:
            wrong["change " + ascii(nick[:20])] = (condition, changed)
    assert not wrong


async def test_texts_that_are_too_long(parlour: Parlour) -> None:
    long = "x" * 100_000
    owner = parlour.owner
    reasoned = items("nick='guest' role='none'").replace("/></query>", f"><reason>{long}</reason></item></query>")
    assert await owner.set(ROOM, reasoned) == "not-acceptable"
    assert await owner.set(ROOM, f"<query xmlns='{OWNER}'><destroy><reason>{long}</reason></destroy></query>") == (
        "not-acceptable"
    )
    assert await owner.set(ROOM, f"<query xmlns='{OWNER}'><destroy jid='@@'/></query>") == "jid-malformed"
    assert await owner.ask("message", f"type='groupchat' to='{ROOM}'", f"<subject>{long}</subject>") == (
        "policy-violation"
    )
    invite = f"<x xmlns='{USER}'><invite to='user5@localhost'><reason>{long}</reason></invite></x>"
    assert await owner.ask("message", f"to='{ROOM}'", invite) == "not-acceptable"
    assert await parlour.guest.ask("presence", f"to='{ROOM}/guest'", f"<status>{long}</status>") == "policy-violation"
    assert (
        await parlour.stranger.ask("presence", f"to='{ROOM}/new'", f"<x xmlns='{MUC}'/><status>{long}</status>")
        == "policy-violation"
    )


SILLY = ["-1", "99999999999999999999", "1e3", "١٢", "", "0x10", "1.5", "NaN"]


async def test_silly_wishes_for_history(parlour: Parlour) -> None:
    for number in range(5):
        await parlour.guest.ask("message", f"type='groupchat' to='{ROOM}'", f"<body>line {number}</body>")
    for attribute in ("maxstanzas", "maxchars", "seconds", "since"):
        for value in [*SILLY, "0000-00-00T00:00:00Z", "9999-99-99", "١٩٧٠-01-01T00:00:00Z"]:
            parlour.stranger.forget()
            assert await parlour.stranger.enter(ROOM, "stranger", f"<history {attribute}='{value}'/>") == ""
            await parlour.stranger.until(lambda e: e.find(name(CLIENT, "subject")) is not None)
            told = [e for e in parlour.stranger.heard if (e.findtext(name(CLIENT, "body")) or "").startswith("line")]
            assert len(told) >= 5, (attribute, value)
            parlour.stranger.send(f"<presence type='unavailable' to='{ROOM}/stranger'/>")
            await parlour.stranger.here()


# Forms and lists

FORMS = {
    "another form": (form(field("roomname", "x"), kind=f"{MUC}#register"), "bad-request"),
    "no form": (f"<query xmlns='{OWNER}'/>", "bad-request"),
    "no type": (form().replace(" type='submit'", ""), "bad-request"),
    "a form to fill in": (form().replace("'submit'", "'form'"), "bad-request"),
    "twice": (form(field("roomname", "a") + field("roomname", "b")), "bad-request"),
    "no name": (form("<field><value>1</value></field>"), "bad-request"),
    "boolean": (form(field("moderatedroom", "maybe")), "not-acceptable"),
    "two values": (form(field("moderatedroom", "1", "0")), "not-acceptable"),
    "not offered": (form(field("whois", "everybody")), "not-acceptable"),
    "not offered in a list": (form(field("presencebroadcast", "king")), "not-acceptable"),
    "negative": (form(field("maxusers", "-5")), "not-acceptable"),
    "other digits": (form(field("maxusers", "١٢")), "not-acceptable"),
    "superscript": (form(field("maxusers", "²")), "not-acceptable"),
    "very many digits": (form(field("maxusers", "9" * 100_000)), "not-acceptable"),
    "too many": (form(field("maxusers", "99999999")), "not-acceptable"),
    "long name": (form(field("roomname", "x" * 100_000)), "not-acceptable"),
    "long text": (form(field("roomdesc", "x" * 100_000)), "not-acceptable"),
    "long secret": (form(field("roomsecret", "x" * 100_000)), "not-acceptable"),
    "protected by nothing": (form(field("passwordprotectedroom", "1")), "not-acceptable"),
    "no address": (form(field("roomowners", "@@")), "not-acceptable"),
    "many addresses": (form(field("roomadmins", *(f"a{n}@b" for n in range(5_000)))), "not-acceptable"),
    "no owners": (form(field("roomowners")), "conflict"),
    "half wrong": (form(field("roomname", "x") + field("whois", "nobody knows")), "not-acceptable"),
}


@pytest.mark.parametrize("case", FORMS)
async def test_forms_that_do_not_fit(parlour: Parlour, logged: Logged, case: str) -> None:
    payload, condition = FORMS[case]
    assert await parlour.owner.set(ROOM, payload) == condition
    assert len(about(logged(), "user2@localhost")) <= 1
    answer = await parlour.owner.ask("iq", f"type='get' to='{ROOM}'", f"<query xmlns='{OWNER}'/>")
    assert answer == ""
    shown = next(e for e in reversed(parlour.owner.heard) if e.find(name(OWNER, "query")) is not None)
    values = {
        f.get("var"): [v.text for v in f.iter(name("jabber:x:data", "value"))]
        for f in shown.iter(name("jabber:x:data", "field"))
    }
    assert values["muc#roomconfig_roomname"] in ([], [None], [""])
    assert values["muc#roomconfig_roomowners"] == ["user2@localhost"]


async def test_ten_thousand_fields(node: LiveNode, parlour: Parlour) -> None:
    began = worked(node)
    fields = "".join(f"<field var='{n}'/>" for n in range(10_000))
    # Fields that the room does not have are left alone; that there are many of them costs nobody anything.
    assert await parlour.owner.set(ROOM, form(fields)) == ""
    assert worked(node) - began < 2


LISTS = {
    "nothing": (items(), "bad-request"),
    "ten thousand": (items(*["jid='a'"] * 10_000), "resource-constraint"),
    "no such affiliation": (items("jid='a@b' affiliation='king'"), "bad-request"),
    "no such role": (items("nick='guest' role='king'"), "bad-request"),
    "both": (items("nick='guest' role='none' affiliation='none'"), "bad-request"),
    "neither": (items("nick='guest'"), "bad-request"),
    "nobody": (items("nick='nobody' role='none'"), "item-not-found"),
    "no one": (items("role='none'"), "bad-request"),
    "no address": (items("jid='@@' affiliation='member'"), "jid-malformed"),
    "the room": (items(f"jid='{ROOM}' affiliation='member'"), "not-allowed"),
    "twice": (items("jid='a@b' affiliation='member'", "jid='a@b' affiliation='outcast'"), "bad-request"),
    "herself": (items("jid='user2@localhost' affiliation='outcast'"), "conflict"),
    "the last owner": (items("jid='user2@localhost' affiliation='none'"), "conflict"),
    "the last owner by nickname": (items("nick='owner' affiliation='admin'"), "conflict"),
    "half wrong": (items("nick='guest' role='none'", "nick='nobody' role='none'"), "item-not-found"),
}


@pytest.mark.parametrize("case", LISTS)
async def test_lists_that_do_not_fit(parlour: Parlour, logged: Logged, case: str) -> None:
    payload, condition = LISTS[case]
    assert await parlour.owner.set(ROOM, payload) == condition
    assert len(about(logged(), "user2@localhost")) <= 1


async def test_owners_who_remove_each_other(node: LiveNode, parlour: Parlour) -> None:
    room = f"crown@{SERVICE}"
    one, other = parlour.guest, parlour.stranger
    for _ in range(5):
        await hosting(one, room)
        assert await other.enter(room, "other") == ""
        assert await one.set(room, items("jid='user4@localhost' affiliation='owner'")) == ""
        answers = await asyncio.gather(
            one.set(room, items("jid='user4@localhost' affiliation='none'")),
            other.set(room, items("jid='user3@localhost' affiliation='none'")),
        )
        # Whoever was first rules; the other is no owner any more.
        assert sorted(answers) == ["", "forbidden"], answers
        lists = await asyncio.to_thread(node.ctl_json, "room", "affiliations", room)
        assert [row["affiliation"] for row in lists].count("owner") == 1
        # Both give up at the same moment: one of them must stay.
        king = one if not answers[0] else other
        heir = other if king is one else one
        assert await king.set(room, items(f"jid='{heir.jid.partition('/')[0]}' affiliation='owner'")) == ""
        answers = await asyncio.gather(
            *(who.set(room, items(f"jid='{who.jid.partition('/')[0]}' affiliation='none'")) for who in (one, other))
        )
        assert sorted(answers) == ["", "conflict"], answers
        last = one if answers[0] else other
        assert await last.set(room, f"<query xmlns='{OWNER}'><destroy/></query>") == ""
        await parlour.quiet()
    assert await occupants(node, room) == {}
