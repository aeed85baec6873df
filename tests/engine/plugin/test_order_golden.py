"""The order of all hooks as one text: every change of it is a visible difference in review.

After a wanted change write the file anew: `python -m tests.engine.plugin.test_order_golden`.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from archive.memory import MemoryReader
from mlink_web.settings.engine import XMPP_MODULES
from xmpp_engine.config.schema import EngineConfig, HostConfig
from xmpp_engine.engine import Engine
from xmpp_engine.plugin.loader import import_modules
from xmpp_engine.storage.memory import memory_stores

GOLDEN = Path(__file__).with_name("order.txt")


async def current() -> str:
    """The order of the hooks with the product's module list."""
    config = EngineConfig(hosts={"example.org": HostConfig("example.org")})
    extras = {"archive": MemoryReader()}
    engine = Engine(config, memory_stores(["example.org"]), import_modules(XMPP_MODULES), extras=extras)
    await engine.start()
    try:
        return engine.hooks()["example.org"]
    finally:
        await engine.stop()


async def test_the_order_is_the_one_that_was_reviewed() -> None:
    assert await current() == GOLDEN.read_text()


if __name__ == "__main__":
    import os

    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mlink_web.settings.test")
    django.setup()
    GOLDEN.write_text(asyncio.run(current()))
