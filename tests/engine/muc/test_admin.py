"""Lists of a room and who may change them."""

from __future__ import annotations

import pytest

from tests.engine.muc.stage import ROOM, asked, clear, condition, made, text_of
from xmpp_engine.muc.permissions import check_affiliation, check_role
from xmpp_engine.xml.errors import StanzaError

ADMIN = "http://jabber.org/protocol/muc#admin"
AFFILIATIONS = ("outcast", "none", "member", "admin", "owner")


def refused(function, *arguments, **named) -> str:
    try:
        function(*arguments, **named)
    except StanzaError as error:
        return error.condition
    return ""


def test_the_table_of_affiliations():
    """XEP-0045, 5.2.1 and 5.2.2, every case."""
    for actor in AFFILIATIONS:
        for present in AFFILIATIONS:
            for wanted in AFFILIATIONS:
                got = refused(check_affiliation, actor, present, wanted, own=False)
                case = (actor, present, wanted)
                if actor in ("outcast", "none", "member"):
                    assert got == "forbidden", case
                elif wanted == "outcast" and (present == actor or (actor, present) == ("admin", "owner")):
                    assert got == "not-allowed", case
                elif actor == "admin" and ({present, wanted} & {"admin", "owner"}):
                    assert got == "forbidden", case
                else:
                    assert got == "", case


def test_nobody_bans_himself():
    for actor in ("admin", "owner"):
        assert refused(check_affiliation, actor, actor, "outcast", own=True) == "conflict"


@pytest.mark.parametrize(
    ("actor", "role", "affiliation", "present", "wanted", "condition"),
    [
        # 8.2: kicks
        ("none", "participant", "none", "visitor", "none", "forbidden"),
        ("member", "participant", "none", "visitor", "none", "forbidden"),
        ("none", "moderator", "none", "participant", "none", ""),
        ("none", "moderator", "member", "participant", "none", "not-allowed"),
        ("member", "moderator", "member", "participant", "none", ""),
        ("member", "moderator", "admin", "moderator", "none", "not-allowed"),
        ("member", "moderator", "none", "moderator", "none", "not-allowed"),
        ("admin", "moderator", "owner", "moderator", "none", "not-allowed"),
        ("admin", "moderator", "admin", "moderator", "none", "not-allowed"),
        ("admin", "moderator", "member", "moderator", "none", ""),
        ("owner", "moderator", "admin", "moderator", "none", ""),
        ("owner", "none", "admin", "moderator", "none", ""),
        # 8.3, 8.4: voice
        ("none", "moderator", "none", "visitor", "participant", ""),
        ("none", "participant", "none", "visitor", "participant", "forbidden"),
        ("none", "moderator", "none", "participant", "visitor", ""),
        ("none", "moderator", "member", "participant", "visitor", "not-allowed"),
        ("member", "moderator", "member", "participant", "visitor", "not-allowed"),
        ("admin", "moderator", "member", "participant", "visitor", ""),
        ("owner", "moderator", "admin", "moderator", "visitor", "not-allowed"),
        ("owner", "moderator", "owner", "moderator", "participant", "not-allowed"),
        # 9.6, 9.7: moderators
        ("none", "moderator", "none", "participant", "moderator", "forbidden"),
        ("member", "moderator", "none", "participant", "moderator", "forbidden"),
        ("admin", "moderator", "none", "visitor", "moderator", ""),
        ("member", "moderator", "none", "moderator", "participant", "forbidden"),
        ("admin", "moderator", "member", "moderator", "participant", ""),
        ("admin", "moderator", "admin", "moderator", "participant", "not-allowed"),
        # No change is no offence.
        ("none", "moderator", "owner", "moderator", "moderator", ""),
    ],
)
def test_the_table_of_roles(actor, role, affiliation, present, wanted, condition):
    assert refused(check_role, actor, role, affiliation, present, wanted, own=False) == condition


def items(*items: str) -> str:
    return f"<iq type='set' id='1' to='{ROOM}'><query xmlns='{ADMIN}'>{''.join(items)}</query></iq>"


def listed(answer) -> list[dict[str, str]]:
    return [item.attrs for item in next(iter(answer.elements())).elements() if item.name == "item"]


async def the_list(client, kind: str, value: str):
    return await asked(
        client, f"<iq type='get' id='1' to='{ROOM}'><query xmlns='{ADMIN}'><item {kind}='{value}'/></query></iq>"
    )


async def test_several_items_are_done_or_none(story):
    alice, _bob = await made(story, "bob")
    answer = await asked(
        alice,
        items(
            "<item affiliation='member' jid='bob@story.example'/>",
            "<item affiliation='outcast' jid='alice@story.example'/>",
        ),
    )
    assert condition(answer) == "conflict"
    assert listed(await the_list(alice, "affiliation", "member")) == []
    answer = await asked(
        alice,
        items(
            "<item affiliation='member' jid='bob@story.example'/>",
            "<item affiliation='outcast' jid='evil.example'><reason>spam</reason></item>",
        ),
    )
    assert condition(answer) == ""
    assert listed(await the_list(alice, "affiliation", "member")) == [
        {"affiliation": "member", "jid": "bob@story.example", "nick": "bob"}
    ]
    assert listed(await the_list(alice, "affiliation", "outcast")) == [
        {"affiliation": "outcast", "jid": "evil.example"}
    ]


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ("<item jid='a@b.example'/>", "bad-request"),
        ("<item affiliation='king' jid='a@b.example'/>", "bad-request"),
        ("<item role='king' nick='bob'/>", "bad-request"),
        ("<item affiliation='member' role='visitor' jid='a@b.example'/>", "bad-request"),
        ("<item affiliation='member'/>", "bad-request"),
        ("<item affiliation='member' jid='a@@b'/>", "jid-malformed"),
        ("<item affiliation='member' jid=''/>", "jid-malformed"),
        ("<item role='none' nick='nobody'/>", "item-not-found"),
        ("<item affiliation='outcast' nick='nobody'/>", "item-not-found"),
        ("<item affiliation='member' jid='whole.example'/>", "not-allowed"),
        (f"<item affiliation='member' jid='{ROOM}'/>", "not-allowed"),
        ("<item affiliation='none' jid='alice@story.example'/>", "conflict"),
        ("", "bad-request"),
        ("<item affiliation='member' jid='x@y'/><item affiliation='none' jid='x@y/z'/>", "bad-request"),
    ],
)
async def test_what_makes_no_sense_is_refused(story, item, expected):
    alice, _bob = await made(story, "bob")
    assert condition(await asked(alice, items(item))) == expected


async def test_too_many_items_are_refused(story):
    (alice,) = await made(story)
    many = "".join(f"<item affiliation='member' jid='u{n}@x.example'/>" for n in range(201))
    assert condition(await asked(alice, items(many))) == "resource-constraint"


async def test_the_ownership_can_be_handed_over_in_one_request(story):
    alice, _bob = await made(story, "bob")
    answer = await asked(
        alice,
        items(
            "<item affiliation='none' jid='alice@story.example'/>",
            "<item affiliation='owner' jid='bob@story.example'/>",
        ),
    )
    assert condition(answer) == ""
    assert condition(await the_list(alice, "affiliation", "owner")) == "forbidden"


async def test_a_ban_by_nickname_is_of_the_address(story):
    alice, bob = await made(story, "bob")
    assert condition(await asked(alice, items("<item affiliation='outcast' nick='bob'/>"))) == ""
    await bob.receives(f"<presence type='unavailable' from='{ROOM}/bob'/>")
    bob.send(f"<presence to='{ROOM}/bobby'><x xmlns='http://jabber.org/protocol/muc'/></presence>")
    await bob.receives("<presence type='error'><error type='auth'/></presence>")


async def test_new_members_of_a_closed_room_are_invited(story):
    (alice,) = await made(story, config={"muc#roomconfig_membersonly": "1", "muc#roomconfig_roomsecret": "hush"})
    bob = await story("bob")
    bob.send("<presence/>")
    await clear(bob)
    member = items("<item affiliation='member' jid='bob@story.example'><reason>Come</reason></item>")
    assert condition(await asked(alice, member)) == ""
    (told,) = await bob.receives_all()
    text = text_of(told)
    assert "<invite from='alice@story.example'><reason>Come</reason></invite><password>hush</password>" in text
    # Once: he is a member now.
    assert condition(await asked(alice, member)) == ""
    await bob.receives_nothing()


async def test_who_may_fetch_lists(story):
    alice, bob, carol = await made(story, "bob", "carol", config={"muc#roomconfig_whois": "moderators"})
    assert condition(await asked(alice, items("<item affiliation='admin' jid='bob@story.example'/>"))) == ""
    await clear(bob, carol)
    # 10.5, 10.8: in a semi-anonymous room only owners; 9.5: others only where it tells nothing they do not see.
    assert [
        condition(await the_list(bob, "affiliation", name)) for name in ("owner", "admin", "member", "outcast")
    ] == [
        "forbidden",
        "forbidden",
        "",
        "",
    ]
    assert condition(await the_list(carol, "affiliation", "member")) == "forbidden"
    assert condition(await the_list(carol, "role", "participant")) == "forbidden"
    assert {item["nick"] for item in listed(await the_list(bob, "role", "moderator"))} == {"alice", "bob"}
    assert condition(await the_list(bob, "role", "none")) == "bad-request"
    assert condition(await the_list(bob, "affiliation", "none")) == "bad-request"


async def test_long_lists_come_in_pages(story):
    (alice,) = await made(story)
    room = story.world.module("muc").room(ROOM)
    for n in range(1_005):
        room.set_affiliation(f"u{n:04}@x.example", "member")
    await clear(alice)
    answer = await the_list(alice, "affiliation", "member")
    assert len(listed(answer)) == 1_000
    answer = await asked(
        alice,
        f"<iq type='get' id='1' to='{ROOM}'><query xmlns='{ADMIN}'><item affiliation='member'/>"
        "<set xmlns='http://jabber.org/protocol/rsm'><max>3</max><after>u1001@x.example</after></set></query></iq>",
    )
    assert [item["jid"] for item in listed(answer)] == [f"u{n}@x.example" for n in (1002, 1003, 1004)]


async def test_versions_are_told_to_who_enters(story):
    alice, bob = await made(story, "bob", config={"muc#roomconfig_whois": "anyone"})
    bob.send(f"<presence to='{ROOM}/bob' type='unavailable'/>")
    await clear(alice, bob)
    entering = (
        f"<presence to='{ROOM}/bob'><x xmlns='http://jabber.org/protocol/muc'>"
        "<mav xmlns='urn:xmpp:muc:affiliations:1'%s/></x></presence>"
    )
    bob.send(entering % "")
    first, *others = await bob.receives_all()
    assert first.name == "message"
    mav = next(iter(next(iter(first.elements())).elements()))
    assert mav.get("since") is None
    until = mav.get("until")
    own = next(stanza for stanza in others if stanza.get("from") == f"{ROOM}/bob")
    assert f"until='{until}'" in text_of(own)
    bob.send(f"<presence to='{ROOM}/bob' type='unavailable'/>")
    assert condition(await asked(alice, items("<item affiliation='member' jid='dave@story.example'/>"))) == ""
    await clear(alice, bob)
    bob.send(entering % f" since='{until}'")
    first, *_others = await bob.receives_all()
    assert "dave@story.example" in text_of(first)
    assert "alice" not in text_of(first)
