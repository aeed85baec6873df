"""Triggers that note which archived messages were changed: in the transaction that changes them, so no way of
changing a message can forget the files.

They fire when a stanza is replaced (retractions, redactions) and when an account gets a message that is stored already
(the recipient's side that came later), not for new rows: what is said costs nothing here. They are made anew after
each migration, for SQLite drops them with a table that is rebuilt.
"""

from __future__ import annotations

from typing import Any, Final

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

_COLUMNS: Final = "xml, sender_account, recipient_account"
_WHEN: Final = (
    "OLD.xml <> NEW.xml OR (OLD.sender_account IS NULL AND NEW.sender_account IS NOT NULL)"
    " OR (OLD.recipient_account IS NULL AND NEW.recipient_account IS NOT NULL)"
)
_NOTE: Final = "INSERT INTO dayfiles_change (message) VALUES (NEW.id);"
_STATEMENTS: Final = {
    "sqlite": (
        "DROP TRIGGER IF EXISTS dayfiles_changed",
        f"CREATE TRIGGER dayfiles_changed AFTER UPDATE OF {_COLUMNS} ON archive_message WHEN {_WHEN} BEGIN {_NOTE} END",
    ),
    "postgresql": (
        "CREATE OR REPLACE FUNCTION dayfiles_note() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN {_NOTE} RETURN NULL; END $$",
        "DROP TRIGGER IF EXISTS dayfiles_changed ON archive_message",
        f"CREATE TRIGGER dayfiles_changed AFTER UPDATE OF {_COLUMNS} ON archive_message FOR EACH ROW WHEN ({_WHEN})"
        " EXECUTE FUNCTION dayfiles_note()",
    ),
}


def make(connection: BaseDatabaseWrapper) -> None:
    """Make the triggers where the tables are there."""
    if not {"archive_message", "dayfiles_change"} <= set(connection.introspection.table_names()):
        return
    with connection.cursor() as cursor:
        for statement in _STATEMENTS[connection.vendor]:
            cursor.execute(statement)


def after_migration(using: str, **_rest: Any) -> None:
    """Receiver of post_migrate."""
    make(connections[using])
