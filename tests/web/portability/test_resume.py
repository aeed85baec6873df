"""An export or import that is cut off, at whatever step, goes on and comes to the same."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from django.db import connections

from archive import query
from archive.filters import Filter
from mlink_web.accounts.models import Account
from mlink_web.conf.models import Domain
from mlink_web.portability import exporting, importing
from mlink_web.portability.models import Entry, Import
from mlink_web.portability.scope import Scope
from tests.kits.databases import clear
from tests.live import ROOT
from tests.web.portability import kit


class Killed(BaseException):
    """The worker is gone."""


class Mortal:
    """A note that dies when it is called for the n-th time."""

    def __init__(self, lives: int) -> None:
        self.lives = lives

    def __call__(self, *_figures: int) -> None:
        self.lives -= 1
        if self.lives == 0:
            raise Killed


def people(alias: str) -> None:
    """Some accounts who talk."""
    accounts = [kit.account(alias, f"p{number}@a.example") for number in range(6)]
    lines = [
        (number, accounts[number % 6], accounts[(number + 1) % 6], f"<body>no {number}</body>") for number in range(900)
    ]
    kit.talk(alias, lines, step=0.5)
    kit.node(alias, "p1@a.example", "urn:xmpp:bookmarks:1", {"max_items": "max"}, 3)


def test_an_import_that_dies_at_every_step(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlink_web.portability.importing._NOTED", 50)
    monkeypatch.setattr("mlink_web.portability.messages.BATCH", 40)
    people(database)
    first = kit.export(database, tmp_path / "a")
    clear(database)
    Domain.objects.using(database).create(name="a.example")
    row = Import.objects.using(database).create(name="x", owner="o", policy="skip", dry=False, created=time.time())
    deaths = 0
    while True:
        try:
            summary = importing.Run(row, first, Mortal(3), database).run()
            break
        except Killed:
            deaths += 1
            row = Import.objects.using(database).get(pk=row.pk)
            if deaths > 10:
                # So few lives do not suffice for the longest account.
                summary = importing.Run(row, first, Mortal(10_000), database).run()
                break
    assert deaths > 5
    assert summary["accounts"] == {"made": 6}
    assert Entry.objects.using(database).filter(step=Entry.Step.DONE).count() == 6
    assert kit.contents(kit.export(database, tmp_path / "b")) == kit.contents(first)
    for account in Account.objects.using(database).all():
        assert len(query.page(connections[database], Filter(account.pk), 1_000)[0]) == 300


def test_an_export_that_dies_at_every_step(database: str, tmp_path: Path) -> None:
    people(database)
    whole = kit.contents(kit.export(database, tmp_path / "whole"))
    folder = tmp_path / "cut"
    folder.mkdir()
    choice = exporting.Choice(Scope(using=database))
    for deaths in range(100):
        try:
            path, _name, _kind = exporting.make(choice, folder, Mortal(4 + deaths))
            break
        except Killed:
            continue
    assert deaths > 3
    assert kit.contents(path) == whole


def test_whoever_is_removed_meanwhile_is_not_in_the_file(database: str, tmp_path: Path) -> None:
    people(database)
    folder = tmp_path / "cut"
    folder.mkdir()
    choice = exporting.Choice(Scope(using=database))
    with pytest.raises(Killed):
        exporting.make(choice, folder, Mortal(9))
    assert (folder / "tree/a.example/p0.xml").exists()
    Account.objects.using(database).filter(username="p0@a.example").delete()
    files = kit.contents(exporting.make(choice, folder, lambda *_figures: None)[0])
    assert not any("/p0." in name for name in files)
    assert "p0.xml" not in files["a.example.xml"]


def test_the_command_is_killed(tmp_path: Path) -> None:
    """SIGKILL, on a database of its own."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("MLINK_")},
        "DJANGO_SETTINGS_MODULE": "mlink_web.settings.dev",
        "MLINK_HOME": str(tmp_path / "home"),
        "MLINK_DOMAIN": "a.example",
    }
    (tmp_path / "home").mkdir()

    def manage(*arguments: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    manage("migrate", "--verbosity", "0")
    users = []
    for number in range(100):
        results = "".join(
            f"<result xmlns='urn:xmpp:mam:2' id='{number}-{n}'><forwarded xmlns='urn:xmpp:forward:0'><delay"
            f" xmlns='urn:xmpp:delay' stamp='2024-01-01T00:00:{n:02d}Z'/><message xmlns='jabber:client' type='chat'"
            f" from='u{number}@a.example/x' to='b@b.example'><body>no {n}</body></message></forwarded></result>"
            for n in range(30)
        )
        users.append(f"<user name='u{number}'><archive xmlns='urn:xmpp:pie:0#mam'>{results}</archive></user>")
    path = tmp_path / "in.xml"
    path.write_text(f"<server-data xmlns='urn:xmpp:pie:0'><host jid='a.example'>{''.join(users)}</host></server-data>")
    command = [sys.executable, "manage.py", "xmpp_import", str(path), "--make-domains"]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    home = tmp_path / "home" / "mlink.sqlite3"
    looking = sqlite3.connect(home, timeout=20)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if looking.execute("SELECT count(*) FROM portability_entry").fetchone()[0] >= 10:
            break
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    ((number, taken),) = looking.execute("SELECT run_id, count(*) FROM portability_entry GROUP BY run_id").fetchall()
    assert taken >= 10
    looking.close()
    report = tmp_path / "report.csv"
    done = manage("xmpp_import", str(path), "--resume", str(number), "--report", str(report))
    assert "100 accounts made" in done.stdout
    assert "3,000 messages" in done.stdout
    assert len(report.read_text().splitlines()) == 101
    again = manage("xmpp_import", str(path), "--conflict", "merge", "--dry-run")
    assert "100 accounts would not change" in again.stdout
    out = tmp_path / "out.zip"
    manage("xmpp_export", "--domain", "a.example", str(out))
    assert sum(name.count("/") == 1 for name in kit.contents(out)) == 100
    assert oct(out.stat().st_mode & 0o777) == "0o600"
