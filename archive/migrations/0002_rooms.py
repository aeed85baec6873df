"""Archives of rooms, and messages that act on others (see archive/models.py)."""

from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

import archive.models

MAKE = (
    "CREATE INDEX archive_room ON archive_message (room, id) WHERE room IS NOT NULL",
    # What somebody said in which rooms.
    "CREATE INDEX archive_room_sender ON archive_message (sender, room, id) WHERE room IS NOT NULL",
)
DROP = ("DROP INDEX archive_room_sender", "DROP INDEX archive_room")
#: A generated column cannot be changed, only made anew.
_OLD_WORDS = (
    "ALTER TABLE archive_message ADD COLUMN words tsvector GENERATED ALWAYS AS (CASE WHEN search = '' THEN NULL ELSE"
    " array_to_tsvector(array_remove(ARRAY['O' || sender_account::text, 'O' || recipient_account::text], NULL))"
    " || to_tsvector('simple'::regconfig, search) END) STORED"
)
_NEW_WORDS = _OLD_WORDS.replace("], NULL)", ", 'R' || room::text], NULL)")
_WORDS_GONE = "ALTER TABLE archive_message DROP COLUMN words"
_WORDS_INDEX = "CREATE INDEX archive_words ON archive_message USING gin (words)"


def make(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Make the indexes of rooms, and let rooms own words."""
    for statement in MAKE:
        schema_editor.execute(statement)
    if schema_editor.connection.vendor == "postgresql":
        for statement in (_WORDS_GONE, _NEW_WORDS, _WORDS_INDEX):
            schema_editor.execute(statement)


def drop(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Undo `make`."""
    if schema_editor.connection.vendor == "postgresql":
        for statement in (_WORDS_GONE, _OLD_WORDS, _WORDS_INDEX):
            schema_editor.execute(statement)
    for statement in DROP:
        schema_editor.execute(statement)


class Migration(migrations.Migration):
    dependencies = [("archive", "0001_initial")]
    operations = [
        migrations.AddField("Message", "room", models.BigIntegerField(null=True)),
        migrations.CreateModel(
            name="Event",
            fields=[
                ("id", archive.models.RowId(primary_key=True, serialize=False)),
                ("kind", models.SmallIntegerField()),
                ("named", models.TextField()),
                ("target", models.BigIntegerField(null=True)),
            ],
            options={
                "indexes": [
                    models.Index(
                        fields=("target", "id"), name="archive_event_target", condition=models.Q(target__gt=0)
                    ),
                    models.Index(fields=("id",), name="archive_event_waiting", condition=models.Q(target=None)),
                ],
            },
        ),
        migrations.RunPython(make, drop),
    ]
