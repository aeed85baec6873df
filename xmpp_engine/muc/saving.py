"""Saving: what changes in a room reaches the store in order, while the room goes on.

One Saver per room name. The room says that something has changed (`save`), which affiliations did (`put`), or that it
is gone (`remove`); a task writes it. Changes that come while it writes are taken together, so what waits is bounded by
the room itself. A store that does not answer is tried again, ever more slowly, and nothing is forgotten meanwhile.
A room of the same name that is made after another was destroyed uses the same Saver, so the old one goes first.
"""

from __future__ import annotations

import asyncio
from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from xmpp_engine.observe.log import refused
from xmpp_engine.storage.protocols import StoreUnavailable
from xmpp_engine.xml.errors import StanzaError

if TYPE_CHECKING:
    from xmpp_engine.muc.room import Room
    from xmpp_engine.routing.host import Services
    from xmpp_engine.routing.session import Session
    from xmpp_engine.storage.rooms import RoomAffiliation, RoomRecord

_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 30.0
#: Seconds that an answer waits for the store.
_PATIENCE: Final = 10.0


class Saver:
    """Writes one room. `record` is the room's live record, None when there is nothing to keep."""

    def __init__(self, services: Services, name: str) -> None:
        self._services = services
        self._name = name
        self._record: RoomRecord | None = None
        self._dirty = False
        self._entries: dict[str, RoomAffiliation] = {}
        #: Numbers of rooms that are to go from the store before anything else is written.
        self._gone: list[int] = []
        #: The number under which the store has the room, 0 while it has none.
        self._stored = 0
        self._task: asyncio.Task[None] | None = None

    @property
    def idle(self) -> bool:
        """Whether everything is written."""
        return self._task is None

    def loaded(self, record: RoomRecord) -> None:
        """The store has this record."""
        self._stored = record.number

    def save(self, record: RoomRecord) -> None:
        """The record has changed (everything but its affiliations)."""
        self._record, self._dirty = record, True
        self._wake()

    def put(self, record: RoomRecord, entries: list[RoomAffiliation]) -> None:
        """These affiliations have changed; copies are kept until they are written."""
        self._record = record
        for entry in entries:
            self._entries[entry.jid] = replace(entry)
        if record.number != self._stored:
            self._dirty = True
        self._wake()

    def remove(self, record: RoomRecord) -> None:
        """The room is not to be stored any more; what waits for it is forgotten."""
        self._record, self._dirty = None, False
        self._entries.clear()
        if record.number:
            self._gone.append(record.number)
            record.number = 0
        self._wake()

    async def saved(self) -> None:
        """Wait until everything is written. Raises StoreUnavailable when that takes too long; it is still tried."""
        ends = asyncio.get_running_loop().time() + _PATIENCE
        while self._task is not None:
            left = ends - asyncio.get_running_loop().time()
            if left <= 0:
                raise StoreUnavailable(f"the room {self._name} is not stored yet")
            await asyncio.wait([self._task], timeout=left)

    def _wake(self) -> None:
        if self._task is None:
            self._task = self._services.tasks.spawn(f"save {self._name}", self._write())

    async def _write(self) -> None:
        pause = _FIRST_PAUSE
        try:
            while self._gone or self._dirty or self._entries:
                removes = bool(self._gone)
                try:
                    await self._step()
                    pause = _FIRST_PAUSE
                except ValueError as error:
                    # The store will never take it: trying again would only hide that.
                    refused.error("the room %s cannot be saved: %s", self._name, error)
                    if removes:
                        del self._gone[0]
                    else:
                        self._dirty = False
                        self._entries.clear()
                except Exception as error:
                    refused.error("the room %s cannot be saved now: %s", self._name, error)
                    await self._sleep(pause)
                    pause = min(pause * 2, _LONGEST_PAUSE)
        finally:
            self._task = None

    async def _step(self) -> None:
        """Write one thing. What it writes is marked as written before it waits, and marked again when that fails."""
        store = self._services.stores.rooms
        if self._gone:
            number = self._gone[0]
            await store.remove(number)
            del self._gone[0]
            if self._stored == number:
                self._stored = 0
            return
        record = self._record
        assert record is not None
        if self._dirty:
            self._dirty = False
            copy = replace(
                record,
                affiliations={},
                config=deepcopy(record.config),
                extras=deepcopy(record.extras),
                activity=deepcopy(record.activity),
            )
            try:
                await store.save(copy, new=copy.number != self._stored)
            except BaseException:
                if self._record is record:
                    self._dirty = True
                raise
            # Where the room went while it was written, or got another number, this one is among those that are to go.
            self._stored = copy.number
            return
        entries, self._entries = self._entries, {}
        try:
            await store.put_affiliations(self._stored, record.affiliation_version, list(entries.values()))
        except BaseException:
            if self._record is record:
                self._entries = {**entries, **self._entries}
            raise

    async def _sleep(self, seconds: float) -> None:
        done = asyncio.get_running_loop().create_future()
        timer = self._services.clock.call_later(seconds, _wake_up, done)
        try:
            await done
        finally:
            timer.cancel()


async def stored(room: Room) -> None:
    """What an iq that changed a room waits for before it is answered: an answered change survives the server. Raises
    StanzaError where the store does not answer for long; the change is in force all the same, and stored later."""
    if room.saver.idle:
        return
    try:
        await room.saved()
    except StoreUnavailable:
        raise StanzaError("internal-server-error", "the change could not be stored yet", type="wait") from None


def hold(room: Room, session: Session | None) -> None:
    """What a message has changed is being stored: its sender's XEP-0198 acknowledgement, and what he sends next, wait
    for that, as long as an answer to an iq would. None for a sender of another server."""
    if session is not None and not room.saver.idle and session.hold("room"):
        room.service.services.tasks.spawn(f"stored {room.jid}", _release(room, session))


async def _release(room: Room, session: Session) -> None:
    try:
        await room.saved()
    except StoreUnavailable as error:
        refused.error("%s is acknowledged what is not stored: %s", session.jid, error)
    finally:
        session.release()


def _wake_up(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)
