"""Messages that the archive has taken back leave the memory of a running node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from archive.memory import MemoryReader
from tests.archive.test_engine import Rows
from tests.engine.muc.stage import ROOM, clear, made, text_of
from tests.story import MODULES
from xmpp_engine.admin import live
from xmpp_engine.admin.command import CommandError
from xmpp_engine.storage.protocols import StoreUnavailable
from xmpp_engine.storage.types import TakenBack
from xmpp_engine.xml import ns

LEFT = (
    "<message xmlns='jabber:client' from='{}' type='{}' id='{}'>"
    "<retracted xmlns='urn:xmpp:message-retract:1' stamp='2026-11-28T00:00:00.000Z'>{}</retracted></message>"
)


class Reader(MemoryReader):
    """An archive in which some messages were redacted."""

    def __init__(self) -> None:
        super().__init__(Rows())
        self.taken: dict[str, TakenBack] = {}
        self.fails = False

    async def redacted(self, stanza_ids: Sequence[str]) -> list[TakenBack]:
        if self.fails:
            raise StoreUnavailable("gone")
        return [self.taken[id] for id in stanza_ids if id in self.taken]


@pytest.fixture
async def archived(story: Any) -> Any:
    """A story whose rooms are stored and archived; `story.reader` is its archive."""
    reader = Reader()
    split = MODULES.index("xmpp_engine.modules.carbons.Carbons")
    modules = (*MODULES[:split], "archive.engine.Archive", *MODULES[split:], "archive.rooms.RoomArchive")
    options = {"muc": {"services": {"conference": {"defaults": {"persistent": True}}}}}
    world = await story.begin(modules=modules, extras={"archive": reader}, options=options)
    reader._rows.world = world  # type: ignore[attr-defined]
    story.reader = reader
    return story


async def run(story: Any, *ids: str) -> dict[str, int]:
    """What a redaction asks of the node."""
    command = live.registry.get("redacted")
    result: dict[str, int] = await command.function(story.world.engine, **command.bind({"ids": " ".join(ids)}))
    return result


async def says(client: Any, body: str, to: str = ROOM, kind: str = "groupchat") -> None:
    client.send(f"<message id='{body}' to='{to}' type='{kind}'><body>{body}</body></message>")


def given(message: Any) -> str:
    """The id that the archive gave."""
    return str(message.find(ns.STANZA_ID, "stanza-id").get("id"))


async def test_a_room_forgets_it_and_tells_everybody(archived: Any) -> None:
    alice, bob = await made(archived, "bob")
    await says(bob, "secret")
    (heard,) = [one for one in await alice.receives_all() if one.get("id") == "secret"]
    await clear(alice, bob)
    id = given(heard)
    # As long as the archive has it, nothing happens whoever asks.
    assert await run(archived, id) == {"waiting": 0, "histories": 0, "rooms": 0}
    await alice.receives_nothing()
    xml = LEFT.format(f"{ROOM}/bob", "groupchat", "secret", "<reason>law 7</reason>")
    archived.reader.taken[id] = TakenBack(id, ROOM, xml)
    assert await run(archived, id, "0000000000000001") == {"waiting": 0, "histories": 1, "rooms": 1}
    for client in (alice, bob):
        (told,) = await client.receives_all()
        retract = told.find(ns.RETRACT, "retract")
        assert told.get("from") == ROOM
        assert retract.get("id") == id
        assert retract.find(ns.MODERATE, "moderated").get("by") == ROOM
        assert retract.child_text(ns.RETRACT, "reason") == "law 7"
    # Asked again, as after a worker that was killed, nobody hears it twice.
    assert (await run(archived, id))["histories"] == 0
    await alice.receives_nothing()
    carol = await archived("carol")
    carol.send(f"<presence to='{ROOM}/carol'><x xmlns='http://jabber.org/protocol/muc'/></presence>")
    history = [one for one in await carol.receives_all() if one.find(ns.DELAY, "delay") is not None]
    assert [one.find(ns.RETRACT, "retracted") is not None for one in history] == [True, False]
    assert not any("secret</body>" in text_of(one) for one in history)
    assert history[0].get("from") == f"{ROOM}/bob"


async def test_a_redacted_correction_is_told_to_nobody(archived: Any) -> None:
    alice, bob = await made(archived, "bob")
    await says(bob, "secret")
    (heard,) = [one for one in await alice.receives_all() if one.get("id") == "secret"]
    await clear(alice, bob)
    id = given(heard)
    archived.reader.taken[id] = TakenBack(id, ROOM, LEFT.format(f"{ROOM}/bob", "groupchat", "secret", ""), True)
    assert (await run(archived, id))["histories"] == 1
    await alice.receives_nothing()


async def test_what_waits_for_a_client_is_replaced(archived: Any) -> None:
    """In the queue of a session that lost its connection, for a room's messages, those between two, and carbons."""
    alice, bob = await made(archived, "bob")
    phone = await archived.world.login("bob", "phone")
    phone.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/><presence/>")
    phone.send("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
    bob.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/><presence/>")
    await clear(alice, bob, phone)
    await bob.leaves(clean=False)
    await phone.leaves(clean=False)
    await says(alice, "hall")
    await says(alice, "direct", bob.full, "chat")
    await says(alice, "fine", bob.full, "chat")
    await clear(alice)
    ids = {}
    for row in archived.reader.rows:
        ids["hall" if row.room else "direct" if "direct" in row.xml else "fine"] = f"{row.id:016x}"
    archived.reader.taken = {
        ids["hall"]: TakenBack(ids["hall"], ROOM, LEFT.format(f"{ROOM}/alice", "groupchat", "hall", "")),
        ids["direct"]: TakenBack(ids["direct"], "", LEFT.format(alice.full, "chat", "direct", "")),
    }
    waiting = [len(client.session.sm.queue) for client in (bob, phone)]
    found = await run(archived, *ids.values())
    assert found["waiting"] == 3
    texts = []
    for client in (bob, phone):
        queue = [stanza for stanza, _stamp in client.session.sm.queue]
        texts += [text_of(stanza.element) for stanza in queue if stanza.kind == "message"]
    # The room's retraction came behind; what waited before it is as many as before.
    assert len(bob.session.sm.queue) == waiting[0] + 1
    assert not any("<body>hall" in text or "<body>direct" in text for text in texts)
    assert sum("<retracted" in text for text in texts) == 3
    assert sum("<body>fine" in text for text in texts) == 2


async def test_a_database_that_does_not_answer_is_said(archived: Any) -> None:
    await made(archived)
    archived.reader.fails = True
    with pytest.raises(CommandError, match="does not answer"):
        await run(archived, "0000000000000001")
    with pytest.raises(CommandError, match="At most"):
        await run(archived, *(f"{n:016x}" for n in range(1, live.MAX_REDACTED + 2)))
