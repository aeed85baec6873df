"""Several domains on one node, from outside: each has its own certificate, services, registration, archive and limits;
people of two domains talk, subscribe and share a room; and an administrator of one of them works in a client."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from cryptography import x509
from slixmpp.exceptions import IqError, XMPPError

from tests.clients.slix import Slix
from tests.durability.client import unverified_tls
from tests.kits.authority import Authority
from tests.live import ROOT, LiveNode, PlainClient, User

FIRST, SECOND, THIRD, WIDE = "one.example", "two.example", "three.example", "bücher.example"
PASSWORD = "a pass phrase"
PEOPLE = {
    name: User(name, PASSWORD)
    for name in (f"ann@{FIRST}", f"bob@{SECOND}", f"ben@{SECOND}", f"cid@{THIRD}", f"keeper@{FIRST}")
}
ADMIN = "http://jabber.org/protocol/admin#"

_SETUP = """
import json, sys
from mlink_web.accounts import services as accounts
from mlink_web.conf import certificates, services
from mlink_web.delegation import services as delegation
given = json.load(sys.stdin)
for name, options in given["domains"].items():
    certificates.ensure(services.add_domain(name, **options))
for jid in given["people"]:
    accounts.create_account(jid, given["password"])
delegation.appoint(given["keeper"], services.find_domain(given["of"]), "test")
"""


@pytest.fixture(scope="module")
def node() -> Iterator[LiveNode]:
    """A node with four domains; the second one has a certificate of an authority."""
    made = LiveNode(FIRST)
    chain, key = Authority().issue(SECOND, f"*.{SECOND}").write(made.home, "second")
    given = {
        "domains": {
            SECOND: {
                "registration": True,
                "max_resources": 1,
                "resource_conflict": "reject",
                "tls_certificate": str(chain),
                "tls_key": str(key),
                "modules": {"muc": {"services": {"talks": {"create": "everybody"}}}},
            },
            THIRD: {"archive": False, "modules": {"pubsub": {"services": {}}}},
            WIDE: {},
        },
        "people": list(PEOPLE),
        "password": PASSWORD,
        "keeper": f"keeper@{FIRST}",
        "of": SECOND,
    }
    try:
        made.start()
        subprocess.run(
            [sys.executable, "manage.py", "shell", "-c", _SETUP],
            cwd=ROOT,
            env=made.environment(),
            input=json.dumps(given),
            text=True,
            check=True,
            timeout=120,
        )
        until(lambda: shown(made, THIRD) == names(THIRD), "the node serves the domains")
        yield made
    finally:
        made.remove()


def until(condition: Any, what: str, seconds: float = 60.0) -> None:
    """Look until it is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


def names(domain: str) -> set[str]:
    """The names in the certificate that a domain shows."""
    ascii = domain.encode("idna").decode()
    return {ascii, f"*.{ascii}"}


def presented(connection: ssl.SSLSocket) -> set[str]:
    certificate = x509.load_der_x509_certificate(connection.getpeercert(binary_form=True) or b"")
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return set(found.get_values_for_type(x509.DNSName))


def shown(node: LiveNode, server_name: str | None) -> set[str]:
    """By direct TLS."""
    plain = socket.create_connection(("127.0.0.1", node.c2s_tls_port), timeout=20)
    with plain, unverified_tls().wrap_socket(plain, server_hostname=server_name) as connection:
        return presented(connection)


def shown_after_starttls(node: LiveNode, to: str, server_name: str | None) -> set[str]:
    """By STARTTLS on a stream to that domain."""
    with socket.create_connection(("127.0.0.1", node.c2s_port), timeout=20) as plain:
        header = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'"
        plain.sendall(f"{header} to='{to}' version='1.0'>".encode())
        read(plain, b"</stream:features>")
        plain.sendall(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
        read(plain, b"<proceed")
        with unverified_tls().wrap_socket(plain, server_hostname=server_name) as connection:
            return presented(connection)


def read(plain: socket.socket, until: bytes) -> bytes:
    seen = b""
    while until not in seen:
        chunk = plain.recv(65_536)
        assert chunk, seen
        seen += chunk
    return seen


@pytest.fixture
async def come(node: LiveNode) -> AsyncIterator[Any]:
    """A function that signs somebody in."""
    clients: list[Slix] = []

    async def sign_in(jid: str, resource: str = "desk") -> Slix:
        client = Slix(PEOPLE[jid], resource)
        clients.append(client)
        return await client.come(node)

    yield sign_in
    for client in clients:
        if client.is_connected():
            await client.go()


@pytest.mark.parametrize("domain", [FIRST, SECOND, THIRD, WIDE])
def test_each_domain_shows_its_own_certificate(node: LiveNode, domain: str) -> None:
    ascii = domain.encode("idna").decode()
    assert shown(node, ascii) == names(domain)
    assert shown_after_starttls(node, domain, ascii) == names(domain)
    # A client that names nobody by SNI gets the one of the domain to which its stream goes.
    assert shown_after_starttls(node, domain, None) == names(domain)


def test_who_names_no_domain_gets_the_first_one(node: LiveNode) -> None:
    assert shown(node, None) == shown(node, "nobody.example") == names(FIRST)


async def test_services_are_each_domain_s_own(node: LiveNode, come: Any) -> None:
    ann = await come(f"ann@{FIRST}")
    disco = ann.plugin["xep_0030"]

    async def items(domain: str) -> set[str]:
        found = await disco.get_items(jid=domain)
        return {str(jid) for jid, _node, _name in found["disco_items"]["items"]}

    first, second, third = [await items(domain) for domain in (FIRST, SECOND, THIRD)]
    assert {f"conference.{FIRST}", f"pubsub.{FIRST}"} <= first
    assert f"talks.{SECOND}" in second
    assert f"conference.{SECOND}" not in second
    assert f"pubsub.{THIRD}" not in third
    for domain, found in ((FIRST, first), (SECOND, second), (THIRD, third)):
        assert all(jid.endswith(f".{domain}") for jid in found)
    # Nodes of one service are not those of another.
    await ann.plugin["xep_0060"].create_node(f"pubsub.{FIRST}", "news")
    with pytest.raises(IqError):
        await ann.plugin["xep_0060"].get_node_config(f"pubsub.{SECOND}", "news")


def test_registration_is_each_domain_s_own(node: LiveNode) -> None:
    query = "<query xmlns='jabber:iq:register'/>"
    answers = {}
    for domain in (FIRST, SECOND):
        with socket.create_connection(("127.0.0.1", node.c2s_port), timeout=20) as plain:
            header = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'"
            plain.sendall(f"{header} to='{domain}' version='1.0'>".encode())
            read(plain, b"</stream:features>")
            plain.sendall(f"<iq type='get' id='r' to='{domain}'>{query}</iq>".encode())
            answers[domain] = read(plain, b"</iq>").replace(b'"', b"'")
    # The first one is closed: an invitation is needed.
    assert b"type='error'" in answers[FIRST]
    assert b"type='result'" in answers[SECOND]
    assert b"username" in answers[SECOND]


def test_limits_are_each_domain_s_own(node: LiveNode) -> None:
    first = [PlainClient(node, PEOPLE[f"ann@{FIRST}"], name) for name in ("a", "b")]
    one = PlainClient(node, PEOPLE[f"ben@{SECOND}"], "a")
    with pytest.raises(ConnectionError):
        PlainClient(node, PEOPLE[f"ben@{SECOND}"], "b").read(b"</never>")
    for client in (*first, one):
        client.socket.close()


async def test_people_of_two_domains(node: LiveNode, come: Any) -> None:
    ann, bob, cid = await come(f"ann@{FIRST}"), await come(f"bob@{SECOND}"), await come(f"cid@{THIRD}")
    # Subscriptions, both ways.
    for one, other in ((ann, bob), (bob, ann)):
        other.auto_authorize = True
        one.send_presence_subscription(other.boundjid.bare)
    await ann.until(
        lambda: (
            ann.client_roster[bob.boundjid.bare]["subscription"] == "both"
            and ann.client_roster.presence(bob.boundjid.bare)
        ),
        "bob is there",
    )
    # Chat.
    ann.send_message(bob.boundjid.bare, "across domains", mtype="chat")
    assert (await bob.hears("across domains"))["from"].bare == ann.boundjid.bare
    ann.send_message(cid.boundjid.bare, "to the third", mtype="chat")
    await cid.hears("to the third")
    # A room of one, with people of all.
    room = f"hall@talks.{SECOND}"
    for client, nick in ((bob, "bob"), (ann, "ann"), (cid, "cid")):
        await client.plugin["xep_0045"].join_muc_wait(room, nick, timeout=20)
        if client is bob:
            form = bob.plugin["xep_0004"].make_form("submit")
            await bob.plugin["xep_0045"].set_room_config(room, form)
    ann.send_message(room, "to everybody", mtype="groupchat")
    await asyncio.gather(bob.hears("to everybody"), cid.hears("to everybody"))
    # The archive of each is its domain's: the third one keeps nothing.
    kept = [result async for result in ann.plugin["xep_0313"].iterate(with_jid=cid.boundjid.bare)]
    assert [result["mam_result"]["forwarded"]["stanza"]["body"] for result in kept] == ["to the third"]
    kept = [result async for result in cid.plugin["xep_0313"].iterate(with_jid=ann.boundjid.bare)]
    assert kept == []


async def test_an_administrator_of_one_domain_in_a_client(node: LiveNode, come: Any) -> None:
    keeper = await come(f"keeper@{FIRST}")
    commands = keeper.plugin["xep_0050"]
    shown = await keeper.plugin["xep_0030"].get_items(jid=SECOND, node="http://jabber.org/protocol/commands")
    nodes = {node for _jid, node, _name in shown["disco_items"]["items"]}
    assert f"{ADMIN}add-user" in nodes
    assert f"{ADMIN}shutdown" not in nodes

    async def run(name: str, /, **fields: Any) -> Any:
        form = keeper.plugin["xep_0004"].make_form("submit")
        for var, value in fields.items():
            form.add_field(var=var.replace("__", "-"), value=value)
        first = (await commands.send_command(SECOND, name))["command"]
        done = await commands.send_command(SECOND, name, payload=form, sessionid=first["sessionid"])
        return done["command"]

    new = f"new@{SECOND}"
    done = await run(f"{ADMIN}add-user", accountjid=new, password="first one", password__verify="first one")
    assert done["status"] == "completed"
    PlainClient(node, User(new, "first one"), "a").socket.close()
    counted = (await commands.send_command(SECOND, f"{ADMIN}get-registered-users-num"))["command"]
    assert counted["form"].get_values()["registeredusersnum"] == "3"
    # Nothing of other domains, and nobody who may do more.
    for name, fields in (
        (f"{ADMIN}change-user-password", {"accountjid": f"ann@{FIRST}", "password": "mine now"}),
        ("mlink:command:user-password", {"jid": f"ann@{FIRST}", "password": "mine now"}),
        ("mlink:command:kick", {"jid": f"ann@{FIRST}"}),
        ("mlink:command:domain-set", {"name": SECOND, "key": "enabled", "value": "no"}),
    ):
        with pytest.raises(XMPPError) as refused:
            await run(name, **fields)
        assert refused.value.condition in ("not-acceptable", "item-not-found"), name
    with pytest.raises(XMPPError) as refused:
        await commands.send_command(FIRST, f"{ADMIN}get-registered-users-num")
    assert refused.value.condition == "forbidden"
    # Dismissed, he can do nothing more, within seconds and without a restart.
    node.ctl("domain", "admin", "remove", f"keeper@{FIRST}", SECOND)
    assert await refusal(keeper) == "forbidden"


async def refusal(client: Slix) -> str:
    """Why a command is refused, once it is."""
    deadline = asyncio.get_running_loop().time() + 30
    while asyncio.get_running_loop().time() < deadline:
        try:
            await client.plugin["xep_0050"].send_command(SECOND, f"{ADMIN}get-registered-users-num")
        except XMPPError as error:
            return str(error.condition)
        await asyncio.sleep(0.2)
    return "nothing"


def test_a_domain_is_deleted_while_people_are_there(node: LiveNode) -> None:
    """Last in this module: the third domain goes, with `host-gone` to who is connected."""
    there = PlainClient(node, PEOPLE[f"cid@{THIRD}"], "desk")
    node.ctl("domain", "delete", THIRD, "--confirm", THIRD, "--reason", "the end")
    there.read(b"<host-gone")
    until(lambda: node.ctl_json("domain", "deletions")[0]["state"] == "Done", "the job is through", 90.0)
    assert shown(node, THIRD) == names(FIRST)
    with pytest.raises(ConnectionError):
        PlainClient(node, PEOPLE[f"cid@{THIRD}"], "desk")
    still = PlainClient(node, PEOPLE[f"ann@{FIRST}"], "desk")
    still.socket.close()
