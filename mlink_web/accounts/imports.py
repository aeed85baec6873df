"""Many accounts from a file. Part of the services: together with `services.py` the only writer of accounts.

Nearly all the time goes into deriving keys, which hashlib does without the interpreter's lock: so threads, as many as
there are cores, and rows in bulk.
"""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final

from django.db import transaction

from mlink_web.accounts import scram, services
from mlink_web.accounts.models import Account, Credential
from mlink_web.conf.models import Domain
from mlink_web.invitations import store as invitations
from xmpp_engine.storage.types import ScramKeys

#: Accounts of one transaction.
BATCH: Final = 500
#: Errors that are named; a file of something else altogether has one per line.
MAX_ERRORS: Final = 1_000


@dataclass(slots=True)
class Imported:
    """How many accounts were made, and (line number, sentence) of what was not."""

    made: int = 0
    errors: list[tuple[int, str]] = field(default_factory=list)


@dataclass(slots=True)
class Line:
    """One line that can be imported."""

    number: int
    bare: str
    local: str
    domain: Domain
    password: str
    keys: list[ScramKeys] = field(default_factory=list)


def import_accounts(path: str | Path) -> Imported:
    """Make an account for each line `address,password` of a CSV file in UTF-8; empty lines and lines that begin with #
    are skipped.

    Lines that do not fit are reported and skipped. Raises ValueError for a file that cannot be read.
    """
    done = Imported()
    try:
        with open(path, encoding="utf-8-sig", newline="") as file, ThreadPoolExecutor(os.cpu_count()) as threads:
            lines = _checked(csv.reader(file), done)
            while batch := list(islice(lines, BATCH)):
                _store(_derived(_new(batch, done), threads, done), done)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not a text file in UTF-8.") from None
    except csv.Error as error:
        raise ValueError(f"{path} is not a CSV file: {error}.") from None
    return done


def _checked(rows: Iterable[list[str]], done: Imported) -> Iterator[Line]:
    """Lines with an address of a domain that is served here, each address once."""
    domains = {domain.name: domain for domain in Domain.objects.all()}
    reserved = invitations.reserved_addresses(time.time())
    seen: set[str] = set()
    for number, row in enumerate(rows, 1):
        if not row or (len(row) == 1 and not row[0].strip()) or row[0].startswith("#"):
            continue
        try:
            if len(row) != 2:
                raise ValueError(f"there are {len(row)} columns instead of an address and a password.")
            jid = services.address(row[0])
            if jid.domain not in domains:
                raise ValueError(f"the domain {jid.domain} is not served here.")
            if jid.bare in seen:
                raise ValueError(f"{jid.bare} stands in the file twice.")
            if jid.bare in reserved:
                raise ValueError(f"an invitation reserves the name {jid.local} in {jid.domain}.")
        except ValueError as error:
            _report(done, number, error)
            continue
        seen.add(jid.bare)
        yield Line(number, jid.bare, jid.local, domains[jid.domain], row[1])


def _new(batch: list[Line], done: Imported) -> list[Line]:
    """Those of a batch that are no accounts yet."""
    addresses = [line.bare for line in batch]
    existing = set(Account.objects.filter(username__in=addresses).values_list("username", flat=True))
    for line in batch:
        if line.bare in existing:
            _report(done, line.number, ValueError(f"there is an account {line.bare} already."))
    return [line for line in batch if line.bare not in existing]


def _derived(batch: list[Line], threads: ThreadPoolExecutor, done: Imported) -> list[Line]:
    """Those of a batch whose password can be one, with its keys."""

    def derive(line: Line) -> ValueError | None:
        try:
            line.keys = scram.derive(line.password)
        except ValueError as error:
            return error
        return None

    failures = list(threads.map(derive, batch))
    for line, failure in zip(batch, failures, strict=True):
        if failure is not None:
            _report(done, line.number, failure)
    return [line for line, failure in zip(batch, failures, strict=True) if failure is None]


def _store(batch: list[Line], done: Imported) -> None:
    with transaction.atomic():
        accounts = Account.objects.bulk_create(
            [Account(username=line.bare, local=line.local, domain=line.domain) for line in batch]
        )
        Credential.objects.bulk_create(
            credential
            for account, line in zip(accounts, batch, strict=True)
            for credential in Credential.of(account, line.keys)
        )
        services.changed([line.bare for line in batch])
    done.made += len(batch)


def _report(done: Imported, number: int, error: ValueError) -> None:
    if len(done.errors) < MAX_ERRORS:
        done.errors.append((number, str(error)))
