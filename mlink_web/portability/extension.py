"""What XEP-0227 has no place for, as JSON lines beside the XML: rooms with their lists, nodes of publish-subscribe
services with their items, topics of forms, groups. One file for each domain; docs/portability.md says what stands in a
line. The first line names the format, each other one is an object with one key that says what it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Final

from django.db.backends.base.base import BaseDatabaseWrapper as Database

from fdp import transfer
from fdp.models import Topic
from mlink_web.conf.models import Domain
from mlink_web.groups.models import Group
from mlink_web.portability import names, person
from mlink_web.pubsub import nodes
from mlink_web.pubsub.models import Service
from mlink_web.rooms.models import Room, RoomAffiliation
from mlink_web.rooms.store import ROOM_FIELDS

#: Entries of a room's lists in one line.
_ENTRIES: Final = 500
Line = dict[str, Any]


def lines(database: Database, domain: str) -> Iterator[Line]:
    """Everything of a domain that is not an account's."""
    yield {"format": names.EXTENSION_FORMAT, "version": names.EXTENSION_VERSION, "domain": domain}
    served = list(Domain.objects.using(database.alias).values_list("name", flat=True))
    yield from _groups(database, domain)
    for service in _of(domain, served, Room.objects.using(database.alias).values_list("service", flat=True).distinct()):
        yield from _rooms(database, service)
    topics = Topic.objects.using(database.alias).filter(removed=0)
    forms = _of(domain, served, topics.values_list("service", flat=True).distinct())
    for service in forms:
        yield {"topics": {"service": service, **transfer.export_topics(topics.filter(service=service))}}
    services = Service.objects.using(database.alias).exclude(address__contains="@")
    for service in _of(domain, served, services.values_list("address", flat=True)):
        # Nodes of a forms service follow its topics.
        if service not in forms:
            yield from _nodes(database, service)


def text(line: Line) -> str:
    """A line of the file."""
    return json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n"


def _of(domain: str, served: list[str], services: Any) -> list[str]:
    """Those of some services that belong to a domain, and not to a longer one that is served too."""
    found = []
    for service in sorted(set(services)):
        owners = [name for name in served if service == name or service.endswith(f".{name}")]
        if owners and max(owners, key=len) == domain:
            found.append(service)
    return found


def _groups(database: Database, domain: str) -> Iterator[Line]:
    group: Any
    for group in Group.objects.using(database.alias).filter(domain__name=domain).order_by("name"):
        members = list(group.members.order_by("jid").values_list("jid", flat=True))
        yield {"group": {"name": group.name, "description": group.description, "members": members}}


def _rooms(database: Database, service: str) -> Iterator[Line]:
    after = ""
    while True:
        rows = Room.objects.using(database.alias).filter(service=service, local__gt=after).order_by("local")
        page = list(rows[: person.PAGE])
        for room in page:
            values = {name: getattr(room, name) for name in ROOM_FIELDS}
            yield {"room": {"service": service, "local": room.local, **values}}
            yield from _lists(database, room)
        if len(page) < person.PAGE:
            return
        after = page[-1].local


def _lists(database: Database, room: Room) -> Iterator[Line]:
    """What a room's lists say of people; entries that only tell that there was something are left out (XEP-0463)."""
    rows = RoomAffiliation.objects.using(database.alias).filter(room=room).exclude(affiliation="none", nick="")
    some: list[Line] = []
    for row in rows.order_by("jid").iterator(chunk_size=_ENTRIES):
        some.append({"jid": row.jid, "affiliation": row.affiliation, "nick": row.nick, "reason": row.reason})
        if len(some) >= _ENTRIES:
            yield {"affiliations": {"service": room.service, "local": room.local, "entries": some}}
            some = []
    if some:
        yield {"affiliations": {"service": room.service, "local": room.local, "entries": some}}


def _nodes(database: Database, service: str) -> Iterator[Line]:
    after = ""
    while True:
        page = nodes.summaries(database, service, after, 50)
        for record in nodes.load(database, service, [summary.name for summary in page]):
            yield {
                "node": {
                    "service": service,
                    "name": record.name,
                    "kind": record.kind,
                    "config": record.config,
                    "creator": record.creator,
                    "created": record.created,
                    "affiliations": dict(sorted(record.affiliations.items())),
                    "subscriptions": [asdict(entry) for _id, entry in sorted(record.subscriptions.items())],
                }
            }
            for item in person.all_items(database, record.number):
                kept = {"id": item.id, "payload": item.payload, "publisher": item.publisher}
                times = {"published": item.published, "expire": item.expire}
                yield {"item": {"service": service, "node": record.name, **kept, **times}}
        if len(page) < 50:
            return
        after = page[-1].name
