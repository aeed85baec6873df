"""What the archive takes on disk."""

from __future__ import annotations

from typing import Final

from django.db.backends.base.base import BaseDatabaseWrapper

#: Messages, bytes of their words, of the table with the words, and of all tables with all indexes.
_SQLITE: Final = (
    "SELECT count(*), coalesce(sum(length(CAST(search AS blob))), 0),"
    " (SELECT coalesce(sum(pgsize), 0) FROM dbstat WHERE name = 'archive_message'),"
    " (SELECT coalesce(sum(pgsize), 0) FROM dbstat WHERE name LIKE 'archive%%') FROM archive_message"
)
_POSTGRES: Final = (
    "SELECT count(*), coalesce(sum(octet_length(search) + coalesce(pg_column_size(words), 0)), 0),"
    " pg_table_size('archive_message'), (SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c"
    " WHERE c.relkind = 'r' AND c.relname LIKE 'archive%%') FROM archive_message"
)


def sizes(connection: BaseDatabaseWrapper) -> dict[str, int]:
    """`messages`, and bytes of `rows` and of `indexes`: entries, full text with its words, what messages do to others.

    The words of a message count for the full text: they stand in its row because the index does not keep them. Every
    page is looked at, which takes its time.
    """
    with connection.cursor() as cursor:
        cursor.execute(_SQLITE if connection.vendor == "sqlite" else _POSTGRES, [])
        messages, words, table, whole = (int(value) for value in cursor.fetchone())
    rows = table - words
    return {"messages": messages, "rows": rows, "indexes": whole - rows}
