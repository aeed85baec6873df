"""A list of revoked certificates from a directory: one question of LDAP (RFC 4511), asked without a bind, that is
anonymously (RFC 4513, 5.1), of the entry that an address names (RFC 4516).

    ldap://host:port/cn=Authority,o=Example?certificateRevocationList;binary

The entry itself is read and nothing else: addresses with another scope are refused, and a filter, which could only hide
the entry, is not looked at. References to other directories are not followed. What comes is signed, so nothing here has
to be believed. This is no general client: it needs the two messages below, and waits within a bound of time for as many
bytes as a list may have.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote, urlsplit

from xmpp_engine.s2s.anchors import parse_list
from xmpp_engine.s2s.names import UNREADABLE

PORT: Final = 389
#: RFC 4523, 2.9; what the address may ask for instead is in its form (RFC 4512, 2.5).
LIST: Final = "certificateRevocationList"
_ATTRIBUTE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,99}(;binary)?", re.IGNORECASE)
#: Bytes of an entry beside those of the list.
_ROOM: Final = 65_536
#: Messages of one answer, and values of one entry that are looked at.
_MESSAGES: Final = 20
_VALUES: Final = 10
#: Tags of RFC 4511.
_INTEGER, _OCTETS, _ENUMERATED, _SEQUENCE, _BOOLEAN = 0x02, 0x04, 0x0A, 0x30, 0x01
_UNBIND, _SEARCH, _ENTRY, _DONE, _REFERENCE, _PRESENT, _EXTENDED = 0x42, 0x63, 0x64, 0x65, 0x73, 0x87, 0x78
_RESULTS: Final = {32: "there is no such entry", 10: "it names another directory", 50: "strangers may not read it"}


async def fetch(url: str, limit: int, seconds: float) -> bytes:
    """The list at an `ldap:` address, of several the newest, within bounds of size and time; raises OSError or
    ValueError."""
    host, port, entry, attribute = parse(url)
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(_question(entry, attribute, int(seconds) + 1))
                await writer.drain()
                values = await _answer(reader, attribute, limit)
                with contextlib.suppress(OSError):
                    writer.write(_message(2, bytes([_UNBIND, 0])))
            finally:
                writer.close()
    except TimeoutError:
        raise OSError(f"no answer within {seconds:.0f} seconds") from None
    except EOFError:
        raise OSError("the directory ended the connection") from None
    if not values:
        raise ValueError(f"the entry has no {attribute}")
    return values[0] if len(values) == 1 else await asyncio.to_thread(_newest, values)


def parse(url: str) -> tuple[str, int, str, str]:
    """Host, port, entry and attribute of an address; raises ValueError."""
    parts = urlsplit(url)
    attributes, scope, _filter, extensions = (parts.query.split("?") + [""] * 4)[:4]
    if not parts.hostname:
        raise ValueError("the address names no directory")
    if scope not in ("", "base"):
        raise ValueError("the address names more than one entry")
    if any(one.startswith("!") for one in extensions.split(",")):
        raise ValueError("the address has an extension that is not understood")
    attribute = unquote(attributes).partition(",")[0] or LIST
    if _ATTRIBUTE.fullmatch(attribute) is None:
        raise ValueError("the address names no attribute")
    entry = unquote(parts.path.removeprefix("/"), errors="strict")
    return parts.hostname, parts.port or PORT, entry, re.sub(";binary$", "", attribute, flags=re.IGNORECASE)


def _question(entry: str, attribute: str, seconds: int) -> bytes:
    """A search for one attribute of one entry (RFC 4511, 4.5.1). A list is to be asked for as `;binary` (RFC 4523,
    2.9); not every directory calls it so."""
    wanted = _tlv(_OCTETS, f"{attribute};binary".encode()) + _tlv(_OCTETS, attribute.encode())
    return _message(
        1,
        _tlv(
            _SEARCH,
            _tlv(_OCTETS, entry.encode())
            + _tlv(_ENUMERATED, b"\0")  # this entry only
            + _tlv(_ENUMERATED, b"\0")  # aliases are not followed
            + _tlv(_INTEGER, b"\1")
            + _tlv(_INTEGER, bytes([min(seconds, 100)]))
            + _tlv(_BOOLEAN, b"\0")
            + _tlv(_PRESENT, b"objectClass")
            + _tlv(_SEQUENCE, wanted),
        ),
    )


async def _answer(reader: asyncio.StreamReader, attribute: str, limit: int) -> list[bytes]:
    """The values of the entry; raises OSError, EOFError or ValueError."""
    values: list[bytes] = []
    for _ in range(_MESSAGES):
        _, operation, content = _opened(await _read(reader, limit + _ROOM))
        if operation == _ENTRY:
            values += _values(content, attribute)
            if any(len(value) > limit for value in values):
                raise ValueError(f"more than {limit} bytes")
        elif operation == _DONE:
            code = int.from_bytes(_row(content, 1)[0])
            if code:
                raise ValueError(_RESULTS.get(code, f"the directory refuses to answer (result {code})"))
            return values
        elif operation == _EXTENDED:
            raise OSError("the directory ended the connection")
        elif operation != _REFERENCE:
            raise ValueError("the directory speaks no LDAP")
    raise ValueError("the answer has too many parts")


def _values(content: bytes, attribute: str) -> list[bytes]:
    """The lists in an entry (RFC 4511, 4.5.2)."""
    found: list[bytes] = []
    _name, attributes = _row(content, 2)
    for _, one in _parts(attributes):
        kind, values = _row(one, 2)
        if kind.decode().lower() in (attribute.lower(), f"{attribute.lower()};binary"):
            found += [value for _, value in _parts(values)]
    return found[:_VALUES]


def _newest(values: list[bytes]) -> bytes:
    """Some directories keep lists of former keys, or of the month before, beside the one that holds."""
    dated = []
    for value in values:
        try:
            dated.append((parse_list(value).last_update_utc, value))
        except UNREADABLE:
            continue
    return max(dated)[1] if dated else values[0]


async def _read(reader: asyncio.StreamReader, limit: int) -> bytes:
    """The content of one message."""
    tag, first = await reader.readexactly(2)
    if tag != _SEQUENCE:
        raise ValueError("the directory speaks no LDAP")
    length = first
    if first & 0x80:
        # Some pad it: 84 00 00 01 2c.
        length = int.from_bytes(await reader.readexactly(_size(first)))
    if length > limit:
        raise ValueError(f"more than {limit} bytes")
    return await reader.readexactly(length)


def _opened(message: bytes) -> tuple[int, int, bytes]:
    """Number, operation and content of a message."""
    parts = list(_parts(message))[:2]
    if len(parts) < 2:
        raise ValueError("the answer of the directory is cut off")
    (_, number), (operation, content) = parts
    return int.from_bytes(number), operation, content


def _row(data: bytes, number: int) -> list[bytes]:
    """The contents of the first so many elements; raises ValueError."""
    found = [content for _, content in _parts(data)][:number]
    if len(found) < number:
        raise ValueError("the answer of the directory is cut off")
    return found


def _parts(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of the elements that stand in a row (BER, definite lengths: RFC 4511, 5.1); raises ValueError."""
    place = 0
    while place < len(data):
        if place + 2 > len(data):
            raise ValueError("the answer of the directory is cut off")
        tag, length = data[place], data[place + 1]
        place += 2
        if length & 0x80:
            size = _size(length)
            length, place = int.from_bytes(data[place : place + size]), place + size
        if place + length > len(data):
            raise ValueError("the answer of the directory is cut off")
        yield tag, data[place : place + length]
        place += length


def _size(first: int) -> int:
    """How many bytes a length has that does not fit into one."""
    size = first & 0x7F
    if not 1 <= size <= 4:
        raise ValueError("the directory speaks no LDAP")
    return size


def _message(number: int, operation: bytes) -> bytes:
    return _tlv(_SEQUENCE, _tlv(_INTEGER, bytes([number])) + operation)


def _tlv(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 0x80:
        return bytes([tag, length]) + content
    size = (length.bit_length() + 7) // 8
    return bytes([tag, 0x80 | size]) + length.to_bytes(size) + content
