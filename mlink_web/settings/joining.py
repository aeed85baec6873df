"""A node joins a cluster by one command.

`xmppctl cluster add` prints MLINK_JOIN: the name of the new node, where PostgreSQL and Redis are, and the secret of all
nodes. The first start with it writes that into the data folder, and later starts find it there. What the environment
says goes before. Whoever has the ticket can be a node, and read everything: it is as good as the secret.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from django.core.exceptions import ImproperlyConfigured

PREFIX: Final = "mlink1-"
VARIABLE: Final = "MLINK_JOIN"
#: What a ticket says, as variables of the environment.
NAMES: Final = ("MLINK_DATABASE_URL", "MLINK_REDIS_URL", "MLINK_DOMAIN", "MLINK_NODE_NAME", "MLINK_NODE_ADDRESS")
_SECRET: Final = "secret"  # noqa: S105
_FILE: Final = "cluster.json"
_MOST: Final = 20_000


def ticket(values: Mapping[str, str], secret: str) -> str:
    """The text for MLINK_JOIN; `values` are by NAMES."""
    whole = json.dumps({**{name: values[name] for name in NAMES if values.get(name)}, _SECRET: secret})
    return PREFIX + base64.urlsafe_b64encode(whole.encode()).decode().rstrip("=")


def join(home: Path, environment: dict[str, str] | os._Environ[str] = os.environ) -> None:
    """Take the ticket of the environment, or what an earlier one has left in the data folder, into the environment;
    nothing where there is neither. Raises ImproperlyConfigured."""
    text = environment.get(VARIABLE, "").strip()
    path = home / _FILE
    if text:
        values = _read(text)
        _keep(home / "secret_key", values.pop(_SECRET))
        _write(path, json.dumps(values))
    elif path.exists():
        try:
            values = _checked(json.loads(path.read_text()))
        except (OSError, ValueError) as error:
            raise ImproperlyConfigured(f"{path} cannot be read: {error}. It says which cluster this is.") from None
    else:
        return
    for name, value in {**values, "MLINK_CLUSTER": "on"}.items():
        if not environment.get(name, "").strip():
            environment[name] = value


def _read(text: str) -> dict[str, str]:
    encoded = text.removeprefix(PREFIX)
    try:
        if encoded == text or len(text) > _MOST:
            raise ValueError("it does not begin as one")
        whole = json.loads(base64.b64decode(encoded + "=" * (-len(encoded) % 4), b"-_", validate=True))
        values = _checked(whole)
        if len(values.get(_SECRET, "")) < 50:
            raise ValueError("it has no secret")
    except (ValueError, binascii.Error):
        raise ImproperlyConfigured(
            f"{VARIABLE} is no ticket, or a part of it is missing: copy the whole line of `xmppctl cluster add`."
        ) from None
    return values


def _checked(whole: object) -> dict[str, str]:
    if not isinstance(whole, dict) or not all(isinstance(value, str) for value in whole.values()):
        raise ValueError("names and texts are expected")
    return {name: value for name, value in whole.items() if name in (*NAMES, _SECRET)}


def _keep(path: Path, secret: str) -> None:
    """Put the cluster's secret into the data folder, where no other one may be."""
    try:
        kept = path.read_text().strip()
    except FileNotFoundError:
        _write(path, secret)
        return
    except OSError as error:
        raise ImproperlyConfigured(f"{path} cannot be read: {error.strerror}.") from None
    if kept != secret:
        raise ImproperlyConfigured(
            f"{path.parent} is the data folder of another server, with a secret of its own: "
            "a node that joins a cluster needs an empty one (MLINK_HOME)."
        )


def _write(path: Path, text: str) -> None:
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)
