"""The certificates of the database on this machine: a node writes those in use into its data folder when it reads its
configuration, because TLS wants files and nodes of a cluster may share no disk.

    tls/<domain>.<16 digits of the fingerprint>.crt, .key

A new certificate has new names, so chain and key always belong together, and the change is seen as one of the
configuration. The files of one that is kept without being in use go after a day, those of one that was removed at
once: its key goes with it, on every machine.
"""

from __future__ import annotations

import logging
import os
import re
import time
from pathlib import Path
from typing import Final

from django.conf import settings

from mlink_web.certificates.models import Certificate
from mlink_web.conf import sealing
from mlink_web.conf.models import Domain

log = logging.getLogger("mlink.conf")

KEPT: Final = 86_400.0
#: A domain's file that we wrote.
_OURS: Final = re.compile(r"(?P<stem>.+\.[0-9a-f]{16})\.(crt|key)\Z")


def paths(domain: Domain) -> tuple[Path, Path] | None:
    """The files of the certificate in use, written where they are missing; None where the domain has none in the
    database, names files of its own, or its key cannot be opened."""
    if domain.tls_certificate or domain.pk is None:
        return None
    row = Certificate.objects.filter(domain=domain, used=True).first()
    if row is None:
        return None
    folder = Path(settings.MLINK_HOME) / "tls"
    stem = _stem(domain.name, row.fingerprint)
    certificate, key = folder / f"{stem}.crt", folder / f"{stem}.key"
    if not (certificate.exists() and key.exists()):
        text = sealing.opened({"secret": row.key}, domain.name).get("secret")
        if not text:
            return None  # the log says why
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # The key first: whoever sees the certificate finds its key there.
            _write(key, text, 0o600)
            _write(certificate, row.chain, 0o644)
        except OSError as error:
            log.error("the certificate of %s cannot be written: %s", domain.name, error)
            return None
    return certificate, key


def file_name(domain: str) -> str:
    """A domain as part of a file's name: ":" and "[" of IP literals are no characters for that."""
    return "".join(character if character.isalnum() or character in ".-_" else "_" for character in domain)


def opened_key(row: Certificate) -> str:
    """The key of a certificate as PEM; raises ValueError where it was sealed with another SECRET_KEY."""
    text = sealing.opened({"secret": row.key}, row.domain.name).get("secret")
    if not text:
        raise ValueError("The key was sealed with another SECRET_KEY and cannot be read any more.")
    return str(text)


def sealed_key(text: str, domain: Domain) -> str:
    """A key as the database keeps it."""
    return str(sealing.sealed({"secret": text}, domain.name)["secret"])


def sweep() -> None:
    """Remove the files that no certificate in use has; of all domains, also of those that are gone."""
    folder = Path(settings.MLINK_HOME) / "tls"
    if not folder.is_dir():
        return
    known = {
        _stem(name, fingerprint): used
        for name, fingerprint, used in Certificate.objects.values_list("domain__name", "fingerprint", "used")
    }
    # What the node makes itself, and what the configuration names, may look like one of ours.
    for name, *given in Domain.objects.values_list("name", "tls_certificate", "tls_key"):
        known.update((Path(one).stem, True) for one in (f"{file_name(name)}.crt", *given))
    for path in folder.iterdir():
        found = _OURS.match(path.name)
        used = known.get(found["stem"]) if found is not None else True
        if used:
            continue
        try:
            if used is None or time.time() - path.stat().st_mtime > KEPT:
                path.unlink()
        except OSError as error:
            log.warning("%s, which nothing names any more, cannot be removed: %s", path, error)


def _stem(domain: str, fingerprint: str) -> str:
    return f"{file_name(domain)}.{fingerprint[:16]}"


def _write(path: Path, text: str, mode: int) -> None:
    """Replace a file in one step, never readable by more than `mode` says."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    draft.replace(path)
