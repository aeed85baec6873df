"""Accounts of this server that move (XEP-0283, 4.1 to 4.3): their contacts are asked on behalf of the new address."""

from __future__ import annotations

import pytest

from tests.cluster_story import ClusterStory
from tests.story import MODULES, Client, Story
from xmpp_engine.storage.types import RosterItem
from xmpp_engine.xml import ns


async def test_contacts_of_this_server_are_asked_here(story: Story) -> None:
    await story.begin(modules=(*MODULES, "xmpp_engine.pubsub.pep.Pep"))
    romeo, old, new = await story("romeo", "old", "new")
    for client in (romeo, old, new):
        await client.comes_online()
    await story.world.contacts(romeo, old)
    old.send(f"<iq type='set' id='p'>{_published(new.bare)}</iq>")
    await old.receives_all()
    moved = f"<moved xmlns='{ns.MOVED}'><old-jid>{old.bare}</old-jid></moved>"
    new.send(f"<presence type='subscribe' to='{romeo.bare}'>{moved}</presence>")
    await story.world.settle()
    assert romeo.account.roster[new.bare].subscription == "from"
    assert romeo.account.roster[old.bare].subscription == "to"
    assert old.account.roster[romeo.bare].subscription == "from"
    received = [(e.attrs.get("type"), e.attrs.get("from")) for e in await new.receives_all() if e.name == "presence"]
    assert received == [("subscribed", romeo.bare), (None, romeo.full), ("subscribe", romeo.bare)]


def _published(now: str) -> str:
    moved = f"<moved xmlns='{ns.MOVED}'><new-jid>{now}</new-jid></moved>"
    return (
        f"<pubsub xmlns='{ns.PUBSUB}'><publish node='{ns.MOVED}'><item id='current'>{moved}</item></publish></pubsub>"
    )


async def _moved_account(story: Story) -> tuple[Client, Client, Client, Client]:
    """Romeo and Mercutio know `old`, who is `new` now; Mercutio sees him and is not seen."""
    romeo, mercutio, old, new = await story("romeo", "mercutio", "old", "new")
    world = story.world
    world.elsewhere.domains |= {"im.example", "evil.example"}
    for client in (romeo, mercutio, old, new):
        await client.comes_online()
    await world.contacts(romeo, old)
    await world.contacts(mercutio, old)
    mercutio.send(f"<presence type='unsubscribed' to='{old.bare}'/>")
    await world.settle()
    more = [
        RosterItem("benvolio@im.example", name="B", subscription="both", groups=("Montague",)),
        RosterItem("tybalt@evil.example", subscription="both"),
        RosterItem("nobody@im.example", subscription="none", ask=True),
        RosterItem(new.bare, subscription="both"),
    ]
    await world.module("roster").change(old.account, more)
    old.send(f"<iq type='set' id='b'><block xmlns='{ns.BLOCKING}'><item jid='evil.example'/></block></iq>")
    await world.settle()
    old.account.data.moved_to = world.stores.memory.accounts[old.bare].data.moved_to = new.bare
    for client in (romeo, mercutio, old, new):
        await client.receives_all()
    world.elsewhere.sent.clear()
    return romeo, mercutio, old, new


async def test_contacts_of_an_account_that_has_moved_follow(story: Story) -> None:
    romeo, mercutio, old, new = await _moved_account(story)
    world = story.world
    told = await world.engine.outside.tell_of_move(old.bare)
    assert told == {
        "moved_to": new.bare,
        "contacts": 4,
        "already": 0,
        "asked": 3,
        "refused": 0,
        "blocked": 1,
        "following": 1,
    }
    await world.settle()
    # Who saw and was seen has followed altogether.
    assert romeo.account.roster[new.bare].subscription == "both"
    assert romeo.account.roster[old.bare].subscription == "to"
    assert new.account.roster[romeo.bare].subscription == "both"
    assert old.account.roster[romeo.bare].subscription == "from"
    # Who did not show himself to the old address is asked, and may see the new one when he likes.
    requests = [e for e in await mercutio.receives_all() if e.attrs.get("type") == "subscribe"]
    assert [(e.attrs["from"], e.find(ns.MOVED, "moved") is not None) for e in requests] == [(new.bare, True)]
    assert new.account.roster[mercutio.bare].approved
    # Other servers are asked, but not for who is blocked.
    ((to, type, xml),) = [(str(s.to), s.type, s.text()) for s in world.elsewhere.sent if s.kind == "presence"]
    assert (to, type) == ("benvolio@im.example", "subscribe")
    assert f"<old-jid>{old.bare}</old-jid>" in xml
    item = new.account.roster["benvolio@im.example"]
    assert (item.name, item.groups, item.ask, item.approved) == ("B", ("Montague",), True, True)
    # And again: nothing is doubled.
    again = await world.engine.outside.tell_of_move(old.bare)
    assert (again["already"], again["asked"], again["following"]) == (1, 2, 1)
    await mercutio.receives_nothing()


async def test_a_full_list_of_the_new_address_is_told(story: Story) -> None:
    await story.begin(options={"roster": {"items": 4}})
    _romeo, _mercutio, old, new = await _moved_account(story)
    await story.world.module("roster").change(new.account, [RosterItem(f"x{n}@im.example") for n in range(4)])
    told = await story.world.engine.outside.tell_of_move(old.bare)
    assert (told["contacts"], told["refused"], told["blocked"]) == (4, 3, 1)


async def test_a_domain_without_the_module_leaves_it_to_apps(story: Story) -> None:
    await story.begin(disabled_modules=frozenset({"moved"}))
    _romeo, _mercutio, old, _new = await _moved_account(story)
    with pytest.raises(ValueError, match="The module moved is off"):
        await story.world.engine.outside.tell_of_move(old.bare)


@pytest.mark.parametrize(
    ("moved_to", "sentence"),
    [
        ("", "has not moved"),
        ("old@im.example", "its own client tells"),
        ("nobody@story.example", "There is no account nobody@"),
    ],
)
async def test_what_cannot_be_told_is_said(story: Story, moved_to: str, sentence: str) -> None:
    old = await story("old")
    story.world.elsewhere.domains.add("im.example")
    await story.world.module("roster").change(old.account, [RosterItem("b@im.example", subscription="both")])
    old.account.data.moved_to = moved_to
    with pytest.raises(ValueError, match=sentence):
        await story.world.engine.outside.tell_of_move(old.bare)
    with pytest.raises(ValueError, match="There is no account"):
        await story.world.engine.outside.tell_of_move("who@story.example")


# Several nodes


async def test_contacts_on_all_nodes_follow(cluster: ClusterStory) -> None:
    romeo, benvolio, old, new = await cluster("romeo n1", "benvolio n3", "old n2", "new n1")
    for client in (romeo, benvolio, old, new):
        await client.comes_online()
    for contact in (romeo, benvolio):
        await cluster.contacts(contact, old)
    world = cluster.world
    world.stores.memory.accounts[old.bare].data.moved_to = new.bare
    for node in world.nodes.values():
        await node.engine.outside.account_changed(old.bare)
    # The node on which it is said has neither of them.
    told = await world.nodes["n3"].engine.outside.tell_of_move(old.bare)
    assert (told["contacts"], told["asked"], told["blocked"]) == (2, 2, 0)
    await world.settle()
    for contact in (romeo, benvolio):
        for name in (new.bare, old.bare):
            wanted = "both" if name == new.bare else "to"
            for node in world.nodes.values():
                account = node.services.accounts.get(contact.bare)
                if account is not None:
                    assert account.roster[name].subscription == wanted
            stored = await world.stores.accounts.load(contact.bare)
            assert stored is not None
            assert stored.roster[name].subscription == wanted
        there = [e for e in await contact.receives_all() if e.name == "presence" and e.attrs["from"] == new.full]
        assert there
    for place, contact in (("n1", romeo), ("n3", benvolio)):
        contact.send(f"<message to='{old.bare}' type='chat'><body>Hi</body></message>")
        answer = await contact.receives("<message type='error'/>")
        assert "gone" in str([child.name for e in answer.elements() for child in e.elements()]), place
