"""Exports in tests: people and rooms with messages, and files made of them without a worker."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.db import connection
from lxml import etree

from archive import ids, indexing
from archive.document import element_of
from archive.export import making, producing
from archive.export.models import Export
from archive.export.ordered import Order
from archive.models import Event, Message
from archive.text import for_postgres, index_text
from archive.weigh import weigh
from mlink_web.accounts import services
from mlink_web.accounts.models import Account
from mlink_web.conf.models import Domain
from mlink_web.rooms.models import Room, RoomAffiliation
from xmpp_engine.api import Jid, Stanza
from xmpp_engine.xml.writer import escape

START = 1_790_000_000.0
SCHEMA = Path(producing.__file__).parent / "archive.rng"
NAMESPACE = "{urn:mlink:archive:0}"


def account(name: str, **fields: Any) -> Account:
    """Somebody at localhost."""
    Domain.objects.get_or_create(name="localhost")
    made = services.create_account(f"{name}@localhost", "correct horse")
    for field, value in fields.items():
        setattr(made, field, value)
    made.save()
    return made


def room(local: str, members: dict[str, str], **config: Any) -> Room:
    """A room at rooms.localhost with affiliations by address."""
    made = Room.objects.create(service="rooms.localhost", local=local, config=config)
    for jid, affiliation in members.items():
        RoomAffiliation.objects.create(room=made, jid=jid, affiliation=affiliation)
    return made


def say(
    sender: Account | str,
    to: Account | str | Room,
    content: str,
    after: float = 0.0,
    *,
    nick: str = "",
    id: str = "",
    kind: str = "",
) -> int:
    """Archive a message some seconds after START as a node does; `content` is inner XML or a text. Returns its id."""
    in_room = isinstance(to, Room)
    key = ids.first_at(START + after)
    while Message.objects.filter(pk=key).exists():
        key += 1
    inner = content if content.startswith("<") else f"<body>{escape(content)}</body>"
    source = f"{to}/{nick or str(sender).partition('@')[0]}" if in_room else f"{sender}/phone"
    if str(sender) == str(to):
        source = str(to)  # the room itself
    kind = kind or ("groupchat" if in_room else "chat")
    origin = id or secrets.token_hex(4)
    address = "" if in_room else f" to='{to}'"
    xml = f"<message from='{source}' type='{kind}'{address} id='{origin}'>{inner}</message>"
    weight = weigh(Stanza(element_of(xml), None, Jid.parse(source), kind)) or ("", origin, None)
    Message.objects.create(
        id=key,
        sender=str(sender),
        recipient=str(to),
        sender_account=sender.pk if isinstance(sender, Account) and not in_room else None,
        recipient_account=to.pk if isinstance(to, Account) else None,
        kind=kind,
        search=for_postgres(index_text(weight[0])),
        origin_id=weight[1],
        xml=xml,
        room=to.pk if in_room else None,
    )
    if weight[2] is not None:
        Event.objects.create(id=key, kind=weight[2][0], named=weight[2][1])
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO archive_slice (low, high, size) VALUES (%s, %s, 1)", [key, key])
    return key


def settle() -> None:
    """Let everything have its effect."""
    indexing.catch_up(connection, words=True)


def nothing(_done: int, _total: int) -> None:
    """Progress that nobody looks at."""


def make(
    order: Order, folder: Path, *, tell: Callable[[int, int], None] = nothing, volume: int = producing.VOLUME
) -> tuple[producing.Made, Export]:
    """The file of an order."""
    folder.mkdir(exist_ok=True)
    export = making.remember(order, secrets.token_urlsafe(24), "a test")
    return producing.produce(
        connection, order, lambda: order.source(connection), export, folder, tell, volume=volume
    ), export


def own_xml(owner: Account, folder: Path, **wanted: Any) -> etree._Element:
    """One's own archive as XML, valid by the schema."""
    made, _export = make(making.own_order(owner, format="xml", **wanted), folder)
    return valid(made.path.read_bytes())


def valid(content: bytes) -> etree._Element:
    """The document, held against the schema."""
    document = etree.fromstring(content)
    schema = etree.RelaxNG(etree.parse(str(SCHEMA)))
    schema.assertValid(document)
    return document


def bodies(document: etree._Element) -> list[str]:
    """What the messages of a document say, "" for one without text."""
    return [
        record.findtext("{jabber:client}message/{jabber:client}body") or ""
        for record in document.findall(f"{NAMESPACE}record")
    ]


def own_json(owner: Account, folder: Path, **wanted: Any) -> list[dict[str, Any]]:
    """One's own archive as objects."""
    made, _export = make(making.own_order(owner, format="jsonl", **wanted), folder)
    return [json.loads(line) for line in made.path.read_text().splitlines()]
