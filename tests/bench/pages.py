"""Paging through a node: what a page of fifty items takes where the node has a thousand of them, and a million.

The items are put into the database of a running node in bulk, as nobody would wait for a million publications; pages
are then asked for over XMPP, one after the other: the newest, the oldest, and those behind an item in the middle.
"""

import asyncio
import sqlite3
import time
from pathlib import Path

from tests.bench.client import Session, SignInError, connect
from tests.bench.events import SERVICE, make_node
from tests.bench.measures import Plan, Results
from tests.bench.servers import Mlink, Server

_PAGE = 50
_ASKED = 200
_ROWS = 20_000
_NODE_ROW = "SELECT n.id, n.contents_id FROM pubsub_node n WHERE n.name = ?"
_INSERT = """
INSERT INTO pubsub_item (contents, item, sequence, payload, publisher, published, expire)
VALUES (?, ?, ?, ?, ?, ?, 0)"""
_COUNT = "UPDATE pubsub_node SET items = ?, sequence = ?, latest = ? WHERE id = ?"


async def pages(server: Server, plan: Plan, results: Results) -> None:
    """Pages of nodes of growing size; this server only, whose database is known."""
    assert isinstance(server, Mlink)
    session = Session("u0", stream_management=False, conversing=True)
    session.resource = "pages"
    try:
        await connect(session, server.port)
        for number in plan.items:
            node = f"pages{number}"
            await make_node(server, node, max_items=number)
            await asyncio.to_thread(_fill, server.database, node, number)
            times = await _read(session, node, number)
            results.put(f"page|{number:,} items", server.name, times[len(times) // 2])
            results.put(f"page99|{number:,} items", server.name, times[len(times) * 99 // 100])
            results.progress(f"{server.name:9} page of {number:,} items: {times[len(times) // 2]:.2f} ms")
        few, many = (results.cells[f"page|{number:,} items"][server.name] for number in (plan.items[0], plan.items[-1]))
        results.put("pageratio|", server.name, many / few)
    except (SignInError, OSError, TimeoutError) as error:
        results.note(f"{server.name}, pages: {error}")
    finally:
        await session.close()


def _fill(path: Path, node: str, number: int) -> None:
    """Put the items there."""
    database = sqlite3.connect(path, timeout=60, isolation_level=None)
    try:
        row, contents = database.execute(_NODE_ROW, (node,)).fetchone()
        now = time.time()
        for first in range(1, number + 1, _ROWS):
            rows = (
                (contents, f"i{index}", index, f"<e xmlns='urn:example:entry'>{index:0300d}</e>", "u0@localhost", now)
                for index in range(first, min(first + _ROWS, number + 1))
            )
            database.execute("BEGIN IMMEDIATE")
            database.executemany(_INSERT, rows)
            database.execute("COMMIT")
        database.execute(_COUNT, (number, number, now, row))
    finally:
        database.close()


async def _read(session: Session, node: str, number: int) -> list[float]:
    """Milliseconds of each page, sorted."""
    places = ("<before/>", "", f"<after>i{number // 2}</after>", f"<before>i{number // 3}</before>")
    times = []
    for asked in range(_ASKED):
        begin = time.perf_counter()
        answer = await session.ask(
            f"<iq type='get' id='g{asked}' to='{SERVICE}'><pubsub xmlns='http://jabber.org/protocol/pubsub'>"
            f"<items node='{node}'/><set xmlns='http://jabber.org/protocol/rsm'><max>{_PAGE}</max>"
            f"{places[asked % len(places)]}</set></pubsub></iq>".encode(),
            b"</pubsub>",
            b"type='error'",
        )
        times.append((time.perf_counter() - begin) * 1000)
        if answer.count(b"</item>") != _PAGE:
            raise SignInError(f"a page has not its items: {answer[-300:]!r}")
    return sorted(times)
