"""Reads a user's archive page by page, as a client does (XEP-0313, XEP-0059)."""

from __future__ import annotations

import asyncio
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape

from tests.durability.client import Client
from tests.durability.reader import CLIENT, name

MAM = "urn:xmpp:mam:2"
RSM = "http://jabber.org/protocol/rsm"
FORWARD = "urn:xmpp:forward:0"
PAGE = 250


async def archived(account: str, password: str, port: int, other: str) -> list[str]:
    """The ids of all messages in the archive of `account` with `other`, oldest first."""
    found: list[str] = []
    results: list[str] = []

    def take(message: Element) -> None:
        result = message.find(name(MAM, "result"))
        if result is not None:
            inner = result.find(f"{name(FORWARD, 'forwarded')}/{name(CLIENT, 'message')}")
            assert inner is not None
            found.append(inner.get("id", ""))
            results.append(result.get("id", ""))

    # A negative priority leaves offline messages where they are.
    client = Client(account, password, port, "reader", resumable=False, priority=-1, on_message=take)
    await client.connect()
    task = asyncio.create_task(client.run())
    try:
        after = ""
        while True:
            page = f"<set xmlns='{RSM}'><max>{PAGE}</max>{f'<after>{escape(after)}</after>' if after else ''}</set>"
            form = (
                "<x xmlns='jabber:x:data' type='submit'>"
                f"<field var='FORM_TYPE' type='hidden'><value>{MAM}</value></field>"
                f"<field var='with'><value>{escape(other)}</value></field></x>"
            )
            before = len(results)
            answer = await client.iq("set", f"<query xmlns='{MAM}'>{form}{page}</query>")
            fin = answer.find(name(MAM, "fin"))
            assert fin is not None, f"{account}: {answer.attrib} {[child.tag for child in answer]}"
            if fin.get("complete") == "true":
                break
            last = fin.findtext(f"{name(RSM, 'set')}/{name(RSM, 'last')}")
            assert last, "a page without an end"
            assert len(results) > before, "a page that leads nowhere"
            after = last
    finally:
        await client.close()
        await task
    assert len(set(results)) == len(results), "an archive id came twice"
    return found
