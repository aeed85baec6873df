"""Real databases for tests of what is written in SQL: a migrated SQLite file and PostgreSQL, by Django alias.

The fixture `database` runs a test once on each, with empty tables.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import dj_database_url
import pytest
from django.core.management import call_command
from django.db import connections

_TABLES = (
    "portability_entry",
    "portability_import",
    "portability_erasure",
    "audit_entry",
    "audit_head",
    "jobs_job",
    "devices_token",
    "devices_device",
    "dayfiles_options",
    "dayfiles_domainchoice",
    "dayfiles_writer",
    "dayfiles_dayfile",
    "dayfiles_manifest",
    "dayfiles_change",
    "dayfiles_span",
    "dayfiles_stretch",
    "dayfiles_reservedroom",
    "archive_message",
    "archive_event",
    "redaction_place",
    "redaction_redacted",
    "redaction_redaction",
    "redaction_options",
    "retention_hold",
    "retention_original",
    "retention_keeping",
    "retention_policy",
    "retention_horizon",
    "retention_rules",
    "retention_run",
    "retention_expired",
    "retention_leaving",
    "selection_decision",
    "selection_decisionsversion",
    "archive_tally",
    "archive_tallied",
    "stores_offlinemessage",
    "stores_streammark",
    "outbox_waitingstanza",
    "stores_rosteritem",
    "stores_rosterremoved",
    "stores_blockitem",
    "stores_privatexml",
    "stores_vcard",
    "pushes_pushregistration",
    "invitations_invitation",
    "reports_report",
    "fdp_submission",
    "fdp_templateversion",
    "fdp_topic",
    "fdp_formsstate",
    "rooms_roomaffiliation",
    "rooms_room",
    "pubsub_item",
    "pubsub_nodesubscription",
    "pubsub_nodeaffiliation",
    "pubsub_node",
    "pubsub_contents",
    "pubsub_service",
    "uploads_upload",
    "groups_groupmember",
    "groups_group",
    "groups_groupsversion",
    "delegation_domainadministrator",
    "delegation_domaindeletion",
    "accounts_credential",
    "accounts_signintoken",
    "accounts_accountchange",
    "accounts_account",
    "conf_domain",
)
_SQLITE_TABLES = ("archive_entry", "archive_slice")


@contextlib.contextmanager
def migrated(alias: str, settings: dict[str, Any]) -> Iterator[str]:
    """Make a database known under an alias and bring it up to date."""
    defaults = dict(connections.databases["default"])
    connections.databases[alias] = {**defaults, "OPTIONS": {}, **settings}
    try:
        call_command("migrate", database=alias, verbosity=0)
        yield alias
    finally:
        connections[alias].close()
        del connections.databases[alias]
        with contextlib.suppress(AttributeError):
            del connections[alias]


def sqlite_settings(path: str) -> dict[str, Any]:
    """As the product's settings, for this file."""
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": path,
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;",
        },
    }


@pytest.fixture(autouse=True)
def _whole_flush(request: pytest.FixtureRequest) -> Iterator[None]:
    """Django empties the tables of its models behind a test that commits, and knows nothing of those beside them."""
    marker = request.node.get_closest_marker("django_db")
    if marker is None or not marker.kwargs.get("transaction"):
        yield
        return
    blocker = request.getfixturevalue("django_db_blocker")
    request.getfixturevalue("transactional_db")
    yield
    with blocker.unblock(), connections["default"].cursor() as cursor:
        if connections["default"].vendor == "sqlite":
            cursor.execute("INSERT INTO archive_words (archive_words) VALUES ('delete-all')")
            for table in _SQLITE_TABLES:
                cursor.execute(f"DELETE FROM {table}")


@pytest.fixture(scope="session")
def sqlite_alias(tmp_path_factory: pytest.TempPathFactory, django_db_blocker: Any) -> Iterator[str]:
    """Alias of a migrated SQLite file."""
    path = str(tmp_path_factory.mktemp("sqlite") / "test.sqlite3")
    with django_db_blocker.unblock(), migrated("kit_sqlite", sqlite_settings(path)) as alias:
        yield alias


@pytest.fixture(scope="session")
def postgres_alias(postgres_url: str, django_db_blocker: Any) -> Iterator[str]:
    """Alias of a migrated PostgreSQL database."""
    settings = dict(dj_database_url.parse(postgres_url))
    with django_db_blocker.unblock(), migrated("kit_postgres", settings) as alias:
        yield alias


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest, django_db_blocker: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Alias of an empty database of each kind."""
    # Tests look into the tables from coroutines; nothing else runs in their loop.
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    alias: str = request.getfixturevalue("sqlite_alias" if request.param == "sqlite" else "postgres_alias")
    with django_db_blocker.unblock():
        clear(alias)
        yield alias
        connections[alias].close()


def clear(alias: str) -> None:
    """Empty the tables that the tests write."""
    connection = connections[alias]
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("INSERT INTO archive_words (archive_words) VALUES ('delete-all')")
            for table in (*_SQLITE_TABLES, *_TABLES):
                cursor.execute(f"DELETE FROM {table}")
        else:
            cursor.execute(f"TRUNCATE {', '.join(_TABLES)} CASCADE")
