"""The store of this app over the database."""

from __future__ import annotations

from mlink_web.stores.executor import StoreExecutor


class DatabasePushes:
    """See the protocol."""

    def __init__(self, executor: StoreExecutor) -> None:
        self._executor = executor
