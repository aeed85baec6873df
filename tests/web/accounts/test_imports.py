"""Accounts from a CSV file."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlink_web.accounts import services
from mlink_web.accounts.imports import BATCH, import_accounts
from mlink_web.accounts.models import Account, AccountChange
from mlink_web.conf.models import Domain

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def domain() -> Domain:
    return Domain.objects.create(name="a.example")


def test_good_lines_are_imported_and_bad_ones_named(tmp_path: Path) -> None:
    services.create_account("old@a.example", "kept")
    path = tmp_path / "users.csv"
    path.write_text(
        "# address, password\n"
        "Romeo@a.example,wherefore\n"
        '"juliet@a.example","with, comma and ""quotes"""\n'
        "\n"
        "romeo@a.example,again\n"
        "old@a.example,new\n"
        "nurse@b.example,x\n"
        "just-a-name,x\n"
        "no-password@a.example\n"
        "empty@a.example,\n",
        encoding="utf-8-sig",
    )
    done = import_accounts(path)
    assert done.made == 2
    assert [number for number, _text in sorted(done.errors)] == [5, 6, 7, 8, 9, 10]
    texts = dict(done.errors)
    assert "twice" in texts[5]
    assert "already" in texts[6]
    assert "not served" in texts[7]
    assert "columns" in texts[9]
    assert "empty" in texts[10]
    assert Account.objects.get(username="romeo@a.example").check_password("wherefore")
    assert Account.objects.get(username="juliet@a.example").check_password('with, comma and "quotes"')
    assert Account.objects.get(username="old@a.example").check_password("kept")
    assert AccountChange.objects.filter(bare="juliet@a.example").exists()


def test_more_than_a_batch(tmp_path: Path) -> None:
    path = tmp_path / "users.csv"
    count = BATCH + 20
    path.write_text("".join(f"u{number}@a.example,p{number}\n" for number in range(count)))
    assert import_accounts(path).made == count
    assert Account.objects.get(username=f"u{count - 1}@a.example").check_password(f"p{count - 1}")
    again = import_accounts(path)
    assert again.made == 0
    assert len(again.errors) == count


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "users.csv"
    path.write_bytes(b"romeo@a.example,x\n\xff\xfe\x00")
    with pytest.raises(ValueError, match="UTF-8"):
        import_accounts(path)
    assert not Account.objects.exists()


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        import_accounts(tmp_path / "none.csv")
