"""Prosody and ejabberd as peers: Prosody reads what is exported here, and what both write is imported here."""

from __future__ import annotations

import asyncio
import re
import secrets
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from archive import query
from archive.document import body_of, element_of
from archive.filters import Filter
from mlink_web.accounts.models import Account
from mlink_web.conf.models import Domain
from mlink_web.portability.models import Entry
from mlink_web.portability.scope import Scope
from mlink_web.pubsub import nodes
from mlink_web.stores.models import OfflineMessage, PrivateXml, RosterItem, VCard
from tests.bench.processes import Child, free_port, listening, write_certificate
from tests.bench.servers import PASSWORD, Ejabberd
from tests.clients.slix import Slix
from tests.kits.databases import clear
from tests.live import User
from tests.web.portability import kit

HOST = "localhost"
NICK = "http://jabber.org/protocol/nick"
pytestmark = [pytest.mark.net, pytest.mark.slow]


class Prosody:
    """One with a folder of its own. `storage` is how it keeps accounts, `modules` what it does beside the least."""

    def __init__(self, home: Path) -> None:
        self.home, self.data = home, home / "data"
        self.data.mkdir()
        self.c2s_port = free_port()
        self.child: Child | None = None

    def start(self, storage: str, *modules: str) -> None:
        """Start it."""
        write_certificate(self.home, HOST)
        listed = '", "'.join(("roster", "saslauth", "tls", "disco", "private", "ping", *modules))
        (self.home / "prosody.cfg.lua").write_text(
            f"""
run_as_root = true
pidfile = "{self.home}/prosody.pid"
data_path = "{self.data}"
certificates = "{self.home}"
log = {{ warn = "{self.home}/prosody.log" }}
modules_enabled = {{ "{listed}" }}
modules_disabled = {{ "s2s" }}
authentication = "internal_hashed"
c2s_interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {self.c2s_port} }}
c2s_direct_tls_ports = {{ }}
http_ports = {{ }}
https_ports = {{ }}
default_storage = "{storage}"
default_archive_policy = true
archive_expires_after = "never"
VirtualHost "{HOST}"
"""
        )
        command = ["prosody", "-F", "--config", str(self.home / "prosody.cfg.lua")]
        self.child = Child("Prosody", command, {}, self.home)
        self.child.wait_ready(lambda: listening(self.c2s_port), 30)

    def register(self, name: str, password: str) -> None:
        """Make an account."""
        command = ["prosodyctl", "--config", str(self.home / "prosody.cfg.lua"), "register", name, HOST, password]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def stop(self) -> None:
        """End it."""
        if self.child is not None:
            self.child.stop()
            self.child = None


@pytest.fixture
def prosody(tmp_path: Path) -> Iterator[Prosody]:
    """It, not started."""
    if shutil.which("prosody") is None:
        pytest.skip("Prosody is not installed; `make test` installs it")
    made = Prosody(tmp_path)
    yield made
    made.stop()


@pytest.fixture
def empty(sqlite_alias: str, django_db_blocker: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty database."""
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    with django_db_blocker.unblock():
        clear(sqlite_alias)
        yield sqlite_alias
        connections[sqlite_alias].close()


def roster(alias: str) -> dict[str, tuple[str, list[str]]]:
    """Names and groups of all contacts."""
    return {row.jid: (row.name, row.groups) for row in RosterItem.objects.using(alias).filter(version__gt=0)}


def bodies(alias: str, account: Account) -> list[str]:
    """What the account's archive says."""
    rows, _more = query.page(connections[alias], Filter(account.pk), 100)
    return [body_of(element_of(row.xml)) for row in rows]


async def test_prosody_takes_an_exported_account_for_its_own(prosody: Prosody, empty: str, tmp_path: Path) -> None:
    """Its storage `xep0227` keeps accounts in such files."""
    romeo = kit.account(empty, f"romeo@{HOST}")
    RosterItem.objects.using(empty).create(
        account=romeo, jid="juliet@capulet.example", name="Juliet", subscription="both", groups=["A"], version=1
    )
    VCard.objects.using(empty).create(account=romeo, xml="<vCard xmlns='vcard-temp'><FN>Romeo</FN></vCard>")
    xml = "<notes xmlns='notes:1'>kept</notes>"
    PrivateXml.objects.using(empty).create(account=romeo, ns="notes:1", name="notes", xml=xml, size=len(xml))
    kit.talk(empty, [(n, romeo, "juliet@capulet.example", f"<body>no {n}</body>") for n in range(3)])
    path = kit.export(empty, tmp_path / "out", Scope(user=romeo.username, using=empty), packed=False)
    shutil.copy(path, prosody.data / f"romeo@{HOST}.xml")
    prosody.start("xep0227", "vcard")
    client = await Slix(User(romeo.username, kit.PASSWORD), "desk", mechanism="SCRAM-SHA-1").come(prosody)  # type: ignore[arg-type]
    try:
        assert client.client_roster["juliet@capulet.example"]["name"] == "Juliet"
        assert client.client_roster["juliet@capulet.example"]["subscription"] == "both"
        card = await client.plugin["xep_0054"].get_vcard(romeo.username, local=False)
        assert card["vcard_temp"]["FN"] == "Romeo"
        await client.update_roster("nurse@capulet.example", name="Nurse", groups=["B"])
    finally:
        await client.go()
    prosody.stop()
    clear(empty)
    Domain.objects.using(empty).create(name=HOST)
    _row, summary = kit.take(empty, prosody.data)
    assert summary["accounts"] == {"made": 1}, summary
    again = Account.objects.using(empty).get()
    assert again.check_password(kit.PASSWORD)
    assert roster(empty) == {"juliet@capulet.example": ("Juliet", ["A"]), "nurse@capulet.example": ("Nurse", ["B"])}
    assert "kept" in PrivateXml.objects.using(empty).get().xml
    assert bodies(empty, again) == ["no 0", "no 1", "no 2"]


def migrator(home: Path, target: Path) -> Path:
    """Its migrator, which writes to a place that is fixed in it. (As root it would become another user, who may not
    enter the folder of the test.)"""
    script = Path(shutil.which("prosody-migrator") or "").read_text()
    made = home / "migrator"
    made.write_text(re.sub(r"CFG_DATADIR='[^']*'", f"CFG_DATADIR='{target}'", script, count=1))
    made.chmod(0o700)
    return made


async def test_accounts_that_prosody_migrates_are_imported(prosody: Prosody, empty: str) -> None:
    """Accounts of its usual storage, through its migrator."""
    romeo, juliet = (User(f"{name}@{HOST}", secrets.token_hex(8)) for name in ("romeo", "juliet"))
    prosody.start("internal", "pep", "mam", "vcard_legacy", "offline")
    for user in (romeo, juliet):
        prosody.register(user.jid.partition("@")[0], user.password)
    client = await Slix(romeo, "desk").come(prosody)  # type: ignore[arg-type]
    try:
        await client.update_roster("nurse@capulet.example", name="Nurse", groups=["B"])
        payload = ElementTree.Element(f"{{{NICK}}}nick")
        payload.text = "Romy"
        await client.plugin["xep_0060"].publish(romeo.jid, NICK, id="current", payload=payload)
        for number in range(3):
            client.send_message(juliet.jid, f"no {number}", mtype="chat")
        await client.plugin["xep_0199"].ping(HOST)
    finally:
        await client.go()
    prosody.stop()
    target = prosody.home / "xep0227"
    target.mkdir()
    config = prosody.home / "migrator.cfg.lua"
    stores = '"accounts", "roster", "vcard", "private", "archive-archive", "pep-pubsub", "pep"'
    config.write_text(
        f'local vhost = {{ {stores} }}\ninput {{ hosts = {{ ["{HOST}"] = vhost }}; type = "internal";'
        f' path = "{prosody.data}"; }}\noutput {{ type = "xep0227"; }}\n'
    )
    command = [str(migrator(prosody.home, target)), "--root", "--config", str(config)]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=120, check=False)
    files = sorted(path.name for path in target.glob("*.xml"))
    assert files == [f"juliet@{HOST}.xml", f"romeo@{HOST}.xml"], done.stdout + done.stderr
    Domain.objects.using(empty).create(name=HOST)
    _row, summary = kit.take(empty, target)
    assert summary["accounts"] == {"made": 2}, summary
    told = [sentence for entry in Entry.objects.using(empty).all() for sentence in entry.troubles]
    assert not told
    account = Account.objects.using(empty).get(username=romeo.jid)
    assert account.check_password(romeo.password)
    assert roster(empty)["nurse@capulet.example"] == ("Nurse", ["B"])
    assert bodies(empty, account) == ["no 0", "no 1", "no 2"]
    assert bodies(empty, Account.objects.using(empty).get(username=juliet.jid)) == ["no 0", "no 1", "no 2"]
    found = nodes.load(connections[empty], romeo.jid, [NICK])
    assert found
    assert found[0].last is not None
    assert "Romy" in found[0].last.payload


@pytest.fixture
def ejabberd() -> Iterator[Ejabberd]:
    """It, with two accounts."""
    if not Ejabberd.version():
        pytest.skip("ejabberd is not installed; `make test` installs it")
    server = Exporting(2, archive=False)
    server.start()
    yield server
    server.stop()


class Exporting(Ejabberd):
    """One that exports as soon as its accounts are there; `out` is where to."""

    def _account_program(self, home: Path) -> str:
        self.out = home / "out"
        self.out.mkdir()
        contact = 'jid:decode(<<"juliet@capulet.example">>)'
        program: str = super()._account_program(home)
        begin, _, ready = program.rpartition(", file:write_file")
        done = begin.rstrip(". ")
        return (
            f'{done}, mod_roster:set_item_and_notify_clients(jid:make(<<"u0">>, <<"{HOST}">>, <<>>),'
            f' {{roster_item, {contact}, <<"Juliet">>, [<<"A">>], both, undefined, undefined}}, false),'
            f' ejabberd_piefxis:export_server("{self.out}"), file:write_file{ready}'
        )


def test_what_ejabberd_exports_is_imported(ejabberd: Exporting, empty: str, tmp_path: Path) -> None:
    listed = sorted(path.name for path in ejabberd.out.iterdir())
    assert len(listed) == 2, ejabberd._child.last_lines() if ejabberd._child else listed
    main = next(path for path in ejabberd.out.iterdir() if "server-data" in path.read_text()[:400])
    assert re.search(r"include", main.read_text())
    Domain.objects.using(empty).create(name=HOST)
    _row, summary = kit.take(empty, ejabberd.out)
    assert summary["accounts"] == {"made": 2}, summary
    account = Account.objects.using(empty).get(username=f"u0@{HOST}")
    assert account.check_password(PASSWORD)
    assert roster(empty) == {"juliet@capulet.example": ("Juliet", ["A"])}
    assert not OfflineMessage.objects.using(empty).exists()
