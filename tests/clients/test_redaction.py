"""An officer redacts what real clients have said, and it is gone from every place; what a hold covers stays."""

from __future__ import annotations

import asyncio
import json
import secrets
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import pytest
from slixmpp import JID
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

from tests.clients.conftest import Login
from tests.clients.slix import STEP_SECONDS, Slix
from tests.clients.test_rooms import configure, enter
from tests.live import ROOT, LiveNode, User

pytestmark = pytest.mark.timeout(240)
NewUser = Callable[[], User]
RETRACT = "urn:xmpp:message-retract:1"
#: A worker that shares its processor with many others takes its time.
WORKER_SECONDS = 90.0
EXPORT = """
from archive.export import making
from mlink_web.accounts.models import Account
from mlink_web.jobs import services
from mlink_web.jobs.models import Job
import time
job = making.order_own(Account.objects.get(username={jid!r}), format="jsonl")
until = time.monotonic() + {seconds}
while not job.is_over and time.monotonic() < until:
    time.sleep(0.2)
    job = Job.objects.get(pk=job.pk)
assert job.state == Job.State.READY, (job.state, job.trouble)
print(services.open_result(job).read().decode())
"""


class Database:
    """The node's database, read from beside."""

    def __init__(self, node: LiveNode) -> None:
        self._path = node.home / "mlink.sqlite3"

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        connection = sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, timeout=20)
        try:
            return connection.execute(statement, values).fetchall()
        finally:
            connection.close()

    async def until(self, statement: str, *values: Any, seconds: float = STEP_SECONDS) -> list[tuple[Any, ...]]:
        """Wait until a query has rows."""
        end = time.monotonic() + seconds
        while not (found := self.rows(statement, *values)):
            assert time.monotonic() < end, f"never any rows for {statement}"
            await asyncio.sleep(0.1)
        return found


@pytest.fixture
def database(live_node: LiveNode) -> Database:
    return Database(live_node)


async def archive_of(client: Slix, **query: Any) -> list[Any]:
    """The messages of the client's archive as elements."""
    found = [message async for message in client.plugin["xep_0313"].iterate(rsm={"max": 50}, **query)]
    return [message["mam_result"]["forwarded"]["stanza"].xml for message in found]


async def search(client: Slix, words: str) -> int:
    """How many messages a search for words finds."""
    iq = client.make_iq_set()
    field = "{urn:xmpp:fulltext:0}fulltext"
    query = (
        "<query xmlns='urn:xmpp:mam:2'><x xmlns='jabber:x:data' type='submit'>"
        "<field var='FORM_TYPE' type='hidden'><value>urn:xmpp:mam:2</value></field>"
        f"<field var='{field}'><value>{words}</value></field></x>"
        "<set xmlns='http://jabber.org/protocol/rsm'><max>0</max></set></query>"
    )
    iq.append(ElementTree.fromstring(query))
    answer = await iq.send(timeout=STEP_SECONDS)
    (count,) = answer.xml.iter("{http://jabber.org/protocol/rsm}count")
    return int(count.text or "-1")


def text(element: Any) -> str:
    """The element as it is sent."""
    return ElementTree.tostring(element, encoding="unicode")


async def test_what_was_redacted_is_gone_from_every_place(
    login: Login, user: NewUser, live_node: LiveNode, database: Database
) -> None:
    secret = f"secret{secrets.token_hex(6)}"
    like = f"%{secret}%"
    one, other, away = user(), user(), user()
    romeo, juliet = await login(one), await login(other)
    # slixmpp has no event for messages without a text.
    heard: list[Any] = []
    juliet.register_handler(Callback("all messages", MatchXPath("{jabber:client}message"), heard.append))
    room = JID(f"room-{secrets.token_hex(4)}@conference.{live_node.domain}")
    await enter(romeo, room, "Romeo")
    await configure(romeo, room, persistentroom=True)
    await enter(juliet, room, "Juliet")
    romeo.send_message(other.jid, f"{secret} for you")
    romeo.send_message(away.jid, f"{secret} for who is away")
    romeo.send_message(room, f"{secret} for all", mtype="groupchat")
    romeo.send_message(other.jid, "this stays")
    await juliet.hears(f"{secret} for all")
    await juliet.hears("this stays")
    await database.until("SELECT 1 FROM stores_offlinemessage WHERE xml LIKE ?", like)
    keys = [f"{id:016x}" for (id,) in await database.until("SELECT id FROM archive_message WHERE xml LIKE ?", like)]
    assert len(keys) == 3
    assert await search(romeo, secret) == 2

    said = live_node.ctl("archive", "redact", "message", ",".join(keys), "--reason", "law 7", "--tell", "yes").stdout
    number = said.split()[1]
    await database.until(
        "SELECT 1 FROM redaction_redaction WHERE id = ? AND state = 'done'", number, seconds=WORKER_SECONDS
    )
    shown = live_node.ctl_json("archive", "redact", "show", number)
    assert shown["database"] == "done: 3 messages redacted."
    assert shown["node"].startswith("done: 1 taken out of rooms' histories")
    assert shown["offline"] == "done: 1 copy removed."

    # Nowhere in the database.
    for table, column in (
        ("archive_message", "xml"),
        ("archive_message", "search"),
        ("stores_offlinemessage", "xml"),
        ("retention_original", "xml"),
    ):
        assert database.rows(f"SELECT 1 FROM {table} WHERE {column} LIKE ?", like) == []
    # Both see the tombstone where the message was, and what stays.
    for client, peer in ((romeo, other), (juliet, one)):
        found = await archive_of(client, with_jid=peer.jid)
        assert [message.find(f"{{{RETRACT}}}retracted") is not None for message in found] == [True, False]
        assert secret not in "".join(map(text, found))
        assert found[0].find(f"{{{RETRACT}}}retracted/{{{RETRACT}}}reason").text == "law 7"
        assert await search(client, secret) == 0
    # The room has told it.
    await juliet.until(
        lambda: any(one.xml.find(f"{{{RETRACT}}}retract") is not None for one in heard), "the retraction"
    )
    # Who comes later gets it neither from offline storage nor from the room.
    late = await login(away)
    joined = await enter(late, room, "Nurse")
    assert secret not in "".join(text(message.xml) for message in joined[3])
    assert secret not in "".join(text(message.xml) for message in late.messages)
    # An export that is made now.
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "manage.py", "shell", "-v", "0", "-c", EXPORT.format(jid=one.jid, seconds=WORKER_SECONDS)],
        cwd=ROOT,
        env=live_node.environment(),
        capture_output=True,
        text=True,
        timeout=WORKER_SECONDS + 30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "this stays" in done.stdout
    assert secret not in done.stdout
    # The record says who, why, and what it was by its digest.
    (digest,) = database.rows("SELECT sha256 FROM redaction_redacted WHERE redaction_id = ?", number)[0]
    assert len(digest) == 64
    entries = [
        json.loads(details)
        for (details,) in database.rows(
            "SELECT details FROM audit_entry WHERE did = 'redaction carried out' AND target = ?", number
        )
    ]
    assert [entry["messages"] for entry in entries] == [3]


async def test_a_hold_beats_every_way_of_removing(
    login: Login, user: NewUser, live_node: LiveNode, database: Database
) -> None:
    secret = f"kept{secrets.token_hex(6)}"
    like = f"%{secret}%"
    one, other = user(), user()
    romeo, juliet = await login(one), await login(other)
    room = JID(f"room-{secrets.token_hex(4)}@conference.{live_node.domain}")
    await enter(romeo, room, "Romeo")
    await configure(romeo, room, persistentroom=True)
    live_node.ctl("archive", "hold", "place", "account", one.jid, "--reason", "Case 1")
    live_node.ctl("archive", "hold", "place", "room", room.bare, "--reason", "Case 2")
    romeo.send_message(other.jid, secret)
    romeo.send_message(room, secret, mtype="groupchat")
    heard = await juliet.hears(secret)
    rows = await database.until(
        "SELECT group_concat(id, ' ') FROM archive_message WHERE xml LIKE ? HAVING count(*) = 2", like
    )
    keys = ",".join(f"{int(id):016x}" for id in rows[0][0].split())
    refused = live_node.ctl("archive", "redact", "message", keys, "--reason", "law 7", check=False)
    assert refused.returncode == 1
    assert "under legal hold" in refused.stderr
    cleared = live_node.ctl("room", "clear-history", room.bare, check=False)
    assert cleared.returncode == 1
    assert "legal hold" in cleared.stderr
    live_node.ctl("archive", "retention", "set", "user", one.jid, "1")
    live_node.ctl("archive", "retention", "run")
    assert len(database.rows("SELECT 1 FROM archive_message WHERE xml LIKE ?", like)) == 2
    # The author may take it back: nobody sees it any more but officers.
    message = romeo.make_message(JID(other.jid), mtype="chat")
    retract = message.xml.makeelement(f"{{{RETRACT}}}retract", {"id": heard["id"]})
    message.xml.append(retract)
    message.send()
    await database.until("SELECT 1 FROM retention_original WHERE xml LIKE ?", like)
    found = await archive_of(juliet, with_jid=one.jid)
    assert secret not in "".join(map(text, found))
    assert await search(juliet, secret) == 0
