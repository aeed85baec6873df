"""A worker that is killed at any step of an export: who takes over makes the very same file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.live import ROOT


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("format", ["xml", "jsonl", "pdf"])
def test_the_result_is_the_same(tmp_path: Path, format: str) -> None:
    own = {name: value for name, value in os.environ.items() if not name.startswith("MLINK_")}
    done = subprocess.run(
        [sys.executable, "-m", "tests.archive.export.killing", format],
        cwd=ROOT,
        env={**own, "MLINK_HOME": str(tmp_path), "DJANGO_SETTINGS_MODULE": "mlink_web.settings.test"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["different"] == []
    assert told["not_killed"] == []
    assert told["tried"] > 12
