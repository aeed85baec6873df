"""Archives from before rows had tokens: all their rows are found afterwards, by words, people and phrases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dj_database_url
import pytest
from django.core.management import call_command
from django.db import connections

from archive import ids, query
from archive.filters import Filter
from archive.oversight import search
from archive.oversight.criteria import Criteria, parse_words
from archive.text import parse
from tests.kits.databases import migrated, sqlite_settings

FILE = "<x xmlns='jabber:x:oob'><url>https://a.example/1.png</url></x>"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def alias(request: pytest.FixtureRequest, django_db_blocker: Any, tmp_path: Path) -> Iterator[str]:
    """A database of its own."""
    if request.param == "sqlite":
        settings = sqlite_settings(str(tmp_path / "old.sqlite3"))
    else:
        settings = dict(dj_database_url.parse(request.getfixturevalue("fresh_postgres_url")))
    with django_db_blocker.unblock(), migrated(f"old_{request.param}", settings) as name:
        yield name


def enter(alias: str, number: int, search_text: str, xml: str = "") -> int:
    """A row as the version before wrote it."""
    id = ids.first_at(1_790_000_000.0 + number)
    connection = connections[alias]
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO archive_message (id, sender, recipient, sender_account, recipient_account, kind, search,"
            " origin_id, xml) VALUES (%s, 'a@a.example', 'b@b.example', 1, 2, 'chat', %s, '', %s)",
            [id, search_text, f"<message>{xml}</message>"],
        )
        if connection.vendor == "sqlite":
            if number % 2:
                cursor.execute("INSERT INTO archive_slice (low, high, size) VALUES (%s, %s, 1)", [id, id])
            elif search_text:
                cursor.execute(
                    "INSERT INTO archive_words (rowid, owners, words) VALUES (%s, 'O1 O2', %s)", [id, search_text]
                )
    return id


def test_older_rows_are_entered_anew(alias: str) -> None:
    connection = connections[alias]
    call_command("migrate", "archive", "0003", database=alias, verbosity=0)
    rows = [enter(alias, 0, "red  house"), enter(alias, 1, "house red"), enter(alias, 2, "", FILE), enter(alias, 3, "")]
    call_command("migrate", database=alias, verbosity=0)

    def found(**asked: Any) -> list[int]:
        return [record.id for record in search.walk(connection, Criteria(**asked))]

    assert found(people=("a@a.example",)) == rows
    assert found(words=parse_words("red")[0]) == rows[:2]
    assert found(words=parse_words('"red house"')[0]) == rows[:1]
    assert found(attachment=True) == rows[2:3]
    for account in (1, 2):
        assert [row.id for row in query.page(connection, Filter(account, terms=tuple(parse("house"))), 9)[0]] == rows[
            :2
        ]
    # And back again.
    call_command("migrate", "archive", "0003", database=alias, verbosity=0)
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("SELECT count(*) FROM archive_words WHERE archive_words MATCH 'owners : \"o1\"'")
        else:
            cursor.execute("SELECT count(*) FROM archive_message WHERE words @@ '''O1'''::tsquery")
        assert cursor.fetchone()[0] == 2
