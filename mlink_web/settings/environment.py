"""The environment variables of the product, read once and checked.

Each function raises ImproperlyConfigured with a sentence that names the variable, so that a typing mistake ends the
start instead of surfacing later.
"""

from __future__ import annotations

import ipaddress
import json
import os
import secrets
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured


def text(name: str, default: str) -> str:
    """The variable's value, the default where it is unset or empty."""
    return os.environ.get(name, "").strip() or default


def port(name: str, default: int) -> int:
    """A TCP port; 0 switches the listener off."""
    value = text(name, str(default))
    if not value.isascii() or not value.isdigit() or int(value) > 65_535:
        raise ImproperlyConfigured(f"{name} must be a port number from 0 to 65535, not {value!r}.")
    return int(value)


def choice(name: str, default: str, allowed: tuple[str, ...]) -> str:
    """One of a few words."""
    value = text(name, default).lower()
    if value not in allowed:
        raise ImproperlyConfigured(f"{name} must be one of {', '.join(allowed)}, not {value!r}.")
    return value


def endpoint(name: str) -> str:
    """`host:port` or `[v6]:port`, "" where the variable is unset."""
    value = text(name, "")
    host, _colon, digits = value.rpartition(":")
    if value and not (host and digits.isascii() and digits.isdigit() and 0 < int(digits) < 65_536):
        raise ImproperlyConfigured(f"{name} must be host:port, like xmpp1.example.org:5222, not {value!r}.")
    return value


def networks(name: str) -> tuple[str, ...]:
    """Addresses and networks with commas between them, none where the variable is unset."""
    values = [value.strip() for value in text(name, "").split(",") if value.strip()]
    try:
        return tuple(str(ipaddress.ip_network(value)) for value in values)
    except ValueError as error:
        raise ImproperlyConfigured(
            f"{name} must be addresses or networks, like 10.0.0.5,10.1.0.0/16: {error}"
        ) from None


def count(name: str, default: int, most: int) -> int:
    """A number from 1; `auto` is one for each core of the machine."""
    value = text(name, str(default)).lower()
    if value == "auto":
        return min(len(os.sched_getaffinity(0)), most)
    if not value.isascii() or not value.isdigit() or not 1 <= int(value) <= most:
        raise ImproperlyConfigured(f"{name} must be a number from 1 to {most} or auto, not {value!r}.")
    return int(value)


def mapping(name: str) -> dict[str, Any]:
    """A JSON object, empty where the variable is unset."""
    try:
        value = json.loads(text(name, "{}"))
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise ImproperlyConfigured(f'{name} must be a JSON object like {{"bucket_name": "files"}}.')
    return value


def flag(name: str) -> bool:
    """Whether a switch is on."""
    return choice(name, "0", ("0", "1", "no", "yes", "false", "true")) in ("1", "yes", "true")


def folder(name: str, default: Path) -> Path:
    """A folder, made with mode 700 where it is missing."""
    path = Path(text(name, str(default))).expanduser().absolute()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ImproperlyConfigured(f"{name} names {path}, which cannot be made: {error.strerror}.") from None
    return path


def file(name: str) -> str:
    """The path of a file that can be read, "" where the variable is unset."""
    value = text(name, "")
    if not value:
        return ""
    path = Path(value).expanduser().absolute()
    try:
        path.open("rb").close()
    except OSError as error:
        raise ImproperlyConfigured(f"{name} names {path}, which cannot be read: {error.strerror}.") from None
    return str(path)


def cluster(redis: str, database: str) -> None:
    """What nodes that are one service share; raises ImproperlyConfigured where one of it is missing."""
    if not redis:
        raise ImproperlyConfigured(
            "A cluster needs Redis: set MLINK_REDIS_URL (redis://host:6379/0), or MLINK_CLUSTER=off for one node alone."
        )
    if not database.startswith(("postgres://", "postgresql://")):
        raise ImproperlyConfigured(
            "A cluster needs PostgreSQL, which all nodes reach: set MLINK_DATABASE_URL (postgresql://user:password@host/"
            "name), or MLINK_CLUSTER=off for one node alone."
        )


def secret(path: Path) -> str:
    """The secret kept in this file, made on first use; readable by its owner only."""
    for _ in range(50):
        try:
            kept = path.read_text().strip()
            if len(kept) >= 50:
                return kept
            raise ImproperlyConfigured(f"{path} holds no usable secret; delete it to have a new one made.")
        except FileNotFoundError:
            _write_secret(path)
        except OSError as error:
            raise ImproperlyConfigured(f"{path} cannot be read: {error.strerror}.") from None
    raise ImproperlyConfigured(f"{path} cannot be made.")


def _write_secret(path: Path) -> None:
    """Put a new secret there in one step, so that of two processes that start at once both use the same one."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_urlsafe(64))
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def private_file(path: Path) -> None:
    """Make an empty file for its owner only, unless there is one; SQLite gives its side files the same mode."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
    except OSError as error:
        raise ImproperlyConfigured(f"{path} cannot be written: {error.strerror}.") from None
