"""What tests of the files share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.archive.dayfiles.kit import Archive


@pytest.fixture
def archive(database: str, tmp_path: Path, settings: Any) -> Iterator[Archive]:
    """An archive on each database, with the files of a.example on."""
    root = tmp_path / "files"
    settings.MLINK_ARCHIVE_FILES = root
    made = Archive(database, root)
    made.switch()
    yield made
    made.close()
