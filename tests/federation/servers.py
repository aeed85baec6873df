"""Debian's Prosody and ejabberd as other servers, a node of ours, and the names and certificates by which they know
each other.

    with Network() as net:                    a name server and an authority that all of them believe
        home = net.home()                     our node, home.example
        prosody = net.prosody("prosody.example", "external.prosody.example")
        prosody.stop(); prosody.start()       the same data, the same ports

Each server has a folder of its own and free loopback ports; SRV records lead to them. Prosody and ejabberd ask the name
server that /etc/resolv.conf names, on port 53: so each runs in a mount namespace of its own with a file of ours in that
place, and the name server listens on a loopback address that no other test process has. Both need root.

Accounts are made in the servers' own storage before they start; all have the password PASSWORD.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import pytest

from tests.bench.processes import Child, free_port, listening
from tests.kits.authority import Authority, Certified
from tests.kits.crl_server import CrlServer
from tests.kits.nameserver import NameServer
from tests.live import LiveNode

P = TypeVar("P", bound="Peer")
PASSWORD = "correct horse"
USERS = ("juliet", "nurse")
HOME = "home.example"
START_SECONDS = 60.0


class Network:
    """What all servers of one test module share."""

    def __init__(self) -> None:
        if os.geteuid() != 0:
            pytest.skip("servers that find each other need a mount namespace, and that needs root")
        self._stack = contextlib.ExitStack()
        self.folder = Path(tempfile.mkdtemp(prefix="mlink-federation-"))
        self._stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        pid = os.getpid()
        self.address = f"127.53.{pid // 254 % 254 + 1}.{pid % 254 + 1}"
        self.names = self._stack.enter_context(NameServer(self.address, 53))
        self.lists = self._stack.enter_context(CrlServer())
        self.root = Authority("Federation root")
        self.root.publish(self.lists.url("root.crl"))
        self.lists.serve("root.crl", lambda: self.root.crl())
        self.issuing = self.root.intermediate("Federation issuing")
        self.issuing.publish(self.lists.url("issuing.crl"))
        self.lists.serve("issuing.crl", lambda: self.issuing.crl())
        self.authorities = self.root.write(self.folder)
        self.resolv_conf = self.folder / "resolv.conf"
        self.resolv_conf.write_text(f"nameserver {self.address}\n")

    def __enter__(self) -> Network:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def certificate(self, domain: str, **options: object) -> Certified:
        """A good certificate for a domain and the services below it."""
        return self.issuing.issue(domain, f"*.{domain}", xmpp=[domain], **options)  # type: ignore[arg-type]

    def around(self, command: Sequence[str]) -> list[str]:
        """A command that sees our name server instead of the system's."""
        script = f'mount --bind "{self.resolv_conf}" /etc/resolv.conf && exec "$@"'
        return ["unshare", "--mount", "sh", "-c", script, "sh", *command]

    def prosody(self, *domains: str, **options: object) -> Prosody:
        """Prosody for these domains, started; it ends with the network."""
        return self._started(Prosody(self, *domains, **options))  # type: ignore[arg-type]

    def ejabberd(self, *domains: str, **options: object) -> Ejabberd:
        """ejabberd for these domains, started; it ends with the network."""
        return self._started(Ejabberd(self, *domains, **options))  # type: ignore[arg-type]

    def _started(self, peer: P) -> P:
        self._stack.callback(peer.stop)
        peer.start()
        return peer

    def home(self, **environment: str) -> LiveNode:
        """A node of ours, made but not started; it ends with the network."""
        port, direct = free_port(), free_port()
        node = LiveNode(HOME, MLINK_S2S_PORT=str(port), MLINK_S2S_TLS_PORT=str(direct), **environment)
        self._stack.callback(node.remove)
        tls = node.home / "tls"
        tls.mkdir(mode=0o700)
        # COMPAT(ejabberd 23.01): its end of a stream crashes over a certificate with an XMPP address in it.
        self.issuing.issue(HOME, f"*.{HOME}").write(tls, HOME)
        for name in (HOME, *(f"{service}.{HOME}" for service in ("conference", "pubsub"))):
            self.names.server(name, port)
        return node


class Peer:
    """Another server. Subclasses write its configuration and start it in `_launch`."""

    name = ""

    def __init__(
        self,
        net: Network,
        *domains: str,
        certificates: Mapping[str, Certified] | None = None,
        secure: bool = False,
        dialback: bool = True,
    ) -> None:
        """`certificates` are those of domains that have no good one; `secure` asks others for certificates that hold,
        and `dialback` False has no other way at all."""
        self.net = net
        self.domains = domains
        self.domain = domains[0]
        self.secure = secure
        self.dialback = dialback
        self.home = Path(tempfile.mkdtemp(prefix=f"mlink-{self.name}-"))
        self.c2s_port, self.port = free_port(), free_port()
        self._child: Child | None = None
        self.certified = {name: (certificates or {}).get(name) or net.certificate(name) for name in domains}
        for name in domains:
            self.certified[name].write(self.home, name)
            net.names.server(name, self.port)
            net.names.server(f"conference.{name}", self.port)

    def start(self) -> None:
        """Start it, or start it again."""
        self._child = self._launch()

    def _launch(self) -> Child:
        raise NotImplementedError

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to all its processes."""
        assert self._child is not None
        os.killpg(self._child.pid, number)

    def kill(self) -> None:
        """End it as a power cut would."""
        self.signal(signal.SIGKILL)
        self.halt()

    def halt(self) -> None:
        """End it; `start` brings it back with what it has stored."""
        if self._child is not None:
            self._child.stop()
            self._child = None

    def stop(self) -> None:
        """End it and remove its folder."""
        with contextlib.suppress(ProcessLookupError, AssertionError):
            self.signal(signal.SIGCONT)
        self.halt()
        shutil.rmtree(self.home, ignore_errors=True)

    def log(self) -> str:
        """What it has written."""
        found = [path for path in (self.home / "server.log", self.home / "console.log") if path.exists()]
        return "\n".join(path.read_text(errors="replace") for path in found)

    def logged(self, text: str, seconds: float = 20.0) -> bool:
        """Wait until it has written this."""
        end = time.monotonic() + seconds
        while text not in self.log():
            if time.monotonic() > end:
                return False
            time.sleep(0.05)
        return True


class Prosody(Peer):
    """Prosody, with a virtual host and rooms for each domain."""

    name = "prosody"

    def _launch(self) -> Child:
        for domain in self.domains:
            folder = self.home / "data" / _stored(domain) / "accounts"
            folder.mkdir(parents=True, exist_ok=True)
            for user in USERS:
                (folder / f"{user}.dat").write_text(f'return {{ ["password"] = "{PASSWORD}"; }};\n')
        config = self.home / "prosody.cfg.lua"
        config.write_text(self._config())
        child = Child("Prosody", self.net.around(["prosody", "-F", "--config", str(config)]), {}, self.home)
        child.wait_ready(lambda: listening(self.c2s_port) and listening(self.port), START_SECONDS)
        return child

    def _config(self) -> str:
        modules = [
            "roster",
            "saslauth",
            "tls",
            "disco",
            "presence",
            "message",
            "offline",
            "ping",
            "pep",
            "smacks",
            "s2s_bidi",
        ]
        if self.dialback:
            modules.append("dialback")
        hosts = "".join(
            f'VirtualHost "{domain}"\n'
            f'  ssl = {{ key = "{self.home}/{domain}.key"; certificate = "{self.home}/{domain}.crt"; '
            f'cafile = "{self.net.authorities}"; }}\n'
            f'Component "conference.{domain}" "muc"\n'
            f'  ssl = {{ key = "{self.home}/{domain}.key"; certificate = "{self.home}/{domain}.crt"; '
            f'cafile = "{self.net.authorities}"; }}\n'
            '  modules_enabled = { "muc_mam" }\n  muc_log_by_default = true\n'
            "  restrict_room_creation = false\n  muc_room_default_public = true\n"
            for domain in self.domains
        )
        return f"""
run_as_root = true
pidfile = "{self.home}/prosody.pid"
data_path = "{self.home}/data"
certificates = "{self.home}"
log = {{ debug = "{self.home}/server.log" }}
modules_enabled = {{ "{'", "'.join(modules)}" }}
authentication = "internal_plain"
storage = "internal"
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
c2s_interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {self.c2s_port} }}
s2s_interfaces = {{ "127.0.0.1" }}
s2s_ports = {{ {self.port} }}
s2s_require_encryption = true
s2s_secure_auth = {str(self.secure).lower()}
http_ports = {{ }}
https_ports = {{ }}
use_ipv6 = false
ssl = {{ cafile = "{self.net.authorities}"; }}
{hosts}"""


class Ejabberd(Peer):
    """ejabberd, with rooms and personal events for each domain."""

    name = "ejabberd"

    def _launch(self) -> Child:
        (self.home / "ejabberd.yml").write_text(self._config())
        (self.home / "ready").unlink(missing_ok=True)
        libraries = next(Path("/usr/lib").glob("*/ejabberd-*/ebin"))
        accounts = "".join(
            f'ejabberd_auth:try_register(<<"{user}">>, <<"{domain}">>, <<"{PASSWORD}">>), '
            for domain in self.domains
            for user in USERS
        )
        command = ["erl", "-noinput", "+sbwt", "none", "+sbwtdcpu", "none", "+sbwtdio", "none", "+S", "1"]
        command += ["-mnesia", "dir", f'"{self.home}/mnesia"', "-s", "ejabberd", "-eval"]
        command += [f'{accounts} file:write_file("{self.home}/ready", <<>>).']
        env = {
            "HOME": str(self.home),
            "ERL_LIBS": str(libraries.parents[1]),
            "EJABBERD_CONFIG_PATH": str(self.home / "ejabberd.yml"),
            "EJABBERD_LOG_PATH": str(self.home / "server.log"),
            "ERL_CRASH_DUMP": "/dev/null",
        }
        child = Child("ejabberd", self.net.around(command), env, self.home)
        child.wait_ready(lambda: (self.home / "ready").exists() and listening(self.c2s_port), START_SECONDS)
        return child

    def _config(self) -> str:
        files = []
        for domain in self.domains:
            joined = self.home / f"{domain}.pem"
            joined.write_bytes(self.certified[domain].key_pem + self.certified[domain].chain_pem)
            files.append(str(joined))
        hosts = ", ".join(f'"{domain}"' for domain in self.domains)
        certificates = ", ".join(f'"{file}"' for file in files)
        dialback = "  mod_s2s_dialback: {}\n" if self.dialback else ""
        return f"""
hosts: [{hosts}]
loglevel: debug
certfiles: [{certificates}]
ca_file: "{self.net.authorities}"
acme: {{auto: false}}
auth_method: internal
auth_password_format: plain
s2s_use_starttls: required
s2s_cafile: "{self.net.authorities}"
listen:
  - {{port: {self.c2s_port}, ip: "127.0.0.1", module: ejabberd_c2s, access: c2s, starttls: true}}
  - {{port: {self.port}, ip: "127.0.0.1", module: ejabberd_s2s_in}}
access_rules: {{c2s: {{allow: all}}}}
modules:
  mod_roster: {{}}
  mod_disco: {{}}
  mod_offline: {{}}
  mod_ping: {{}}
  mod_caps: {{}}
  mod_stream_mgmt: {{}}
  mod_mam: {{}}
  mod_muc: {{default_room_options: {{persistent: false, mam: true}}}}
  mod_pubsub: {{plugins: [flat, pep]}}
{dialback}"""


def _stored(domain: str) -> str:
    """A domain as Prosody names its folder."""
    return "".join(letter if letter.isalnum() else f"%{ord(letter):02x}" for letter in domain)
