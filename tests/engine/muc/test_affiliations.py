"""Affiliations, roles and configuration, and what they make of who is inside (XEP-0045, 5, 8 to 10)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.engine.muc.inside import ROOM, USER, drain, enter, hall, room_of, status, x
from xmpp_engine.addressing.jid import Jid
from xmpp_engine.xml.errors import StanzaError


@pytest.mark.parametrize(
    ("affiliation", "role", "config"),
    [
        ("owner", "moderator", {}),
        ("admin", "moderator", {}),
        ("member", "participant", {}),
        ("member", "participant", {"moderated": True}),
    ],
)
async def test_a_new_affiliation_brings_its_role(
    story: Any, affiliation: Any, role: str, config: dict[str, Any]
) -> None:
    alice, bob, carol = await hall(story, "bob", "carol", **config)
    await drain(alice, bob, carol)
    room_of(story).set_affiliation(bob.bare, affiliation, "well", Jid.parse(alice.full))
    item = f"<item affiliation='{affiliation}' role='{role}'><actor nick='alice'/><reason>well</reason></item>"
    for client in (alice, carol):
        await client.receives(f"<presence from='{ROOM}/bob'>{x(item)}</presence>")
    await bob.receives(f"<presence from='{ROOM}/bob'>{x(item + status(110))}</presence>")
    rest = await bob.receives_all()
    # A new moderator learns who the others are.
    jids = {p.attrs["from"]: p.find(USER, "x").first().get("jid") for p in rest}
    assert jids == ({f"{ROOM}/alice": alice.full, f"{ROOM}/carol": carol.full} if role == "moderator" else {})


async def test_a_ban(story: Any) -> None:
    alice, bob = await hall(story, "bob")
    phone = await story.world.login("bob", "phone")
    phone.send(enter("bob"))
    await drain(alice, bob, phone)
    room_of(story).set_affiliation(bob.bare, "outcast", "spam")
    item = "<item affiliation='outcast' role='none'><reason>spam</reason></item>"
    for client in (bob, phone):
        await client.receives(f"<presence type='unavailable'>{x(item + status(110, 301))}</presence>")
    await alice.receives(f"<presence type='unavailable' from='{ROOM}/bob'>{x(item + status(301))}</presence>")
    assert set(room_of(story).occupants) == {"alice"}


async def test_lost_membership_and_a_room_that_becomes_members_only(story: Any) -> None:
    alice, bob, carol = await hall(story, "bob", "carol")
    room = room_of(story)
    room.set_affiliation(bob.bare, "member")
    await drain(alice, bob, carol)
    room.reconfigure(room.with_config(members_only=True))
    await carol.receives(f"<presence type='unavailable' from='{ROOM}/carol'>{x(status(110, 322))}</presence>")
    await bob.receives(f"<presence type='unavailable' from='{ROOM}/carol'>{x(status(322))}</presence>")
    room.set_affiliation(bob.bare, "none")
    await drain(alice)
    await bob.receives(
        f"<message>{x(status(104))}</message>", f"<presence type='unavailable'>{x(status(110, 321))}</presence>"
    )


async def test_the_last_owner_stays(story: Any) -> None:
    alice, bob = await hall(story, "bob")
    room = room_of(story)
    with pytest.raises(StanzaError, match="conflict"):
        room.set_affiliation(alice.bare, "member")
    room.set_affiliation(bob.bare, "owner")
    room.set_affiliation(alice.bare, "member")
    assert room.occupants["alice"].role == "participant"
    with pytest.raises(StanzaError, match="conflict"):
        room.set_affiliation(bob.bare, "outcast")


async def test_somebody_outside(story: Any) -> None:
    alice, bob = await hall(story, "bob")
    room_of(story).set_affiliation("eve@story.example", "outcast", "spam", Jid.parse(alice.full))
    item = "<item affiliation='outcast' jid='eve@story.example'><actor nick='alice'/><reason>spam</reason></item>"
    await alice.receives(f"<message from='{ROOM}' type='groupchat'>{x(item)}</message>")
    await bob.receives_nothing()


async def test_codes_of_a_change_of_configuration(story: Any) -> None:
    alice, bob = await hall(story, "bob")
    room = room_of(story)
    room.reconfigure(room.with_config(whois="anyone"))
    await bob.receives(
        f"<presence from='{ROOM}/alice'>{x(f'''<item jid='{alice.full}'/>''')}</presence>",
        f"<message from='{ROOM}' type='groupchat'>{x(status(172))}</message>",
    )
    room.reconfigure(room.with_config(whois="moderators"))
    await drain(alice)
    await bob.receives_all()
    room.reconfigure(room.with_config(name="Hall"))
    await bob.receives(f"<message from='{ROOM}'>{x(status(104))}</message>")
    room.reconfigure(room.with_config())
    await bob.receives_nothing()


async def test_moderation_goes_on_and_off(story: Any) -> None:
    alice, bob, carol = await hall(story, "bob", "carol")
    room = room_of(story)
    room.set_affiliation(carol.bare, "member")
    room.reconfigure(room.with_config(moderated=True))
    assert {o.nick: o.role for o in room.occupants.values()} == {
        "alice": "moderator",
        "bob": "visitor",
        "carol": "participant",
    }
    await drain(alice, carol)
    room.reconfigure(room.with_config(moderated=False))
    await bob.receives_all()
    assert room.occupants["bob"].role == "participant"


async def test_voice_lasts_from_visit_to_visit(story: Any) -> None:
    alice, bob = await hall(story, "bob", moderated=True)
    room = room_of(story)

    async def role_again() -> str:
        bob.send(f"<presence to='{ROOM}/bob' type='unavailable'/>")
        bob.send(enter("robert"))
        bob.send(f"<presence to='{ROOM}/robert' type='unavailable'/>")
        bob.send(enter("bob"))
        await drain(alice, bob)
        return room.occupants["bob"].role

    assert await role_again() == "visitor"
    room.set_role(room.occupants["bob"], "participant")
    assert await role_again() == "participant"
    # A passing moderator stays what he was before; without voice he has none.
    room.set_role(room.occupants["bob"], "moderator")
    assert await role_again() == "participant"
    room.set_role(room.occupants["bob"], "visitor")
    assert await role_again() == "visitor"
    for ends in (
        lambda: room.set_role(room.occupants["bob"], "none"),
        lambda: room.set_affiliation("bob@story.example", "member"),
        lambda: room.reconfigure(room.with_config(moderated=False)),
    ):
        room.set_role(room.occupants["bob"], "participant")
        ends()
        room.set_affiliation("bob@story.example", "none")
        room.reconfigure(room.with_config(moderated=True))
        await drain(alice, bob)
        assert await role_again() == "visitor"


async def test_operators_own_every_room(story: Any) -> None:
    await hall(story, options={"operators": ["op@story.example"]}, members_only=True)
    op, root = await story("op", "root")
    root.account.data.is_admin = True
    for client in (op, root):
        client.send(enter(client.bare.partition("@")[0]))
        await client.receives(f"<presence from='{ROOM}/alice'/>")
        assert room_of(story).users[client.full].affiliation == "owner"


async def test_groups_make_members(story: Any) -> None:
    members = {"tea": {"bob@story.example"}}
    extras = {"groups": SimpleNamespace(contains=lambda group, bare: bare in members.get(group, ()))}
    from tests.engine.muc import inside

    world = await story.begin(modules=inside.MODULES, extras=extras)
    alice, bob = await story("alice", "bob")
    alice.send(enter("alice"))
    await world.settle()
    room = room_of(story)
    room.reconfigure(room.with_config(members_only=True, groups=(("tea", "member"),)))
    bob.send(enter("bob"))
    await bob.receives(
        f"<presence from='{ROOM}/alice'/>", f"<presence>{x('''<item affiliation='member'/>''')}</presence>"
    )
    await drain(bob)
    members["tea"].clear()
    room.service.groups_changed()
    await bob.receives(f"<presence type='unavailable'>{x(status(110, 321))}</presence>")


async def test_lists_have_a_bound(story: Any) -> None:
    await hall(story, options={"max_affiliations": 3})
    room = room_of(story)
    for number in range(2):
        room.set_affiliation(f"u{number}@x", "member")
    with pytest.raises(StanzaError, match="resource-constraint"):
        room.set_affiliation("u2@x", "member")
    room.set_affiliation("u0@x", "none")
    room.set_affiliation("u2@x", "member")
    assert set(room.record.affiliations) == {"alice@story.example", "u1@x", "u2@x"}


async def test_registered_nicknames(story: Any) -> None:
    (_alice,) = await hall(story)
    room = room_of(story)
    room.register_nick("bob@story.example", "bobby")
    assert room.reserved == {"bobby": "bob@story.example"}
    with pytest.raises(StanzaError, match="conflict"):
        room.register_nick("eve@story.example", "bobby")
    with pytest.raises(StanzaError, match="conflict"):
        room.register_nick("eve@story.example", "alice")
    room.register_nick("bob@story.example", "")
    assert room.reserved == {}
