"""XEP-0160: messages for accounts without a receptive resource, kept and replayed.

Writing goes through the ledger, so the sender's acknowledgement waits for the disk. Replay starts when a resource
becomes
available with a priority of 0 or more: rows are read page by page, delivered in order with `<delay/>`, and deleted
only when they were handed over. A message that arrives during the replay goes to the session directly.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Final

from xmpp_engine.plugin.module import Module, Xep
from xmpp_engine.plugin.registrar import Registrar
from xmpp_engine.plugin.table import Target
from xmpp_engine.plugin.verdict import HANDLED, Reject, Verdict
from xmpp_engine.routing.account import Account
from xmpp_engine.routing.doubts import DOUBT, marker, take_marker
from xmpp_engine.routing.handover import MOVED
from xmpp_engine.routing.inline import BIND2
from xmpp_engine.routing.repeats import is_repeat
from xmpp_engine.routing.rescue import REPLAYED
from xmpp_engine.routing.session import Session
from xmpp_engine.stanza.build import delay
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.storage.types import OfflineRow
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StreamError

#: Bytes that may be under way to the client during a replay.
_IN_FLIGHT: Final = 262_144
#: Rows delivered in one turn of the loop: each is parsed anew, and everybody else shall not wait for all.
_AT_ONCE: Final = 5
#: Seconds between two looks at what the client has taken, growing from the first to the second.
_SHORT: Final = 0.01
_LONG: Final = 1.0
#: While another resource has the turn, the same.
_TURN: Final = 0.2
_TURN_MOST: Final = 30.0
#: Where the client is there and has to acknowledge something.
_SOON: Final = 0.1
#: Note of a session: the rows which it was sent and which are not deleted yet, each with the number of the stanza
#: (XEP-0198), as texts, for they go along to another node.
_SENT: Final = "offline sent"
#: Seconds between two looks at how much a full storage holds.
_COUNT_SECONDS: Final = 30.0
#: Beside the resource that a replay is for: there is more.
_AGAIN: Final = ""
_BY_THEMSELVES_NOTHING: Final = frozenset(
    {ns.STANZA_ID, ns.CARBONS, ns.OCCUPANT_ID, ns.DELAY, ns.FALLBACK, "http://jabber.org/protocol/nick"}
)
_ASKING: Final = frozenset({(ns.RECEIPTS, "request"), (ns.CHAT_MARKERS, "markable")})


@dataclass(frozen=True, slots=True)
class OfflineOptions:
    """Quota of one account in messages and bytes, and days until a message expires (0: never)."""

    messages: int = 1_000
    bytes: int = 10_485_760
    days: int = 30


class Offline(Module):
    """Offline storage."""

    name = "offline"
    xeps = (Xep("0160", "1.0.1"), Xep("0203", "2.0"))
    Config = OfflineOptions
    features = {Target.HOST: (ns.OFFLINE,)}
    page = 100

    def setup(self, reg: Registrar) -> None:
        reg.offline(self.store)
        reg.presence_changed(self.arrived)
        reg.session_awake(self.woke)
        self.services.hear(self.host.domain, self.name, self.told)

    def store(self, stanza: Stanza, account: Account) -> Verdict:
        """Keep a message worth keeping (XEP-0160, 3); over the quota the sender is told."""
        if stanza.type not in ("chat", "normal"):
            return None
        if stanza.notes is not None and REPLAYED in stanza.notes:
            return HANDLED  # its row is still there
        if not _worth_keeping(stanza.element):
            return HANDLED
        if stanza.notes is not None and "offline kept" in stanza.notes:
            return HANDLED  # sent again after a crash, and stored before it
        data = account.data
        stamp = (stanza.notes or {}).get("stamp") or self.services.clock.time()
        doubt = (stanza.notes or {}).get(DOUBT)
        if doubt is not None:
            # It may have arrived on a node that is gone; whoever replays it looks (routing/doubts.py).
            stanza.element.append(marker(doubt[0], doubt[1]))
            stanza.changed()
        xml = stanza.text()
        size = len(xml.encode())
        if data.offline_count >= self.config.messages or data.offline_bytes + size > self.config.bytes:
            self.services.counters.count("offline_refused_total")
            self._count_anew(account)
            return Reject("service-unavailable", "the recipient's offline storage is full")
        data.offline_count += 1
        data.offline_bytes += size
        whereabouts = self.services.whereabouts
        expires = stamp + self.config.days * 86_400 if self.config.days else 0.0
        stanza.commit = self.services.ledger.offline(OfflineRow(account.id, stamp, xml, size, expires=expires))
        if whereabouts is not None:
            whereabouts.stored(account, stanza.commit)
        return HANDLED

    def arrived(self, session: Session, old: Stanza | None, new: Stanza | None) -> None:
        """A resource became receptive: replay."""
        if new is None or session.priority < 0:
            return
        # Where there are other nodes, one of them may have stored what this one knows nothing of.
        if session.account.data.offline_count or self.services.whereabouts is not None:
            replaying = session.account.note("offline", set)
            if replaying:
                # It waits for an acknowledgement of what was stored before; there may be more since.
                replaying.add(_AGAIN)
            else:
                replaying.add(session.jid.full)
                self.services.tasks.spawn(f"offline replay {session.jid.full}", self._replay(session))

    def told(self, account: Account | None, _bare: str, values: list[Any]) -> None:
        """A replay on another node has ended: so much is stored now."""
        if account is not None:
            account.data.offline_count, account.data.offline_bytes = values[:2]

    def _count_anew(self, account: Account) -> None:
        """The storage is full, as this node counts: in a cluster another one may have replayed what this one counts
        without being heard, as in a cut. The database says."""
        coherence, now = self.services.coherence, self.services.clock.now()
        counted: dict[str, float] = account.note("offline counted", dict)
        if coherence is not None and counted.get("at", float("-inf")) + _COUNT_SECONDS <= now:
            counted["at"] = now
            coherence.reread(account.bare)

    def woke(self, session: Session) -> None:
        """A session was resumed here that was on another node: that one's replay has ended with it."""
        if session.notes is not None and session.notes.pop(MOVED, None) and session.presence is not None:
            self.look(session)

    def look(self, session: Session) -> None:
        """Another node of a cluster has stored something after an available session had come here."""
        self.arrived(session, None, session.presence)

    def stored_elsewhere(self, account: Account) -> None:
        """See routing/coherence.py: nobody may say any more that it is there."""
        here = next((session for session in account.receptive() if not session.remote), None)
        if here is not None:
            self.look(here)

    async def _replay(self, session: Session) -> None:
        account = session.account
        whereabouts = self.services.whereabouts
        replaying = account.note("offline", set)
        replayed = False
        turn = _TURN
        try:
            while True:
                replaying.discard(_AGAIN)
                # A message may have been stored in the moment of the login: it must be in the database before we look.
                await self.services.ledger.sync()
                if whereabouts is None:
                    await self._replay_all(session)
                elif (await self.services.stores.offline.usage(account.id))[0]:
                    # One resource gets them, whichever node it is on. Where that does not get all, this one does: it
                    # may end, its node may die, or it was this one before it came here.
                    if not await whereabouts.claims.take(session.jid):
                        await self._pause(turn)
                        turn = min(2 * turn, _TURN_MOST)
                        if session.ended or session.presence is None:
                            break
                        continue
                    replayed = True
                    try:
                        await self._replay_all(session)
                    finally:
                        whereabouts.claims.release(session.jid)
                if _AGAIN not in replaying:
                    break
        finally:
            replaying.clear()
            usage = await self.services.stores.offline.usage(account.id)
            account.data.offline_count, account.data.offline_bytes = usage
            if replayed:
                # Others have counted what they stored, and would refuse more for good.
                self.services.tell(account.bare, self.name, *usage)
            if usage[0] and (session.ended or session.presence is None or session.priority < 0):
                self._go_on(account)

    def _go_on(self, account: Account) -> None:
        """The session of a replay has ended, or takes no messages any more, before it was done: another resource gets
        the rest."""
        others = account.receptive()
        here = next((other for other in others if not other.remote), None)
        if here is not None:
            self.look(here)
        elif others and self.services.whereabouts is not None:
            self.services.whereabouts.look(others[0])

    async def _replay_all(self, session: Session) -> None:
        account = session.account
        notes = session.notes = session.notes if session.notes is not None else {}
        try:
            # Begun on another node, from which the session has come with what it was sent, or before it went away.
            if not await self._conclude(session):
                return
            while await self._ready(session):
                rows = await self.services.stores.offline.pending(account.id, self.page)
                for index, row in enumerate(rows):
                    if index % _AT_ONCE == 0:
                        await asyncio.sleep(0)
                    if not await self._ready(session):
                        return
                    self._deliver(row, session)
                    number = session.sm.sent if session.sm is not None else 0
                    notes[_SENT] = (*notes.get(_SENT, ()), f"{row.id} {number}")
                if not await self._conclude(session) or len(rows) < self.page:
                    return
        finally:
            if session.ended and session.sm is not None:
                # Of what it was sent its client may have had a part.
                await self._delete(session, session.sm.acked)

    async def _conclude(self, session: Session) -> bool:
        """Delete what the session was sent once its client has it; False where that cannot be known any more."""
        sent = (session.notes or {}).get(_SENT)
        if not sent:
            return True
        if not await self._received(session, int(sent[-1].partition(" ")[2])):
            return False
        await self._delete(session, None)
        return True

    async def _delete(self, session: Session, acked: int | None) -> None:
        """Delete the rows that the session was sent; with `acked`, those that are among its first so many stanzas."""
        notes = session.notes or {}
        sent: list[tuple[str, ...]] = [tuple(text.split(" ")) for text in notes.get(_SENT, ())]
        rows = [int(id) for id, number in sent if acked is None or 0 < int(number) <= acked]
        if rows:
            await self.services.stores.offline.delete(session.account.id, rows)
        notes[_SENT] = tuple(f"{id} {number}" for id, number in sent if int(id) not in rows)

    async def _ready(self, session: Session) -> bool:
        """Wait until the client has read most of what it was sent, so that a long replay is no slow reader; False when
        the session is over or went away."""
        pause = _SHORT
        while not session.ended and session.presence is not None:
            stream = session.stream
            if stream is not None and stream.transport.idle_bytes() < _IN_FLIGHT:
                return True
            await self._pause(pause)
            pause = min(2 * pause, _LONG)
        return False

    async def _received(self, session: Session, wanted: int) -> bool:
        """Whether the client has what was replayed up to its stanza of this number, as far as that can be known: a
        managed one has to acknowledge it before the rows may go, or a crash in between would lose them."""
        sm = session.sm
        if sm is None:
            return await self._ready(session)
        wanted = wanted or sm.sent
        pause = _SHORT
        while sm.acked < wanted:
            if session.ended:
                return False
            session.ask()
            await self._pause(pause)
            # What is deleted late comes twice where this node dies in between.
            pause = min(2 * pause, _LONG if session.stream is None else _SOON)
        return True

    async def _pause(self, seconds: float) -> None:
        """Wait by the clock of the engine."""
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        timer = self.services.clock.call_later(seconds, _end, over)
        try:
            await over
        finally:
            timer.cancel()

    def _deliver(self, row: OfflineRow, session: Session) -> None:
        try:
            stanza = Stanza.restore(row.xml)
        except (StreamError, ValueError):
            self.services.counters.count("offline_damaged_total")
            return
        whereabouts = self.services.whereabouts
        if session.notes is not None and BIND2 in session.notes and self._archived(stanza, session.account.bare):
            return  # its client asks the archive (XEP-0386, 3.2)
        doubt = take_marker(stanza.element)
        if doubt is not None and whereabouts is not None and whereabouts.crossing.doubts.arrived(*doubt):
            return  # it has come after all, before the node that stored it lost the way here
        if whereabouts is not None and is_repeat(session, stanza):
            return  # another node has brought it already, or will
        stanza.element.append(delay(row.stamp, self.host.jid, "Offline storage"))
        stanza.note(REPLAYED, True)
        session.deliver(stanza)

    def _archived(self, stanza: Stanza, bare: str) -> bool:
        """Whether the message stands in the account's archive. Without the archive's module nobody takes forged ids
        out, so they mean nothing then."""
        ids = stanza.element.find_all(ns.STANZA_ID, "stanza-id")
        return "archive" in self.host.modules and any(element.get("by") == bare for element in ids)


def _end(wait: asyncio.Future[None]) -> None:
    if not wait.done():
        wait.set_result(None)


def _worth_keeping(message: Element) -> bool:
    """Whether a message is of use to somebody who comes later: it has a body or a payload that says something by
    itself, or its sender asks for it (XEP-0334). Chat states never are (XEP-0085, 5.1), nor what only asks for an
    answer, marks a private message of a room, or tells how to treat the rest."""
    wanted = passing = False
    for child in message.elements():
        space, name = child.ns, child.name
        if space == ns.HINTS:
            if name in ("no-store", "no-storage"):
                return False
            wanted = wanted or name == "store"
        elif space == ns.CHAT_STATES:
            passing = True
        elif space == ns.CLIENT:
            if name == "body":
                return not _refused(message)
        elif space == ns.MUC_USER:
            if any(inner.name in ("invite", "decline") for inner in child.elements()):
                return not _refused(message)
        elif space not in _BY_THEMSELVES_NOTHING and (space, name) not in _ASKING:
            return not _refused(message)
    return wanted and not passing


def _refused(message: Element) -> bool:
    """Whether the sender wants no storing at all; `no-permanent-store` is about archives."""
    return any(message.find(ns.HINTS, name) is not None for name in ("no-store", "no-storage"))
