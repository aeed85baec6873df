"""xmppctl without a running node (with one: tests/web/node/test_runtime.py), through Django's own entry."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import ManagementUtility

from mlink_web.accounts.models import Account
from mlink_web.conf.models import Domain

pytestmark = pytest.mark.django_db(transaction=True)


class Ctl:
    """Runs commands as `manage.py` does."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *words: str, code: int = 0) -> tuple[str, str]:
        """Run; returns what stands on standard output and error. The exit code must be `code`."""
        self._capsys.readouterr()
        found = 0
        try:
            ManagementUtility(["manage.py", "xmppctl", *words]).execute()
        except SystemExit as ended:
            found = ended.code if isinstance(ended.code, int) else 1
        out, err = self._capsys.readouterr()
        assert found == code, err
        return out.strip(), err.strip()

    def json(self, *words: str) -> Any:
        """Run with --json; returns what is printed."""
        return json.loads(self(*words, "--json")[0])


@pytest.fixture
def ctl(settings: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Ctl:
    settings.MLINK_HOME = tmp_path
    return Ctl(capsys)


def test_a_flag_is_an_option_without_a_value(ctl: Ctl) -> None:
    ctl("domain", "add", "a.example")
    for name in ("old", "new"):
        ctl("user", "add", f"{name}@a.example", "--password", "secret")
    moved = ctl.json("user", "move", "old@a.example", "new@a.example")
    assert moved["moved_to"] == "new@a.example"
    assert "No node is running" in moved["note"]
    assert ctl("user", "move", "old@a.example", "--undo")[0].startswith("old@a.example is itself again")
    assert "has not moved" in ctl("user", "move", "--undo", "old@a.example", code=1)[1]


def test_domains(ctl: Ctl, tmp_path: Path) -> None:
    assert ctl("domain", "add", "A.example")[0] == "a.example is served now."
    assert (tmp_path / "tls" / "a.example.crt").exists()
    assert ctl.json("domain", "list")[0]["name"] == "a.example"
    ctl("domain", "set", "a.example", "archive", "off")
    assert ctl.json("domain", "show", "a.example")["archive"] is False
    assert (
        ctl("domain", "set", "a.example", "moved_to", "There.example")[0]
        == "a.example: moved_to is 'there.example' now."
    )
    assert ctl.json("domain", "show", "a.example")["moved_to"] == "there.example"
    assert "again and again" in ctl("domain", "set", "a.example", "moved_to", "a.example", code=1)[1]
    ctl("domain", "set", "a.example", "moved_to", "")
    assert ctl("domain", "add", "a.example", code=1)[1] == "The domain a.example exists already."
    assert "no option" in ctl("domain", "set", "a.example", "colour", "red", code=1)[1]
    assert "no domain" in ctl("domain", "remove", "b.example", code=1)[1]
    ctl("domain", "add", "b.example")
    ctl("domain", "remove", "a.example")
    assert list(Domain.objects.values_list("name", flat=True)) == ["b.example"]


def test_users(ctl: Ctl) -> None:
    ctl("domain", "add", "a.example")
    ctl("user", "add", "romeo@a.example", "--password", "pw")
    ctl("user", "add", "admin@a.example", "--password", "-starts-with-a-dash", "--admin", "yes")
    assert Account.objects.get(username="admin@a.example").check_password("-starts-with-a-dash")
    assert [(row["jid"], row["state"], row["administrator"]) for row in ctl.json("user", "list")] == [
        ("admin@a.example", "active", True),
        ("romeo@a.example", "active", False),
    ]
    ctl("user", "disable", "romeo@a.example")
    assert ctl.json("user", "list", "a.example")[1]["state"] == "disabled"
    ctl("user", "enable", "romeo@a.example")
    ctl("user", "password", "romeo@a.example", "--password", "new")
    assert Account.objects.get(username="romeo@a.example").check_password("new")
    ctl("user", "remove", "romeo@a.example")
    assert "no account" in ctl("user", "disable", "romeo@a.example", code=1)[1]
    assert "last administrator" in ctl("user", "remove", "admin@a.example", code=1)[1]


def test_a_password_from_standard_input(ctl: Ctl, monkeypatch: pytest.MonkeyPatch) -> None:
    ctl("domain", "add", "a.example")
    monkeypatch.setattr("sys.stdin", StringIO("from a pipe\n"))
    ctl("user", "add", "romeo@a.example", "--password", "-")
    assert Account.objects.get().check_password("from a pipe")


def test_import_reports_lines_and_fails(ctl: Ctl, tmp_path: Path) -> None:
    ctl("domain", "add", "a.example")
    path = tmp_path / "users.csv"
    path.write_text("romeo@a.example,x\nnobody\n")
    out, err = ctl("user", "import", str(path), code=1)
    assert out.split() == ["made", "1"]
    assert err.startswith("line 2: ")
    assert "cannot be read" in ctl("user", "import", str(tmp_path / "none"), code=1)[1]


def test_errors_are_json_for_scripts_too(ctl: Ctl) -> None:
    out, err = ctl("domain", "remove", "b.example", "--json", code=1)
    assert json.loads(out) == {"error": err}


def test_without_a_node(ctl: Ctl) -> None:
    ctl("domain", "add", "a.example")
    out, err = ctl("sessions")
    assert (out, err) == ("none", "No node is running with this data folder.")
    assert ctl.json("sessions") == []
    figures = ctl.json("stats")
    assert (figures["running"], figures["domains"], figures["accounts"]) == (False, ["a.example"], 0)
    assert ctl("kick", "romeo@a.example", code=1)[1] == "No node is running with this data folder."


@pytest.mark.parametrize("words", [(), ("fly",), ("user",), ("user", "add"), ("user", "add", "a@b"), ("kick",)])
def test_a_wrong_command_line_is_explained(ctl: Ctl, words: tuple[str, ...]) -> None:
    assert "usage:" in ctl(*words, code=2)[1]
