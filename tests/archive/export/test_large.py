"""Ten thousand messages in bounded memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.live import ROOT
from tests.verapdf import Verdicts, verapdf

__all__ = ["verapdf"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_memory_is_bounded(tmp_path: Path, verapdf: Verdicts) -> None:
    own = {name: value for name, value in os.environ.items() if not name.startswith("MLINK_")}
    done = subprocess.run(
        [sys.executable, "-m", "tests.archive.export.large"],
        cwd=ROOT,
        env={**own, "MLINK_HOME": str(tmp_path), "DJANGO_SETTINGS_MODULE": "mlink_web.settings.test"},
        capture_output=True,
        text=True,
        timeout=560,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    told = [json.loads(line) for line in done.stdout.splitlines()[-3:]]
    assert [each["name"].rpartition(".")[2] for each in told] == ["pdf", "xml", "jsonl"]
    for each in told:
        assert each["messages"] == 10_000
        assert each["megabytes"] < 300, told
    assert verapdf(Path(told[0]["path"]), "3b") == []
