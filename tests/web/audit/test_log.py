"""The chain: what it shows of tampering, on both databases, and that nobody waits for ever or writes twice."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connections, transaction

from mlink_web.audit import log
from mlink_web.audit.models import Entry, Head

pytestmark = pytest.mark.django_db


def some(count: int = 5) -> list[Entry]:
    """Entries of a test."""
    return [log.record("ada@localhost", f"did {number}", "bob@localhost", number=number) for number in range(count)]


def test_entries_follow_each_other() -> None:
    made = some()
    assert [entry.seq for entry in made] == [1, 2, 3, 4, 5]
    assert len({entry.digest for entry in made}) == 5
    verdict = log.verify()
    assert verdict.sound
    assert (verdict.entries, verdict.head) == (5, made[-1].digest)
    assert log.verify((3, made[2].digest)).sound


def test_an_empty_log_is_whole() -> None:
    assert log.verify() == log.Verdict(0, "")


@pytest.mark.parametrize(
    "change",
    [
        {"who": "eve@localhost"},
        {"target": "someone@localhost"},
        {"details": '{"number": 7}'},
        {"stamp": 1.0},
        {"did": "nothing"},
        {"origin": "192.0.2.1"},
        {"digest": "0" * 64},
    ],
)
def test_a_changed_entry_shows(change: dict[str, object]) -> None:
    some()
    Entry.objects.filter(seq=3).update(**change)
    verdict = log.verify()
    assert (verdict.entries, verdict.wrong) == (2, 3)


def test_an_entry_that_was_taken_out_shows() -> None:
    some()
    Entry.objects.filter(seq=2).delete()
    assert log.verify().wrong == 2


def test_a_cut_end_shows() -> None:
    made = some()
    Entry.objects.filter(seq__gt=3).delete()
    assert log.verify().wrong == 4
    # Who also turns the head back is found by what was noted elsewhere.
    Head.objects.update(seq=3, digest=made[2].digest)
    assert log.verify().sound
    assert log.verify((5, made[4].digest)).wrong == 4


def test_a_chain_made_anew_shows_by_what_was_noted() -> None:
    noted = some()[-1]
    Entry.objects.all().delete()
    Head.objects.all().delete()
    some(6)
    assert log.verify().sound
    assert not log.verify((noted.seq, noted.digest)).sound


def test_what_was_rolled_back_leaves_no_hole() -> None:
    some(2)
    with transaction.atomic():
        log.record("ada@localhost", "undone")
        transaction.set_rollback(True)
    some(2)
    assert log.verify().sound
    assert not Entry.objects.filter(did="undone").exists()


def test_hostile_values_are_kept_or_cut_and_never_break_a_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "mlink.audit")
    log.record("a\nb", "did\r\nx", "\u202etarget\ud800\0", words="w" * 1_000_000, more={"a": ["b\n"]})
    entry = Entry.objects.get()
    assert len(entry.details) < 20_000
    assert "1000000 characters" in entry.details
    assert "\0" not in entry.target
    assert log.verify().sound
    (line,) = [record.getMessage() for record in caplog.records if record.name == "mlink.audit"]
    assert "\n" not in line
    assert f"audit=1:{entry.digest}" in line


def test_what_cannot_be_written_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object, **_names: object) -> None:
        raise DatabaseError("disk full")

    monkeypatch.setattr(Entry, "save", fail)
    with pytest.raises(log.NotWritten):
        log.record("ada@localhost", "looked")


@pytest.mark.django_db(transaction=True)
def test_many_write_at_once() -> None:
    def write(name: str) -> None:
        try:
            for number in range(10):
                log.record(f"{name}@localhost", f"did {number}")
        finally:
            connections.close_all()

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    verdict = log.verify()
    assert verdict.sound
    assert verdict.entries == 40


def test_old_entries_go_to_a_file_and_the_chain_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = some(4)
    long_ago = time.time() - 400 * 24 * 3600
    before = ""
    for entry in made[:3]:
        entry.stamp = round(long_ago, 3)
        entry.digest = before = log.digest_of(entry, before)
        entry.save()
    made[3].digest = log.digest_of(made[3], before)
    made[3].save()
    Head.objects.update(digest=made[3].digest)
    file = tmp_path / "old.jsonl"
    day = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 24 * 3600))
    call_command("audit", "move", before=day, file=str(file))
    assert "3 entries moved" in capsys.readouterr().out
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["seq"] for line in lines] == [1, 2, 3]
    assert file.stat().st_mode & 0o077 == 0
    verdict = log.verify()
    assert verdict.sound
    assert verdict.entries == 5  # the move is an entry
    with pytest.raises(CommandError, match="cannot be written"):
        call_command("audit", "move", before=day, file=str(file))


def test_the_command_says_what_it_finds(capsys: pytest.CaptureFixture[str]) -> None:
    made = some(2)
    call_command("audit", "verify")
    assert "The chain of 2 entries is whole." in capsys.readouterr().out
    call_command("audit", "head")
    assert capsys.readouterr().out.strip() == f"2:{made[1].digest}"
    call_command("audit", "lines")
    assert [json.loads(line)["seq"] for line in capsys.readouterr().out.splitlines()] == [1, 2]
    with pytest.raises(CommandError, match="takes an entry's number"):
        call_command("audit", "verify", noted="x")
    Entry.objects.filter(seq=1).update(who="eve@localhost")
    with pytest.raises(CommandError, match="entry 1 is not what was written"):
        call_command("audit", "verify")


def test_a_command_that_changes_something_is_an_entry(settings, tmp_path: Path) -> None:
    settings.MLINK_HOME = tmp_path
    call_command("xmppctl", "domain", "add", "new.example")
    entry = Entry.objects.get()
    assert entry.who.startswith("command line (")
    assert entry.did == "domain add"
    assert json.loads(entry.details)["with"]["name"] == "new.example"
    assert json.loads(entry.details)["outcome"] == "done"
    with pytest.raises(SystemExit):
        call_command("xmppctl", "domain", "add", "new.example")
    assert json.loads(Entry.objects.get(seq=2).details)["outcome"] == "failed"
    call_command("xmppctl", "user", "add", "ada@new.example", "--password", "secret words")
    assert "secret words" not in Entry.objects.get(seq=3).details
    call_command("xmppctl", "domain", "list")
    assert Entry.objects.count() == 3
