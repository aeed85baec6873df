"""Accounts with all that a server keeps of them, in a database of the kit."""

from __future__ import annotations

import time
import zipfile
from pathlib import Path
from typing import Any

from django.db import connections, transaction

from archive import ids, indexing
from archive.document import element_of
from archive.weigh import weigh
from mlink_web.accounts import services
from mlink_web.accounts.models import Account
from mlink_web.conf.models import Domain
from mlink_web.portability import exporting, importing
from mlink_web.portability.messages import writer
from mlink_web.portability.models import Import
from mlink_web.portability.person import Wanted
from mlink_web.portability.scope import Scope
from mlink_web.pubsub import nodes
from mlink_web.pubsub.changes import apply_changes
from mlink_web.stores.models import BlockItem, OfflineMessage, PrivateXml, RosterItem, VCard
from xmpp_engine.api import ArchiveRow, Batch, Jid, Stanza, stored_pubsub
from xmpp_engine.sasl.keys import derive

PASSWORD = "correct horse"
START = 1_790_000_000.0
NS_CLIENT = "jabber:client"


def keys(password: str = PASSWORD) -> list[Any]:
    """Keys that cost little."""
    return [derive(name, password, b"sixteen byte salt", 16) for name in ("SCRAM-SHA-256", "SCRAM-SHA-1")]


def account(alias: str, bare: str) -> Account:
    """An account; its domain is made where it is not served."""
    Domain.objects.using(alias).get_or_create(name=bare.partition("@")[2])
    return services.insert(bare, keys(), using=alias)


def talk(alias: str, messages: list[tuple[int, Account | str, Account | str, str]], step: float = 1.0) -> None:
    """Archived messages (number, sender, recipient, children), in the archives of those who are accounts."""
    rows = []
    for number, one, other, children in messages:
        sender, recipient = str(one), str(other)
        id = ids.first_at(START + number * step) + number
        xml = f"<message from='{sender}/phone' id='m{number}' to='{recipient}' type='chat'>{children}</message>"
        element = element_of(xml)
        weight = weigh(Stanza(element, Jid.parse(recipient), Jid.parse(f"{sender}/phone"), "chat"))
        body, origin, event = weight or ("", f"m{number}", None)
        rows.append(
            ArchiveRow(
                id,
                ids.time_of(id),
                sender,
                recipient,
                one.pk if isinstance(one, Account) else 0,
                other.pk if isinstance(other, Account) else 0,
                "chat",
                body,
                origin,
                xml,
                0,
                event,
            )
        )
    made = writer(alias)
    for start in range(0, len(rows), 500):
        made.commit(Batch(archive=rows[start : start + 500]))
    made.close()
    indexing.catch_up(connections[alias], words=True)


def furnished(alias: str) -> tuple[Account, Account]:
    """Romeo, who has some of everything, and Juliet, with whom he talks."""
    romeo, juliet = account(alias, "romeo@montague.example"), account(alias, "juliet@capulet.example")
    roster = RosterItem.objects.using(alias)
    roster.create(
        account=romeo,
        jid=juliet.username,
        name="Juliet & co <3",
        subscription="both",
        groups=["Friends", "B'"],
        version=3,
    )
    roster.create(account=romeo, jid="nurse@capulet.example", ask=True, approved=True, version=2)
    roster.create(
        account=romeo,
        jid="paris@elsewhere.example",
        pending_in=True,
        request="<presence from='paris@elsewhere.example' id='p1' to='romeo@montague.example' type='subscribe'>"
        "<status>let me in</status></presence>",
    )
    Account.objects.using(alias).filter(pk=romeo.pk).update(
        roster_version=3, archive="roster", archive_always=["nurse@capulet.example"], last_status="gone to bed"
    )
    Account.objects.using(alias).filter(pk=romeo.pk).update(
        last_logout=Account.objects.using(alias).get(pk=romeo.pk).created
    )
    roster.create(account=juliet, jid=romeo.username, subscription="both", version=1)
    Account.objects.using(alias).filter(pk=juliet.pk).update(roster_version=1, moved_to="j@elsewhere.example")
    for jid in ("tybalt@capulet.example", "spam.example", "mercutio@montague.example/sword"):
        BlockItem.objects.using(alias).create(account=romeo, jid=jid)
    for space, name in (("exodus:prefs", "exodus"), ("other:prefs", "exodus")):
        xml = f"<{name} xmlns='{space}'><nick>R&amp;J</nick> <x/></{name}>"
        PrivateXml.objects.using(alias).create(account=romeo, ns=space, name=name, xml=xml, size=len(xml))
    VCard.objects.using(alias).create(account=romeo, xml="<vCard xmlns='vcard-temp'><FN>Romeo Montague</FN></vCard>")
    for number, expires in ((0, 0.0), (1, START + 900_000.5)):
        xml = f"<message from='nurse@capulet.example/x' to='romeo@montague.example'><body>no {number}</body></message>"
        OfflineMessage.objects.using(alias).create(
            account=romeo, stamp=START + number + 0.125, xml=xml, size=len(xml), expires=expires
        )
    node(alias, romeo.username, "urn:xmpp:bookmarks:1", {"access_model": "whitelist", "max_items": "max"}, 3)
    node(alias, romeo.username, "http://jabber.org/protocol/nick", {}, 1)
    talk(
        alias,
        [
            (1, romeo, juliet, "<body>She speaks</body><origin-id xmlns='urn:xmpp:sid:0' id='o1'/>"),
            (2, juliet, romeo, "<body>Wherefore 東京 <b/></body>".replace("<b/>", "")),
            (3, romeo, "nurse@elsewhere.example", "<body>Nurse &amp; all</body>"),
            (
                4,
                "nurse@elsewhere.example",
                romeo,
                "<body>ay</body><x xmlns='jabber:x:oob'><url>https://e.example/</url></x>",
            ),
            (5, juliet, romeo, "<body>Wherefore art thou</body><replace xmlns='urn:xmpp:message-correct:0' id='m2'/>"),
        ],
    )
    return romeo, juliet


def node(alias: str, service: str, name: str, config: dict[str, Any], items: int) -> None:
    """A node with some items, a friend and a subscription."""
    record = stored_pubsub.NodeRecord(
        service,
        name,
        config=config,
        creator=service,
        created=START,
        affiliations={"friend@elsewhere.example": "member"},
        subscriptions={
            "s1": stored_pubsub.Subscription("friend@elsewhere.example/x", "s1", options={"include_body": True})
        },
    )
    number = nodes.create(connections[alias], record)
    with transaction.atomic(using=alias):
        apply_changes(
            connections[alias],
            [
                stored_pubsub.PutItem(
                    number,
                    stored_pubsub.Item(
                        f"i{place}", f"<thing xmlns='urn:x'>no {place}</thing>", f"{service}/phone", START + place
                    ),
                )
                for place in range(items)
            ],
        )


def export(alias: str, folder: Path, scope: Scope | None = None, **more: Any) -> Path:
    """The file of an export."""
    folder.mkdir(exist_ok=True)
    wanted = Wanted(**{name: more.pop(name) for name in ("credentials", "archive") if name in more})
    choice = exporting.Choice(scope or Scope(using=alias), wanted, **more)
    path, _name, _kind = exporting.make(choice, folder, lambda *_figures: None)
    return path


def take(
    alias: str, path: Path, policy: str = "skip", *, dry: bool = False, **more: Any
) -> tuple[Import, dict[str, Any]]:
    """Import a file; returns its row and the summary."""
    row = Import.objects.using(alias).create(
        name=path.name, owner="admin@montague.example", policy=policy, dry=dry, created=time.time(), **more
    )
    return row, importing.Run(row, path, lambda *_figures: None, alias).run()


def contents(path: Path) -> dict[str, str]:
    """The files of an export, by name."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}
