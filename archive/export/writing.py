"""Messages as text files: XML (the one form of the archive in files, `archive/records.py`) and JSON lines.

A file is written page by page and what has been written is noted with the messages that it is made of, so that a worker
that takes over goes on where the other one was killed.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import escape, quoteattr

from archive import events, ids, records
from archive.export.gathered import PAGE, Entry, Gathered
from archive.export.reading import Content, read
from archive.records import NAMESPACE
from xmpp_engine.api import build

_DOES: Final = {
    events.REPLY: "answers",
    events.REACTION: "reacts_to",
    events.CORRECTION: "corrects",
    events.RETRACTION: "retracts",
}
#: What may not stand in XML 1.0, even escaped. Stanzas have none of it; a row that is damaged may.
_FORBIDDEN: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")
_CHUNK: Final = 1 << 20

#: One message as a line of a file.
Form = Callable[[Entry], bytes]


def xml_line(entry: Entry) -> bytes:
    """A message as a `<record/>`, in a document whose default namespace is the archive's."""
    return f"{_legal(records.xml(entry.record, NAMESPACE))}\n".encode()


def xml_head(facts: Iterable[tuple[str, str]], *, made: float, by: str, messages: int) -> bytes:
    """The beginning of an XML file: what it is, as `archive.rng` describes it."""
    told = f" made={quoteattr(build.timestamp(made))} by={quoteattr(_legal(by))} messages='{messages}'"
    lines = [f"  <fact name={quoteattr(_legal(name))}>{escape(_legal(value))}</fact>" for name, value in facts]
    about = "\n".join([f"<about{told}>", *lines, "</about>"])
    return f"<?xml version='1.0' encoding='UTF-8'?>\n<archive xmlns='{NAMESPACE}'>\n{about}\n".encode()


XML_END: Final = b"</archive>\n"


def json_line(entry: Entry) -> bytes:
    """A message as an object on a line; docs/archive.md lists its fields."""
    text = json.dumps(_object(entry, read(entry.record.xml)), ensure_ascii=False, separators=(",", ":"))
    # Valid in JSON, but programs that read line by line may take them for ends of lines.
    text = text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029").replace("\x85", "\\u0085")
    return f"{text}\n".encode("utf-8", "replace")


def _object(entry: Entry, content: Content) -> dict[str, Any]:
    record = entry.record
    found: dict[str, Any] = {
        "id": record.key,
        "time": build.timestamp(record.stamp),
        "kind": record.kind,
        "from": record.sender,
        "to": record.recipient,
        "room": record.recipient if record.room else "",
        "nick": content.nick if record.room else "",
        "text": content.text,
        "body": content.body if content.body != content.text else "",
        "subject": content.subject,
        "thread": content.thread,
        "encrypted": content.encrypted,
        "marking": content.label.text if content.label is not None else "",
        "reactions": content.reactions,
        "invitation": content.invitation,
    }
    found = {name: value for name, value in found.items() if value or name in ("id", "time", "kind", "from", "to")}
    if entry.files:
        found["files"] = [
            {
                name: value
                for name, value in (
                    ("url", file.url),
                    ("name", file.name),
                    ("type", file.type),
                    ("size", file.size if file.size >= 0 else None),
                    ("about", file.about),
                    ("gone", file.gone),
                )
                if value not in ("", None)
            }
            for file in entry.files
        ]
    if entry.event in _DOES and content.event is not None:
        found[_DOES[entry.event]] = ids.text_of(entry.target) if entry.target else None
    held = [
        name for name, number in (("sender", record.sender_account), ("recipient", record.recipient_account)) if number
    ]
    if held:
        found["in"] = held
    if record.origin_id:
        found["origin_id"] = record.origin_id
    if content.removal is not None:
        told: dict[str, Any] = {
            "time": content.removal.stamp,
            "by": content.removal.by,
            "reason": content.removal.reason,
            "redaction": content.removal.redaction,
        }
        found["removed"] = {name: value for name, value in told.items() if value}
    if content.damaged:
        found["damaged"] = True
    found["stanza"] = record.xml
    return found


def write(
    gathered: Gathered, path: Path, form: Form, head: bytes, end: bytes, tell: Callable[[int], None] | None = None
) -> None:
    """Write all messages into a file, from where an earlier try has stopped. `tell` is told how many are written and
    may raise to end the work; OSError where the disk takes no more."""
    place = gathered.progress("written") or {"last": 0, "size": 0, "done": 0}
    if not path.exists() or path.stat().st_size < place["size"]:
        place = {"last": 0, "size": 0, "done": 0}
    last, done = place["last"], place["done"]
    with path.open("r+b" if path.exists() else "w+b") as file:
        file.truncate(place["size"])
        file.seek(place["size"])
        if not place["size"]:
            file.write(head)
        for page in pages(gathered.entries(last)):
            file.writelines(map(form, page))
            file.flush()
            last, done = page[-1].record.id, done + len(page)
            gathered.note(written={"last": last, "size": file.tell(), "done": done})
            if tell is not None:
                tell(done)
        file.write(end)


def write_some(entries: Iterable[Entry], path: Path, form: Form, head: bytes, end: bytes) -> None:
    """Write these messages into a new file."""
    with path.open("wb") as file:
        file.write(head)
        file.writelines(map(form, entries))
        file.write(end)


def pages(entries: Iterator[Entry]) -> Iterator[list[Entry]]:
    """Some hundreds at a time."""
    while page := list(islice(entries, PAGE)):
        yield page


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            found.update(chunk)
    return found.hexdigest()


def _legal(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)
