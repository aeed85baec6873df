"""Every row carries tokens for searches in all archives (see archive/tokens.py): the full text is made anew.

On SQLite in slices, each a transaction of its own: begun again after an interruption, it clears the index first. On
PostgreSQL the column is generated anew, without positions; phrases are looked for in `search`, whose words have single
blanks between them from now on.
"""

from django.apps.registry import Apps
from django.db import migrations, transaction
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

_ROWS = 5_000
_FILES = (
    "<x xmlns=''jabber:x:oob''",
    "<file-sharing xmlns=''urn:xmpp:sfs:",
    "<file xmlns=''urn:xmpp:jingle:apps:file-transfer:",
)
_ANY = " OR ".join(f"{{find}}(xml, '{mark}') > 0" for mark in _FILES)
_SENDER_DOMAIN = "substr(sender, instr(sender, '@') + 1)"
_RECIPIENT_DOMAIN = "substr(recipient, instr(recipient, '@') + 1)"
_OLD_OWNERS = (
    "CASE WHEN room IS NULL THEN 'O' || ifnull(sender_account, '') || ' O' || ifnull(recipient_account, '')"
    " ELSE 'R' || room END"
)
_OWNERS = (
    f"{_OLD_OWNERS} || ' A' || hex(sender) || ' A' || hex(recipient) || ' D' || hex({_SENDER_DOMAIN})"
    f" || CASE WHEN {_SENDER_DOMAIN} = {_RECIPIENT_DOMAIN} THEN '' ELSE ' D' || hex({_RECIPIENT_DOMAIN}) END"
    f" || ' K' || kind || CASE WHEN {_ANY.format(find='instr')} THEN ' F' ELSE '' END"
)
_ENTER = (
    "INSERT INTO archive_words (rowid, owners, words) SELECT id, {owners}, search FROM archive_message"
    " WHERE id > %s AND id <= %s{where} ORDER BY id"
)
_OLD_WORDS = (
    "ALTER TABLE archive_message ADD COLUMN words tsvector GENERATED ALWAYS AS (CASE WHEN search = '' THEN NULL ELSE"
    " array_to_tsvector(array_remove(ARRAY['O' || sender_account::text, 'O' || recipient_account::text,"
    " 'R' || room::text], NULL)) || to_tsvector('simple'::regconfig, search) END) STORED"
)
_DOMAINS = ", ".join(
    f"'D' || left(md5(substr({side}, strpos({side}, '@') + 1)), 16)" for side in ("sender", "recipient")
)
_WORDS = (
    "ALTER TABLE archive_message ADD COLUMN words tsvector GENERATED ALWAYS AS ("
    "array_to_tsvector(array_remove(string_to_array(search, ' ', '') || ARRAY["
    "'O' || sender_account::text, 'O' || recipient_account::text, 'R' || room::text,"
    f" 'A' || left(md5(sender), 16), 'A' || left(md5(recipient), 16), {_DOMAINS},"
    " 'K' || kind, 'T' || (id >> 51)::text,"
    f" CASE WHEN {_ANY.format(find='strpos')} THEN 'F' END], NULL))) STORED"
)
_GONE = "ALTER TABLE archive_message DROP COLUMN words"
_INDEX = "CREATE INDEX archive_words ON archive_message USING gin (words)"
_SINGLE = "UPDATE archive_message SET search = regexp_replace(search, ' +', ' ', 'g') WHERE search LIKE '%  %'"


def make(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Enter all rows with their tokens."""
    if schema_editor.connection.vendor == "sqlite":
        enter(schema_editor, _ENTER.format(owners=_OWNERS, where=""))
        return
    with transaction.atomic(using=schema_editor.connection.alias):
        for statement in (_GONE, _SINGLE, _WORDS, _INDEX):
            schema_editor.execute(statement, params=None)


def drop(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Undo `make`."""
    if schema_editor.connection.vendor == "sqlite":
        enter(schema_editor, _ENTER.format(owners=_OLD_OWNERS, where=" AND search <> ''"))
        return
    with transaction.atomic(using=schema_editor.connection.alias):
        for statement in (_GONE, _OLD_WORDS, _INDEX):
            schema_editor.execute(statement, params=None)


def enter(schema_editor: BaseDatabaseSchemaEditor, statement: str) -> None:
    """Clear SQLite's index and enter everything, some thousand rows at a time. Ranges that were waiting stay listed:
    what is entered already is skipped then."""
    connection = schema_editor.connection
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO archive_words (archive_words) VALUES ('delete-all')")
        # Parts of the index are merged later and more at a time, which spares a quarter of the work.
        for option, value in (("crisismerge", 64), ("automerge", 16)):
            cursor.execute("INSERT INTO archive_words (archive_words, rank) VALUES (%s, %s)", [option, value])
        done = 0
        while True:
            cursor.execute(
                "SELECT max(id) FROM (SELECT id FROM archive_message WHERE id > %s ORDER BY id LIMIT %s) s",
                [done, _ROWS],
            )
            last = cursor.fetchone()[0]
            if last is None:
                return
            with transaction.atomic(using=connection.alias):
                cursor.execute(statement, [done, last])
            done = last


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("archive", "0003_tally")]
    operations = [migrations.RunPython(make, drop)]
