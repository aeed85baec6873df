"""Two nodes with a real Redis and PostgreSQL, from outside: they find each other, commands reach both, a drain behind
HAProxy as docs/examples configures it, Redis that goes and comes back, a second node with a name that is taken."""

from __future__ import annotations

import asyncio
import http.client
import re
import secrets
import shutil
import signal
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlink_web.clusters import numbers
from mlink_web.clusters.layer_bus import LayerBus
from mlink_web.node.client import EngineClient
from tests.live import ROOT, LiveNode, PlainClient, User
from tests.services import PostgresServer, RedisServer, free_port, redis_program
from xmpp_engine.cluster.cluster import Cluster, ClusterError
from xmpp_engine.config.schema import ClusterConfig
from xmpp_engine.runtime.clock import LoopClock
from xmpp_engine.runtime.tasks import Tasks

# Two whole nodes start for the first test.
pytestmark = [pytest.mark.net, pytest.mark.slow, pytest.mark.redis, pytest.mark.timeout(300)]
PATIENCE = 60.0
BALANCER = "127.0.0.3"


class Site:
    """The servers and the nodes."""

    def __init__(self, postgres: PostgresServer) -> None:
        self.redis = RedisServer(redis_program())
        self.redis.start()
        self.secret = self.redis.service.folder / "secret"
        self.secret.write_text(secrets.token_urlsafe(64))
        self.database = postgres.url(postgres.create())
        self.nodes: list[LiveNode] = []

    def node(self, name: str) -> LiveNode:
        """A node that has not started."""
        node = LiveNode(
            MLINK_CLUSTER="on",
            MLINK_NODE_NAME=name,
            MLINK_REDIS_URL=self.redis.url,
            MLINK_DATABASE_URL=self.database,
            MLINK_SECRET_KEY_FILE=str(self.secret),
            MLINK_PROXIES=BALANCER,
        )
        node.extra["MLINK_NODE_ADDRESS"] = f"localhost:{node.c2s_port}"
        self.nodes.append(node)
        return node

    def remove(self) -> None:
        """End all."""
        for node in self.nodes:
            node.remove()
        self.redis.stop()


@pytest.fixture(scope="module")
def site(postgres_server: PostgresServer) -> Iterator[Site]:
    """Two nodes that know each other."""
    made = Site(postgres_server)
    try:
        for name in ("one", "two"):
            made.node(name).start(90.0)
        wait(lambda: states(made.nodes[0]) == {"one": "here", "two": "here"})
        yield made
    finally:
        made.remove()


def wait(condition: Callable[[], bool]) -> None:
    """Until something holds; fails when it does not for long."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def ask(asked: LiveNode, command: str, on: str = "", **arguments: str) -> Any:
    """A command by the control socket: `xmppctl` takes seconds to start."""
    return asyncio.run(EngineClient(asked.home / "run" / "node.sock", on).call(command, **arguments))


def states(node: LiveNode) -> dict[str, str]:
    """The nodes as this one sees them."""
    return {row["node"]: row["state"] for row in ask(node, "cluster nodes")}


def status(node: LiveNode, path: str) -> int:
    """What a health check gets."""
    try:
        with urllib.request.urlopen(f"{node.url}{path}", timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def whereabouts(node: LiveNode) -> dict[str, str]:
    """Where each session is, by its full address."""
    return {row["jid"]: row["node"] for row in ask(node, "sessions")}


def test_commands_reach_both_nodes(site: Site) -> None:
    one, two = site.nodes
    user = one.admin
    first, second = PlainClient(one, user, "phone"), PlainClient(two, user, "desk")
    wait(lambda: whereabouts(two) == {f"{user.jid}/phone": "one", f"{user.jid}/desk": "two"})
    assert ask(one, "stats")["sessions"] == 2
    assert ask(one, "stats", "two")["sessions"] == 1
    first.socket.sendall(f"<message to='{user.jid}/desk' type='chat'><body>over there</body></message>".encode())
    second.read(b"over there</body>")
    assert ask(one, "kick", jid=f"{user.jid}/desk")["ended"] == 1
    with pytest.raises(ConnectionError):
        second.read(b"never")
    assert b"policy-violation" in second.seen
    assert whereabouts(one) == {f"{user.jid}/phone": "one"}
    first.socket.close()
    shown = one.ctl("cluster").stdout.splitlines()
    assert [line.split()[:2] for line in shown] == [["node", "state"], ["one", "here"], ["two", "here"]]
    assert len({row["number"] for row in ask(one, "cluster nodes")}) == 2


def test_an_account_that_moves_has_moved_on_both_nodes(site: Site) -> None:
    one, two = site.nodes
    romeo, old, new = (one.add_user(name) for name in ("romeo", "old", "new"))
    client = PlainClient(two, romeo, "desk")
    version = "<query xmlns='jabber:iq:version'/>"
    # The other node has the account in memory, as it was.
    client.say(f"<iq type='get' id='before' to='{old.jid}'>{version}</iq>", b"</iq>")
    assert b"gone" not in client.seen
    assert one.ctl_json("user", "move", old.jid, new.jid)["moved_to"] == new.jid
    client.say(f"<iq type='get' id='after' to='{old.jid}'>{version}</iq>", b"</iq>")
    assert f">xmpp:{new.jid}</gone>".encode() in client.seen
    one.ctl("user", "move", old.jid, "--undo")
    client.say(f"<iq type='get' id='undone' to='{old.jid}'>{version}</iq>", b"</iq>")
    assert b"gone" not in client.seen
    client.socket.close()


def test_what_changes_in_the_database_takes_effect_on_all_nodes(site: Site) -> None:
    one, two = site.nodes
    user = one.add_user()
    phone, desk = PlainClient(one, user, "phone"), PlainClient(two, user, "desk")
    wait(lambda: len(ask(one, "sessions", jid=user.jid)) == 2)
    # What follows when a device is revoked; its session is on the other node.
    device = next(row["device"] for row in ask(one, "sessions", jid=user.jid) if row["node"] == "two")
    assert ask(one, "device end", jid=user.jid, device=device)["ended"] == 1
    with pytest.raises(ConnectionError):
        desk.read(b"never")
    assert set(whereabouts(two)) >= {f"{user.jid}/phone"}
    # An account is disabled.
    desk = PlainClient(two, user, "desk2")
    one.ctl("user", "disable", user.jid)
    for client in (phone, desk):
        with pytest.raises(ConnectionError):
            client.read(b"never")
        assert b"not-authorized" in client.seen
    # A domain comes.
    one.ctl("domain", "add", "more.example")
    wait(lambda: all("more.example" in ask(one, "stats", on=name)["domains"] for name in ("one", "two")))


def test_redis_goes_and_comes_back_and_nothing_is_lost(site: Site) -> None:
    one, two = site.nodes
    user = one.admin
    first, second = PlainClient(one, user, "r1"), PlainClient(two, user, "r2")
    wait(lambda: {f"{user.jid}/r1", f"{user.jid}/r2"} <= whereabouts(one).keys())
    site.redis.service.stop_process(signal.SIGKILL)
    for number in range(20):
        first.socket.sendall(f"<message to='{user.jid}/r2' type='chat'><body>n{number};</body></message>".encode())
    site.redis.begin_again()
    second.socket.settimeout(PATIENCE)
    second.read(b"n19;")
    assert [int(found) for found in re.findall(rb"<body>n(\d+);", second.seen)] == list(range(20))
    wait(lambda: states(one) == states(two) == {"one": "here", "two": "here"})
    assert "Redis takes no envelopes" in one.log.read_text()
    first.socket.close()
    second.socket.close()


def test_a_name_that_is_taken_is_refused(site: Site, settings: Any) -> None:
    settings.SECRET_KEY = site.secret.read_text()
    options = {"hosts": [site.redis.url], "prefix": "mlink-xmpp"}
    layer = {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer", "CONFIG": options}
    settings.CHANNEL_LAYERS = {**settings.CHANNEL_LAYERS, "xmpp": layer}

    async def join(name: str, number: int) -> tuple[str, ...]:
        config = ClusterConfig(number=number, secret=numbers.envelope_secret())
        bus = LayerBus(name, numbers.bus_prefix())
        clock = LoopClock(asyncio.get_running_loop())
        cluster = Cluster(name, "1.0", bus, clock, Tasks(), config)
        await cluster.start()
        found = cluster.nodes
        await cluster.stop()
        return found

    with pytest.raises(ClusterError, match="A node named one runs already"):
        asyncio.run(join("one", 200))
    with pytest.raises(
        ClusterError, match=r"three and (one|two) have the same number|(one|two) and three have the same"
    ):
        asyncio.run(join("three", 1))
    assert asyncio.run(join("three", 200)) == ("one", "two")
    wait(lambda: states(site.nodes[0]) == {"one": "here", "two": "here"})


class Balancer:
    """HAProxy with the example of the documentation, for the two nodes of the site."""

    def __init__(self, site: Site, folder: Path) -> None:
        program = shutil.which("haproxy", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
        if program is None:
            pytest.skip("HAProxy is not installed; `make test` installs it")
        text = (ROOT / "docs/examples/haproxy.cfg").read_text()
        self.ports = {port: free_port() for port in ("5222", "5223", "5269", "80", "443")}
        for place, node in zip(("10.0.0.11", "10.0.0.12"), site.nodes, strict=True):
            ports = {"5222": node.c2s_port, "5223": node.c2s_tls_port, "5269": node.c2s_port, "8080": node.http_port}
            for port, real in ports.items():
                text = text.replace(f"{place}:{port} check port 8080", f"127.0.0.1:{real} check port {node.http_port}")
                text = text.replace(f"{place}:{port} check", f"127.0.0.1:{real} check")
        for port, real in self.ports.items():
            text = re.sub(rf"bind :{port}\b", f"bind 127.0.0.1:{real}", text)
        assert "10.0.0." not in text
        assert "bind :" not in text
        certificates = folder / "certs"
        certificates.mkdir()
        tls = site.nodes[0].home / "tls"
        (certificates / "site.pem").write_bytes(b"".join(path.read_bytes() for path in sorted(tls.glob("localhost.*"))))
        text = text.replace("/etc/haproxy/certs/", f"{certificates}/")
        # As the machine that MLINK_PROXIES names, so that others reach the nodes directly.
        text = text.replace("default-server inter 2s", f"default-server source {BALANCER} inter 2s")
        path = folder / "haproxy.cfg"
        path.write_text(text)
        subprocess.run([program, "-c", "-f", str(path)], check=True, capture_output=True)
        self.process = subprocess.Popen([program, "-db", "-f", str(path)], stderr=(folder / "log").open("wb"))
        #: As PlainClient wants a node.
        self.entrance: Any = SimpleNamespace(c2s_port=self.ports["5222"])


@pytest.fixture
def balancer(site: Site, tmp_path: Path) -> Iterator[Balancer]:
    """A running one."""
    made = Balancer(site, tmp_path)
    yield made
    made.process.terminate()
    made.process.wait(10)


def connect(balancer: Balancer, user: User, resource: str) -> PlainClient:
    """Sign in through the balancer, which may be about to look at the nodes."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return PlainClient(balancer.entrance, user, resource)
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.3)


def test_a_drain_behind_a_balancer(site: Site, balancer: Balancer) -> None:
    one, two = site.nodes
    user = one.admin
    clients = {f"r{number}": connect(balancer, user, f"r{number}") for number in range(4)}
    wait(lambda: {f"{user.jid}/{name}" for name in clients} == whereabouts(one).keys())
    places = {jid.rpartition("/")[2]: node for jid, node in whereabouts(one).items()}
    assert set(places.values()) == {"one", "two"}, "the balancer spreads them"
    # The nodes know who is behind it.
    known = {row["jid"].rpartition("/")[2]: row["address"] for row in ask(one, "sessions")}
    assert known == {name: "%s:%d" % client.socket.getsockname() for name, client in clients.items()}  # noqa: UP031
    assert (status(two, "/readyz"), status(two, "/healthz")) == (200, 200)

    ask(one, "cluster drain", node="two", rate="500", redirect="yes")
    wait(lambda: states(one)["two"] == "drained")
    assert (status(two, "/readyz"), status(two, "/healthz")) == (503, 200)
    for resource, client in clients.items():
        if places[resource] == "two":
            with pytest.raises(ConnectionError):
                client.read(b"never")
            address = f"localhost:{one.c2s_port}".encode()
            assert re.search(rb"<see-other-host[^>]*>" + address + b"</see-other-host>", client.seen)
    with pytest.raises(ConnectionRefusedError):
        PlainClient(two, user, "direct")
    for number in range(3):
        connect(balancer, user, f"new{number}")
    assert set(whereabouts(one).values()) == {"one"}

    ask(one, "cluster undrain", node="two")
    assert status(two, "/readyz") == 200
    wait(lambda: states(one)["two"] == "here")
    direct = PlainClient(two, user, "again")
    assert whereabouts(one)[f"{user.jid}/again"] == "two"
    direct.socket.close()


def through(balancer: Balancer, method: str, path: str, body: str = "", **headers: str) -> tuple[int, Any, str]:
    """A request by TLS that the balancer ends: status, headers and text of the answer."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection("127.0.0.1", balancer.ports["443"], timeout=30, context=context)
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body or None, {"Host": "localhost", **names})
    answer = connection.getresponse()
    found = answer.status, answer.headers, "" if answer.status == 101 else answer.read().decode()
    connection.close()
    return found


def is_up(balancer: Balancer) -> bool:
    """Whether it has begun, and knows that the nodes are there."""
    try:
        return through(balancer, "GET", "/")[0] != 503
    except OSError:
        return False


def test_pages_websocket_and_bosh_behind_a_balancer(balancer: Balancer) -> None:
    wait(lambda: is_up(balancer))
    status, _headers, page = through(balancer, "GET", "/")
    assert (status, "<html" in page) == (200, True)
    # Who comes without TLS is sent to it, but for the authority that wants to see a proof.
    plain = http.client.HTTPConnection("127.0.0.1", balancer.ports["80"], timeout=30)
    plain.request("GET", "/admin/", headers={"Host": "localhost"})
    answer = plain.getresponse()
    answer.read()
    assert (answer.status, answer.headers["Location"]) == (301, "https://localhost/admin/")
    plain.request("GET", "/.well-known/acme-challenge/nothing", headers={"Host": "localhost"})
    assert plain.getresponse().status == 404
    plain.close()
    # What clients say of addresses is believed of the balancer alone.
    forged = {"X_Forwarded_For": "127.0.0.1", "X_Forwarded_Host": "elsewhere.example"}
    assert (
        through(balancer, "GET", "/.well-known/host-meta.json", **forged)[2]
        == (through(balancer, "GET", "/.well-known/host-meta.json")[2])
    )
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec_WebSocket_Version": "13"}
    upgrade |= {"Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec_WebSocket_Protocol": "xmpp"}
    status, headers, _text = through(balancer, "GET", "/xmpp-websocket", **upgrade)
    assert (status, headers["Sec-WebSocket-Protocol"]) == (101, "xmpp")
    # A BOSH session lives on one node, and its password mechanisms need the word that the client came by TLS.
    space = "xmlns='http://jabber.org/protocol/httpbind'"
    begin = (
        f"<body {space} rid='1' to='localhost' wait='1' hold='1' ver='1.6' xml:lang='en' xmpp:version='1.0'"
        " xmlns:xmpp='urn:xmpp:xbosh'/>"
    )
    begun = through(balancer, "POST", "/http-bind", begin)[2]
    assert ">PLAIN<" in begun
    sid = re.search(r"sid=['\"]([^'\"]+)", begun)
    assert sid is not None
    for rid in range(2, 6):
        status, _headers, told = through(balancer, "POST", "/http-bind", f"<body {space} sid='{sid[1]}' rid='{rid}'/>")
        assert (status, "terminate" in told) == (200, False), told
