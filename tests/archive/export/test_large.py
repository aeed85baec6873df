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
@pytest.mark.timeout(400)
@pytest.mark.parametrize("format", ["pdf", "xml", "jsonl"])
def test_memory_is_bounded(tmp_path: Path, format: str, request: pytest.FixtureRequest) -> None:
    own = {name: value for name, value in os.environ.items() if not name.startswith("MLINK_")}
    done = subprocess.run(
        [sys.executable, "-m", "tests.archive.export.large", format],
        cwd=ROOT,
        env={**own, "MLINK_HOME": str(tmp_path), "DJANGO_SETTINGS_MODULE": "mlink_web.settings.test"},
        capture_output=True,
        text=True,
        timeout=380,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["messages"] == 10_000
    assert told["name"].endswith(format)
    assert told["megabytes"] < 300, told
    if format == "pdf":
        verdicts: Verdicts = request.getfixturevalue("verapdf")
        assert verdicts(Path(told["path"]), "3b") == []
