"""A node joins by one command: what the ticket says holds now and later, and what is no ticket is refused."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from mlink_web.settings import joining

ROOT = Path(__file__).resolve().parents[3]
SECRET = "s" * 64
VALUES = {
    "MLINK_DATABASE_URL": "postgresql://mlink:pass@db.example/mlink",
    "MLINK_REDIS_URL": "redis://:pass@redis.example:6379/0",
    "MLINK_DOMAIN": "chat.example",
    "MLINK_NODE_NAME": "node2",
    "MLINK_NODE_ADDRESS": "",
}


def test_a_ticket_holds_now_and_later(tmp_path: Path) -> None:
    first = {joining.VARIABLE: joining.ticket(VALUES, SECRET), "MLINK_DOMAIN": " "}
    joining.join(tmp_path, first)
    wanted = {name: value for name, value in VALUES.items() if value} | {"MLINK_CLUSTER": "on"}
    assert {name: first[name] for name in wanted} == wanted
    assert "secret" not in first
    assert (tmp_path / "secret_key").read_text() == SECRET
    for name in ("secret_key", "cluster.json"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    later: dict[str, str] = {}
    joining.join(tmp_path, later)
    assert later == wanted
    joining.join(tmp_path, {**first})


def test_the_environment_goes_before(tmp_path: Path) -> None:
    environment = {joining.VARIABLE: joining.ticket(VALUES, SECRET), "MLINK_NODE_NAME": "other", "MLINK_CLUSTER": "off"}
    joining.join(tmp_path, environment)
    assert (environment["MLINK_NODE_NAME"], environment["MLINK_CLUSTER"]) == ("other", "off")
    assert environment["MLINK_DOMAIN"] == "chat.example"


def test_without_a_ticket_nothing_is_done(tmp_path: Path) -> None:
    environment: dict[str, str] = {}
    joining.join(tmp_path, environment)
    assert environment == {}
    assert list(tmp_path.iterdir()) == []


def test_the_data_folder_of_another_server_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "secret_key").write_text("o" * 64)
    with pytest.raises(ImproperlyConfigured, match="data folder of another server"):
        joining.join(tmp_path, {joining.VARIABLE: joining.ticket(VALUES, SECRET)})
    assert (tmp_path / "secret_key").read_text() == "o" * 64
    assert not (tmp_path / "cluster.json").exists()


@pytest.mark.parametrize(
    "text",
    [
        "mlink1-",
        "mlink1-!",
        "mlink2-" + joining.ticket(VALUES, SECRET)[7:],
        joining.ticket(VALUES, SECRET)[:-30],
        joining.ticket(VALUES, "short"),
        "mlink1-" + "A" * 30_000,
    ],
)
def test_what_is_no_ticket_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="MLINK_JOIN is no ticket"):
        joining.join(tmp_path, {joining.VARIABLE: text})
    assert list(tmp_path.iterdir()) == []


def test_a_kept_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "cluster.json").write_text("{")
    with pytest.raises(ImproperlyConfigured, match=r"cluster\.json cannot be read"):
        joining.join(tmp_path, {})


def test_settings_follow_it(tmp_path: Path) -> None:
    code = (
        "import json; from django.conf import settings as s;"
        "print(json.dumps([s.MLINK_CLUSTER, s.MLINK_NODE_NAME, s.MLINK_DOMAIN, s.MLINK_REDIS_URL, s.SECRET_KEY]))"
    )
    own = {name: value for name, value in os.environ.items() if not name.startswith("MLINK_")}
    own |= {"DJANGO_SETTINGS_MODULE": "mlink_web.settings.dev", "MLINK_HOME": str(tmp_path)}
    for extra in ({joining.VARIABLE: joining.ticket(VALUES, SECRET)}, {}):
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={**own, **extra},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == [True, "node2", "chat.example", VALUES["MLINK_REDIS_URL"], SECRET]
