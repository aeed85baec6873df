"""Moving to another address with slixmpp, on a real node: contacts follow (XEP-0283), others are told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from xml.etree.ElementTree import fromstring

import pytest
from slixmpp.exceptions import IqError

from tests.clients.conftest import Login
from tests.clients.slix import STEP_SECONDS, Slix
from tests.live import LiveNode, User
from tests.patience import in_time

NewUser = Callable[[], User]
MOVED = "urn:xmpp:moved:1"
GONE = "{urn:ietf:params:xml:ns:xmpp-stanzas}gone"


async def befriend(one: Slix, other: Slix) -> None:
    """Both see each other, by the protocol."""
    await one.update_roster(other.boundjid.bare, name="My friend", groups=["Friends"])
    for asker, asked in ((one, other), (other, one)):
        asker.send_presence_subscription(pto=asked.boundjid.bare)
        name = asker.boundjid.bare
        await asked.until(lambda asked=asked, name=name: asked.client_roster[name]["pending_in"], "the request")
        asked.send_presence_subscription(pto=name, ptype="subscribed")
    for client, contact in ((one, other), (other, one)):
        await subscribed(client, contact.boundjid.bare, "both")


async def subscribed(client: Slix, jid: str, subscription: str) -> None:
    await client.until(lambda: client.client_roster[jid]["subscription"] == subscription, f"{subscription} for {jid}")


def claim(client: Slix, contact: str, old: str) -> None:
    """Ask to see somebody in place of an old address."""
    request = client.make_presence(pto=contact, ptype="subscribe")
    request.xml.append(fromstring(f"<moved xmlns='{MOVED}'><old-jid>{old}</old-jid></moved>"))
    request.send()


async def refusal(client: Slix, to: str) -> Any:
    """The error for a message."""
    refused = client.event_future("message_error")
    client.send_message(to, "Are you there?")
    return await in_time(refused, STEP_SECONDS)


async def test_an_administrator_moves_an_account(live_node: LiveNode, login: Login, user: NewUser) -> None:
    people = [user() for _ in range(3)]
    romeo, old, new = [await login(one) for one in people]
    await befriend(romeo, old)
    told = live_node.ctl_json("user", "move", people[1].jid, people[2].jid)
    counted = {name: told[name] for name in ("moved_to", "contacts", "asked", "following", "blocked")}
    assert counted == {"moved_to": people[2].jid, "contacts": 1, "asked": 1, "following": 1, "blocked": 0}
    await subscribed(romeo, people[2].jid, "both")
    await subscribed(romeo, people[1].jid, "to")
    await subscribed(new, people[0].jid, "both")
    entry = romeo.client_roster[people[2].jid]
    assert (entry["name"], entry["groups"]) == ("My friend", ["Friends"])
    await romeo.until(lambda: people[2].jid in romeo.client_roster and entry.resources, "presence of the new address")
    answer = await refusal(romeo, people[1].jid)
    assert answer.xml.find(f".//{GONE}").text == f"xmpp:{people[2].jid}"
    with pytest.raises(IqError) as error:
        await romeo.plugin["xep_0092"].get_version(old.boundjid)
    assert error.value.iq.xml.find(f".//{GONE}").text == f"xmpp:{people[2].jid}"
    # The owner may still come in, and nothing is done twice.
    await old.go()
    back = await login(people[1], "again")
    again = live_node.ctl_json("user", "move", people[1].jid, people[2].jid)
    assert (again["already"], again["asked"], again["following"]) == (1, 0, 1)
    assert live_node.ctl_json("user", "show", people[1].jid)["moved_to"] == people[2].jid
    live_node.ctl("user", "move", people[1].jid, "--undo")
    romeo.send_message(people[1].jid, "Here again?")
    await back.hears("Here again?")
    assert live_node.ctl("user", "move", people[1].jid, "--undo", check=False).returncode == 1


async def test_a_client_moves_its_account(login: Login, user: NewUser) -> None:
    people = [user() for _ in range(4)]
    romeo, old, new, eve = [await login(one) for one in people]
    await befriend(romeo, old)
    statement = fromstring(f"<moved xmlns='{MOVED}'><new-jid>{people[2].jid}</new-jid></moved>")
    await old.plugin["xep_0060"].publish(None, MOVED, id="current", payload=statement)
    # Somebody else says that he is it: the user is asked, and no more.
    asked = romeo.event_future("presence_subscribe")
    claim(eve, people[0].jid, people[1].jid)
    assert (await in_time(asked, STEP_SECONDS)).xml.find(f"{{{MOVED}}}moved") is not None
    claim(new, people[0].jid, people[1].jid)
    await subscribed(romeo, people[2].jid, "from")
    await subscribed(romeo, people[1].jid, "to")
    await new.until(lambda: new.client_roster[people[0].jid]["pending_in"], "the request in return")
    assert romeo.client_roster[people[3].jid]["subscription"] == "none"


async def test_an_administrator_does_it_in_a_client(live_node: LiveNode, login: Login, user: NewUser) -> None:
    boss_user, old, new = user(), user(), user()
    live_node.ctl("user", "role", boss_user.jid, "yes")
    boss = await login(boss_user)
    commands, domain = boss.plugin["xep_0050"], live_node.domain
    first = (await commands.send_command(domain, "mlink:command:user-move"))["command"]
    form = boss.plugin["xep_0004"].make_form("submit")
    for name, value in (("old", old.jid), ("new", new.jid), ("undo", "no")):
        form.add_field(var=name, value=value)
    done = await commands.send_command(domain, first["node"], payload=form, sessionid=first["sessionid"])
    assert done["command"]["status"] == "completed"
    assert live_node.ctl_json("user", "show", old.jid)["moved_to"] == new.jid


async def test_a_domain_becomes_an_alias_without_a_restart(live_node: LiveNode, login: Login, user: NewUser) -> None:
    romeo = await login(user())
    name = f"alias-{romeo.boundjid.user}.localhost"
    live_node.ctl("domain", "add", name)
    try:
        live_node.ctl("user", "add", f"there@{name}", "--password", "correct horse")
        live_node.ctl("domain", "set", name, "moved_to", "elsewhere.example")
        for _attempt in range(100):
            answer = await refusal(romeo, f"juliet@{name}")
            gone = answer.xml.find(f".//{GONE}")
            if gone is not None:
                break
            await asyncio.sleep(0.1)
        assert gone is not None
        assert gone.text == "xmpp:juliet@elsewhere.example"
        # Who is still there is reached.
        here = await login(User(f"there@{name}", "correct horse"))
        romeo.send_message(f"there@{name}", "Still there?")
        await here.hears("Still there?")
    finally:
        live_node.ctl("domain", "set", name, "moved_to", "")
        live_node.ctl("user", "remove", f"there@{name}")
        live_node.ctl("domain", "remove", name)
