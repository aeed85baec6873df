"""How busy a room is (XEP-0502): messages per hour, told in disco#info of public rooms that everybody may enter.

Twenty-five counters of an hour each; the running hour does not count yet. Counting costs a message one comparison and
one addition. They are stored with the time of the last message (`RoomService.write_activity`): what was said in the
seconds before a crash is not counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from xmpp_engine.plugin.module import Module, Xep
from xmpp_engine.plugin.phases import Phase
from xmpp_engine.plugin.registrar import Registrar
from xmpp_engine.stanza.forms import Field
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml import ns

if TYPE_CHECKING:
    from xmpp_engine.muc.config import RoomConfig
    from xmpp_engine.storage.rooms import RoomRecord

_HOUR: Final = 3_600
_HOURS: Final = 24
_FIELD: Final = f"{{{ns.MUC_ACTIVITY}}}message-activity"


def count(record: RoomRecord, now: float) -> None:
    """One message was sent at `now` (seconds since the epoch)."""
    _counters(record, now)[0] += 1


def per_hour(record: RoomRecord, now: float) -> float | None:
    """Messages per hour over the last full hours, a day at most; None where nothing is known yet."""
    if not record.activity:
        return None
    counters = _counters(record, now)
    known = min(_HOURS, int(now // _HOUR) - int(record.activity["since"]))
    return round(sum(counters[1 : known + 1]) / known, 2) if known > 0 else None


def info_field(record: RoomRecord, config: RoomConfig, now: float) -> Field | None:
    """What disco#info says of it in muc#roominfo; None for rooms that are not persistent and open to all, or of which
    nothing is known yet."""
    if not config.persistent or not config.public or config.members_only or config.secret:
        return None
    rate = per_hour(record, now)
    return None if rate is None else Field(_FIELD, "text-single", "Messages per hour", (f"{rate:g}",))


def _counters(record: RoomRecord, now: float) -> list[int]:
    """The counters, moved on to the present hour."""
    hour = int(now // _HOUR)
    facts = record.activity
    if not facts:
        facts.update(since=hour, hour=hour, counts=[0] * (_HOURS + 1))
    counts: list[int] = facts["counts"]
    gone = hour - facts["hour"]
    if gone > 0:
        counts[:] = ([0] * min(gone, _HOURS + 1) + counts)[: _HOURS + 1]
        facts["hour"] = hour
    return counts


class RoomActivity(Module):
    """Counts what is said."""

    name = "muc-activity"
    xeps = (Xep("0502", "0.1.0"),)
    requires = ("muc",)

    def setup(self, reg: Registrar) -> None:
        muc = self.needs("muc")
        muc.info_fields[self.name] = self.fields
        muc.heard[self.name] = self.hear
        reg.room_message(Phase.OBSERVE, self.observe)

    def fields(self, room: Any) -> tuple[Field, ...]:
        """See Muc.info_fields."""
        found = info_field(room.record, room.config, self.services.clock.time())
        return () if found is None or room.service.quarantined(room) else (found,)

    def hear(self, stanza: Stanza, room: Any) -> None:
        """Count what another node has accepted: each has all the figures, whichever writes them."""
        self.observe(stanza, room, stanza.sender.resource or None)

    def observe(self, stanza: Stanza, room: Any, occupant: Any) -> None:
        """Count messages with a text that are no corrections."""
        element = stanza.element
        if (
            occupant is not None
            and element.find(ns.CLIENT, "body") is not None
            and element.find(ns.CORRECTION, "replace") is None
        ):
            count(room.record, self.services.clock.time())
