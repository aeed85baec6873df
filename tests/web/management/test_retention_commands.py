"""Policies, holds and redactions by xmppctl."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from archive.redaction.models import Redaction
from archive.retention.models import Hold, Policy
from mlink_web.audit.models import Entry
from mlink_web.jobs.models import Job
from tests.kits.commands import ctl, refused

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_node(settings: Any, tmp_path: Path) -> None:
    settings.MLINK_HOME = tmp_path


def test_policies() -> None:
    assert ctl("archive", "retention", "list") == []
    assert ctl("archive", "retention", "preview", "everything", "-", "30")[-1]["messages"] == 0
    assert "30 day(s)" in ctl("archive", "retention", "set", "domain", "a.example", "30", "--kind", "chat")
    assert "for ever" in ctl("archive", "retention", "set", "label", "Top Secret", "forever", "--files", "yes")
    rows = ctl("archive", "retention", "list")
    assert [(row["for"], row["which"], row["kind"], row["days"]) for row in rows] == [
        ("domain", "a.example", "chat", 30),
        ("label", "Top Secret", "", "forever"),
    ]
    ctl("archive", "retention", "remove", "label", "top secret")
    assert Policy.objects.count() == 1
    assert "no policy" in refused("archive", "retention", "remove", "label", "top secret")
    assert "1 to" in refused("archive", "retention", "set", "everything", "-", "0")
    assert "no number" in refused("archive", "retention", "set", "everything", "-", "many")
    assert ctl("archive", "retention", "run")["complete"] is True
    assert Entry.objects.filter(did="archive retention set").count() >= 2


def test_holds() -> None:
    ctl(
        "archive",
        "hold",
        "place",
        "talk",
        "ada@a.example",
        "bob@b.example",
        "--reason",
        "Case 1",
        "--from",
        "2026-01-31",
    )
    ctl("archive", "hold", "place", "all", "--reason", "Case 2")
    rows = ctl("archive", "hold", "list")
    assert [row["covers"] for row in rows] == ["everything", "ada@a.example with bob@b.example"]
    assert rows[1]["from"] == "2026-01-31T00:00:00+00:00"
    ctl("archive", "hold", "release", str(rows[0]["number"]), "--reason", "over")
    assert len(ctl("archive", "hold", "list")) == 1
    assert len(ctl("archive", "hold", "list", "all")) == 2
    assert "already" in refused("archive", "hold", "release", str(rows[0]["number"]), "--reason", "over")
    assert "no hold" in refused("archive", "hold", "release", "999", "--reason", "over")
    assert "a day such as" in refused("archive", "hold", "place", "all", "--reason", "x", "--until", "tomorrow")
    assert Hold.objects.filter(released=None).count() == 1


def test_redactions() -> None:
    from tests.archive.redaction.test_pages import JULIET, ROMEO, say
    from tests.kits.archived import CORRECT, talk

    keys = say(talk(1, ROMEO, JULIET, "secret"), talk(2, ROMEO, JULIET, "<body>secrets</body>" + CORRECT.format("o1")))
    assert "2 message(s) is under way" in ctl("archive", "redact", "message", keys[0], "--reason", "law 7")
    assert Job.objects.get().kind == "archive redaction"
    (row,) = ctl("archive", "redact", "list")
    assert (row["state"], row["messages"], row["by"]) == ("working", 2, "command line")
    shown = ctl("archive", "redact", "show", str(row["number"]))
    assert shown["database"] == "waiting"
    assert len(shown["messages"]) == 2
    assert "no ids" in refused("archive", "redact", "message", "xyz", "--reason", "law 7")
    assert "no longer" in refused("archive", "redact", "message", "0000000000000001", "--reason", "law 7")
    assert "no redaction" in refused("archive", "redact", "show", "999")
    assert Redaction.objects.count() == 1
