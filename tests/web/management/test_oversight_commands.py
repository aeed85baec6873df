"""Searching archives and appointing officers by xmppctl."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from archive.oversight import access
from mlink_web.audit import log
from tests.archive.oversight.kit import audited, person, say
from tests.kits.commands import ctl, refused

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_node(settings: Any, tmp_path: Path) -> None:
    settings.MLINK_HOME = tmp_path


def test_search() -> None:
    ada, bob = person("ada@localhost"), person("bob@localhost")
    first = say(ada, bob, "the red house", 0)
    second = say(bob, ada, "the red car", 1)
    say(ada, "hall@conference.localhost", "red hall", 2, room=3)
    assert [row["text"] for row in ctl("archive", "search", "red")] == ["red hall", "the red car", "the red house"]
    (row,) = ctl("archive", "search", '"red house" -car', "--people", "bob@localhost", "--kinds", "chat")
    assert (row["id"], row["from"], row["to"]) == (first, "ada@localhost", "bob@localhost")
    assert [row["id"] for row in ctl("archive", "search", "--kinds", "chat", "--limit", "1")] == [second]
    assert [row["id"] for row in ctl("archive", "search", "--kinds", "chat", "--before", second)] == [first]
    assert ctl("archive", "search", "--files", "yes") == []
    assert len(ctl("archive", "search", "--people", "ada@localhost,bob@localhost", "--together", "yes")) == 2
    told = audited("archive search")
    assert [entry.target for entry in told][:2] == ["red", '"red house" -car, by or to bob@localhost, chat']
    assert {entry.who for entry in told} == {"command line"}


def test_wrong_searches_have_a_sentence() -> None:
    assert "no XMPP address" in refused("archive", "search", "--people", "a@@b")
    assert "yes or no" in refused("archive", "search", "--files", "maybe")
    assert "Kinds are" in refused("archive", "search", "--kinds", "shouts")
    assert "limit" in refused("archive", "search", "--limit", "0")
    assert "hexadecimal" in refused("archive", "search", "--before", "yesterday")
    assert "At most 16" in refused("archive", "search", " ".join(f"w{number}" for number in range(17)))
    assert "At most 1,000" in refused("archive", "search", "x" * 100_000)


def test_nothing_is_shown_that_cannot_be_written_down(monkeypatch: pytest.MonkeyPatch) -> None:
    say("a@b.example", person("bob@localhost"), "secret")

    def broken(*_arguments: object, **_given: object) -> None:
        raise log.NotWritten("the disk is full")

    monkeypatch.setattr(log, "append", broken)
    out = StringIO()
    with pytest.raises((SystemExit, log.NotWritten)):
        call_command("xmppctl", "archive", "search", "secret", stdout=out, stderr=StringIO())
    assert "secret" not in out.getvalue()


def test_officers_and_options() -> None:
    eve = person("eve@localhost")
    assert "is an archive officer" in ctl("archive", "officer", "appoint", "Eve@localhost", "search,approve")
    assert access.rights_of(eve) == {"search": None, "approve": None}
    ctl("archive", "officer", "appoint", "eve@localhost", "search", "--domains", "localhost")
    (row,) = ctl("archive", "officer", "list")
    assert (row["account"], row["rights"], row["domains"]) == ("eve@localhost", "search", "localhost")
    assert "no right" in refused("archive", "officer", "appoint", "eve@localhost", "fly")
    assert "no account" in refused("archive", "officer", "appoint", "no@localhost", "search")
    assert "no domain" in refused("archive", "officer", "appoint", "eve@localhost", "search", "--domains", "x.example")
    ctl("archive", "officer", "remove", "eve@localhost")
    assert "no archive officer" in refused("archive", "officer", "remove", "eve@localhost")
    assert ctl("archive", "oversight", "show") == {"administrators": True, "agreement": False, "hours": 24}
    ctl("archive", "oversight", "set", "--agreement", "yes", "--hours", "8")
    assert ctl("archive", "oversight", "show") == {"administrators": True, "agreement": True, "hours": 8}
    assert "1 to" in refused("archive", "oversight", "set", "--hours", "100000")
    assert len(audited("archive officer appointed")) == 2
