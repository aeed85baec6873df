"""What every LedgerStore must do. A test module defines the fixture `store` and takes the class in:

class TestMemory(LedgerKit):
    @pytest.fixture
    def store(self): ...

    def written(self, store): ...
"""

from __future__ import annotations

from typing import Any

from archive import ids
from xmpp_engine.storage.protocols import LedgerStore
from xmpp_engine.storage.types import ArchiveRow, ArchiveShare, Batch, OfflineRow, StreamMark

NOW = 1_790_000_000.0


def row(number: int, *, at: float = NOW, sender: str = "romeo@a.example", **given: object) -> ArchiveRow:
    """An archived message; `number` sets its id within the moment `at`."""
    id = ids.first_at(at) + number
    values: dict[str, object] = {
        "id": id,
        "stamp": ids.time_of(id),
        "sender": sender,
        "recipient": "juliet@a.example",
        "sender_account": 1,
        "recipient_account": 2,
        "kind": "chat",
        "body": f"message {number}",
        "origin_id": f"o{number}",
        "xml": f"<message from='{sender}/r' to='juliet@a.example' type='chat'><body>message {number}</body></message>",
    }
    return ArchiveRow(**{**values, **given})  # type: ignore[arg-type]


def offline_row(number: int, *, at: float = NOW) -> OfflineRow:
    """A message in offline storage."""
    xml = (
        f"<message xmlns='jabber:client' from='romeo@a.example/r' id='s{number}' to='nurse@a.example' type='chat'>"
        f"<body>b{number}</body></message>"
    )
    return OfflineRow(3, at, xml, len(xml))


class LedgerKit:
    """The behaviour; `store` is empty at the beginning of each test."""

    def written(self, store: Any) -> set[tuple[str, str]]:
        """(sender, origin id) of the archived rows, and (the stanza, "") of messages in offline storage."""
        raise NotImplementedError

    async def test_an_empty_store_knows_nothing(self, store: LedgerStore) -> None:
        assert await store.stream_mark("none") is None
        assert self.written(store) == set()

    async def test_a_batch_is_written(self, store: LedgerStore) -> None:
        kept = offline_row(5)
        await store.commit(Batch(archive=[row(1), row(2)], offline=[kept]))
        assert self.written(store) == {("romeo@a.example", "o1"), ("romeo@a.example", "o2"), (kept.xml, "")}

    async def test_a_row_that_exists_is_skipped(self, store: LedgerStore) -> None:
        await store.commit(Batch(archive=[row(1)]))
        await store.commit(Batch(archive=[row(1, origin_id="other"), row(2)]))
        assert self.written(store) == {("romeo@a.example", "o1"), ("romeo@a.example", "o2")}

    async def test_a_large_batch_is_whole(self, store: LedgerStore) -> None:
        await store.commit(Batch(archive=[row(number) for number in range(1, 778)]))
        assert len(self.written(store)) == 777

    async def test_odd_text_comes_back(self, store: LedgerStore) -> None:
        odd = "'\"\\ \n\t% %s {} \U0001f600 \u4eac é"
        await store.commit(Batch(archive=[row(1, origin_id=odd, body=odd, xml=f"<message>{odd}</message>")]))
        assert self.written(store) == {("romeo@a.example", odd)}

    async def test_marks_are_kept_replaced_and_dropped(self, store: LedgerStore) -> None:
        await store.commit(Batch(marks={"a": StreamMark("a", 1, 5), "b": StreamMark("b", 2, 6)}))
        assert await store.stream_mark("a") == (1, 5)
        await store.commit(Batch(marks={"a": StreamMark("a", 1, 9), "b": StreamMark("b", 2, -1)}))
        assert await store.stream_mark("a") == (1, 9)
        assert await store.stream_mark("b") is None
        await store.commit(Batch(marks={"never": StreamMark("never", 1, -1)}))

    async def test_a_share_for_an_unknown_row_does_no_harm(self, store: LedgerStore) -> None:
        await store.commit(Batch(shares=[ArchiveShare(ids.first_at(NOW) + 77, 2)], archive=[row(1)]))
        assert len(self.written(store)) == 1
