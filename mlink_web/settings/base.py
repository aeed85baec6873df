"""What all ways of running share. What differs from machine to machine comes from the environment (docs/operator.md);
everything else is configuration in the database.
"""

from __future__ import annotations

import socket
from pathlib import Path

import dj_database_url
from kombu import Queue

from mlink_web.settings import environment, joining, shared_redis
from mlink_web.settings.engine import XMPP_MODULES  # noqa: F401  (a setting)
from mlink_web.settings.hosts import ServedHosts

BASE_DIR = Path(__file__).resolve().parent.parent.parent
MLINK_HOME = environment.folder("MLINK_HOME", BASE_DIR / "var")
joining.join(MLINK_HOME)
MLINK_DOMAIN = environment.text("MLINK_DOMAIN", "localhost").lower()
MLINK_BIND = environment.text("MLINK_BIND", "127.0.0.1")
#: Load balancers before the XMPP ports (PROXY protocol) and the HTTP port (X-Forwarded-For).
MLINK_PROXIES = environment.networks("MLINK_PROXIES")
MLINK_C2S_PORT = environment.port("MLINK_C2S_PORT", 5222)
MLINK_C2S_TLS_PORT = environment.port("MLINK_C2S_TLS_PORT", 5223)
MLINK_C2S_TLS = environment.choice("MLINK_C2S_TLS", "required", ("required", "optional"))
MLINK_C2S_CLIENT_CA = environment.file("MLINK_C2S_CLIENT_CA")
MLINK_HTTP_PORT = environment.port("MLINK_HTTP_PORT", 8080)
#: What addresses of our HTTP endpoints begin with where a domain has no `public_url`; "" without HTTP.
MLINK_HTTP_BASE = f"http://{{domain}}:{MLINK_HTTP_PORT}" if MLINK_HTTP_PORT else ""
#: Where shared files are kept (docs/operator.md): a storage class with its options, and whether the node passes the
#: bytes on ("stream") or sends readers to the storage's own signed addresses ("redirect").
MLINK_UPLOADS_STORAGE = environment.text("MLINK_UPLOADS_STORAGE", "")
MLINK_UPLOADS_OPTIONS = environment.mapping("MLINK_UPLOADS_OPTIONS")
MLINK_UPLOADS_SERVE = environment.choice("MLINK_UPLOADS_SERVE", "stream", ("stream", "redirect"))
#: Where the XML files of days are kept (docs/archive.md): the same folder for all machines that run workers.
MLINK_ARCHIVE_FILES = Path(environment.text("MLINK_ARCHIVE_FILES", str(MLINK_HOME / "archive"))).expanduser().absolute()
MLINK_S2S_PORT = environment.port("MLINK_S2S_PORT", 5269)
MLINK_S2S_TLS_PORT = environment.port("MLINK_S2S_TLS_PORT", 5270)
MLINK_COMPONENT_PORT = environment.port("MLINK_COMPONENT_PORT", 5347)
#: Components prove who they are by a secret in clear text unless TLS is on, so they connect on this machine by default.
MLINK_COMPONENT_BIND = environment.text("MLINK_COMPONENT_BIND", "127.0.0.1")
MLINK_COMPONENT_TLS = environment.choice("MLINK_COMPONENT_TLS", "none", ("none", "direct"))
MLINK_DATABASE_URL = environment.text("MLINK_DATABASE_URL", "")
MLINK_REDIS_URL = environment.text("MLINK_REDIS_URL", "")
MLINK_NODE_NAME = environment.text("MLINK_NODE_NAME", socket.gethostname() or "node1")
MLINK_ADMIN_PASSWORD = environment.text("MLINK_ADMIN_PASSWORD", "")
#: Several nodes that are one service (docs/cluster.md). `make run` starts MLINK_NODES of them on this machine.
MLINK_NODES = environment.count("MLINK_NODES", 1, 64)
MLINK_CLUSTER = environment.choice("MLINK_CLUSTER", "on" if MLINK_NODES > 1 else "off", ("on", "off")) == "on"
MLINK_NODE_ADDRESS = environment.endpoint("MLINK_NODE_ADDRESS")
MLINK_CLUSTER_OPTIONS = environment.mapping("MLINK_CLUSTER_OPTIONS")
#: Set by a node that starts others on this machine: they share its ports and have control sockets of their own.
MLINK_NODES_APART = environment.flag("MLINK_NODES_APART")
MLINK_REUSE_PORT = environment.flag("MLINK_REUSE_PORT")
MLINK_CONTROL_SOCKET = environment.text("MLINK_CONTROL_SOCKET", "node.sock")
if MLINK_CLUSTER:
    environment.cluster(MLINK_REDIS_URL, MLINK_DATABASE_URL)
#: With a key exports as PDF are signed. Only the worker reads it, so here it is a name and not yet a file.
MLINK_PDF_SIGN_KEY = environment.text("MLINK_PDF_SIGN_KEY", "")
MLINK_PDF_SIGN_CERTIFICATE = environment.text("MLINK_PDF_SIGN_CERTIFICATE", "")
MLINK_PDF_SIGN_PASSWORD = environment.text("MLINK_PDF_SIGN_PASSWORD", "")
MLINK_PDF_TIMESTAMP_URL = environment.text("MLINK_PDF_TIMESTAMP_URL", "")

#: The nodes of a cluster need the same.
SECRET_KEY = environment.secret(Path(environment.file("MLINK_SECRET_KEY_FILE") or MLINK_HOME / "secret_key"))
DEBUG = False
ALLOWED_HOSTS = ServedHosts([MLINK_DOMAIN, f".{MLINK_DOMAIN}", "localhost", ".localhost", "127.0.0.1", "[::1]"])
USE_X_FORWARDED_HOST = False

INSTALLED_APPS = [
    "mlink_web",
    "mlink_web.accounts",
    "mlink_web.conf",
    "mlink_web.stores",
    "mlink_web.console",
    "mlink_web.rooms",
    "mlink_web.pubsub",
    "mlink_web.groups",
    "mlink_web.devices",
    "mlink_web.uploads",
    "mlink_web.pushes",
    "mlink_web.invitations",
    "mlink_web.reports",
    "mlink_web.audit",
    "mlink_web.jobs",
    "mlink_web.portability",
    "mlink_web.federation",
    "mlink_web.outbox",
    "mlink_web.certificates",
    "mlink_web.components",
    "mlink_web.clusters",
    "mlink_web.delegation",
    "archive",
    "archive.selection",
    "archive.oversight",
    "archive.export",
    "archive.dayfiles",
    "archive.retention",
    "archive.redaction",
    "fdp",
    "channels",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "mlink_web.security.ContentSecurityPolicy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "mlink_web.pages.redis_away.RedisAway",
]
ROOT_URLCONF = "mlink_web.urls"
ASGI_APPLICATION = "mlink_web.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

if MLINK_DATABASE_URL:
    DATABASES = {"default": dj_database_url.parse(MLINK_DATABASE_URL)}
    if "postgresql" in DATABASES["default"]["ENGINE"]:
        # Under ASGI each request has a thread of its own, so only a pool keeps connections.
        DATABASES["default"]["CONN_MAX_AGE"] = 0
        DATABASES["default"].setdefault("OPTIONS", {}).setdefault(
            "pool", {"min_size": 0, "max_size": 20, "timeout": 10}
        )
else:
    DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": MLINK_HOME / "mlink.sqlite3"}}
if "sqlite3" in DATABASES["default"]["ENGINE"]:
    environment.private_file(Path(DATABASES["default"]["NAME"]))
    # IMMEDIATE: a transaction that reads before it writes would otherwise fail as soon as another one writes.
    # FULL: a commit is on disk when it returns, which acknowledgements rely on.
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;"
        " PRAGMA wal_autocheckpoint=4000;",
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

if MLINK_REDIS_URL:
    CHANNEL_LAYERS = shared_redis.channel_layers(MLINK_REDIS_URL)
    CACHES = shared_redis.caches(MLINK_REDIS_URL)
    CELERY_BROKER_URL = MLINK_REDIS_URL
    CELERY_BROKER_TRANSPORT_OPTIONS = shared_redis.broker_options()
    CELERY_TASK_PUBLISH_RETRY_POLICY = shared_redis.publish_retry_policy()
else:
    CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
    CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    _queue = str(MLINK_HOME / "queue")
    CELERY_BROKER_URL = "filesystem://localhost"
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "data_folder_in": f"{_queue}/messages",
        "data_folder_out": f"{_queue}/messages",
        "processed_folder": f"{_queue}/processed",
        "control_folder": f"{_queue}/control",
        "store_processed": False,
        "polling_interval": 0.5,
    }
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_IGNORE_RESULT = True
CELERY_TIMEZONE = "UTC"
#: Long work has a worker of its own, so that what is due every few seconds never waits behind it.
CELERY_TASK_QUEUES = (Queue("celery"), Queue("jobs"))
CELERY_TASK_ROUTES = {"mlink_web.jobs.tasks.run": {"queue": "jobs"}}
#: However many nodes have one, one of them works.
CELERY_BEAT_SCHEDULER = "mlink_web.clusters.scheduler:OneScheduler"
CELERY_BEAT_SCHEDULE = {
    "expire": {"task": "mlink_web.stores.tasks.expire", "schedule": 300.0},
    "uploads": {"task": "mlink_web.uploads.tasks.sweep", "schedule": 300.0},
    "pubsub": {"task": "mlink_web.pubsub.tasks.sweep", "schedule": 300.0},
    "jobs": {"task": "mlink_web.jobs.tasks.sweep", "schedule": 15.0},
    "certificates": {"task": "mlink_web.certificates.tasks.look", "schedule": 1800.0},
    "archive redactions": {"task": "archive.redaction.tasks.complete", "schedule": 60.0},
    "archive expiry": {"task": "archive.retention.tasks.expire", "schedule": 600.0},
    # One that waited behind something longer is of no use: the next one does it.
    "archive files": {"task": "archive.dayfiles.tasks.follow", "schedule": 3.0, "options": {"expires": 3.0}},
}
CELERY_WORKER_HIJACK_ROOT_LOGGER = False

AUTH_USER_MODEL = "accounts.Account"
AUTHENTICATION_BACKENDS = ["mlink_web.accounts.backends.AddressBackend"]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/"

SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = 14 * 24 * 3600
CSRF_COOKIE_SAMESITE = "Lax"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 5 * 1024 * 1024

STATIC_URL = "/static/"
STATIC_ROOT = MLINK_HOME / "static"
STATIC_ROOT.mkdir(exist_ok=True)
# The browser libraries that set-up installs, and our own files.
STATICFILES_DIRS = [path for path in (BASE_DIR / "var" / "assets", BASE_DIR / "mlink_web" / "static") if path.is_dir()]
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False

_FILES = {"location": str(MLINK_HOME / "uploads"), "file_permissions_mode": 0o600, "directory_permissions_mode": 0o700}
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    "uploads": {
        "BACKEND": MLINK_UPLOADS_STORAGE or "django.core.files.storage.FileSystemStorage",
        "OPTIONS": MLINK_UPLOADS_OPTIONS if MLINK_UPLOADS_STORAGE else {**_FILES, **MLINK_UPLOADS_OPTIONS},
    },
    # Files that jobs of the console make. Beside shared files in an object storage, where all machines reach them.
    "exports": {
        "BACKEND": MLINK_UPLOADS_STORAGE or "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {
            **({} if MLINK_UPLOADS_STORAGE else _FILES),
            **MLINK_UPLOADS_OPTIONS,
            "location": "/".join(filter(None, (MLINK_UPLOADS_OPTIONS.get("location", ""), "exports")))
            if MLINK_UPLOADS_STORAGE
            else str(MLINK_HOME / "exports"),
        },
    },
}

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"class": "mlink_web.logs.OneLine", "format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}
    },
    "filters": {"redis_away": {"()": "mlink_web.logs.RedisAway"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {
        "handlers": ["console"],
        "level": environment.choice("MLINK_LOG_LEVEL", "info", ("debug", "info", "warning", "error")).upper(),
    },
    "loggers": {
        "django.server": {"level": "WARNING"},
        # A traceback for every scanner that invents a Host header; the refused request is logged by itself.
        "django.security.DisallowedHost": {"handlers": [], "propagate": False},
        "channels_redis.pubsub": {"filters": ["redis_away"]},
        "asyncio": {"level": "WARNING"},
        "kombu": {"level": "WARNING"},
        "celery": {"level": "WARNING"},
        "celery.beat": {"filters": ["redis_away"]},
        "celery.bootsteps": {"filters": ["redis_away"]},
        "celery.worker.consumer.consumer": {"filters": ["redis_away"]},
        "pikepdf": {"level": "WARNING"},
    },
}
