"""slixmpp as an administrator's client: ad-hoc commands of XEP-0050 and XEP-0133 on a real node."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import Any

import pytest
from slixmpp.exceptions import IqError

from tests.clients.conftest import Login
from tests.clients.slix import Slix
from tests.live import LiveNode, PlainClient, User

ADMIN = "http://jabber.org/protocol/admin#"
NewUser = Callable[[], User]


@pytest.fixture
async def boss(live_node: LiveNode, login: Login, user: NewUser) -> Slix:
    """An administrator's client."""
    person = user()
    live_node.ctl("user", "role", person.jid, "yes")
    return await login(person)


async def run(client: Slix, node: str, **fields: str | list[str]) -> Any:
    """Run a command with a form in two steps; returns its last answer."""
    domain, commands = client.boundjid.domain, client.plugin["xep_0050"]
    first = await commands.send_command(domain, ADMIN + node if "#" not in node and ":" not in node else node)
    if not fields:
        return first["command"]
    form = client.plugin["xep_0004"].make_form("submit")
    for name, value in fields.items():
        form.add_field(var=name.replace("__", "-"), value=value)
    id = first["command"]["sessionid"]
    done = await commands.send_command(domain, first["command"]["node"], payload=form, sessionid=id)
    return done["command"]


async def last_login(boss: Slix, jid: str) -> str:
    """When somebody signed in last, or "never"."""
    shown = await run(boss, "get-user-lastlogin", accountjid=jid)
    return str(shown["form"].get_values()["lastlogin"])


async def test_an_account_is_made_changed_and_removed(boss: Slix, live_node: LiveNode, user: NewUser) -> None:
    jid = f"new-{secrets.token_hex(3)}@{live_node.domain}"
    done = await run(boss, "add-user", accountjid=jid, password="first one", password__verify="first one")
    assert done["status"] == "completed"
    person = User(jid, "first one")
    PlainClient(live_node, person, "a").socket.close()
    with pytest.raises(IqError) as refused:
        await run(boss, "add-user", accountjid=jid, password="x y z", password__verify="x y z")
    assert refused.value.condition == "conflict"

    await run(boss, "change-user-password", accountjid=jid, password="second one")
    with pytest.raises(ConnectionError):
        PlainClient(live_node, person, "a")
    person = User(jid, "second one")
    client = PlainClient(live_node, person, "a")

    await run(boss, "disable-user", accountjids=[jid])
    with pytest.raises(ConnectionError):
        client.read(b"never")
    await run(boss, "reenable-user", accountjids=[jid])
    PlainClient(live_node, person, "a").socket.close()
    deadline = asyncio.get_running_loop().time() + 30
    while (last := await last_login(boss, jid)) == "never":  # logins are written together, once a second
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.1)
    assert last.startswith("20")
    await run(boss, "delete-user", accountjids=[jid])
    with pytest.raises(IqError) as refused:
        await run(boss, "user-stats", accountjid=jid)
    assert refused.value.condition == "item-not-found"
    log = live_node.log.read_text()
    assert "first one" not in log
    assert "second one" not in log
    assert any("add-user" in line or "user add" in line for line in log.splitlines() if jid in line)


async def test_the_same_commands_as_in_a_shell(boss: Slix, live_node: LiveNode) -> None:
    done = await run(boss, "mlink:command:domain-show", name=live_node.domain)
    assert live_node.domain in done["form"].get_values().values()
    number = await run(boss, "get-registered-users-num")
    assert int(number["form"].get_values()["registeredusersnum"]) == live_node.ctl_json("user", "count")["registered"]


async def test_texts_for_everybody(boss: Slix, login: Login, user: NewUser, live_node: LiveNode) -> None:
    old = await login(user())
    assert "told" in (await run(boss, "announce", announcement=["Tea", "at five"]))["notes"][0][1]
    assert (await old.hears("Tea\nat five"))["from"] == live_node.domain
    text = f"Motto {secrets.token_hex(3)}"
    try:
        await run(boss, "set-motd", motd=[text])
        await old.hears(text)
        newcomer = await login(user())
        await newcomer.hears(text)
        shown = await run(boss, "edit-motd")
        assert text in str(shown["form"].get_values()["motd"])
    finally:
        await run(boss, "delete-motd")


async def test_others_may_not(login: Login, user: NewUser) -> None:
    romeo = await login(user())
    with pytest.raises(IqError) as refused:
        await run(romeo, "announce")
    assert refused.value.condition == "forbidden"
    items = await romeo.plugin["xep_0030"].get_items(romeo.boundjid.domain, node="http://jabber.org/protocol/commands")
    assert not [node for _jid, node, _name in items["disco_items"]["items"] if node.startswith((ADMIN, "mlink:"))]
