"""The table of messages and what makes reading it quick, by database (see archive/models.py)."""

from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

import archive.models

MAKE = {
    "sqlite": (
        "CREATE TABLE archive_entry (account integer NOT NULL, peer text NOT NULL, id integer NOT NULL,"
        " PRIMARY KEY (account, peer, id)) WITHOUT ROWID",
        "CREATE INDEX archive_entry_time ON archive_entry (account, id)",
        # Nothing is stored but the index. The ascii tokenizer takes every other character for a letter: text.py has
        # left only letters, digits and blanks.
        "CREATE VIRTUAL TABLE archive_words USING fts5 (owners, words, content='', tokenize='ascii')",
        "CREATE TABLE archive_slice (seq integer PRIMARY KEY, low integer NOT NULL, high integer NOT NULL,"
        " size integer NOT NULL, listed integer NOT NULL DEFAULT 0)",
    ),
    "postgresql": (
        "CREATE INDEX archive_sent ON archive_message (sender_account, id) WHERE sender_account IS NOT NULL",
        "CREATE INDEX archive_sent_to ON archive_message (sender_account, recipient, id)"
        " WHERE sender_account IS NOT NULL",
        "CREATE INDEX archive_received ON archive_message (recipient_account, id) WHERE recipient_account IS NOT NULL",
        "CREATE INDEX archive_received_from ON archive_message (recipient_account, sender, id)"
        " WHERE recipient_account IS NOT NULL",
        # Owners are lexemes in capitals, which no word of a text can be.
        "ALTER TABLE archive_message ADD COLUMN words tsvector GENERATED ALWAYS AS (CASE WHEN search = '' THEN NULL ELSE"
        " array_to_tsvector(array_remove(ARRAY['O' || sender_account::text, 'O' || recipient_account::text], NULL))"
        " || to_tsvector('simple'::regconfig, search) END) STORED",
        "CREATE INDEX archive_words ON archive_message USING gin (words)",
    ),
}
DROP = {
    "sqlite": (
        "DROP TABLE archive_slice",
        "DROP TABLE archive_words",
        "DROP TABLE archive_entry",
    ),
    "postgresql": (
        "DROP INDEX archive_words",
        "ALTER TABLE archive_message DROP COLUMN words",
        "DROP INDEX archive_received_from",
        "DROP INDEX archive_received",
        "DROP INDEX archive_sent_to",
        "DROP INDEX archive_sent",
    ),
}


def make(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Make entries and full text."""
    for statement in MAKE[schema_editor.connection.vendor]:
        schema_editor.execute(statement)


def drop(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Undo `make`."""
    for statement in DROP[schema_editor.connection.vendor]:
        schema_editor.execute(statement)


class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel(
            name="Message",
            fields=[
                ("id", archive.models.RowId(primary_key=True, serialize=False)),
                ("sender", models.TextField()),
                ("recipient", models.TextField()),
                ("sender_account", models.BigIntegerField(null=True)),
                ("recipient_account", models.BigIntegerField(null=True)),
                ("kind", models.CharField(max_length=9)),
                ("search", models.TextField(default="")),
                ("origin_id", models.TextField(default="")),
                ("xml", models.TextField()),
            ],
        ),
        migrations.RunPython(make, drop),
    ]
