"""Tests: a data folder that goes with the process, a database file that several threads may use."""

import atexit
import os
import shutil
import tempfile

if "MLINK_HOME" not in os.environ:
    os.environ["MLINK_HOME"] = tempfile.mkdtemp(prefix="mlink-test-")
    atexit.register(shutil.rmtree, os.environ["MLINK_HOME"], ignore_errors=True)

from mlink_web.settings.base import *
from mlink_web.settings.base import DATABASES, MLINK_HOME

if "sqlite3" in DATABASES["default"]["ENGINE"]:
    DATABASES["default"]["TEST"] = {"NAME": str(MLINK_HOME / "test.sqlite3")}
ALLOWED_HOSTS = ["*"]
#: Engines of tests would meet each other at the ports for other servers.
MLINK_S2S_PORT = MLINK_S2S_TLS_PORT = 0
#: Rounds of the password hash in tests; the product's own number stands in accounts/scram.py.
SCRAM_ITERATIONS = 4096
