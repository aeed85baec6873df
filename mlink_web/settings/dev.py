"""Development and first run: loopback only, SQLite, nothing to prepare. MLINK_DEBUG=1 shows tracebacks in pages.

DEBUG stays off otherwise: it would keep every SQL statement of the engine's stores in memory.
"""

import sys

from mlink_web.settings.base import *
from mlink_web.settings.base import INSTALLED_APPS, MLINK_BIND, environment

DEBUG = environment.flag("MLINK_DEBUG")
WHITENOISE_AUTOREFRESH = DEBUG
if MLINK_BIND not in ("127.0.0.1", "::1", "localhost"):
    # Whoever opens a development node to a network reaches it by whatever address it has there.
    ALLOWED_HOSTS = ["*"]
if "runserver" in sys.argv[1:2]:
    # Daphne's `runserver` understands WebSockets; elsewhere its import would cost 50 MB for nothing.
    INSTALLED_APPS = ["daphne", *INSTALLED_APPS]
