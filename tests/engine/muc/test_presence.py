"""Changes of presence and of nickname (XEP-0045, 7.6, 7.7)."""

from __future__ import annotations

from typing import Any

from tests.engine.muc.inside import ROOM, USER, drain, enter, hall, refusal, room_of, status, x
from xmpp_engine.xml import ns


async def test_a_change_of_presence(story: Any) -> None:
    alice, bob = await hall(story, "bob")
    bob.send(f"<presence to='{ROOM}/bob' id='p'><show>away</show><c xmlns='caps'/></presence>")
    for client, codes in ((alice, ""), (bob, status(110))):
        await client.receives(
            f"<presence from='{ROOM}/bob'><show>away</show><c xmlns='caps'/>{x('<item/>' + codes)}</presence>"
        )
    bob.send(f"<presence to='{ROOM}/bob' type='subscribe' id='s'/>")
    await alice.receives_nothing()


async def test_the_most_present_client_is_shown(story: Any) -> None:
    alice, bob = await hall(story, "bob")
    phone = await story.world.login("bob", "phone")
    phone.send(enter("bob", children="<show>away</show>"))
    await drain(phone)
    await alice.receives_nothing()
    bob.send(f"<presence to='{ROOM}/bob'><show>xa</show></presence>")
    await alice.receives(
        f"<presence from='{ROOM}/bob'><show>away</show>{x(f'''<item jid='{phone.full}'/>''')}</presence>"
    )
    for client in (bob, phone):
        await client.receives(f"<presence from='{ROOM}/bob'><show>away</show>{x(status(110))}</presence>")


async def test_a_new_nickname(story: Any) -> None:
    alice, bob = await hall(story, "bob")
    phone = await story.world.login("bob", "phone")
    phone.send(enter("bob"))
    await drain(alice, bob, phone)
    bob.send(f"<presence to='{ROOM}/robert'/>")
    item = "<item nick='robert' role='participant' affiliation='none'/>"
    for client in (alice, bob, phone):
        own = client is not alice
        await client.receives(
            f"<presence type='unavailable' from='{ROOM}/bob'>{x(item + status(303))}</presence>",
            f"<presence from='{ROOM}/robert'>{x('<item/>' + (status(110) if own else ''))}</presence>",
        )
        await client.receives_nothing()
    assert set(room_of(story).occupants) == {"alice", "robert"}
    bob.send(f"<presence to='{ROOM}/alice'/>")
    await bob.receives(f"<presence type='error' from='{ROOM}/alice'>{refusal('conflict')}</presence>")
    alice.send(f"<message to='{ROOM}/robert' type='chat'><body>hi</body></message>")
    await phone.receives(f"<message from='{ROOM}/alice'/>")


async def test_nicknames_that_stay(story: Any) -> None:
    _alice, bob = await hall(story, "bob", change_nick=False)
    bob.send(f"<presence to='{ROOM}/robert'/>")
    await bob.receives(f"<presence type='error' from='{ROOM}/robert'>{refusal('not-acceptable')}</presence>")
    assert room_of(story).occupants["bob"].nick == "bob"


async def test_two_nicknames_of_one_user_become_one(story: Any) -> None:
    alice, bob = await hall(story, "bob")
    phone = await story.world.login("bob", "phone")
    phone.send(enter("mobile"))
    await drain(alice, bob, phone)
    phone.send(f"<presence to='{ROOM}/bob'/>")
    await alice.receives(f"<presence type='unavailable' from='{ROOM}/mobile'/>")
    assert set(room_of(story).occupants["bob"].clients) == {bob.full, phone.full}
    await phone.receives(
        f"<presence type='unavailable' from='{ROOM}/mobile'>{x(status(110, 303))}</presence>",
        f"<presence from='{ROOM}/bob'>{x(status(110))}</presence>",
    )


async def test_roles_that_are_not_shown(story: Any) -> None:
    alice, bob, carol = await hall(story, "bob", "carol", presence_of=("moderator",))
    await drain(alice, bob, carol)
    room = room_of(story)
    dave = await story("dave")
    dave.send(enter("dave"))
    await dave.receives(f"<presence from='{ROOM}/alice'/>", f"<presence from='{ROOM}/dave'/>", "<message/>")
    await alice.receives_nothing()
    room.set_role(room.occupants["bob"], "moderator")
    await carol.receives(f"<presence from='{ROOM}/bob'>{x('''<item role='moderator'/>''')}</presence>")
    room.set_role(room.occupants["bob"], "participant")
    await carol.receives(f"<presence from='{ROOM}/bob' type='unavailable'/>")
    room.reconfigure(room.with_config(presence_of=("moderator", "participant")))
    seen = [stanza.attrs["from"] for stanza in await carol.receives_all() if stanza.name == "presence"]
    assert sorted(seen) == [f"{ROOM}/bob", f"{ROOM}/dave"]


async def test_what_modules_add_to_a_presence(story: Any) -> None:
    from xmpp_engine.xml.element import Element

    alice, bob = await hall(story, "bob")
    titles: dict[str, str] = {}

    def title(_room: Any, occupant: Any) -> Element | None:
        return Element("urn:title", "title", None, titles[occupant.nick]) if occupant.nick in titles else None

    story.world.module("muc").presence_extras["title"] = title
    titles["bob"] = "Sir"
    room_of(story).refresh(room_of(story).occupants["bob"])
    for client in (alice, bob):
        await client.receives(
            f"<presence from='{ROOM}/bob'><title xmlns='urn:title'>Sir</title><x xmlns='{USER}'/></presence>"
        )


async def test_who_joins_a_nickname_of_more_rights_sees_what_it_sees(story: Any) -> None:
    alice, bob = await hall(story, "bob")
    phone = await story.world.login("alice", "phone")
    phone.send(enter("mobile"))
    await drain(alice, bob, phone)
    room_of(story).set_role(room_of(story).occupants["mobile"], "participant")
    await drain(alice, bob, phone)
    phone.send(f"<presence to='{ROOM}/alice'/>")
    told = await phone.receives_all()
    last = next(one for one in reversed(told) if one.get("from") == f"{ROOM}/bob")
    assert last.find(ns.MUC_USER, "x").find(ns.MUC_USER, "item").get("jid") == bob.full
