"""Exports from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from archive import ids
from archive.export.models import Export
from mlink_web.audit.models import Entry
from tests.kits.exported import START, account, bodies, say, settle, valid

pytestmark = pytest.mark.django_db
BOB = "bob@far.example"


@pytest.fixture(autouse=True)
def _messages() -> None:
    ada = account("ada")
    for number in range(5):
        say(ada, BOB, f"harbour {number}", number * 3600)
    say(ada, "carol@far.example", "elsewhere", 10)
    settle()


def ctl(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> Any:
    """Run a command; its output, or its complaint."""
    try:
        call_command("xmppctl", *words)
        ended = 0
    except SystemExit as end:
        ended = int(end.code or 0)
    out, err = capsys.readouterr()
    assert ended == code, err
    return out if not code else err


def test_messages_become_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "made.xml"
    told = ctl(
        capsys,
        *("archive", "export", str(target), "--format", "xml", "--people", BOB, "--words", "harbour -3"),
        *("--start", "2026-09-21T15:00", "--zone", "UTC", "--reason", "Case 17"),
    )
    assert "3 messages are in" in told
    assert bodies(valid(target.read_bytes())) == ["harbour 1", "harbour 2", "harbour 4"]
    assert target.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".export")] == []
    entry = Entry.objects.get(did="archive export ordered")
    assert entry.who == "command line"
    assert "Case 17" in entry.details
    export = Export.objects.get()
    assert (export.state, export.messages) == ("ready", 3)
    (row,) = json.loads(ctl(capsys, "archive", "exports", "--json"))
    assert (row["messages"], row["by"]) == (3, "command line")
    key = ids.text_of(ids.first_at(START + 3600))
    (row,) = json.loads(ctl(capsys, "archive", "exports", "--json", "--message", key))
    assert row["certain"] is True
    other = ids.text_of(ids.first_at(START))
    assert json.loads(ctl(capsys, "archive", "exports", "--json", "--message", other)) == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--format", "docx"), "A format is pdf, xml, jsonl."),
        (("--start", "yesterday"), "start is a time"),
        (("--people", "@@"), "no XMPP address"),
        (("--words", "!!!"), "Enter a word"),
        (("--people", "nobody@far.example"), "There is no such message."),
        (("--attach", "perhaps"), "attach is yes or no."),
        (("--sign", "yes"), "no key to sign with"),
    ],
)
def test_what_makes_no_sense(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], told: str
) -> None:
    target = tmp_path / "made.pdf"
    assert told in ctl(capsys, "archive", "export", str(target), "--reason", "x", *words, code=1)
    assert not target.exists()


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "made.pdf"
    target.write_text("precious")
    assert "is there already" in ctl(capsys, "archive", "export", str(target), "--reason", "x", code=1)
    assert target.read_text() == "precious"
    assert "There is no folder" in ctl(capsys, "archive", "export", "/nowhere/x.pdf", "--reason", "x", code=1)
    assert "16 hexadecimal digits" in ctl(capsys, "archive", "exports", "--message", "x", code=1)
