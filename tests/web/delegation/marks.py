"""A server with two domains for tests of administrators of one: recognisable marks stand in everything that the other
domain has, in every table that there is, so that a page which shows any of it is caught."""

from __future__ import annotations

import time
from typing import Any

from django.apps import apps
from django.db import DatabaseError, models, transaction

from mlink_web.accounts import services as accounts
from mlink_web.accounts.models import Account
from mlink_web.audit import log as audit
from mlink_web.conf.models import Domain
from mlink_web.groups import services as groups
from mlink_web.invitations.models import Invitation
from mlink_web.node.client import EngineError
from mlink_web.reports.models import Report
from mlink_web.rooms.models import Room, RoomAffiliation
from mlink_web.uploads.models import Upload

MARK, OWN, OTHER = "zebra", "own.example", "zebra.example"
PASSWORD = "correct horse"
HALL, DEN = f"hall@conference.{OWN}", f"{MARK}-den@conference.{OTHER}"
NOW = time.time()


def make() -> None:
    """Fill the database: the same of each domain, and then a row with the mark in each table that has none yet."""
    for word, name in (("own", OWN), (MARK, OTHER)):
        domain = Domain.objects.create(name=name)
        _domain(word, domain)
    for app in apps.get_app_configs():
        # The audit log has its own writer, and takes nothing more where its head is not right.
        if app.name.split(".")[0] in ("mlink_web", "archive", "fdp") and app.label != "audit":
            for model in app.get_models():
                _mark(model)
    audit.record(f"{MARK}-root@{OTHER}", f"{MARK} did something", OTHER)


def _domain(word: str, domain: Domain) -> None:
    name = domain.name
    ann = accounts.create_account(f"{word}-ann@{name}", PASSWORD)
    accounts.create_account(f"{word}-root@{name}", PASSWORD, is_staff=True, is_superuser=True)
    group = groups.add_group(domain, f"{word} crew", f"All of the {word}s")
    groups.add_members(group, [ann.username])
    room = Room.objects.create(
        service=f"conference.{name}",
        local="hall" if word == "own" else f"{MARK}-den",
        config={"name": f"The {word} room"},
        creator=ann.username,
        last_activity=1.0,
    )
    RoomAffiliation.objects.create(room=room, jid=ann.username, affiliation="owner", nick=word)
    # A person of ours who has a part in a room of theirs.
    RoomAffiliation.objects.create(room=room, jid=f"own-ann@{OWN}", affiliation="member") if word == MARK else None
    Invitation.objects.create(
        digest=f"{word:0<64}", domain=name, kind="account", inviter=ann.username, created=NOW, expires=NOW + 9e5
    )
    Report.objects.create(
        domain=name, reporter=ann.username, reported="spammer@far.example", reason="spam", text=word, created=NOW
    )
    Upload.objects.create(
        token=f"{word:A<32}",
        secret="s",
        account_id=ann.pk,
        owner=ann.username,
        name=f"{word}.png",
        size=1,
        purpose="message",
        created=NOW,
        put_until=NOW,
        state="stored",
    )


def _mark(model: type[models.Model]) -> None:
    """A row of this table with the mark in its texts, where there is none."""
    texts = [field for field in model._meta.concrete_fields if _is_text(field)]
    if not texts or any(MARK in repr(row) for row in model.objects.values()):
        return
    values: dict[str, Any] = {}
    for field in model._meta.concrete_fields:
        if field.primary_key and isinstance(field, models.AutoField):
            continue
        if _is_text(field):
            values[field.name] = f"{MARK}-{model._meta.model_name}"[: field.max_length or 100]
        elif not field.has_default() and not field.null:
            values[field.attname] = _value(field)
    try:
        with transaction.atomic():
            model.objects.create(**values)
    except (DatabaseError, ValueError, TypeError):
        return


def _is_text(field: models.Field[Any, Any]) -> bool:
    return isinstance(field, models.CharField | models.TextField) and not field.choices


def _value(field: models.Field[Any, Any]) -> Any:
    if isinstance(field, models.ForeignKey | models.OneToOneField):
        if field.related_model is Account:
            return Account.objects.get(username=f"{MARK}-ann@{OTHER}").pk
        if field.related_model is Domain:
            return Domain.objects.get(name=OTHER).pk
        last = field.related_model.objects.order_by("pk").last()
        return last.pk if last is not None else None
    if field.choices:
        return field.choices[0][0]
    if isinstance(field, models.BooleanField):
        return True
    if isinstance(field, models.BinaryField):
        return MARK.encode()
    if isinstance(field, models.JSONField):
        return [MARK]
    return 1


def rows_of_the_other() -> dict[str, list[str]]:
    """Everything that has the mark, by table: what nobody of the own domain may change."""
    found = {}
    for app in apps.get_app_configs():
        if app.name.split(".")[0] in ("mlink_web", "archive", "fdp") and app.label != "audit":
            for model in app.get_models():
                rows = [repr(row) for row in model.objects.order_by("pk").values()]
                found[model._meta.label] = [row for row in rows if MARK in row]
    return found


class Node:
    """In place of the running node: it has sessions and rooms of both domains, answers everything about both, and notes
    what it is told to change."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []

    async def call(self, _client: Any, command: str, **arguments: str) -> Any:
        """As EngineClient.call."""
        self.asked.append((command, arguments))
        answer = getattr(self, command.replace(" ", "_").replace("-", "_"), None)
        if answer is None:
            raise EngineError(f"There is no room service x; there are: conference.{OWN}, conference.{OTHER}.")
        return answer(**arguments)

    def sessions(self, jid: str = "") -> list[dict[str, Any]]:
        names = (f"own-ann@{OWN}/desk", f"{MARK}-ann@{OTHER}/desk", f"{MARK}-root@{OTHER}/desk")
        return [_session(name) for name in names if not jid or name.startswith(f"{jid}/")]

    def stats(self) -> dict[str, Any]:
        return {"sessions": 777, "rooms": 777, "occupants": 777, "messages": 777, "uptime": 777.0}

    def kick(self, jid: str) -> dict[str, Any]:
        return {"jid": jid, "ended": 1}

    def room_list(self, service: str = "", **_more: str) -> list[dict[str, Any]]:
        rooms = [_room(HALL), _room(DEN)]
        return [row for row in rooms if not service or row["room"].endswith(f"@{service}")]

    def room_page(self, service: str = "", start: str = "0", limit: str = "50", **_more: str) -> dict[str, Any]:
        rows = self.room_list(service)
        found = rows[int(start) : int(start) + int(limit)]
        services = [f"conference.{OWN}", f"conference.{OTHER}"]
        return {"total": len(rows), "waiting": sum(row["waits"] for row in rows), "services": services, "rooms": found}

    def room_show(self, room: str) -> dict[str, Any]:
        texts = ("description", "subject", "subject_by", "subject_since", "created", "creator")
        return {**_room(room), **dict.fromkeys(texts, ""), "members_only": True, "moderated": False, "password": False}

    def room_occupants(self, room: str) -> list[dict[str, Any]]:
        return [{"nick": room, "jids": [f"x@{room.partition('@')[2]}"], "role": "visitor", "affiliation": "none"}]

    def room_affiliations(self, room: str) -> list[dict[str, Any]]:
        return [{"jid": f"x@{room.partition('@')[2]}", "affiliation": "owner", "nick": room, "reason": ""}]

    def room_config(self, room: str) -> list[dict[str, Any]]:
        common = {"options": [], "help": "", "open": False}
        return [
            {"field": "muc#roomconfig_roomname", "label": "Name", "type": "text-single", "values": [room], **common}
        ]

    def room_idle(self, service: str = "", remove: str = "no", only: str = "", **_more: str) -> list[dict[str, Any]]:
        wanted = only.split()
        rows = [row for row in self.room_list(service) if not wanted or row["room"] in wanted]
        return [{**row, "removed": True} if remove == "yes" else row for row in rows]

    def room_configure(self, room: str, **_more: str) -> dict[str, Any]:
        return {"room": room, "changed": []}

    def room_create(self, room: str, owner: str, **_more: str) -> dict[str, Any]:
        return {"room": room, "owner": owner}

    def _done(self, **_arguments: str) -> dict[str, Any]:
        return {}

    room_subject = room_kick = room_approve = room_affiliate = room_clear_history = room_destroy = _done
    device_end = push_refresh = refresh = _done


def _session(jid: str) -> dict[str, Any]:
    return {
        "jid": jid,
        "address": "192.0.2.1",
        "transport": "tcp",
        "tls": "TLSv1.3",
        "secure": True,
        "since": NOW,
        "available": True,
        "show": "",
        "unacked": 0,
        "queued_bytes": 0,
    }


def _room(address: str) -> dict[str, Any]:
    word = MARK if MARK in address else "own"
    return {
        "room": address,
        "name": f"The {word} room",
        "occupants": 2,
        "affiliated": 1,
        "persistent": True,
        "public": True,
        "waits": word == MARK,
        "last_activity": "2026-01-01T00:00:00Z",
    }
