"""How the processes use a Redis: none of its answers is waited for longer than some seconds.

A Redis that hangs (a machine that swaps, a process that was stopped) is given up as one that is away is: what asked it
fails and says so, instead of holding a thread of the pages until none is left.
"""

from __future__ import annotations

from typing import Any, Final

#: Seconds until a connection is there, and until an answer.
SECONDS: Final = 3.0
_BOUNDS: Final = {"socket_timeout": SECONDS, "socket_connect_timeout": SECONDS}


def channel_layers(url: str) -> dict[str, Any]:
    """CHANNEL_LAYERS: `default` for notices, `xmpp` between nodes; each with connections of its own."""
    return {"default": _layer(url, "mlink"), "xmpp": _layer(url, "mlink-xmpp")}


def _layer(url: str, prefix: str) -> dict[str, Any]:
    host = {"address": url, **_BOUNDS, "health_check_interval": int(SECONDS)}
    return {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [host], "prefix": prefix},
    }


def caches(url: str) -> dict[str, Any]:
    """CACHES."""
    backend = "django.core.cache.backends.redis.RedisCache"
    return {"default": {"BACKEND": backend, "LOCATION": url, "OPTIONS": dict(_BOUNDS)}}


def broker_options() -> dict[str, Any]:
    """CELERY_BROKER_TRANSPORT_OPTIONS. A worker that waits for work asks for a second at a time, well within the
    bound."""
    return dict(_BOUNDS)


def publish_retry_policy() -> dict[str, Any]:
    """CELERY_TASK_PUBLISH_RETRY_POLICY: once more, for a connection that had ended meanwhile."""
    return {"max_retries": 1, "interval_start": 0.0, "interval_step": 0.2, "interval_max": 0.2}
