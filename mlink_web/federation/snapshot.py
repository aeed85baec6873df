"""Peers, options and the environment as the engine's S2sConfig.

Authorities are kept in the database as PEM text and reach the engine as files of the data folder, named by what is in
them: so a changed list is another path, and every node of a cluster has its own copy.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Literal

from django.conf import settings

from mlink_web.federation.models import FederationOptions, Peer
from xmpp_engine.config.schema import PeerConfig, S2sConfig

#: Seconds that a file stays after nothing named it any more: a node may still start with the snapshot before.
KEPT: Final = 86_400.0


def read(*, with_files: bool = True) -> S2sConfig:
    """Federation as it stands in the database. `with_files` False writes none, for checks."""
    options = FederationOptions.objects.filter(pk=1).first() or FederationOptions()
    peers = {peer.domain: peer_of(peer, options) for peer in Peer.objects.all()}
    if with_files:
        write_authorities([options.authorities, *(peer.authorities for peer in Peer.objects.exclude(authorities=""))])
    return S2sConfig(
        enabled=bool(settings.MLINK_S2S_PORT) and options.enabled,
        default=default_of(options),
        peers=peers,
        authorities=path_of(options.authorities),
        nameservers=tuple(options.nameservers),
        dnssec=options.dnssec,
        idle_seconds=float(options.idle_seconds),
        connect_seconds=float(options.connect_seconds),
        retry_seconds=float(options.retry_seconds),
        queue_stanzas=options.queue_stanzas,
        queue_bytes=options.queue_bytes,
        queue_seconds=float(options.queue_seconds),
        destinations=options.destinations,
        incoming=options.incoming,
        dialback_secret=hashlib.sha256(b"dialback\0" + settings.SECRET_KEY.encode()).hexdigest(),
    )


def default_of(options: FederationOptions) -> PeerConfig:
    """What holds for a domain that is not listed."""
    return PeerConfig(
        enabled=options.open,
        authentication=options.authentication,  # type: ignore[arg-type]
        tls=_tls(options.authentication, options.tls),
        revocation=options.revocation,  # type: ignore[arg-type]
        ocsp=options.ocsp,  # type: ignore[arg-type]
        dane=options.dane,  # type: ignore[arg-type]
        strict_purpose=options.strict_purpose,
    )


def peer_of(peer: Peer, options: FederationOptions) -> PeerConfig:
    """A listed domain; what it leaves open is as for everybody."""
    strict = options.strict_purpose if peer.strict_purpose is None else peer.strict_purpose
    authentication = peer.authentication or options.authentication
    return PeerConfig(
        domain=peer.domain,
        subdomains=peer.subdomains,
        enabled=peer.enabled,
        route=peer.route,
        direct=peer.direct,
        authentication=authentication,  # type: ignore[arg-type]
        tls=_tls(authentication, peer.tls or options.tls),
        revocation=peer.revocation or options.revocation,  # type: ignore[arg-type]
        ocsp=peer.ocsp or options.ocsp,  # type: ignore[arg-type]
        dane=peer.dane or options.dane,  # type: ignore[arg-type]
        strict_purpose=strict,
        pins=tuple(peer.pins),
        authorities=path_of(peer.authorities),
    )


def _tls(authentication: str, tls: str) -> Literal["required", "optional"]:
    """A certificate can only be shown over TLS."""
    return "optional" if tls == "optional" and authentication != "certificate" else "required"


def folder() -> Path:
    """Where the files of authorities are."""
    return Path(settings.MLINK_HOME) / "federation"


def path_of(pem: str) -> str:
    """The file that holds these authorities, "" for none."""
    return str(folder() / f"{hashlib.sha256(pem.encode()).hexdigest()[:32]}.pem") if pem else ""


def write_authorities(texts: Iterable[str]) -> None:
    """Have a file for each of these; those that nothing has named for a day go."""
    wanted = {path_of(pem): pem for pem in texts if pem}
    home = folder()
    if wanted:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, pem in wanted.items():
        if not Path(name).exists():
            draft = f"{name}.{os.getpid()}.{secrets.token_hex(4)}"
            Path(draft).write_text(pem)
            os.replace(draft, name)
        os.utime(name)
    if home.is_dir():
        for path in home.glob("*.pem"):
            if str(path) not in wanted and path.stat().st_mtime < time.time() - KEPT:
                path.unlink(missing_ok=True)
