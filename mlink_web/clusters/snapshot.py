"""The cluster's part of the configuration snapshot (conf/snapshot.py)."""

from __future__ import annotations

from django.conf import settings

from mlink_web.clusters import numbers
from xmpp_engine.config.schema import ClusterConfig


def read() -> ClusterConfig:
    """What stands for this node alone; conf/snapshot.py adds what the environment says of limits."""
    return ClusterConfig(
        number=numbers.number_of(settings.MLINK_NODE_NAME),
        address=settings.MLINK_NODE_ADDRESS,
        secret=numbers.envelope_secret() if settings.MLINK_CLUSTER else "",
    )
