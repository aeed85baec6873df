"""Answers queries for every archive that the engine has of messages: those of users (`engine.py`) and of rooms
(`rooms.py`). Who may ask what is theirs to say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from archive import protocol
from archive.filters import Answer, Reader, Row
from xmpp_engine.api import Element, Jid, Ledger, Stanza, StanzaError, StreamError, build

#: How long a question waits for what was sent before it to be stored; then it is refused, and may be asked again.
WAIT_SECONDS: Final = 10.0


class Answering:
    """Reads from the archive what is durable, and sends it."""

    def __init__(
        self, reader: Reader, ledger: Ledger, reply: Callable[[Stanza, Stanza], object], damaged: Callable[[], object]
    ) -> None:
        """`reply` sends a message to who asked (Router.reply), `damaged` counts one that cannot be read any more."""
        self._reader = reader
        self._ledger = ledger
        self._reply = reply
        self._damaged = damaged

    async def answer(
        self, iq: Stanza, archive: Jid, query: protocol.Query, named: Callable[[Element, Row], object] | None = None
    ) -> Element:
        """One page of the archive at this address: its messages, then the element that says where they stand. `named`
        adds to a result what the archive knows of it. Raises StanzaError, StoreUnavailable."""
        question = query.question
        if question.filter.account:
            await self._ledger.sync(WAIT_SECONDS)
            answer = protocol.fitting(await self._reader.find(question), question.backwards)
        else:
            # A room that is not stored has no number and nothing in its archive.
            answer = Answer(count=0, missing=bool(question.known or question.ids))
        if answer.missing:
            raise StanzaError("item-not-found", "there is no message with this id in the archive")
        reader = archive.full if question.filter.account > 0 else ""
        for row in reversed(answer.rows) if query.flip else answer.rows:
            try:
                found = protocol.result(row, query.queryid, reader)
            except StreamError:
                self._damaged()
                continue
            if named is not None:
                named(found, row)
            message = build.message(archive, iq.sender, "normal", found)
            del message.element.attrs["type"]
            self._reply(iq, message)
        return protocol.fin(answer, question)

    async def metadata(self, owner: int) -> Element:
        """Where an archive begins and ends."""
        if not owner:
            return protocol.metadata(None)
        await self._ledger.sync(WAIT_SECONDS)
        return protocol.metadata(await self._reader.bounds(owner))
