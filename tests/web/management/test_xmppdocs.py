"""The table of what is implemented is made from the code, and is current."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings

from mlink_web.management.commands.xmppdocs import table
from xmpp_engine.xeps import BELOW_MODULES, RFCS

ROOT = Path(settings.BASE_DIR)


def test_the_table_is_current() -> None:
    assert (ROOT / "docs/xeps.md").read_text() == table(ROOT)


def test_every_place_it_names_exists() -> None:
    for where in [path for path, _ in BELOW_MODULES] + [path for row in RFCS for path in row[3].split(", ")]:
        assert (ROOT / where).exists(), where
