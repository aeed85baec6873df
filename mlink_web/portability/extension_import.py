"""Reads our JSON lines (`extension.py`): rooms, nodes of services, topics of forms, groups. What is there stays as it
is, whatever the policy: a running node may have it in memory. What is missing is made."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import IO, Any, Final

from django.db import DEFAULT_DB_ALIAS, connections, transaction

from fdp import transfer
from fdp.models import Topic
from mlink_web.conf.models import Domain
from mlink_web.groups import services as groups
from mlink_web.groups.models import Group
from mlink_web.portability import names
from mlink_web.portability.mapping import Addresses
from mlink_web.portability.names import shown
from mlink_web.portability.sources import BadSource
from mlink_web.pubsub import items, nodes
from mlink_web.pubsub.changes import apply_changes
from mlink_web.rooms.models import Room, RoomAffiliation
from xmpp_engine.api import JidError, stored_pubsub, stored_rooms

#: Bytes of one line.
LINE_BYTES: Final = 24 * 1024 * 1024
_CHUNK: Final = 65_536
_MAX_TROUBLES: Final = 200
_BATCH: Final = 200
_NUMBERS: Final = ("subject_time", "created", "last_activity")
_AFFILIATIONS: Final = frozenset({"owner", "admin", "member", "outcast", "none"})


class Extension:
    """Takes the lines of an import's files."""

    def __init__(self, alias: str, addresses: Addresses, policy: str, *, dry: bool) -> None:
        self._alias = alias
        self._addresses = addresses
        self._policy = policy
        self._dry = dry
        self.counts: Counter[str] = Counter()
        self.troubles: list[str] = []
        self._domains = set(Domain.objects.using(alias).values_list("name", flat=True))
        self._domain = ""
        #: The room or node that the lines that follow are about, None for one that stays as it is.
        self._room: Room | None = None
        self._node: stored_pubsub.NodeRecord | None = None
        self._items: list[stored_pubsub.Item] = []

    def take(self, file: IO[bytes], note: Callable[[], None]) -> None:
        """Take a file; raises BadSource where it is none of ours."""
        takers: dict[str, Callable[[dict[str, Any]], None]] = {
            "group": self._group,
            "room": self._take_room,
            "affiliations": self._affiliations,
            "topics": self._topics,
            "node": self._take_node,
            "item": self._item,
        }
        lines = _lines(file)
        self._header(next(lines, b""))
        for number, line in enumerate(lines, 2):
            try:
                value = json.loads(line)
                ((what, content),) = value.items()
                if not isinstance(content, dict):
                    raise ValueError("not an object")
                taker = takers[what]
            except (ValueError, KeyError, AttributeError, RecursionError):
                self._trouble(f"Line {number} is not understood.")
                continue
            if what != "item":
                self._flush()
            try:
                taker(content)
            except (ValueError, TypeError, KeyError, JidError) as error:
                self._trouble(f"Line {number} ({what}): {error}")
            note()
        self._flush()

    def _header(self, line: bytes) -> None:
        try:
            head = json.loads(line)
            right = head["format"] == names.EXTENSION_FORMAT and head["version"] == names.EXTENSION_VERSION
        except (ValueError, KeyError, TypeError, RecursionError):
            right = False
        if not right:
            raise BadSource("This is no file that this version reads.")
        try:
            self._domain = self._addresses.domain(str(head["domain"]))
        except (KeyError, JidError):
            raise BadSource("It does not say of which domain it tells.") from None

    def _trouble(self, sentence: str) -> None:
        if len(self.troubles) < _MAX_TROUBLES:
            self.troubles.append(sentence[:1_000])

    def _service(self, content: dict[str, Any]) -> str:
        service = self._addresses.domain(str(content["service"]))
        if not any(service == name or service.endswith(f".{name}") for name in self._domains):
            raise ValueError(f"{service} is below no domain that is served here")
        return service

    # Groups and topics

    def _group(self, content: dict[str, Any]) -> None:
        name, members = str(content["name"]), [self._addresses.text(str(jid)) for jid in content.get("members", ())]
        if Group.objects.using(self._alias).filter(name=name).exists():
            return
        if self._alias != DEFAULT_DB_ALIAS:
            raise ValueError("groups are made in the default database only")
        groups.canonical_name(name)
        domain = Domain.objects.filter(name=self._domain).first()
        if domain is None:
            raise ValueError(f"the domain {self._domain} is not served here")
        self.counts["groups"] += 1
        if not self._dry:
            made = groups.add_group(domain, name, str(content.get("description", "")))
            for start in range(0, len(members), groups.MAX_ADDED):
                groups.add_members(made, members[start : start + groups.MAX_ADDED])

    def _topics(self, content: dict[str, Any]) -> None:
        service = self._service(content)
        document = {key: value for key, value in content.items() if key != "service"}
        there = set(
            Topic.objects.using(self._alias).filter(service=service, removed=0).values_list("suffix", flat=True)
        )
        document["topics"] = [topic for topic in document.get("topics", ()) if topic.get("suffix") not in there]
        if not document["topics"]:
            return
        if self._alias != DEFAULT_DB_ALIAS:
            raise ValueError("topics are made in the default database only")
        self.counts["topics"] += len(document["topics"])
        if not self._dry:
            transfer.import_topics(document, service)

    # Rooms

    def _take_room(self, content: dict[str, Any]) -> None:
        self._room = None
        service = self._service(content)
        local = str(content["local"])
        jid = self._addresses.jid(f"{local}@{service}")
        if Room.objects.using(self._alias).filter(service=jid.domain, local=jid.local).exists():
            self.counts["rooms there already"] += 1
            return
        record = stored_rooms.RoomRecord(jid.domain, jid.local)
        for name in ("config", "extras", "activity"):
            setattr(record, name, dict(content.get(name) or {}))
        for name in _NUMBERS:
            setattr(record, name, float(content.get(name) or 0.0))
        record.subject, record.subject_nick = str(content.get("subject", "")), str(content.get("subject_nick", ""))
        record.creator = self._addresses.text(str(content.get("creator", "")))
        record.approved = bool(content.get("approved", False))
        stored_rooms.check_record(record)
        self.counts["rooms"] += 1
        row = Room(
            service=record.service,
            local=record.local,
            config=record.config,
            subject=record.subject,
            subject_nick=record.subject_nick,
            subject_time=record.subject_time,
            created=record.created,
            creator=record.creator,
            last_activity=record.last_activity,
            extras=record.extras,
            approved=record.approved,
            activity=record.activity,
        )
        if not self._dry:
            row.save(using=self._alias, force_insert=True)
        self._room = row

    def _affiliations(self, content: dict[str, Any]) -> None:
        room = self._room
        if room is None:
            return
        rows: dict[str, RoomAffiliation] = {}
        for entry in content["entries"]:
            jid = self._addresses.text(str(entry["jid"]))
            made = stored_rooms.RoomAffiliation(
                jid, entry["affiliation"], str(entry.get("nick", "")), str(entry.get("reason", "")), 1
            )
            if made.affiliation not in _AFFILIATIONS:
                raise ValueError(f"there is no affiliation {shown(str(made.affiliation))}")
            stored_rooms.check_entry(made)
            rows[jid] = RoomAffiliation(
                room_id=room.pk,
                jid=jid,
                affiliation=made.affiliation,
                nick=made.nick,
                reason=made.reason,
                version=1,
            )
        self.counts["affiliations"] += len(rows)
        if not self._dry:
            with transaction.atomic(using=self._alias):
                Room.objects.using(self._alias).filter(pk=room.pk).update(affiliation_version=1)
                RoomAffiliation.objects.using(self._alias).bulk_create(rows.values(), ignore_conflicts=True)

    # Nodes of services

    def _take_node(self, content: dict[str, Any]) -> None:
        self._node = None
        service = self._service(content)
        name = str(content["name"])
        database = connections[self._alias]
        if nodes.load(database, service, [name]):
            self.counts["nodes of services there already"] += 1
            return
        text = self._addresses.text
        subscriptions = {}
        for entry in content.get("subscriptions", ()):
            one = stored_pubsub.Subscription(
                text(str(entry["jid"])),
                str(entry["subid"]),
                entry["state"],
                dict(entry.get("options") or {}),
                float(entry.get("expire") or 0.0),
            )
            subscriptions[one.subid] = one
        record = stored_pubsub.NodeRecord(
            service,
            name,
            kind=content.get("kind", "leaf"),
            config=dict(content.get("config") or {}),
            creator=text(str(content.get("creator", ""))),
            created=float(content.get("created") or time.time()),
            affiliations={text(str(jid)): kind for jid, kind in dict(content.get("affiliations") or {}).items()},
            subscriptions=subscriptions,
        )
        stored_pubsub.check_node(record)
        self.counts["nodes of services"] += 1
        if not self._dry:
            record.number = nodes.create(database, record)
        self._node = record

    def _item(self, content: dict[str, Any]) -> None:
        if self._node is None:
            return
        self._items.append(
            stored_pubsub.Item(
                str(content["id"]),
                str(content.get("payload", "")),
                self._addresses.text(str(content.get("publisher", ""))),
                float(content.get("published") or 0.0),
                expire=float(content.get("expire") or 0.0),
            )
        )
        if len(self._items) >= _BATCH:
            self._flush()

    def _flush(self) -> None:
        """Write the items that wait."""
        waiting, self._items = self._items, []
        if not waiting or self._node is None:
            return
        self.counts["items of services"] += len(waiting)
        if self._dry:
            return
        number, database = self._node.number, connections[self._alias]
        present = {item.id for item in items.by_id(database, number, [item.id for item in waiting])}
        with transaction.atomic(using=self._alias):
            changes = [stored_pubsub.PutItem(number, item) for item in waiting if item.id not in present]
            apply_changes(database, changes)


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    """The lines of a file; raises BadSource for one that is too long."""
    rest = b""
    while chunk := file.read(_CHUNK):
        *whole, rest = (rest + chunk).split(b"\n")
        yield from whole
        if len(rest) > LINE_BYTES:
            raise BadSource("It has a line that is too long.")
    if rest.strip():
        yield rest
