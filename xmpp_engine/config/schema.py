"""The configuration of an engine: one frozen value, swapped as a whole (ARCHITECTURE, 10).

Every field says what it is for, its unit and its default; `validate.py` checks what spans fields, `diff.py` compares
two snapshots.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

TlsMode = Literal["required", "optional", "direct", "none"]


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """What one connection may cost (FEATURES, CORE-05)."""

    #: Bytes of one stanza; 10,000 is the least that RFC 6120 allows.
    stanza_bytes: int = 262_144
    #: Nesting below the stream root.
    depth: int = 64
    #: Attributes of one element.
    attributes: int = 64
    #: Bytes that an unauthenticated stream may send as one element.
    preauth_bytes: int = 16_384
    #: Seconds until a stream must be authenticated and bound.
    negotiation_seconds: float = 30.0
    #: Seconds of silence after which the server pings; the same again without an answer ends the stream. 0 is off.
    idle_seconds: float = 300.0
    #: Sustained bytes per second read from one connection, 0 for no limit; `burst_bytes` may come at once.
    bytes_per_second: int = 1_000_000
    burst_bytes: int = 2_097_152
    #: Bytes that may wait for a slow reader before its stream is closed (or parked, where it can be resumed).
    write_buffer_bytes: int = 2_097_152
    #: Connections from one address, and how many of them may be unauthenticated.
    connections_per_address: int = 20_000
    unauthenticated_per_address: int = 2_000


@dataclass(frozen=True, slots=True)
class ListenerConfig:
    """One listening socket."""

    name: str
    kind: Literal["c2s"] = "c2s"
    address: str = "127.0.0.1"
    #: 0 asks the system for a free port (tests); a listener that is off is not in the configuration.
    port: int = 5222
    #: `required`: nothing but STARTTLS before TLS; `optional`: PLAIN in clear too; `direct`: TLS from the first byte.
    tls: TlsMode = "required"
    limits: StreamLimits = field(default_factory=StreamLimits)
    reuse_port: bool = False


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """Certificate of a host: paths of PEM files, and the time they were last changed, so that a renewed one is a
    difference. `client_ca`, "" for none, holds the authorities whose client certificates may sign in (EXTERNAL)."""

    certificate: str
    key: str
    stamp: float = 0.0
    client_ca: str = ""


@dataclass(frozen=True, slots=True)
class HostConfig:
    """One domain."""

    domain: str
    tls: TlsConfig | None = None
    #: SASL mechanisms offered, strongest first; -PLUS variants are derived.
    mechanisms: tuple[str, ...] = ("SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN")
    #: Resources per account (FEATURES, CORE-06), and what a second bind of the same one does.
    max_resources: int = 10
    resource_conflict: Literal["replace", "reject", "rename"] = "replace"
    #: Whether messages are archived, unless a user's preference says otherwise.
    archive: bool = True
    #: Strict: a message is delivered only once its archive row is durable.
    archive_strict: bool = False
    #: Options of modules by module name; unknown names are an error of `validate`.
    modules: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    #: Modules switched off for this host.
    disabled_modules: frozenset[str] = frozenset()
    #: XEP-0157 addresses: kind (abuse, admin, support...) to URIs.
    contacts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: Host name of the HTTP endpoints in XEP-0156 documents, "" for the name the request came with.
    public_url: str = ""


@dataclass(frozen=True, slots=True)
class HttpConfig:
    """Limits and options of the BOSH and WebSocket endpoints."""

    #: Seconds a BOSH request may be held and a silent session lives (XEP-0124, 7 and 10).
    bosh_wait: int = 60
    bosh_inactivity: int = 60
    bosh_max_pause: int = 120
    bosh_sessions_per_address: int = 1_000
    #: Origins that may use the endpoints besides our own; "*" for all.
    origins: tuple[str, ...] = ("*",)
    #: Addresses of reverse proxies whose X-Forwarded-For and X-Forwarded-Proto are believed.
    trusted_proxies: tuple[str, ...] = ("127.0.0.1", "::1")
    #: Whether PLAIN and other password mechanisms are offered on an endpoint reached without TLS. Loopback always
    #: counts as
    #: protected: a browser on the same machine, or a proxy that ends TLS there.
    allow_plain_http: bool = False
    limits: StreamLimits = field(default_factory=StreamLimits)


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """Everything one node runs by."""

    version: int = 0
    node: str = "node1"
    hosts: Mapping[str, HostConfig] = field(default_factory=dict)
    listeners: tuple[ListenerConfig, ...] = ()
    http: HttpConfig = field(default_factory=HttpConfig)
    #: Accounts kept resident after their last session has gone: seconds and number.
    account_grace_seconds: float = 60.0
    account_cache: int = 50_000
    #: XEP-0198: seconds a lost stream can be resumed, stanzas it may have unacknowledged for more than some seconds.
    resume_seconds: float = 300.0
    unacked_stanzas: int = 1_000
    #: Ledger: rows of a batch, milliseconds it may wait, rows that may wait before senders are held.
    ledger_rows: int = 500
    ledger_ms: int = 25
    ledger_backlog: int = 20_000
    #: Seconds that sessions get to leave at a shutdown.
    drain_seconds: float = 3.0
