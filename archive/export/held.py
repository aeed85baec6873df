"""Which messages each export holds, exactly, so that whoever redacts one learns which files had it.

The ids of an export are sorted, cut into parts and packed as differences (7 bits a byte, then zlib): four to five bytes
a message. A part's ends stand beside it, so that looking for a message opens few of them. The lists of all exports
together are bounded: beyond MOST the oldest lists go, and such an export counts as one that may hold any message
between the ends of its parts.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from django.db.models import Sum

from archive.export.models import Export, HeldIds

#: Messages of one part, of all lists together, and exports that are remembered.
PART: Final = 4_000
MOST: Final = 50_000_000
MOST_EXPORTS: Final = 20_000
#: Parts that are written, or let go of, in one transaction.
_AT_ONCE: Final = 20
#: Messages that are asked for at once.
_ASKED: Final = 200


@dataclass(frozen=True, slots=True)
class Holding:
    """An export with which of the messages asked for it holds; `certain` is False where its list is gone."""

    export: Export
    ids: tuple[int, ...]
    certain: bool


def note(export: Export, ids: Iterable[int]) -> int:
    """Write down which messages an export holds (ids in order), in place of what was noted of it before; returns how
    many. To be done before the file is given out."""
    clear(export)
    noted = 0
    source = iter(ids)
    while parts := list(_parts(source)):
        HeldIds.objects.bulk_create(
            HeldIds(export=export, low=part[0], high=part[-1], count=len(part), packed=pack(part)) for part in parts
        )
        noted += sum(map(len, parts))
    return noted


def clear(export: Export) -> None:
    """Forget which messages an export holds: its file was never made."""
    while some := list(HeldIds.objects.filter(export=export).values_list("pk", flat=True)[:_AT_ONCE]):
        HeldIds.objects.filter(pk__in=some).delete()


def exports_with(ids: Iterable[int]) -> list[Holding]:
    """The exports that hold any of these messages, the newest first: those whose files are gone, and those that are
    being made, too."""
    wanted = sorted(set(ids))
    found: dict[int, tuple[set[int], bool]] = {}
    for start in range(0, len(wanted), _ASKED):
        part = wanted[start : start + _ASKED]
        rows = HeldIds.objects.filter(low__lte=part[-1], high__gte=part[0]).iterator(chunk_size=50)
        for row in rows:
            near = [id for id in part if row.low <= id <= row.high]
            packed = bytes(row.packed)
            held = set(near) if not packed else set(near).intersection(unpack(packed)) if near else set()
            if held:
                known, certain = found.get(row.export_id, (set(), True))
                found[row.export_id] = known | held, certain and bool(packed)
    exports = Export.objects.filter(pk__in=found).order_by("-pk")
    return [Holding(export, tuple(sorted(found[export.pk][0])), found[export.pk][1]) for export in exports]


def bound(most: int = MOST, exports: int = MOST_EXPORTS) -> None:
    """Let go of the oldest lists beyond the bound, and of the oldest exports beyond theirs."""
    beyond = Export.objects.exclude(state=Export.State.ORDERED).order_by("-pk").values_list("pk", flat=True)
    for pk in list(beyond[exports : exports + _AT_ONCE]):
        clear(Export(pk=pk))
        Export.objects.filter(pk=pk).delete()
    listed = HeldIds.objects.exclude(packed=b"")
    whole = listed.aggregate(whole=Sum("count"))["whole"] or 0
    for pk, count in listed.order_by("pk").values_list("pk", "count").iterator(chunk_size=500):
        if whole <= most:
            return
        HeldIds.objects.filter(pk=pk).update(packed=b"")
        whole -= count


def _parts(ids: Iterator[int]) -> Iterator[list[int]]:
    """Some parts of what is left."""
    for _ in range(_AT_ONCE):
        part = list(islice(ids, PART))
        if not part:
            return
        yield part


def pack(ids: list[int]) -> bytes:
    """Sorted ids as bytes."""
    out = bytearray()
    last = 0
    for id in ids:
        left = id - last
        last = id
        while left > 0x7F:
            out.append(left & 0x7F | 0x80)
            left >>= 7
        out.append(left)
    return zlib.compress(bytes(out))


def unpack(packed: bytes) -> Iterator[int]:
    """The ids of such bytes."""
    id = value = shift = 0
    for byte in zlib.decompress(packed):
        value |= (byte & 0x7F) << shift
        if byte & 0x80:
            shift += 7
        else:
            id += value
            yield id
            value = shift = 0
