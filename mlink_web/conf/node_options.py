"""Options of nodes: limits of connections, of BOSH and WebSocket, of what a node keeps in memory.

Most of them are meant to hold for all nodes; a node on a smaller machine, or behind another network, may have some of
its own, which go before (FEATURES, CLU-06). Both are rows of `NodeOptions`, by the same keys: "c2s.stanza_bytes",
"http.bosh_wait", "node.resume_seconds". Here stand the options that there are, and what holds; `services` writes.

Ports, addresses and names differ from node to node by nature and come from each node's environment.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from mlink_web.clusters.models import Node
from mlink_web.components.snapshot import LIMITS as COMPONENT_LIMITS
from mlink_web.conf.models import NodeOptions
from mlink_web.conf.typed import WORDS
from xmpp_engine.config.schema import SERVER_LIMITS, EngineConfig, HttpConfig, StreamLimits

Value = bool | int | list[str]
#: Characters of one origin, and how many there may be.
MAX_ORIGIN: Final = 300
MAX_ORIGINS: Final = 100
_DIGITS: Final = 12


@dataclass(frozen=True, slots=True)
class Option:
    """One option: its key, what pages call it, what holds where nobody sets it, and the least and the most."""

    key: str
    label: str
    help: str
    unit: str
    default: Value
    least: int = 0
    most: int = 0


#: Name, label, help, unit, least, most of the limits of one connection.
_LIMITS: Final = (
    ("stanza_bytes", "Largest stanza", "RFC 6120 allows no less than 10,000.", "bytes", 10_000, 16_777_216),
    ("depth", "Depth of elements in a stanza", "", "levels", 8, 1_000),
    ("attributes", "Attributes of one element", "", "attributes", 8, 10_000),
    ("preauth_bytes", "Largest element before sign-in", "", "bytes", 4_096, 1_048_576),
    ("negotiation_seconds", "Time to sign in", "", "seconds", 5, 600),
    (
        "idle_seconds",
        "Silence before a ping",
        "The same again without an answer ends it. 0: no pings.",
        "seconds",
        0,
        86_400,
    ),
    (
        "bytes_per_second",
        "Bytes a second from one connection",
        "On the long run. 0: no limit.",
        "bytes a second",
        0,
        1_000_000_000,
    ),
    ("burst_bytes", "Bytes that may come at once", "", "bytes", 16_384, 1_073_741_824),
    (
        "write_buffer_bytes",
        "What may wait for a slow reader",
        "Above it the stream ends, or waits to be resumed.",
        "bytes",
        65_536,
        1_073_741_824,
    ),
    ("connections_per_address", "Connections from one address", "", "connections", 1, 1_000_000),
    ("unauthenticated_per_address", "Of them not signed in", "", "connections", 1, 1_000_000),
)
#: Besides, of what people connect with.
_OF_CLIENTS: Final = (
    ("registration_seconds", "Time to fill in the form of registration", "From when it is sent.", "seconds", 5, 3_600),
)
_HTTP: Final = (
    ("bosh_wait", "Longest wait of a BOSH request", "", "seconds", 1, 300),
    ("bosh_inactivity", "Silence that ends a BOSH session", "", "seconds", 5, 3_600),
    ("bosh_max_pause", "Longest pause of a BOSH session", "", "seconds", 5, 3_600),
    ("bosh_sessions_per_address", "BOSH sessions from one address", "", "sessions", 1, 1_000_000),
    (
        "origins",
        "Pages that may connect",
        "https://host of their servers, one per line; * for all. Our own always may.",
        "",
        0,
        0,
    ),
    (
        "allow_plain_http",
        "Passwords without TLS",
        "On: also where an endpoint is reached by plain HTTP from another machine.",
        "",
        0,
        0,
    ),
)
_ENGINE: Final = (
    (
        "resume_seconds",
        "A lost stream can be resumed for",
        "XEP-0198. Holds for streams that are enabled from now on.",
        "seconds",
        0,
        86_400,
    ),
    ("unacked_stanzas", "Stanzas a client may leave unacknowledged", "", "stanzas", 10, 100_000),
    ("account_grace_seconds", "Accounts stay in memory after their last session for", "", "seconds", 0, 86_400),
    ("account_cache", "Accounts without a session in memory", "", "accounts", 100, 10_000_000),
    ("ledger_rows", "Rows written to the archive at once", "", "rows", 1, 10_000),
    ("ledger_ms", "A row waits for others for", "", "milliseconds", 1, 1_000),
    (
        "ledger_backlog",
        "Rows that may wait",
        "Above it senders are held. No less than are written at once.",
        "rows",
        100,
        10_000_000,
    ),
    ("drain_seconds", "At a shutdown sessions get", "To take what is on its way to them.", "seconds", 0, 600),
)


@dataclass(frozen=True, slots=True)
class Group:
    """Options of one thing, as a part of the page."""

    name: str
    title: str
    options: tuple[Option, ...]


def _options(group: str, described: tuple[tuple[str, str, str, str, int, int], ...], values: Any) -> list[Option]:
    return [
        Option(f"{group}.{name}", label, text, unit, _value(getattr(values, name)), least, most)
        for name, label, text, unit, least, most in described
    ]


def _value(default: float | tuple[str, ...]) -> Value:
    """A default of the engine as it is written here: seconds are whole."""
    return list(default) if isinstance(default, tuple) else int(default) if isinstance(default, float) else default


def _of_servers(name: str, title: str, values: StreamLimits) -> Group:
    return Group(name, title, tuple(_options(name, _LIMITS, values)))


def _of_clients(name: str, title: str, *before: Option) -> Group:
    return Group(name, title, (*before, *_options(name, (*_LIMITS, *_OF_CLIENTS), StreamLimits())))


GROUPS: Final = (
    Group("node", "What a node keeps and writes", tuple(_options("node", _ENGINE, EngineConfig()))),
    _of_clients("c2s", "Connections of clients: STARTTLS"),
    _of_clients("c2s_tls", "Connections of clients: direct TLS"),
    _of_clients("http", "WebSocket and BOSH", *_options("http", _HTTP, HttpConfig())),
    _of_servers("s2s", "Connections of other servers: STARTTLS", SERVER_LIMITS),
    _of_servers("s2s_tls", "Connections of other servers: direct TLS", SERVER_LIMITS),
    _of_servers("component", "Connections of components", COMPONENT_LIMITS),
)
OPTIONS: Final[Mapping[str, Option]] = {option.key: option for group in GROUPS for option in group.options}
_OF_HTTP: Final = frozenset(name for name, *_ in _HTTP)


def find(key: str) -> Option:
    """The option with this key; raises ValueError."""
    option = OPTIONS.get(key.strip())
    if option is None:
        raise ValueError(f"There is no option {key.strip()!r}; xmppctl option list shows all.")
    return option


def read(option: Option, text: str) -> Value:
    """What a person typed for an option, in its type and within its bounds; raises ValueError with a sentence."""
    if isinstance(option.default, list):
        return checked(option, text.replace(",", " ").split())
    word = text.strip().lower()
    if isinstance(option.default, bool):
        if word not in WORDS:
            raise ValueError(f"{option.label}: on or off, not {text!r}.")
        return WORDS[word]
    digits = word.replace(",", "")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _DIGITS):
        raise ValueError(f"{option.label}: a whole number of {option.unit}, not {text!r}.")
    return checked(option, int(digits))


def checked(option: Option, value: Value) -> Value:
    """The value if it fits the option; raises ValueError with a sentence."""
    if isinstance(option.default, bool):
        if not isinstance(value, bool):
            raise ValueError(f"{option.label}: on or off, not {value!r}.")
    elif isinstance(option.default, list):
        if not isinstance(value, list):
            raise ValueError(f"{option.label}: a list is needed, not {value!r}.")
        return _origins(option, value)
    elif isinstance(value, bool) or not isinstance(value, int) or not option.least <= value <= option.most:
        raise ValueError(f"{option.label}: {option.least:,} to {option.most:,} {option.unit}.")
    return value


def _origins(option: Option, texts: list[str]) -> list[str]:
    if len(texts) > MAX_ORIGINS:
        raise ValueError(f"{option.label}: at most {MAX_ORIGINS}.")
    for text in texts:
        scheme, _, host = text.partition("://")
        if text != "*" and (scheme not in ("http", "https") or not host or "/" in host or len(text) > MAX_ORIGIN):
            raise ValueError(f"{option.label}: https://host, https://host:port or *, not {text[:MAX_ORIGIN]!r}.")
    return list(dict.fromkeys(texts))


def written(value: Value) -> str:
    """A value as a person writes it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return " ".join(value) if isinstance(value, list) else str(value)


def values_of(node: str = "") -> dict[str, Value]:
    """What is set for a node alone, by key; for all nodes where `node` is ""."""
    row = NodeOptions.objects.filter(node=node).first()
    return dict(row.values) if row is not None else {}


def nodes() -> dict[str, dict[str, Value]]:
    """What nodes have of their own, by name."""
    return {row.node: dict(row.values) for row in NodeOptions.objects.exclude(node="") if row.values}


def known() -> list[str]:
    """The names of nodes that have ever run on this database, or have options of their own."""
    return sorted({*Node.objects.values_list("name", flat=True), *nodes()})


@dataclass(frozen=True, slots=True)
class InForce:
    """What is set for one node, for all and for itself: fields of StreamLimits by listener, of HttpConfig, of
    EngineConfig."""

    listeners: dict[str, dict[str, Value]] = dataclasses.field(default_factory=dict)
    http: dict[str, Value] = dataclasses.field(default_factory=dict)
    engine: dict[str, Value] = dataclasses.field(default_factory=dict)


def in_force(node: str) -> InForce:
    """The options of a node that somebody has set, its own before those of all."""
    found = InForce()
    for key, value in {**values_of(), **values_of(node)}.items():
        if key not in OPTIONS:
            continue  # Of a newer version, which runs beside this one.
        group, _, name = key.partition(".")
        if group == "node":
            found.engine[name] = value
        elif group == "http" and name in _OF_HTTP:
            found.http[name] = value
        else:
            found.listeners.setdefault(group, {})[name] = value
    return found
