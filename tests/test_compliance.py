"""The tables of conformance are true at least in this: each line that is met names tests, and they are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("compliance.md", "muc.md", "forms.md", "pubsub.md")


@pytest.mark.parametrize("page", PAGES)
def test_every_test_that_a_table_names_is_there(page: str) -> None:
    named = re.findall(r"`(tests/[^`]+)`", (ROOT / "docs" / page).read_text())
    assert len(named) > 20
    assert [path for path in named if not (ROOT / path).is_file()] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_line_that_is_met_names_a_test(page: str) -> None:
    rows = [line for line in (ROOT / "docs" / page).read_text().splitlines() if re.search(r"\| (met|yes)\b", line)]
    assert len(rows) > 10
    assert [row for row in rows if "`tests/" not in row] == []
