"""Hats."""

from __future__ import annotations

import json

import pytest

from tests.engine.muc.stage import ROOM, asked, clear, condition, made, text_of
from xmpp_engine.storage.rooms import MAX_EXTRAS_BYTES
from xmpp_engine.xml import ns

FORM = "<x xmlns='jabber:x:data' type='submit'/>"
TEACHER = "http://tech.example/hats#Teacher"


def command(name: str, form: str = "", action: str = "execute") -> str:
    return (
        f"<iq type='set' id='1' to='{ROOM}'><command xmlns='http://jabber.org/protocol/commands' action='{action}' "
        f"node='urn:xmpp:hats:commands:{name}'>{form}</command></iq>"
    )


def filled(**fields: str) -> str:
    inner = "".join(f"<field var='hats#{name}'><value>{value}</value></field>" for name, value in fields.items())
    return (
        "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>urn:xmpp:hats:commands</value></field>"
        f"{inner}</x>"
    )


CREATE = command("create", filled(title="Teacher", uri=TEACHER, hue="171.4"))


async def test_a_hat_is_made_given_shown_and_taken(story):
    alice, bob = await made(story, "bob")
    form = text_of(await asked(alice, command("create")))
    assert "status='executing'" in form
    assert "hats#title" in form
    alice.send(CREATE)
    assert [one.get("type") for one in await alice.receives_all() if one.name == "iq"] == ["result"]
    (told,) = await bob.receives_all()
    assert "code='104'" in text_of(told)
    give = command("assign", filled(jid="bob@story.example", uri=TEACHER))
    assert "status='completed'" in text_of(await asked(alice, give))
    (shown,) = await bob.receives_all()
    hat = shown.find(ns.HATS, "hats").find(ns.HATS, "hat")
    assert hat.attrs == {"title": "Teacher", "uri": TEACHER, "hue": "171.4"}
    assert TEACHER in text_of(await asked(alice, command("list")))
    assert "bob@story.example" in text_of(await asked(alice, command("list-assigned")))
    info = f"<iq type='get' id='1' to='{ROOM}'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
    assert "hats#hash" in text_of(await asked(bob, info))
    # Who enters sees it too, and a change of the hat is shown.
    await asked(alice, command("create", filled(title="Professor", uri=TEACHER)))
    assert any("title='Professor'" in text_of(one) for one in await bob.receives_all())
    assert condition(await asked(alice, command("destroy", filled(uri=TEACHER)))) == ""
    shown = [one for one in await bob.receives_all() if one.name == "presence"][-1]
    assert shown.find(ns.HATS, "hats") is None
    assert condition(await asked(alice, command("unassign", filled(jid="bob@story.example", uri=TEACHER)))) == (
        "item-not-found"
    )


@pytest.mark.parametrize(
    ("xml", "expected"),
    [
        (command("fly"), "item-not-found"),
        (command("create", filled(title="x", uri="has blanks")), "not-acceptable"),
        (command("create", filled(title="x", uri="y", hue="400")), "not-acceptable"),
        (command("create", filled(title="x", uri="y", hue="nan")), "not-acceptable"),
        (command("create", filled(uri="y")), "bad-request"),
        (command("create", filled(title="x", uri="y"), action="prev"), "bad-request"),
        (command("assign", filled(jid="bob@story.example", uri="unknown")), "item-not-found"),
        (command("assign", filled(jid="b@@b", uri=TEACHER)), "bad-request"),
        (command("unassign", filled(jid="bob@story.example", uri=TEACHER)), "item-not-found"),
        (command("create", action="cancel"), ""),
    ],
)
async def test_what_is_refused(story, xml, expected):
    (alice,) = await made(story)
    assert condition(await asked(alice, CREATE)) == ""
    assert condition(await asked(alice, xml)) == expected


async def test_only_administrators_deal_with_hats(story):
    _alice, bob = await made(story, "bob")
    assert condition(await asked(bob, CREATE)) == "forbidden"
    assert condition(await asked(bob, command("list"))) == "forbidden"


async def test_the_commands_are_found(story):
    alice, bob = await made(story, "bob")
    items = "<query xmlns='http://jabber.org/protocol/disco#items' node='http://jabber.org/protocol/commands'/>"
    request = f"<iq type='get' id='1' to='{ROOM}'>{items}</iq>"
    assert text_of(await asked(alice, request)).count("urn:xmpp:hats:commands:") == 6
    assert "<item" not in text_of(await asked(bob, request))


async def test_a_command_says_what_it_is(story):
    alice, bob = await made(story, "bob")
    ask = f"<iq type='get' id='1' to='{ROOM}'><query xmlns='{ns.DISCO_INFO}' node='urn:xmpp:hats:commands:list'/></iq>"
    told = text_of(await asked(alice, ask))
    assert "type='command-node'" in told
    assert "name='Hats of the room'" in told
    # Who may not run it does not learn of it; the service has none.
    assert condition(await asked(bob, ask)) == "item-not-found"
    service = ROOM.partition("@")[2]
    assert condition(await asked(alice, ask.replace(f"'{ROOM}'", f"'{service}'"))) == "item-not-found"
    listing = f"<iq type='get' id='1' to='{service}'><query xmlns='{ns.DISCO_ITEMS}' node='{ns.COMMANDS}'/></iq>"
    assert "<item" not in text_of(await asked(alice, listing))


async def test_a_session_belongs_to_its_room(story):
    (alice,) = await made(story)
    begun = (await asked(alice, command("create"))).first()
    other = ROOM.replace("coven", "cave")
    alice.send(f"<presence to='{other}/alice'><x xmlns='http://jabber.org/protocol/muc'/></presence>")
    alice.send(f"<iq type='set' id='q' to='{other}'><query xmlns='{ns.MUC_OWNER}'>{FORM}</query></iq>")
    await clear(alice)
    step = (
        f"<iq type='set' id='1' to='{{}}'><command xmlns='{ns.COMMANDS}' node='{begun.get('node')}' "
        f"sessionid='{begun.get('sessionid')}'>{filled(title='Teacher', uri=TEACHER)}</command></iq>"
    )
    assert condition(await asked(alice, step.format(other))) == "bad-request"
    assert "status='completed'" in text_of(await asked(alice, step.format(ROOM)))
    assert TEACHER in text_of(await asked(alice, command("list")))


async def test_nobody_puts_a_hat_on_himself(story):
    alice, bob = await made(story, "bob")
    bob.send(f"<presence to='{ROOM}/bob'><hats xmlns='urn:xmpp:hats:0'><hat title='King' uri='x'/></hats></presence>")
    (shown,) = await alice.receives_all()
    assert shown.find(ns.HATS, "hats") is None
    await clear(bob)


async def test_hats_take_only_so_much_space(story):
    (alice,) = await made(story)
    room = story.world.module("muc").room(ROOM)
    made_so_far = 0
    while (
        condition(await asked(alice, command("create", filled(title="\U0001f3a9" * 250, uri=f"u{made_so_far}")))) == ""
    ):
        made_so_far += 1
    assert 30 < made_so_far < 50
    assert len(json.dumps(room.record.extras)) < MAX_EXTRAS_BYTES / 3


async def test_there_are_only_so_many_hats(story):
    (alice,) = await made(story)
    for n in range(50):
        assert condition(await asked(alice, command("create", filled(title="x", uri=f"u{n}")))) == ""
    assert condition(await asked(alice, command("create", filled(title="x", uri="u50")))) == "resource-constraint"
    for n in range(10):
        assert condition(await asked(alice, command("assign", filled(jid="a@b", uri=f"u{n}")))) == ""
    assert condition(await asked(alice, command("assign", filled(jid="a@b", uri="u10")))) == "resource-constraint"
