"""The three servers under comparison, set up alike.

Each gets its own temporary home, loopback ports from the kernel, a self-signed P-256 certificate, accounts `u0`, `u1`
and so on with one password, and the same features: roster, presence, carbons, stream management, rooms, service
discovery and offline storage; with `archive=True` also a message archive that keeps everything, with `events=True`
also publish-subscribe and personal events. Rate limits are off everywhere, for the comparison is about cost, not about
policy.

Fairness: ejabberd's scheduler threads are started without busy-waiting (`+sbwt none`), otherwise idle spinning would be
counted as cost of messages. Prosody runs with the defaults of its package. Archives are SQLite in all three where the
driver is installed; `archive_storage` tells what was used.
"""

import atexit
import base64
import hashlib
import hmac
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import ClassVar, NamedTuple

from tests.bench.processes import (
    Child,
    StartError,
    cpu_seconds,
    free_port,
    listening,
    outer_environment,
    resident_bytes,
    write_certificate,
)

HOST = "localhost"
PASSWORD = "correct horse"
_SALT = b"sixteen byte salt"
_ITERATIONS = 4096
_ROOT = Path(__file__).resolve().parents[2]


def _scram_sha1_keys() -> tuple[bytes, bytes]:
    """Return StoredKey and ServerKey of PASSWORD under the salt all benchmark accounts share (RFC 5802, section 3)."""
    salted = hashlib.pbkdf2_hmac("sha1", PASSWORD.encode(), _SALT, _ITERATIONS)
    stored = hashlib.sha1(hmac.digest(salted, b"Client Key", "sha1")).digest()
    return stored, hmac.digest(salted, b"Server Key", "sha1")


class Abroad(NamedTuple):
    """What a server needs to talk to others: the port where they reach it, and a file that takes the place of
    /etc/resolv.conf (in a mount namespace of its own) and names the benchmark's name server at `nameserver`."""

    port: int
    resolv_conf: Path
    nameserver: str

    def around(self, command: list[str]) -> list[str]:
        """The command, in its namespace."""
        script = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
        return ["unshare", "--mount", "sh", "-c", script, str(self.resolv_conf), *command]


class Server:
    """A server in its own directory. Subclasses write the configuration in `_launch`."""

    name = ""

    def __init__(
        self, users: int, archive: bool, events: bool = False, domain: str = HOST, abroad: Abroad | None = None
    ) -> None:
        """Prepare, but do not start, a server with accounts u0 .. u(users-1) of `domain`; one that is not `abroad`
        talks to no other server."""
        self.domain = domain
        self.abroad = abroad
        self.users = users
        self.archive = archive
        self.events = events
        self.archive_storage = "off"
        self.port = free_port()
        self.tls_port = free_port()
        self._child: Child | None = None
        self._home: Path | None = None

    def start(self) -> None:
        """Start and wait until clients can connect; raises StartError with the server's own last words."""
        self._home = Path(tempfile.mkdtemp(prefix=f"bench-{self.name}-"))
        try:
            self._child = self._launch(self._home)
        except BaseException:
            self.stop()
            raise

    def _launch(self, home: Path) -> Child:
        raise NotImplementedError

    def stop(self) -> None:
        """End the server and remove its directory."""
        if self._child is not None:
            self._child.stop()
            self._child = None
        if self._home is not None and not os.environ.get("BENCH_KEEP"):
            shutil.rmtree(self._home, ignore_errors=True)
        self._home = None

    @property
    def home(self) -> Path | None:
        """Its directory while it runs."""
        return self._home

    @property
    def pid(self) -> int:
        """Process id of the running server; raises StartError when it is not running."""
        if self._child is None:
            raise StartError(f"{self.name} is not running")
        return self._child.pid

    def cpu(self) -> float:
        """Return CPU seconds used so far."""
        return cpu_seconds(self.pid)

    def resident(self) -> int:
        """Return resident bytes now."""
        return resident_bytes(self.pid)

    @classmethod
    def version(cls) -> str:
        """Return name and version for the table, or an empty text when the server is not installed."""
        raise NotImplementedError


def _package_version(package: str) -> str:
    try:
        query = ["dpkg-query", "-W", "-f=${Status}|${Version}", package]
        status, _, version = subprocess.run(query, capture_output=True, text=True).stdout.partition("|")
    except FileNotFoundError:
        return ""
    return version.split("-")[0] if status == "install ok installed" else ""


class Prosody(Server):
    """Prosody with internal storage; the archive alone goes to SQLite."""

    name = "Prosody"

    @classmethod
    def version(cls) -> str:
        number = _package_version("prosody")
        return f"Prosody {number}" if number else ""

    def _launch(self, home: Path) -> Child:
        write_certificate(home, self.domain)
        self._write_accounts(home / "data" / self.domain.replace(".", "%2e") / "accounts")
        if self.archive:
            sqlite = bool(_package_version("lua-dbi-sqlite3"))
            self.archive_storage = "SQLite" if sqlite else "internal files"
        (home / "prosody.cfg.lua").write_text(self._config(home))
        command = ["prosody", "-F", "--config", str(home / "prosody.cfg.lua")]
        child = Child("Prosody", self.abroad.around(command) if self.abroad else command, {}, home)
        self._child = child
        child.wait_ready(lambda: listening(self.port) and listening(self.tls_port), 20)
        return child

    def _write_accounts(self, directory: Path) -> None:
        stored, server = _scram_sha1_keys()
        record = (
            f'return {{ ["iteration_count"] = {_ITERATIONS}; ["salt"] = "{_SALT.decode()}"; '
            f'["stored_key"] = "{stored.hex()}"; ["server_key"] = "{server.hex()}"; }};\n'
        )
        directory.mkdir(parents=True)
        for number in range(self.users):
            (directory / f"u{number}.dat").write_text(record)

    def _config(self, home: Path) -> str:
        sqlite = self.archive_storage == "SQLite"
        modules = [
            "roster",
            "saslauth",
            "tls",
            "disco",
            "carbons",
            "smacks",
            "ping",
            *(["pep"] if self.events else []),
            *(["mam"] if self.archive else []),
            *(["dialback"] if self.abroad else []),
        ]
        federation = (
            f"""
s2s_interfaces = {{ "127.0.0.1" }}
s2s_ports = {{ {self.abroad.port} }}
s2s_secure_auth = false
s2s_require_encryption = true
"""
            if self.abroad
            else 'modules_disabled = { "s2s" }'
        )
        storage = '{ archive = "sql" }' if sqlite else '"internal"'
        return f"""
run_as_root = true
pidfile = "{home}/prosody.pid"
data_path = "{home}/data"
certificates = "{home}"
log = {{ warn = "{home}/prosody.log" }}
modules_enabled = {{ "{'", "'.join(modules)}" }}
{federation}
admins = {{ "u0@{self.domain}" }}
authentication = "internal_hashed"
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
c2s_interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {self.port} }}
c2s_direct_tls_ports = {{ {self.tls_port} }}
http_ports = {{ }}
https_ports = {{ }}
storage = {storage}
default_storage = "internal"
sql = {{ driver = "SQLite3", database = "{home}/data/archive.sqlite" }}
default_archive_policy = true
archive_expires_after = "never"
VirtualHost "{self.domain}"
Component "conference.{self.domain}" "muc"
{f'Component "pubsub.{self.domain}" "pubsub"' if self.events else ""}
"""


class Ejabberd(Server):
    """ejabberd with its internal database; the archive goes to SQLite when the driver is installed."""

    name = "ejabberd"

    @classmethod
    def version(cls) -> str:
        number = _package_version("ejabberd")
        return f"ejabberd {number}" if number else ""

    def _launch(self, home: Path) -> Child:
        certificate, key = write_certificate(home, self.domain)
        (home / "all.pem").write_bytes(key.read_bytes() + certificate.read_bytes())
        if self.archive:
            self.archive_storage = "SQLite" if _package_version("erlang-p1-sqlite3") else "Mnesia"
        (home / "ejabberd.yml").write_text(self._config(home))
        libraries = next(Path("/usr/lib").glob("*/ejabberd-*/ebin"), None)
        if libraries is None:
            raise StartError("ejabberd is not installed")
        command = ["erl", "-noinput", "+K", "true", "+P", "250000", "+Q", "65536"]
        command += ["+sbwt", "none", "+sbwtdcpu", "none", "+sbwtdio", "none"]
        command += ["-mnesia", "dir", f'"{home}/mnesia"', "-s", "ejabberd", "-eval", self._account_program(home)]
        env = {
            "HOME": str(home),
            "ERL_LIBS": str(libraries.parents[1]),
            "EJABBERD_CONFIG_PATH": str(home / "ejabberd.yml"),
            "EJABBERD_LOG_PATH": str(home / "ejabberd.log"),
            "ERL_CRASH_DUMP": "/dev/null",
            "ERL_MAX_PORTS": "32000",
        }
        child = Child("ejabberd", self.abroad.around(command) if self.abroad else command, env, home)
        self._child = child
        child.wait_ready(lambda: (home / "ready").exists() and listening(self.tls_port), 60)
        return child

    def _account_program(self, home: Path) -> str:
        """Erlang that puts the accounts with derived keys into the internal database, then writes the file `ready`."""
        stored, server, salt = (base64.b64encode(value).decode() for value in (*_scram_sha1_keys(), _SALT))
        scram = f'{{scram, <<"{stored}">>, <<"{server}">>, <<"{salt}">>, sha, {_ITERATIONS}}}'
        return (
            '[mnesia:dirty_write({passwd, {<<$u, (integer_to_binary(N))/binary>>, <<"' + self.domain + '">>}, '
            f"{scram}}}) || N <- lists:seq(0, {self.users - 1})], "
            f'file:write_file("{home}/ready", <<>>).'
        )

    def _config(self, home: Path) -> str:
        sqlite = self.archive_storage == "SQLite"
        database = f'sql_type: sqlite\nsql_database: "{home}/archive.sqlite"\n' if sqlite else ""
        archive = (
            f"  mod_mam:\n    default: always\n    db_type: {'sql' if sqlite else 'mnesia'}\n" if self.archive else ""
        )
        events = "  mod_caps: {}\n  mod_pubsub: {plugins: [flat, pep]}\n" if self.events else ""
        listener = dialback = ""
        if self.abroad:
            listener = f'  - {{port: {self.abroad.port}, ip: "127.0.0.1", module: ejabberd_s2s_in}}\n'
            dialback = "  mod_s2s_dialback: {}\n"
        return f"""
hosts: ["{self.domain}"]
s2s_use_starttls: required
loglevel: warning
certfiles: ["{home}/all.pem"]
acme: {{auto: false}}
auth_method: internal
auth_password_format: scram
{database}
listen:
  - {{port: {self.port}, ip: "127.0.0.1", module: ejabberd_c2s, max_stanza_size: 1048576, access: c2s, starttls: true}}
  - {{port: {self.tls_port}, ip: "127.0.0.1", module: ejabberd_c2s, max_stanza_size: 1048576, access: c2s, tls: true}}
{listener}access_rules: {{c2s: {{allow: all}}}}
shaper_rules: {{max_user_sessions: 10, max_user_offline_messages: 1000}}
modules:
  mod_roster: {{}}
  mod_disco: {{}}
  mod_carboncopy: {{}}
  mod_stream_mgmt: {{}}
  mod_offline: {{}}
  mod_ping: {{}}
  mod_muc: {{max_users: 5000, max_user_conferences: 100, default_room_options: {{max_users: 5000}}}}
{archive}{events}{dialback}"""


class Mlink(Server):
    """This server: one node with the web pages beside the engine, as `runnode` starts it, on SQLite."""

    name = "mlink"

    @classmethod
    def version(cls) -> str:
        return "mlink" if (_ROOT / "manage.py").exists() else ""

    _prepared: ClassVar[dict[tuple[int, str], Path]] = {}

    def _launch(self, home: Path) -> Child:
        self.http_port = free_port()
        self.env = {
            "MLINK_HOME": str(home / "var"),
            "MLINK_DOMAIN": self.domain,
            "MLINK_BIND": "127.0.0.1",
            "MLINK_C2S_PORT": str(self.port),
            "MLINK_C2S_TLS_PORT": str(self.tls_port),
            "MLINK_HTTP_PORT": str(self.http_port),
            "MLINK_S2S_PORT": str(self.abroad.port) if self.abroad else "0",
            "MLINK_S2S_TLS_PORT": "0",
            "MLINK_COMPONENT_PORT": "0",
            "MLINK_C2S_TLS": "optional",
            "MLINK_ADMIN_PASSWORD": "bench-" + os.urandom(8).hex(),
        }
        if (self.users, self.domain) not in self._prepared:
            self._prepare(home)
        shutil.copytree(self._prepared[self.users, self.domain], home / "var", dirs_exist_ok=True)
        child = self._run(home)
        self._child = child
        self.xmppctl("domain", "set", self.domain, "archive", "on" if self.archive else "off")
        self.archive_storage = "SQLite" if self.archive else "off"
        return child

    @property
    def database(self) -> Path:
        """Its SQLite file; raises StartError when it is not running."""
        if self._home is None:
            raise StartError(f"{self.name} is not running")
        return self._home / "var/mlink.sqlite3"

    def _run(self, home: Path) -> Child:
        (home / "var").mkdir(exist_ok=True)
        command = [sys.executable, str(_ROOT / "manage.py"), "runnode"]
        child = Child("mlink", self.abroad.around(command) if self.abroad else command, self.env, home)
        try:
            child.wait_ready(self._healthy, 60)
        except BaseException:
            child.stop()
            raise
        return child

    def _prepare(self, home: Path) -> None:
        """Make a home with the accounts once; every start copies it. Deriving thousands of keys takes its time."""
        accounts = home / "accounts.csv"
        accounts.write_text("".join(f"u{number}@{self.domain},{PASSWORD}\n" for number in range(self.users)))
        child = self._run(home)
        try:
            self.xmppctl("user", "import", str(accounts))
        finally:
            child.stop()
        kept = Path(tempfile.mkdtemp(prefix="bench-mlink-accounts-"))
        atexit.register(shutil.rmtree, kept, ignore_errors=True)
        shutil.copytree(home / "var", kept, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.sock", "*.log"))
        self._prepared[self.users, self.domain] = kept

    def xmppctl(self, *arguments: str) -> str:
        """Run one administration command against this node; return its output, raise StartError with its complaint."""
        command = [sys.executable, str(_ROOT / "manage.py"), "xmppctl", *arguments]
        done = subprocess.run(
            command, env={**outer_environment(), **self.env}, capture_output=True, text=True, timeout=120
        )
        if done.returncode != 0:
            raise StartError(f"xmppctl {' '.join(arguments)} failed: {(done.stderr or done.stdout)[-2000:]}")
        return done.stdout

    def _healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}/healthz", timeout=2) as answer:
                return answer.status == 200 and listening(self.port) and listening(self.tls_port)
        except OSError:
            return False


SERVERS: dict[str, type[Server]] = {"prosody": Prosody, "ejabberd": Ejabberd, "mlink": Mlink}
