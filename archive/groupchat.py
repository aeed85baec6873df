"""A user's archive with what was said in rooms (XEP-0313, 4.1.4): for clients that read all at one address.

Nothing is stored twice for it. What is added are the archives of the rooms of this server that the account may read
now, of which it is a member or in which it has spoken (`room_list.py`), with the ids that they have there; a question
for somebody's address adds only the room of that address. Each part is read by its own index and they are merged, so
a page costs a page of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from django.db.backends.base.base import BaseDatabaseWrapper

from archive import query, room_list, tally
from archive.filters import Filter, Row, owner_of
from mlink_web.accounts.models import Account

#: Rooms that a search looks into, those with the newest messages; without words all are read that `room_list` names.
_SEARCHED: Final = 20


def parts(connection: BaseDatabaseWrapper, wanted: Filter) -> list[Filter]:
    """The account's own archive, and those of its rooms, each with what is asked of it."""
    account = Account.objects.using(connection.alias).select_related("domain").filter(pk=wanted.account).first()
    rooms = room_list.readable(connection, account) if account is not None else []
    if wanted.peer:
        rooms = [room for room in rooms if room.address == wanted.peer]
    elif wanted.terms:
        rooms = rooms[:_SEARCHED]
    return [wanted, *(replace(wanted, account=owner_of(room.number), peer="") for room in rooms)]


def page(
    connection: BaseDatabaseWrapper, wanted: Sequence[Filter], limit: int, *, backwards: bool = False
) -> tuple[list[Row], bool]:
    """As query.page, of several archives together."""
    if len(wanted) == 1:
        return query.page(connection, wanted[0], limit, backwards=backwards)
    order = "DESC" if backwards else "ASC"
    found: dict[int, int] = {}
    with connection.cursor() as cursor:
        for part in wanted:
            cursor.execute(*query.ids_of(connection.vendor, part, order, limit + 1))
            found.update((id, part.account) for (id,) in cursor.fetchall())
    chosen = sorted(found, reverse=backwards)[:limit]
    rows = by_ids(connection, {id: found[id] for id in chosen})
    return rows, len(found) > limit


def by_ids(connection: BaseDatabaseWrapper, wanted: dict[int, int]) -> list[Row]:
    """These messages, by their ids, oldest first; the values are their owners."""
    rooms = {id: -owner for id, owner in wanted.items() if owner < 0}
    own = [id for id, owner in wanted.items() if owner > 0]
    rows = list(query.of_rooms(connection, rooms).values())
    if own:
        rows += query.by_ids(connection, wanted[own[0]], own)
    return sorted(rows, key=lambda row: row.id)


def among(connection: BaseDatabaseWrapper, wanted: Sequence[Filter], ids: Sequence[int]) -> list[Row]:
    """Those of these messages that stand in one of the archives, oldest first."""
    rows = {row.id: row for part in wanted for row in query.by_ids(connection, part.account, list(ids))}
    return [rows[id] for id in sorted(rows)]


def count(connection: BaseDatabaseWrapper, wanted: Sequence[Filter], *, most: int = tally.COUNTED) -> tally.Counted:
    """As tally.count, of several archives together."""
    number = 0
    exact = True
    for part in wanted:
        counted = tally.count(connection, part, most=most)
        number += counted.number
        exact = exact and counted.exact
    return tally.Counted(number, exact)
