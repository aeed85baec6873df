"""What is exported and imported into an empty server is exported the same."""

from __future__ import annotations

from pathlib import Path

from mlink_web.accounts.models import Account
from mlink_web.conf.models import Domain
from mlink_web.portability.models import Entry
from tests.kits.databases import clear
from tests.web.portability import kit


def served(alias: str, *domains: str) -> None:
    """An empty server for these domains."""
    clear(alias)
    for name in domains:
        Domain.objects.using(alias).create(name=name)


def test_a_server_comes_back_whole(database: str, tmp_path: Path) -> None:
    kit.furnished(database)
    first = kit.export(database, tmp_path / "a", extension=False)
    served(database, "montague.example", "capulet.example")
    _row, summary = kit.take(database, first)
    assert summary["accounts"] == {"made": 2}
    assert not [entry.troubles for entry in Entry.objects.using(database).all() if entry.troubles]
    assert kit.contents(kit.export(database, tmp_path / "b", extension=False)) == kit.contents(first)
    romeo = Account.objects.using(database).get(username="romeo@montague.example")
    assert romeo.check_password(kit.PASSWORD)
