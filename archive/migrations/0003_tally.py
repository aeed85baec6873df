"""Numbers of messages by owner, peer and day (see archive/tally.py). They are filled by the background."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

_TALLY = (
    "CREATE TABLE archive_tally (owner bigint NOT NULL, peer text NOT NULL, day integer NOT NULL,"
    " messages integer NOT NULL, PRIMARY KEY (owner, peer, day))"
)
_REST = (
    "CREATE TABLE archive_tallied (one integer PRIMARY KEY, upto bigint NOT NULL)",
    "INSERT INTO archive_tallied (one, upto) VALUES (1, 0)",
)


def make(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Make the tables; nothing is counted yet."""
    # Numbers are changed in place again and again: room for that in each page.
    tail = " WITHOUT ROWID" if schema_editor.connection.vendor == "sqlite" else " WITH (fillfactor = 80)"
    for statement in (_TALLY + tail, *_REST):
        schema_editor.execute(statement)


def drop(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Undo `make`."""
    schema_editor.execute("DROP TABLE archive_tally")
    schema_editor.execute("DROP TABLE archive_tallied")


class Migration(migrations.Migration):
    dependencies = [("archive", "0002_rooms")]
    operations = [migrations.RunPython(make, drop)]
