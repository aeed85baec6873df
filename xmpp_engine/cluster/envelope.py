"""Envelopes: one msgpack value behind a code that only nodes of this cluster can make (HMAC-SHA-256, half of it).

    code (16 bytes) | [version, kind, node, token, epoch, stamp, ...]

    BEAT    to all: serial, time, what the node says of itself, whom it hears
    LINK    to one: its name, both ends of the link, first sequence number, acknowledgement, flags, records
    REFUSE  to one: the token of the process that may not join, and the reason
    LEAVE   to all: the node stops

The first five values stay what they are in all versions, so that a node can say of any other why it does not talk to
it. Later versions add values at the end, of envelopes as of records, and arguments to questions: an older node reads
what it knows. Records are packed once, when they are posted, whoever gets them and however often they are sent; an
envelope of them is their bytes behind a header. What arrives has tuples where lists were.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Any, Final

import msgpack  # type: ignore[import-untyped]

#: The version that this program speaks: it understands the one before, and the one after understands it.
PROTOCOL: Final = 1
BEAT: Final = 0
LINK: Final = 1
REFUSE: Final = 2
LEAVE: Final = 3
#: Bytes of one record. More is an error of the program: what is long is posted in parts.
MAX_RECORD: Final = 1_048_576
_CODE: Final = 16
#: One packer for all records: making one costs as much as packing a record. The loop's thread alone uses it.
_PACKER: Final = msgpack.Packer()
#: What stands before the values that depend on the kind.
_SHARED: Final = 6


class Damaged(Exception):
    """No envelope of this cluster; the text says what is wrong."""


class RecordError(Exception):
    """A record cannot be sent: an error of the program."""


class Seal:
    """Makes and opens envelopes with the secret of the cluster."""

    __slots__ = ("_key",)

    def __init__(self, secret: str) -> None:
        self._key = hmac.digest(b"mlink cluster envelopes", secret.encode(), "sha256")

    def close(self, head: tuple[Any, ...], records: Sequence[bytes] | None = None) -> bytes:
        """An envelope of at most 14 values; `records`, packed ones, are the last one where given."""
        body: bytes = msgpack.packb(head)
        if records is not None:
            # One value more in the array of the head: its header is one byte.
            body = b"".join((bytes((0x91 + len(head),)), body[1:], _array(len(records)), *records))
        return hmac.digest(self._key, body, "sha256")[:_CODE] + body

    def open(self, data: bytes) -> tuple[Any, ...]:
        """The values; raises Damaged."""
        body = data[_CODE:]
        if not hmac.compare_digest(hmac.digest(self._key, body, "sha256")[:_CODE], data[:_CODE]):
            raise Damaged("it was not made with the secret of this cluster, or was changed on the way")
        try:
            values = msgpack.unpackb(body, use_list=False, strict_map_key=False)
        except (ValueError, msgpack.UnpackException) as error:
            raise Damaged(f"it cannot be read: {error}") from None
        if not isinstance(values, tuple) or len(values) < _SHARED or not isinstance(values[2], str):
            raise Damaged("it has another form")
        return values


def pack(record: tuple[Any, ...]) -> bytes:
    """A record as it travels; raises RecordError."""
    try:
        packed: bytes = _PACKER.pack(record)
    except (TypeError, ValueError, OverflowError) as error:
        _PACKER.reset()
        raise RecordError(f"the record {record[:1]!r} cannot be packed: {error}") from None
    if len(packed) > MAX_RECORD:
        raise RecordError(f"the record {record[:1]!r} has {len(packed)} bytes, {MAX_RECORD} are allowed")
    return packed


def unpack(packed: bytes) -> tuple[Any, ...]:
    """The record again."""
    record: tuple[Any, ...] = msgpack.unpackb(packed, use_list=False, strict_map_key=False)
    return record


def _array(length: int) -> bytes:
    """The header of an array in msgpack."""
    if length < 16:
        return bytes((0x90 | length,))
    if length < 65_536:
        return b"\xdc" + length.to_bytes(2, "big")
    return b"\xdd" + length.to_bytes(4, "big")
