"""What stands in a file: two lines of beginning, a line for each message, a line of end.

    <?xml version='1.0' encoding='UTF-8'?>
    <archive xmlns='urn:mlink:archive:0' version='1' kind='users' address='romeo@a.example' domain='a.example' …>
    <record id='…' …><message xmlns='jabber:client' …/></record>
    </archive>

A record never holds a line feed (they are written `&#10;`), so a file can be cut, searched and repaired by lines. Files
that are still written to lack the last line. What a record says is the matter of `archive/records.py`; `line` only says
it quicker where the stored stanza allows.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator
from datetime import date
from functools import lru_cache
from typing import BinaryIO, Final
from xml.parsers import expat

from archive import ids, records
from archive.dayfiles.days import Calendar
from archive.records import NAMESPACE, Record
from xmpp_engine.api import build, escape_attr, ns

END: Final = b"</archive>\n"
MARK: Final = b"<record id='"
_ID: Final = slice(len(MARK), len(MARK) + 16)
_DECLARATION: Final = "<?xml version='1.0' encoding='UTF-8'?>\n"
_MESSAGE: Final = "<message"
_MESSAGE_HERE: Final = f"<message xmlns='{ns.CLIENT}'"
_SAID: Final = f" xmlns='{ns.CLIENT}'"
#: Characters that XML 1.0 has no place for; only damaged rows have them.
_FOREIGN: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
#: Bytes of one line that are read back; a stanza is far below.
MOST: Final = 64 * 1024 * 1024


def head(kind: str, address: str, domain: str, day: date, calendar: Calendar) -> bytes:
    """The first two lines of a user's or a room's file."""
    return (
        f"{_DECLARATION}<archive xmlns='{NAMESPACE}' version='1' kind='{kind}' address='{escape_attr(address)}'"
        f" domain='{escape_attr(domain)}' day='{day.isoformat()}' zone='{calendar.zone_of(day)}'"
        f" start='{_begins(calendar.start(day))}'>\n"
    ).encode()


@lru_cache(maxsize=16)
def _begins(seconds: float) -> str:
    return build.timestamp(seconds)


def line(record: Record) -> bytes:
    """A message as its line. A stored stanza that cannot be read is carried as text."""
    xml = record.xml
    if xml.startswith(_MESSAGE):
        if _SAID not in xml.partition(">")[0]:
            xml = _MESSAGE_HERE + xml[len(_MESSAGE) :]
        data = xml.encode(errors="replace")
        if _is_whole(data):
            return _start(record).encode() + data.replace(b"\n", b"&#10;") + b"</record>\n"
    text = _FOREIGN.sub("�", records.xml(record, NAMESPACE))
    return text.replace("\n", "&#10;").encode() + b"\n"


def _start(record: Record) -> str:
    """The start tag as `records.element` has it."""
    held = " ".join(
        name for name, has in (("sender", record.sender_account), ("recipient", record.recipient_account)) if has
    )
    more = f" in='{held}'" if held else ""
    if record.room:
        more += f" room='{escape_attr(record.recipient)}'"
    if record.origin_id:
        more += f" origin-id='{escape_attr(record.origin_id)}'"
    return (
        f"<record id='{record.id:016x}' stamp='{build.timestamp(record.stamp)}' from='{escape_attr(record.sender)}'"
        f" to='{escape_attr(record.recipient)}' kind='{escape_attr(record.kind)}'{more}>"
    )


def _is_whole(data: bytes) -> bool:
    """Whether this is one well-formed element that depends on nothing around it."""
    parser = expat.ParserCreate("UTF-8", " ")
    try:
        parser.Parse(data, True)
    except expat.ExpatError:
        return False
    return True


def id_of(line: bytes) -> int | None:
    """The id of the message in a line, None where the line is none of a message."""
    if not line.startswith(MARK):
        return None
    return ids.from_text(line[_ID].decode("ascii", errors="replace"))


def lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines of a file; raises ValueError for one that is longer than any of ours."""
    while found := file.readline(MOST + 1):
        if len(found) > MOST:
            raise ValueError("a line is longer than any that this server writes")
        yield found


def places(file: BinaryIO, size: int) -> tuple[int, array[int], array[int]]:
    """Where the messages of a plain file stand: bytes of its beginning, the ids, and where each line starts, with the
    end of the last one. Only the first `size` bytes count."""
    found, starts = array("q"), array("q")
    position = 0
    beginning = end = -1
    for raw in lines(file):
        if position >= size:
            break
        id = id_of(raw)
        if id is not None:
            if beginning < 0:
                beginning = position
            found.append(id)
            starts.append(position)
            end = position + len(raw)
        elif raw == END:
            if beginning < 0:
                beginning = position
            break
        position += len(raw)
    if beginning < 0:
        beginning = position
    starts.append(end if end >= 0 else beginning)
    return beginning, found, starts
