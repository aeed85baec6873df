"""Messages in the default database for the pages of officers, and people with their rights."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from django.db import connection

from archive import ids
from archive.models import Event, Message
from archive.oversight import officers
from archive.text import for_postgres, index_text
from mlink_web.accounts import services
from mlink_web.accounts.models import Account
from mlink_web.audit.models import Entry
from mlink_web.conf.models import Domain
from xmpp_engine.xml.writer import escape as xml_escape

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
PASSWORD = "correct horse"
#: Who appoints in tests.
BOSS = "boss@localhost"


def person(address: str, **given: bool) -> Account:
    """An account; its domain is made when it is not there."""
    Domain.objects.get_or_create(name=address.partition("@")[2])
    return services.create_account(address, PASSWORD, **given)


def officer(address: str, *rights: str, domains: list[str] | None = None) -> Account:
    """An archive officer who is no administrator."""
    made = person(address)
    officers.appoint(address, rights, domains, by=BOSS)
    return made


def say(
    sender: str | Account,
    recipient: str | Account,
    body: str,
    minutes: float = 0,
    *,
    room: int = 0,
    nick: str = "nick",
    inner: str = "",
    act: tuple[int, str] | None = None,
) -> str:
    """Archive a message some minutes after START; returns its id as text."""
    one, other = (str(side) for side in (sender, recipient))
    id = ids.first_at((START + timedelta(minutes=minutes)).timestamp())
    while Message.objects.filter(pk=id).exists():
        id += 1
    source = f"{other}/{xml_escape(nick)}" if room else f"{one}/phone"
    kind = "groupchat" if room else "chat"
    content = f"<body>{xml_escape(body)}</body>{inner}" if body else inner
    Message.objects.create(
        id=id,
        sender=one,
        recipient=other,
        sender_account=sender.pk if isinstance(sender, Account) and not room else None,
        recipient_account=recipient.pk if isinstance(recipient, Account) else None,
        kind=kind,
        search=for_postgres(index_text(body)),
        origin_id=f"o{id}",
        xml=f"<message from='{source}' type='{kind}' to='{other}' id='s{id}'>{content}</message>",
        room=room or None,
    )
    if act is not None:
        Event.objects.create(id=id, kind=act[0], named=act[1])
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO archive_slice (low, high, size) VALUES (%s, %s, 1)", [id, id])
    return ids.text_of(id)


def origin(key: str) -> str:
    """The sender's id of a message of `say`."""
    return f"o{int(key, 16)}"


def bodies(page: str) -> list[str]:
    """The texts of the hits, without marks."""
    found = re.findall(r'class="body" dir="auto"><bdi>(.*?)</bdi></p>', page, re.S)
    return [re.sub(r"</?mark>", "", body) for body in found]


def href(page: str, words: str) -> str:
    """Where the link with this text leads."""
    match = re.search(rf'<a[^>]*href="([^"]*)"[^>]*>(?:<bdi>)?{re.escape(words)}', page)
    assert match, words
    return match.group(1).replace("&amp;", "&")


def audited(did: str = "") -> list[Entry]:
    """What the audit log holds, or of one kind."""
    rows = Entry.objects.order_by("seq")
    return list(rows.filter(did=did) if did else rows)
