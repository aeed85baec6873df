"""Production: all addresses, static files with hashed names, cookies over TLS only (a reverse proxy ends it).

The proxy must overwrite X-Forwarded-Proto; docs/operator.md shows how.
"""

from mlink_web.settings.base import *
from mlink_web.settings.base import MLINK_HTTP_PORT, STORAGES, environment

MLINK_BIND = environment.text("MLINK_BIND", "0.0.0.0")  # noqa: S104  (the documented default of production)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_HSTS_SECONDS = 31_536_000
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True
SESSION_COOKIE_NAME = "__Host-session"
CSRF_COOKIE_NAME = "__Host-csrf"
MLINK_HTTP_BASE = "https://{domain}" if MLINK_HTTP_PORT else ""
STORAGES = {
    **STORAGES,
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = False
