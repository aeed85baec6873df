"""The environment variables of the product."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from mlink_web.settings import environment

ROOT = Path(__file__).resolve().parents[3]


def settings_of(module: str, home: Path, names: str, **variables: str) -> dict[str, Any]:
    """Settings as a new process sees them."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("MLINK_")}
    code = (
        "import json; from django.conf import settings;"
        f" print(json.dumps({{n: getattr(settings, n) for n in {names.split()!r}}}, default=str))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**own, "DJANGO_SETTINGS_MODULE": module, "MLINK_HOME": str(home), **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("value", ["-1", "65536", "http", "5222.0", "\N{SUPERSCRIPT TWO}"])
def test_a_port_must_be_one(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("MLINK_C2S_PORT", value)
    with pytest.raises(ImproperlyConfigured, match="MLINK_C2S_PORT"):
        environment.port("MLINK_C2S_PORT", 5222)


@pytest.mark.parametrize(("value", "found"), [("", 5222), (" ", 5222), ("0", 0), ("65535", 65_535)])
def test_ports(monkeypatch: pytest.MonkeyPatch, value: str, found: int) -> None:
    monkeypatch.setenv("MLINK_C2S_PORT", value)
    assert environment.port("MLINK_C2S_PORT", 5222) == found


def test_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    assert environment.networks("MLINK_PROXIES") == ()
    monkeypatch.setenv("MLINK_PROXIES", " 10.0.0.5, 2001:db8::/32,")
    assert environment.networks("MLINK_PROXIES") == ("10.0.0.5/32", "2001:db8::/32")
    for wrong in ("balancer.example", "10.0.0.1/8", "10.0.0.1 10.0.0.2"):
        monkeypatch.setenv("MLINK_PROXIES", wrong)
        with pytest.raises(ImproperlyConfigured, match="MLINK_PROXIES must be addresses or networks"):
            environment.networks("MLINK_PROXIES")


def test_a_word_must_be_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLINK_C2S_TLS", "Optional")
    assert environment.choice("MLINK_C2S_TLS", "required", ("required", "optional")) == "optional"
    monkeypatch.setenv("MLINK_C2S_TLS", "off")
    with pytest.raises(ImproperlyConfigured, match="required, optional"):
        environment.choice("MLINK_C2S_TLS", "required", ("required", "optional"))


def test_a_secret_is_made_once_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "secret_key"
    with ThreadPoolExecutor(8) as threads:
        found = set(threads.map(environment.secret, [path] * 8))
    assert len(found) == 1
    assert len(found.pop()) >= 50
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_secret_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret_key"
    path.write_text("short")
    with pytest.raises(ImproperlyConfigured, match="delete it"):
        environment.secret(path)


def test_a_folder_that_cannot_be_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MLINK_HOME", str(tmp_path / "file" / "below"))
    with pytest.raises(ImproperlyConfigured, match="MLINK_HOME"):
        environment.folder("MLINK_HOME", tmp_path)


@pytest.mark.slow
def test_defaults_for_development(tmp_path: Path) -> None:
    found = settings_of(
        "mlink_web.settings.dev", tmp_path, "MLINK_BIND MLINK_DOMAIN MLINK_C2S_PORT DEBUG DATABASES CHANNEL_LAYERS"
    )
    assert (found["MLINK_BIND"], found["MLINK_DOMAIN"], found["MLINK_C2S_PORT"], found["DEBUG"]) == (
        "127.0.0.1",
        "localhost",
        5222,
        False,
    )
    assert found["DATABASES"]["default"]["NAME"] == str(tmp_path / "mlink.sqlite3")
    assert stat.S_IMODE((tmp_path / "mlink.sqlite3").stat().st_mode) == 0o600
    assert "InMemory" in found["CHANNEL_LAYERS"]["default"]["BACKEND"]


@pytest.mark.slow
def test_production_is_strict(tmp_path: Path) -> None:
    found = settings_of(
        "mlink_web.settings.prod",
        tmp_path,
        "MLINK_BIND SECURE_HSTS_SECONDS SESSION_COOKIE_SECURE CSRF_COOKIE_SECURE ALLOWED_HOSTS DATABASES"
        " CHANNEL_LAYERS CELERY_BROKER_URL STORAGES X_FRAME_OPTIONS",
        MLINK_DOMAIN="Chat.Example.ORG",
        MLINK_DATABASE_URL="postgresql://u:p@db.example/mlink",
        MLINK_REDIS_URL="redis://cache.example/0",
    )
    assert found["MLINK_BIND"] == "0.0.0.0"
    assert found["SECURE_HSTS_SECONDS"] > 0
    assert found["SESSION_COOKIE_SECURE"]
    assert found["CSRF_COOKIE_SECURE"]
    assert "chat.example.org" in found["ALLOWED_HOSTS"]
    assert "*" not in found["ALLOWED_HOSTS"]
    assert found["DATABASES"]["default"]["HOST"] == "db.example"
    assert found["CHANNEL_LAYERS"]["default"]["BACKEND"] == "channels_redis.pubsub.RedisPubSubChannelLayer"
    assert found["CELERY_BROKER_URL"] == "redis://cache.example/0"
    assert "Manifest" in found["STORAGES"]["staticfiles"]["BACKEND"]
    assert found["X_FRAME_OPTIONS"] == "DENY"
