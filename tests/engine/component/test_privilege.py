"""XEP-0356: what a privileged component may do and know, and what it may not."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from tests.engine.component.stage import NAME, WITH_COMPONENTS, Component, begin, configure, connect, gateway
from tests.story import DOMAIN, Story
from xmpp_engine.addressing.jid import Jid
from xmpp_engine.stanza.build import presence
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.storage.types import RosterItem
from xmpp_engine.xml import ns

SPACE = "urn:example:things"
FORBIDDEN = f"<error type='auth'><forbidden xmlns='{ns.STANZA_ERRORS}'/></error>"
GET_ROSTER = f"<iq from='{NAME}' to='alice@{DOMAIN}' type='get' id='g'><query xmlns='{ns.ROSTER}'/></iq>"
SET_ROSTER = (
    f"<iq from='{NAME}' to='alice@{DOMAIN}' type='set' id='s'><query xmlns='{ns.ROSTER}'>"
    "<item jid='romeo@elsewhere.example' name='Romeo'><group>Rivals</group></item></query></iq>"
)


def outgoing(sender: str, to: str = f"bob@{DOMAIN}", content: str = "<body>news</body>") -> str:
    """A message in the name of somebody."""
    return (
        f"<message from='{NAME}' to='{DOMAIN}' id='n'><privilege xmlns='{ns.PRIVILEGE}'>"
        f"<forwarded xmlns='{ns.FORWARD}'>"
        f"<message xmlns='jabber:client' from='{sender}' to='{to}' id='foo'>{content}</message>"
        "</forwarded></privilege></message>"
    )


def for_user(inner: str, *, to: str = f"alice@{DOMAIN}", type: str = "get") -> str:
    """An iq on behalf of somebody."""
    return (
        f"<iq from='{NAME}' to='{to}' type='{type}' id='top'><privileged_iq xmlns='{ns.PRIVILEGE}'>{inner}"
        "</privileged_iq></iq>"
    )


def inner_iq(to: str = "", *, type: str = "get", space: str = SPACE, sender: str = "", xmlns: str = ns.CLIENT) -> str:
    """The iq inside."""
    addresses = (f" to='{to}'" if to else "") + (f" from='{sender}'" if sender else "")
    return f"<iq xmlns='{xmlns}' type='{type}' id='sub_1'{addresses}><thing xmlns='{space}'/></iq>"


async def told(component: Component) -> None:
    """Take away what it was told at its connection."""
    await component.receives(f"<message from='{DOMAIN}'><privilege xmlns='{ns.PRIVILEGE}'/></message>")


async def test_a_component_is_told_what_it_may(story: Story) -> None:
    world = await begin(
        story,
        gateway(
            privileges={
                "roster": "both",
                "roster-push": "no",
                "message": "outgoing",
                "presence": "managed_entity",
                f"iq:{SPACE}": "set",
                "iq:urn:none": "none",
            }
        ),
    )
    component = connect(world)
    message = await component.receives(
        f"<message from='{DOMAIN}' to='{NAME}'><privilege xmlns='{ns.PRIVILEGE}'>"
        "<perm access='roster' type='both' push='false'/><perm access='message' type='outgoing'/>"
        "<perm access='presence' type='managed_entity'/>"
        f"<perm access='iq'><namespace ns='{SPACE}' type='set'/></perm></privilege></message>"
    )
    assert message.get("id")
    await component.receives_nothing()
    await configure(world, gateway(privileges={"message": "none"}))
    await component.receives_nothing()


# Rosters


async def test_rosters_are_read_and_changed(story: Story) -> None:
    world = await begin(story, gateway(privileges={"roster": "both"}))
    alice = await story("alice")
    await alice.comes_online()
    component = connect(world)
    await told(component)
    component.send(SET_ROSTER)
    await alice.receives(f"<iq type='set'><query xmlns='{ns.ROSTER}'><item name='Romeo'/></query></iq>")
    await component.receives(
        f"<iq type='set' from='{alice.bare}' to='{NAME}'><query xmlns='{ns.ROSTER}'>"
        "<item jid='romeo@elsewhere.example'><group>Rivals</group></item></query></iq>",
        f"<iq type='result' id='s' from='{alice.bare}' to='{NAME}'/>",
    )
    component.send(GET_ROSTER)
    await component.receives(
        f"<iq type='result' id='g' from='{alice.bare}'><query xmlns='{ns.ROSTER}'><item name='Romeo'/></query></iq>"
    )


async def test_a_roster_of_somebody_who_is_away(story: Story) -> None:
    world = await begin(story, gateway(privileges={"roster": "get"}))
    await world.account("alice")
    component = connect(world)
    await told(component)
    component.send(GET_ROSTER)
    await component.receives(f"<iq type='result' id='g'><query xmlns='{ns.ROSTER}'/></iq>")
    component.send(GET_ROSTER.replace("alice", "nobody"))
    await component.receives("<iq type='error' id='g'><error type='cancel'/></iq>")
    world.stores.memory.fail_with = "gone"
    component.send(GET_ROSTER.replace("alice", "bob"))
    await component.receives("<iq type='error' id='g'><error type='wait'/></iq>")


@pytest.mark.parametrize(
    ("permission", "refused"), [("none", ["g", "s"]), ("get", ["s"]), ("set", ["g"]), ("both", []), (None, ["g", "s"])]
)
async def test_no_more_of_a_roster_than_is_allowed(
    story: Story, permission: str | None, refused: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    world = await begin(story, gateway(privileges={"roster": permission} if permission else {}))
    await story("alice")
    component = connect(world)
    await world.settle()
    component.inbox.clear()
    for request in (GET_ROSTER, SET_ROSTER):
        component.send(request)
        await world.settle()
    answers = [one for one in component.inbox if one.get("type") != "set"]
    assert [one.get("id") for one in answers if one.get("type") == "error"] == refused
    lines = [record for record in caplog.records if "may not do this" in record.getMessage()]
    assert len(lines) == len(refused)
    assert all(NAME in line.getMessage() and f"alice@{DOMAIN}" in line.getMessage() for line in lines)
    assert all(line.levelno == logging.WARNING for line in lines)


@pytest.mark.parametrize(
    ("privileges", "pushed"),
    [({"roster": "get"}, 1), ({"roster": "get", "roster-push": "no"}, 0), ({"roster": "set"}, 0)],
)
async def test_pushes_of_rosters(story: Story, privileges: dict[str, str], pushed: int) -> None:
    world = await begin(story, gateway(privileges=privileges))
    alice = await story("alice")
    component = connect(world)
    await told(component)
    alice.send(f"<iq type='set' id='1'><query xmlns='{ns.ROSTER}'><item jid='x@y.example'/></query></iq>")
    await world.settle()
    assert len(component.inbox) == pushed


async def test_only_in_its_domains(story: Story) -> None:
    world = await begin(story, gateway(privileges={"roster": "both"}, domains=("other.example",)))
    await story("alice")
    component = connect(world)
    component.send(GET_ROSTER)
    await component.receives(f"<iq type='error' id='g'>{FORBIDDEN}</iq>")


async def test_a_component_without_the_module(story: Story) -> None:
    modules = tuple(name for name in WITH_COMPONENTS if "privilege" not in name)
    world = await begin(story, gateway(privileges={"roster": "both"}), modules=modules)
    await story("alice")
    component = connect(world)
    component.send(GET_ROSTER)
    await component.receives("<iq type='error' id='g'/>")


# Messages


@pytest.mark.parametrize("sender", [f"alice@{DOMAIN}", DOMAIN])
async def test_messages_go_out_in_the_name_of_an_account_or_the_domain(story: Story, sender: str) -> None:
    world = await begin(story, gateway(privileges={"message": "outgoing"}))
    bob = await story("bob")
    await bob.comes_online()
    await world.account("alice")
    component = connect(world)
    await told(component)
    component.send(outgoing(sender))
    await bob.receives(f"<message from='{sender}' to='{bob.bare}' id='foo'><body>news</body></message>")
    await component.receives_nothing()
    world.elsewhere.domains.add("far.example")
    component.send(outgoing(sender, "romeo@far.example"))
    await world.settle()
    assert [str(stanza.sender) for stanza in world.elsewhere.sent] == [sender]


@pytest.mark.parametrize(
    ("sender", "allowed"),
    [
        (f"alice@{DOMAIN}/balcony", True),
        (f"{DOMAIN}/x", True),
        ("romeo@far.example", True),
        (f"conference.{DOMAIN}", True),
        (NAME, True),
        (f"alice@{DOMAIN}", False),
        (DOMAIN, False),
    ],
)
async def test_messages_in_the_name_of_others_are_forbidden(story: Story, sender: str, allowed: bool) -> None:
    world = await begin(story, gateway(privileges={"message": "outgoing" if allowed else "none"}))
    alice, bob = await story("alice", "bob")
    await bob.comes_online()
    component = connect(world)
    await world.settle()
    component.inbox.clear()
    component.send(outgoing(sender))
    await component.receives(f"<message type='error' id='n' from='{DOMAIN}'>{FORBIDDEN}</message>")
    await bob.receives_nothing()
    await alice.receives_nothing()


async def test_messages_that_are_none(story: Story) -> None:
    world = await begin(story, gateway(privileges={"message": "outgoing"}))
    component = connect(world)
    await told(component)
    for bad in (
        outgoing(f"alice@{DOMAIN}", to=""),
        outgoing("@@", to=f"bob@{DOMAIN}"),
        outgoing(f"alice@{DOMAIN}", to="@"),
        f"<message from='{NAME}' to='{DOMAIN}' id='n'><privilege xmlns='{ns.PRIVILEGE}'/></message>",
    ):
        component.send(bad)
        await component.receives("<message type='error' id='n'><error type='modify'/></message>")
    component.send(outgoing(f"nobody@{DOMAIN}"))
    await component.receives("<message type='error' id='n'><error type='cancel'/></message>")


# Iqs


async def test_an_iq_goes_out_for_an_account_and_the_answer_comes_back(story: Story) -> None:
    world = await begin(story, gateway(privileges={f"iq:{SPACE}": "both"}))
    alice, bob = await story("alice", "bob")
    component = connect(world)
    await told(component)
    component.send(for_user(inner_iq(bob.full, sender=alice.bare)))
    request = await bob.receives(f"<iq type='get' from='{alice.bare}'><thing xmlns='{SPACE}'/></iq>")
    bob.send(f"<iq type='result' to='{alice.bare}' id='{request.get('id')}'><answer xmlns='{SPACE}'/></iq>")
    await component.receives(
        f"<iq type='result' id='top' from='{alice.bare}' to='{NAME}'><privilege xmlns='{ns.PRIVILEGE}'>"
        f"<forwarded xmlns='{ns.FORWARD}'><iq xmlns='jabber:client' type='result' id='sub_1' from='{bob.full}'"
        f" to='{alice.bare}'>"
        f"<answer xmlns='{SPACE}'/></iq></forwarded></privilege></iq>"
    )
    await alice.receives_nothing()
    # An error is an answer too.
    component.send(for_user(inner_iq(bob.full, type="set"), type="set"))
    request = await bob.receives("<iq type='set'/>")
    bob.send(f"<iq type='error' to='{alice.bare}' id='{request.get('id')}'><error type='cancel'/></iq>")
    await component.receives(
        f"<iq type='result' id='top'><privilege xmlns='{ns.PRIVILEGE}'><forwarded xmlns='{ns.FORWARD}'>"
        "<iq xmlns='jabber:client' type='error' id='sub_1'/></forwarded></privilege></iq>"
    )
    # And silence ends too.
    component.send(for_user(inner_iq(bob.full)))
    await bob.receives("<iq type='get'/>")
    world.clock.advance(61)
    await component.receives("<iq type='error' id='top'><error type='wait'/></iq>")


async def test_an_iq_to_the_account_itself_and_to_the_server(story: Story) -> None:
    modules = (*WITH_COMPONENTS, "xmpp_engine.pubsub.pep.Pep")
    world = await begin(
        story, gateway(privileges={f"iq:{ns.PUBSUB}": "set", f"iq:{ns.VERSION}": "get"}), modules=modules
    )
    await story("alice")
    component = connect(world)
    await told(component)
    publish = (
        f"<iq xmlns='jabber:client' type='set' id='sub_1'><pubsub xmlns='{ns.PUBSUB}'><publish node='urn:n'>"
        "<item id='1'><x xmlns='y'/></item></publish></pubsub></iq>"
    )
    component.send(for_user(publish, type="set"))
    await component.receives(
        f"<iq type='result' id='top'><privilege xmlns='{ns.PRIVILEGE}'><forwarded xmlns='{ns.FORWARD}'>"
        "<iq xmlns='jabber:client' type='result' id='sub_1'/></forwarded></privilege></iq>"
    )
    version = f"<iq xmlns='jabber:client' type='get' id='v' to='{DOMAIN}'><query xmlns='{ns.VERSION}'/></iq>"
    component.send(for_user(version))
    await component.receives(
        f"<iq type='result' id='top'><privilege xmlns='{ns.PRIVILEGE}'><forwarded xmlns='{ns.FORWARD}'>"
        f"<iq xmlns='jabber:client' type='result' id='v'><query xmlns='{ns.VERSION}'/></iq>"
        "</forwarded></privilege></iq>"
    )


@pytest.mark.parametrize(
    "request_of",
    [
        for_user(inner_iq("bob@far.example"), to=DOMAIN),
        for_user(inner_iq("bob@far.example"), to=f"alice@{DOMAIN}/r1"),
        for_user(inner_iq("bob@far.example", space="urn:other")),
        for_user(inner_iq("bob@far.example", type="set"), type="set"),
        for_user(inner_iq("bob@far.example", xmlns="jabber:server")),
        for_user(inner_iq("bob@far.example", sender=f"bob@{DOMAIN}")),
        for_user(inner_iq("bob@far.example", sender=f"alice@{DOMAIN}/r1")),
        for_user(inner_iq("bob@far.example", sender="@")),
        for_user(inner_iq("bob@far.example", type="set")),
        for_user(inner_iq("bob@far.example") + inner_iq("bob@far.example")),
        # Behind what is allowed something that is not.
        for_user(inner_iq("bob@far.example").replace("</iq>", "<query xmlns='jabber:iq:private'/></iq>")),
        for_user(""),
    ],
)
async def test_what_section_6_forbids(story: Story, request_of: str) -> None:
    world = await begin(story, gateway(privileges={f"iq:{SPACE}": "get"}))
    world.elsewhere.domains.add("far.example")
    await story("alice")
    component = connect(world)
    await told(component)
    component.send(request_of)
    await component.receives(f"<iq type='error' id='top'>{FORBIDDEN}</iq>")
    assert world.elsewhere.sent == []


async def test_iqs_under_way_are_bounded(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xmpp_engine.component.privilege._AT_ONCE", 2)
    world = await begin(story, gateway(privileges={f"iq:{SPACE}": "get"}))
    world.elsewhere.domains.add("far.example")
    await story("alice")
    component = connect(world)
    await told(component)
    for _ in range(3):
        component.send(for_user(inner_iq("bob@far.example")))
    await component.receives("<iq type='error' id='top'><error type='wait'/></iq>")
    component.send(for_user(inner_iq("@")))
    await component.receives("<iq type='error' id='top'><error type='modify'/></iq>")


# Presence


async def test_presence_of_accounts(story: Story) -> None:
    world = await begin(story, gateway(privileges={"presence": "managed_entity"}))
    alice = await story("alice")
    await alice.comes_online("<presence><show>chat</show></presence>")
    component = connect(world)
    await told(component)
    # Who was here before, then who comes and goes; not what changes in between.
    await component.receives(f"<presence from='{alice.full}' to='{NAME}'><show>chat</show></presence>")
    alice.send("<presence><show>away</show></presence>")
    await component.receives_nothing()
    bob = await story("bob")
    await bob.comes_online()
    await component.receives(f"<presence from='{bob.full}'/>")
    await alice.leaves()
    await component.receives(f"<presence from='{alice.full}' type='unavailable'/>")


async def test_presence_of_contacts_comes_once(story: Story) -> None:
    world = await begin(story, gateway(privileges={"presence": "roster", "roster": "get"}))
    alice, bob = await story("alice", "bob")
    for client in (alice, bob):
        await client.comes_online()
        client.account.data.roster["romeo@far.example"] = contact("both")
        client.account.data.roster["spy@far.example"] = contact("from", "spy@far.example")
    component = connect(world)
    await told(component)
    await world.settle()
    component.inbox.clear()
    for sender, type in (("romeo", ""), ("spy", ""), ("romeo", ""), ("romeo", "unavailable")):
        for client in (alice, bob):
            world.router.route(from_afar(f"{sender}@far.example/x", client.bare, type))
    await component.receives(
        f"<presence from='romeo@far.example/x' to='{NAME}'/>",
        "<presence from='romeo@far.example/x' type='unavailable'/>",
    )
    await component.receives("<presence from='romeo@far.example/x' type='unavailable'/>")
    await component.receives_nothing()


async def test_a_component_that_leaves_is_told_nothing_more(story: Story) -> None:
    world = await begin(story, gateway(privileges={"presence": "managed_entity", "roster": "get"}))
    component = connect(world)
    await told(component)
    component.break_off()
    alice = await story("alice")
    await alice.comes_online()
    assert not component.inbox
    assert world.engine.components.rows()[0]["bounced"] == 0


def contact(subscription: str, jid: str = "romeo@far.example") -> Any:
    return RosterItem(jid, subscription=subscription, version=1)  # type: ignore[arg-type]


def from_afar(sender: str, to: str, type: str) -> Stanza:
    return presence(Jid.parse(sender), Jid.parse(to), type)
