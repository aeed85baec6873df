"""The worker's app: a worker knows what the scheduler tells it to do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.live import ROOT

_LOOK = """
import django
django.setup()
from mlink_web.celery import app
app.loader.import_default_modules()
due = {entry["task"] for entry in app.conf.beat_schedule.values()}
print(len(due), *sorted(due - set(app.tasks)))
"""


def test_a_worker_knows_every_task_that_falls_due(tmp_path: Path) -> None:
    # In a process of its own, as a worker is: here the other tests have imported everything.
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "mlink_web.settings.dev", "MLINK_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", _LOOK], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    count, *unknown = done.stdout.split()
    assert int(count) >= 8
    assert unknown == []
