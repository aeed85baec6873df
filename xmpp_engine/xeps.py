"""What is implemented below the modules: streams, transports, sign-in. Modules name theirs in their own class;
together they make `docs/xeps.md` (`manage.py xmppdocs`)."""

from __future__ import annotations

from typing import Final

from xmpp_engine.plugin.module import Xep

#: Path of the file to read, and what it implements.
BELOW_MODULES: Final[tuple[tuple[str, Xep], ...]] = (
    ("xmpp_engine/transport/bosh.py", Xep("0124", "1.11.2")),
    (
        "xmpp_engine/stream/role_component.py",
        Xep("0114", "1.6", note="accept; names below a component's domain once it has used them"),
    ),
    ("mlink_web/endpoints/hostmeta.py", Xep("0156", "1.4.0")),
    ("xmpp_engine/transport/bosh.py", Xep("0206", "1.4")),
    ("xmpp_engine/stanza/forms.py", Xep("0004", "2.13.1")),
    ("xmpp_engine/stanza/build.py", Xep("0297", "1.0")),
    ("xmpp_engine/transport/listener.py", Xep("0368", "1.1.0")),
    ("xmpp_engine/s2s/calls.py", Xep("0368", "1.1.0")),
    ("xmpp_engine/s2s/incoming.py", Xep("0178", "1.2")),
    ("xmpp_engine/s2s/outgoing.py", Xep("0178", "1.2")),
    ("xmpp_engine/stream/dialback.py", Xep("0185", "1.0")),
    (
        "xmpp_engine/s2s/management.py",
        Xep("0198", "1.6.3"),
    ),
    ("xmpp_engine/s2s/exchange.py", Xep("0220", "1.1.1", note="with errors and multiplexing of both kinds")),
    ("xmpp_engine/s2s/peer_stream.py", Xep("0288", "1.0.1")),
    (
        "xmpp_engine/s2s/exchange.py",
        Xep("0344", "0.4", "partial", "a good certificate proves a domain without a key; nothing rests on DNSSEC"),
    ),
    (
        "mlink_web/portability/",
        Xep(
            "0227",
            "1.1",
            note="of privacy lists what a block list can say; XInclude inside the given files",
        ),
    ),
    ("xmpp_engine/stream/feature_sasl.py", Xep("0440", "0.4.2")),
    ("xmpp_engine/stream/negotiate.py", Xep("0478", "0.2.0")),
)

#: The same for RFCs: number, what, state, path, what is left.
RFCS: Final[tuple[tuple[str, str, str, str, str], ...]] = (
    (
        "4511, 4516, 4523",
        "Lists of revoked certificates from directories (LDAP)",
        "partial",
        "xmpp_engine/s2s/directory.py",
        "no other questions, no bind, no references",
    ),
    (
        "5280",
        "Paths of certificates and lists of what was revoked, between servers",
        "partial",
        "xmpp_engine/s2s/path.py, xmpp_engine/s2s/revocation.py",
        "delta and indirect lists; certificates that were not sent are not fetched",
    ),
    ("5802, 7677", "SCRAM-SHA-1 and SCRAM-SHA-256", "complete", "xmpp_engine/sasl/scram.py", ""),
    ("5929, 9266", "tls-server-end-point and tls-exporter", "complete", "xmpp_engine/transport/tls.py", ""),
    (
        "6120",
        "Streams, SASL, binding, errors",
        "complete",
        "xmpp_engine/stream/, xmpp_engine/s2s/",
        "",
    ),
    ("6121", "Roster, presence, delivery", "complete", "xmpp_engine/modules/, xmpp_engine/routing/local.py", ""),
    (
        "6698, 7671, 7673",
        "Keys of other servers in secured DNS (DANE)",
        "partial",
        "xmpp_engine/s2s/dane.py, xmpp_engine/s2s/resolver.py",
        "streams that others open; signatures are checked by the name server; the name in TLS is the domain's",
    ),
    (
        "6960, 9654",
        "OCSP with nonces, for certificates of other servers",
        "partial",
        "xmpp_engine/s2s/ocsp.py",
        "stapled answers; signatures by RSASSA-PSS",
    ),
    ("7395", "WebSocket", "complete", "xmpp_engine/transport/websocket.py", ""),
    ("7622", "Addresses by PRECIS and IDNA2008", "complete", "xmpp_engine/addressing/", ""),
)
