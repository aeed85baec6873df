"""The Celery app: `celery -A mlink_web worker`. `runnode` starts one worker as its child unless told not to."""

from __future__ import annotations

import os
from pathlib import Path

from celery import Celery, Task
from django.conf import settings
from django.db import InterfaceError, OperationalError

from mlink_web.node import parent, queue_files

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mlink_web.settings.dev")
parent.follow()
queue_files.use()


class DatabaseTask(Task):
    """A task that the database may fail: what is due comes again, and the node says in its log that the database is
    away, so a worker is silent about it."""

    throws = (OperationalError, InterfaceError)


app = Celery("mlink", task_cls=DatabaseTask)
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(
    [
        "mlink_web.stores",
        "mlink_web.uploads",
        "mlink_web.certificates",
        "mlink_web.jobs",
        "mlink_web.portability",
        "mlink_web.pubsub",
        "archive",
        "archive.dayfiles",
        "archive.redaction",
        "archive.retention",
    ]
)

if str(settings.CELERY_BROKER_URL).startswith("filesystem:"):
    # The transport does not make its folders.
    for name in ("data_folder_in", "processed_folder", "control_folder"):
        Path(settings.CELERY_BROKER_TRANSPORT_OPTIONS[name]).mkdir(mode=0o700, parents=True, exist_ok=True)
