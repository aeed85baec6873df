"""Components against a live node: slixmpp's as a real one, and bad ones by hand."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import pytest
from slixmpp.exceptions import IqError

from tests.clients.slix import Slix
from tests.components.conftest import SECONDS, ComponentNode, Gateway, Raw
from tests.patience import in_time

pytestmark = [pytest.mark.net, pytest.mark.slow, pytest.mark.timeout(240)]
Make = Callable[[str], Awaitable[Gateway]]
VERSION = "jabber:iq:version"
DELEGATION = "urn:xmpp:delegation:2"
FORWARD = "urn:xmpp:forward:0"


async def connected(node: ComponentNode, name: str) -> Raw:
    """A component by hand past its handshake, as soon as the node knows it."""
    domain = f"{name}.{node.domain}"
    for _attempt in range(60):
        with contextlib.suppress(AssertionError, OSError):
            raw = await Raw.open(node, domain)
            await raw.shake(node.secrets[domain])
            await raw.until(b"<handshake/>")
            return raw
        await asyncio.sleep(0.25)
    raise AssertionError(f"{domain} was never accepted: {node.log_tail()}")


async def test_a_component_echoes_and_is_listed(component_node: ComponentNode, gateway: Make) -> None:
    node = component_node
    component = await gateway("echo")
    domain = component.boundjid.bare
    user = await Slix(node.users["user"], "desk").come(node)
    user.send_message(f"anybody@{domain}", "hello", mtype="chat")
    await user.until(lambda: [m for m in user.messages if m["body"] == "hello"], "the echo")
    answer = next(m for m in user.messages if m["body"] == "hello")
    assert answer["from"] == f"anybody@{domain}"
    got = await component.next()
    assert (got["from"].bare, got["to"].bare) == (user.boundjid.bare, f"anybody@{domain}")
    items = await user.plugin["xep_0030"].get_items(jid=node.domain)
    assert domain in {item[0] for item in items["disco_items"]["items"]}
    info = await user.plugin["xep_0030"].get_info(jid=domain)
    assert ("component", "generic") in {identity[:2] for identity in info["disco_info"]["identities"]}
    row = await node.status(domain)
    assert (row["connected"], row["received"] >= 2, row["address"].startswith("127.0.0.1:")) == (True, True, True)
    # Presence both ways, and a message to somebody who is away.
    user.send_presence(pto=f"room@{domain}/me")
    presence = await component.next()
    assert presence["from"] == user.boundjid.full
    away = node.users["away"]
    component.send_message(away.jid, "later", mfrom=f"bot@{domain}", mtype="chat")
    await component.plugin["xep_0199"].ping(node.domain, ifrom=domain)
    later = await Slix(away, "phone").come(node)
    await later.until(lambda: [m for m in later.messages if m["body"] == "later"], "the offline message")
    # The administrator ends the connection, and what is sent then comes back.
    ended = asyncio.Event()
    component.add_event_handler("disconnected", lambda _event: ended.set())
    await node.ask("component kick", domain=domain)
    await in_time(ended.wait(), SECONDS)
    user.send_message(f"anybody@{domain}", "again", mtype="chat")
    await user.until(lambda: [m for m in user.messages if m["type"] == "error"], "the error")
    assert next(m for m in user.messages if m["type"] == "error")["error"]["condition"] == "service-unavailable"
    for client in (user, later):
        await client.go()


async def test_a_privileged_component(component_node: ComponentNode, gateway: Make) -> None:
    node = component_node
    component = await gateway("privileged")
    await in_time(component.advertised.wait(), SECONDS)
    plugin = component.plugin["xep_0356"]
    granted = plugin.granted_privileges[node.domain]
    assert (granted.roster, granted.message, granted.presence) == ("both", "outgoing", "managed_entity")
    assert dict(granted.iq) == {VERSION: "get"}
    user = await Slix(node.users["managed"], "desk").come(node)
    while (await component.next())["from"] != user.boundjid.full:
        pass  # those of others who are here
    bare = user.boundjid.bare
    await plugin.set_roster(bare, {"friend@far.example": {"name": "Friend", "groups": ["Gateway"]}})
    await user.until(lambda: "friend@far.example" in user.client_roster, "the roster push")
    roster = await plugin.get_roster(bare)
    assert roster["roster"]["items"]["friend@far.example"]["name"] == "Friend"
    plugin.send_privileged_message(component.make_message(mto=bare, mfrom=node.domain, mbody="from the domain"))
    await user.until(lambda: [m for m in user.messages if m["body"] == "from the domain"], "the message")
    answer = await plugin.send_privileged_iq(component.make_iq_get(queryxmlns=VERSION, ito=node.domain, ifrom=bare))
    assert answer["type"] == "result"
    # What it may not do, although its plug-in would.
    plugin.granted_privileges[node.domain].iq["jabber:iq:private"] = "set"
    refused = component.make_iq_set(ito=node.domain, ifrom=bare)
    refused["query"] = "jabber:iq:private"
    with pytest.raises(IqError) as caught:
        await plugin.send_privileged_iq(refused)
    # Clients and components of slixmpp in one process read errors in one namespace only.
    assert "<forbidden " in str(caught.value.iq)
    assert "may not do this for" in node.log.read_text()
    await user.go()


async def test_a_component_serves_a_namespace(component_node: ComponentNode) -> None:
    """slixmpp has no plug-in for XEP-0355, so this one wraps by hand."""
    node = component_node
    raw = await connected(node, "managing")
    domain = f"managing.{node.domain}"
    await raw.until(b"</delegation>")
    assert b"namespace='urn:example:thing'" in raw.text
    user = await Slix(node.users["asker"], "desk").come(node)
    iq = user.make_iq_get(queryxmlns="urn:example:thing", ito=user.boundjid.bare)
    asked = asyncio.ensure_future(iq.send(timeout=SECONDS))
    await raw.until(b"</delegation></iq>")
    head, _, wrapped = raw.text.rpartition(b"<delegation ")
    assert f"from='{user.boundjid.full}'".encode() in wrapped
    number = head[head.rindex(b"<iq ") :].split(b" id='")[1].split(b"'")[0].decode()
    raw.send(
        f"<iq type='result' from='{domain}' to='{node.domain}' id='{number}'><delegation xmlns='{DELEGATION}'>"
        f"<forwarded xmlns='{FORWARD}'><iq xmlns='jabber:client' type='result' id='{iq['id']}'"
        f" to='{user.boundjid.full}'><query xmlns='urn:example:thing'>served</query></iq></forwarded></delegation></iq>"
    )
    answer = await asked
    assert answer["from"] == user.boundjid.bare
    assert "served" in str(answer)
    info = await user.plugin["xep_0030"].get_info(jid=node.domain)
    assert {"urn:example:thing", DELEGATION} <= set(info["disco_info"]["features"])
    await user.go()
    raw.writer.close()


@pytest.mark.parametrize(
    ("condition", "name", "address", "key", "text"),
    [
        ("host-unknown", "unknown.{domain}", "127.0.0.1", "", ""),
        ("host-unknown", "{domain}", "127.0.0.1", "", ""),
        ("not-authorized", "strict.{domain}", "127.0.0.9", "", ""),
        ("not-authorized", "strict.{domain}", "127.0.0.1", "wrong secret", ""),
        ("conflict", "strict.{domain}", "127.0.0.1", "right", ""),
        ("not-authorized", "strict.{domain}", "127.0.0.1", "", "<message from='strict.{domain}' to='a@{domain}'/>"),
        ("policy-violation", "strict.{domain}", "127.0.0.1", "", f"<handshake>{'x' * 20_000}</handshake>"),
    ],
)
async def test_who_may_not_connect(
    component_node: ComponentNode, condition: str, name: str, address: str, key: str, text: str
) -> None:
    node = component_node
    first = await connected(node, "strict")
    raw = await Raw.open(node, name.format(domain=node.domain), address)
    if key:
        await raw.shake(node.secrets[f"strict.{node.domain}"] if key == "right" else key)
    if text:
        await raw.until(b"id='")
        raw.send(text.replace("{domain}", node.domain))
    assert await raw.condition() == condition
    # The one that is there stays.
    assert (await node.status(f"strict.{node.domain}"))["connected"]
    await first.leave(node, f"strict.{node.domain}")


async def test_what_ends_a_component(component_node: ComponentNode) -> None:
    node = component_node
    domain = f"strict.{node.domain}"
    forger = await connected(node, "strict")
    forger.send(f"<message from='{node.admin.jid}' to='{node.admin.jid}'><body>x</body></message>")
    assert await forger.condition() == "invalid-from"
    large = await connected(node, "strict")
    large.send(f"<message from='{domain}' to='x@{node.domain}'><body>{'x' * 600_000}</body></message>")
    assert await large.condition() == "policy-violation"
    broken = await connected(node, "strict")
    broken.send("<message></presence>")
    assert await broken.condition() == "not-well-formed"
    reasons = {row["reason"] for row in await node.ask("component refused")}
    assert reasons >= {
        "there is no such component",
        "this component may not connect from this address",
        "the secret is wrong",
        "this component is connected already",
    }
    assert f"component {domain} spoke as {node.admin.jid}" in node.log.read_text()


async def test_a_secret_is_nowhere_to_be_read(component_node: ComponentNode) -> None:
    node = component_node
    domain = f"sealed.{node.domain}"
    raw = await connected(node, "sealed")
    renewed = node.run(
        """
        from mlink_web.components import services
        answer["secret"] = services.renew_secret(services.find(wanted))
        """,
        domain,
    )["secret"]
    # The connection with the old one ends by itself.
    assert await raw.condition() == "not-authorized"
    stored = b"".join(path.read_bytes() for path in node.home.rglob("*.sqlite3*"))
    assert domain.encode() in stored
    for secret in (*node.secrets.values(), renewed):
        assert secret not in node.log.read_text()
        assert secret.encode() not in stored
