"""What a first start needs: tables, a domain, a certificate, an administrator, sample topics. Nothing happens where
they are there.

Several nodes may start at once on one database: they take turns.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from fdp import sample_topics
from mlink_web.accounts import services as accounts
from mlink_web.accounts.models import Account
from mlink_web.clusters import numbers
from mlink_web.conf import certificates
from mlink_web.conf import services as conf
from mlink_web.conf.models import Domain

#: Any number that nothing else in the database locks by.
LOCK: Final = 7_236_001
#: Without the characters that people confuse.
LETTERS: Final = "abcdefghjkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"


@dataclass(slots=True)
class Prepared:
    """What was made. `password` is the administrator's where one was generated: to be shown once and kept nowhere."""

    migrated: int = 0
    domain: str = ""
    administrator: str = ""
    password: str = ""
    certificates: list[str] = field(default_factory=list)
    topics: list[str] = field(default_factory=list)


def prepare() -> Prepared:
    """Make what is missing."""
    made = Prepared()
    with _turn():
        made.migrated = migrate()
        if not Domain.objects.exists():
            made.domain = conf.add_domain(settings.MLINK_DOMAIN).name
        if not Account.objects.filter(is_superuser=True).exists():
            make_administrator(made)
        made.certificates = certificates.ensure_all()
        made.topics = sample_topics.install_new()
        numbers.claim(settings.MLINK_NODE_NAME)
    return made


def migrate() -> int:
    """Bring the tables up to date; returns how many migrations ran."""
    executor = MigrationExecutor(connection)
    pending = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if pending:
        call_command("migrate", interactive=False, verbosity=0)
    return len(pending)


def make_administrator(made: Prepared) -> None:
    """The first administrator, with the password of the environment or a new one."""
    address = f"admin@{conf.first_domain()}"
    password = settings.MLINK_ADMIN_PASSWORD
    if not password:
        password = made.password = "-".join("".join(secrets.choice(LETTERS) for _ in range(5)) for _ in range(4))
    existing = Account.objects.filter(username=accounts.address(address).bare).first()
    if existing is None:
        accounts.create_account(address, password, is_staff=True, is_superuser=True)
    else:
        accounts.set_password(existing, password)
        accounts.set_roles(existing, is_staff=True, is_superuser=True)
    made.administrator = address


def collect_static() -> None:
    """Copy the pages' files where they are served from with hashed names, where the settings want that."""
    if not settings.WHITENOISE_USE_FINDERS:
        call_command("collectstatic", interactive=False, verbosity=0)


@contextmanager
def _turn() -> Iterator[None]:
    """One process of this data folder, and one of this database, at a time."""
    folder = Path(settings.MLINK_HOME) / "run"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder / "prepare.lock", os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
        try:
            yield
        finally:
            if connection.vendor == "postgresql":
                with connection.cursor() as cursor:
                    cursor.execute("SELECT pg_advisory_unlock(%s)", (LOCK,))
    finally:
        os.close(descriptor)
