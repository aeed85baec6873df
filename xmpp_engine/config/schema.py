"""The configuration of an engine: one frozen value, swapped as a whole (ARCHITECTURE, 10).

Every field says what it is for, its unit and its default; `validate.py` checks what spans fields, `diff.py` compares
two snapshots.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

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
    #: The same for a stream that was given the form of registration, from then on: a person fills it in.
    registration_seconds: float = 300.0
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


#: A stream of another server carries what all its people say.
SERVER_LIMITS: Final = StreamLimits(bytes_per_second=20_000_000, burst_bytes=20_971_520, write_buffer_bytes=4_194_304)


@dataclass(frozen=True, slots=True)
class ListenerConfig:
    """One listening socket."""

    name: str
    kind: Literal["c2s", "s2s", "component"] = "c2s"
    address: str = "127.0.0.1"
    #: 0 asks the system for a free port (tests); a listener that is off is not in the configuration.
    port: int = 5222
    #: `required`: nothing but STARTTLS before TLS; `optional`: PLAIN in clear too; `direct`: TLS from the first byte.
    tls: TlsMode = "required"
    limits: StreamLimits = field(default_factory=StreamLimits)
    reuse_port: bool = False
    #: Networks of load balancers, which say in front of each connection for whom it is (the PROXY protocol).
    proxies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """Certificate of a host: paths of PEM files, and the time they were last changed, so that a renewed one is a
    difference. `client_ca`, "" for none, holds the authorities whose client certificates may sign in (EXTERNAL)."""

    certificate: str
    key: str
    stamp: float = 0.0
    client_ca: str = ""


@dataclass(frozen=True, slots=True)
class PeerConfig:
    """What holds between us and another domain (FEATURES, 7 and 18): looked up before DNS. `S2sConfig.default` holds
    for all domains that have none of their own."""

    #: "" in the default.
    domain: str = ""
    #: Whether it holds for all domains below it too; the longest match wins.
    subdomains: bool = False
    #: A peer that is off is refused in both directions.
    enabled: bool = True
    #: Where it is: `host`, `host:port` or `[v6]:port`; "" asks DNS. `direct` speaks TLS there from the first byte.
    route: str = ""
    direct: bool = False
    #: How it must prove who it is: `certificate` (SASL EXTERNAL and nothing else), `dialback` where that does not do,
    #: or `dialback-only`.
    authentication: Literal["certificate", "dialback", "dialback-only"] = "dialback"
    #: `optional` talks in clear to who offers no TLS.
    tls: Literal["required", "optional"] = "required"
    #: Certificates that were revoked: not looked at, refused where a list can be had, or refused unless a fresh list
    #: says that they are good.
    revocation: Literal["off", "soft", "hard"] = "soft"
    #: The same by the answer of its responder (OCSP).
    ocsp: Literal["off", "soft", "hard"] = "off"
    #: Keys in secured DNS (RFC 7673): not looked at, binding where there are some, or refused where there are none.
    #: Only name servers that are trusted (`S2sConfig.dnssec`) secure anything.
    dane: Literal["off", "use", "require"] = "use"
    #: Whether a certificate that starts a stream must be one for clients (FEATURES, S2S-06).
    strict_purpose: bool = False
    #: SHA-256 of the keys (SubjectPublicKeyInfo, hexadecimal) of which its certificate must have one; then no authority
    #: is asked.
    pins: tuple[str, ...] = ()
    #: A PEM file of authorities for this peer instead of all others, "" for those of `S2sConfig`.
    authorities: str = ""


@dataclass(frozen=True, slots=True)
class S2sConfig:
    """Federation of the whole node."""

    enabled: bool = False
    default: PeerConfig = field(default_factory=PeerConfig)
    #: By domain.
    peers: Mapping[str, PeerConfig] = field(default_factory=dict)
    #: A PEM file of the authorities that are trusted, "" for those of the system, and when it was changed.
    authorities: str = ""
    stamp: float = 0.0
    #: Name servers as `address` or `address:port`; none for those of the system.
    nameservers: tuple[str, ...] = ()
    #: Whether they check DNSSEC and the way to them is safe. Those of the system must be on this machine for that.
    dnssec: bool = False
    #: Seconds after which a stream that carries nothing is closed; to connect and authenticate; between two tries at
    #: most.
    idle_seconds: float = 600.0
    connect_seconds: float = 30.0
    retry_seconds: float = 300.0
    #: What may wait for one pair of domains, and for how many seconds.
    queue_stanzas: int = 2_000
    queue_bytes: int = 4_194_304
    queue_seconds: float = 600.0
    #: Pairs of domains for which something may wait, and streams that other servers may have open.
    destinations: int = 10_000
    incoming: int = 10_000
    #: Makes dialback keys (XEP-0185): the same on all nodes. "" draws one.
    dialback_secret: str = ""


@dataclass(frozen=True, slots=True)
class ComponentConfig:
    """A program that serves a domain of its own (XEP-0114)."""

    domain: str
    secret: str
    enabled: bool = True
    #: Networks it may connect from; none for every address.
    networks: tuple[str, ...] = ()
    #: What a second connection does while the first one lives.
    conflict: Literal["refuse", "replace"] = "refuse"
    #: XEP-0355: namespaces that it serves for our domains, each with the attributes by which stanzas are chosen.
    delegated: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: XEP-0356: what it may do to accounts, kind (`roster`, `message`, `presence`, `iq:NAMESPACE`) to permission.
    privileges: Mapping[str, str] = field(default_factory=dict)
    #: The domains of ours for which the two hold; none for all.
    domains: tuple[str, ...] = ()
    queue_bytes: int = 8_388_608


@dataclass(frozen=True, slots=True)
class ClusterConfig:
    """How nodes watch each other; the same for all of them."""

    heartbeat_seconds: float = 1.0
    #: Seconds of silence after which a node is gone.
    gone_seconds: float = 5.0
    #: Seconds by which clocks may differ.
    skew_seconds: float = 0.2
    #: Seconds that a node listens before it joins: it hears there of another node with its name, of clocks that
    #: differ and of versions it cannot talk to. 0 joins at once.
    join_seconds: float = 1.0
    #: Records that may wait for the acknowledgement of one node, their bytes, and bytes of one envelope.
    window: int = 50_000
    window_bytes: int = 67_108_864
    envelope_bytes: int = 262_144
    #: Of this node: its number (0 to 255, no two alike), the address at which clients reach it ("" where it says none)
    #: and what proves to the others that it is one of them.
    number: int = 0
    address: str = ""
    secret: str = ""


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
    #: Whether the domain talks to other servers, and whether what waits for them outlives a restart.
    federation: bool = True
    federation_durable: bool = False
    #: Bare JIDs of those who administer this domain and no more than that.
    administrators: frozenset[str] = frozenset()
    #: The domain that this one is an alias of, "" for none: who turns to an account that is not there is told that it
    #: is there, under the same name. Accounts that are here go on.
    moved_to: str = ""


@dataclass(frozen=True, slots=True)
class HttpConfig:
    """Limits and options of the BOSH and WebSocket endpoints."""

    #: Seconds a BOSH request may be held and a silent session lives (XEP-0124, 7 and 10).
    bosh_wait: int = 60
    #: More than a minute: browsers wake the timers of a page that nobody sees once a minute, and the client of such a
    #: page asks only then.
    bosh_inactivity: int = 90
    bosh_max_pause: int = 120
    bosh_sessions_per_address: int = 1_000
    #: Origins that may use the endpoints besides our own; "*" for all.
    origins: tuple[str, ...] = ("*",)
    #: Addresses and networks of reverse proxies whose X-Forwarded-For and X-Forwarded-Proto are believed.
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
    s2s: S2sConfig = field(default_factory=S2sConfig)
    #: By domain.
    components: Mapping[str, ComponentConfig] = field(default_factory=dict)
    cluster: ClusterConfig = field(default_factory=ClusterConfig)
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
