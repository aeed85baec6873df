"""One account as XEP-0227 has it: the parts of a `<user/>`, as texts that are written one after the other.

Each part is read by a query of its own and in pages, so a large account takes no more memory than a small one. The
order is that of the specification's schema, which wants offline messages first.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC
from typing import Any, Final

from django.db.backends.base.base import BaseDatabaseWrapper as Database

from archive import indexing, query
from archive.filters import Filter
from archive.protocol import Preferences, preferences, result
from mlink_web.accounts.models import Account, Credential
from mlink_web.portability import names
from mlink_web.pubsub import items, nodes
from mlink_web.stores.models import BlockItem, OfflineMessage, PrivateXml, RosterItem, VCard
from xmpp_engine.api import (
    STORED_LIMITS,
    Element,
    StreamError,
    build,
    escape_attr,
    forms,
    node_config,
    node_form,
    ns,
    parse_document,
    personal_nodes,
    stored_pubsub,
    subscription_form,
    write,
)

#: Rows of one query.
PAGE: Final = 500
_NAME_OF_LIST: Final = "blocked"
_REDIRECT: Final = "redirect"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is written of an account beside what always is."""

    credentials: bool = True
    archive: bool = True


def small_parts(database: Database, account: Account, wanted: Wanted) -> Iterator[str]:
    """Everything but the message archive."""
    yield from _offline(database, account)
    if wanted.credentials:
        yield from _credentials(database, account)
    yield _about(account)
    yield from _roster(database, account)
    yield from _blocked(database, account)
    yield from _private(database, account)
    yield from _vcard(database, account)
    if account.archive:
        yield _text(
            preferences(Preferences(account.archive, tuple(account.archive_always), tuple(account.archive_never)))
        )
    yield from _personal_nodes(database, account)


def archive(database: Database, account: Account, after: int = 0) -> Iterator[tuple[int, str]]:
    """The messages of the account's archive, oldest first, each with its id: `<result/>` as a client is sent it. A
    message that the database has damaged is carried as it is, in base64."""
    while True:
        if not indexing.current(database, words=False):
            indexing.catch_up(database, words=False)
        rows, more = query.page(database, Filter(account.pk, after=after), PAGE)
        for row in rows:
            try:
                yield row.id, _text(result(row, None))
            except StreamError:
                attrs = {"id": f"{row.id:016x}", "stamp": build.timestamp(row.stamp)}
                kept = base64.b64encode(row.xml.encode()).decode()
                yield row.id, _text(Element(names.MLINK, "damaged", attrs, kept))
        if not more:
            return
        after = rows[-1].id


def stored(xml: str, name: str) -> Element:
    """A stanza as rows hold it, which is as inside of a stream; raises StreamError where it is damaged."""
    opening = f"<{name}"
    if f" xmlns='{ns.CLIENT}'" not in xml.partition(">")[0]:
        xml = f"{opening} xmlns='{ns.CLIENT}'" + xml.removeprefix(opening)
    return parse_document(xml.encode(), STORED_LIMITS)


def _text(element: Element) -> str:
    return write(element, names.PIE)


def _pages(rows: Any) -> Iterator[Any]:
    """All rows of a query that has an order by `pk`, page by page."""
    last: Any = None
    while True:
        part = list((rows if last is None else rows.filter(pk__gt=last)).order_by("pk")[:PAGE])
        yield from part
        if len(part) < PAGE:
            return
        last = part[-1].pk


def _offline(database: Database, account: Account) -> Iterator[str]:
    rows = OfflineMessage.objects.using(database.alias).filter(account_id=account.pk)
    begun = False
    for row in _pages(rows):
        try:
            message = stored(row.xml, "message")
        except StreamError:
            continue
        if not begun:
            begun = True
            yield "<offline-messages>"
        attrs = {f"{names.MLINK} stamp": build.timestamp(row.stamp)}
        if row.expires:
            attrs[f"{names.MLINK} expires"] = build.timestamp(row.expires)
        message.attrs.update(attrs)
        if not any(child.get("from") == account.domain.name for child in message.find_all(ns.DELAY, "delay")):
            message.add(ns.DELAY, "delay", {"from": account.domain.name, "stamp": build.timestamp(row.stamp)})
        yield _text(message)
    if begun:
        yield "</offline-messages>"


def _credentials(database: Database, account: Account) -> Iterator[str]:
    for row in Credential.objects.using(database.alias).filter(account_id=account.pk).order_by("mechanism"):
        element = Element(names.SCRAM, "scram-credentials", {"mechanism": row.mechanism})
        element.add(names.SCRAM, "iter-count", text=str(row.iterations))
        for name, value in (("salt", row.salt), ("server-key", row.server_key), ("stored-key", row.stored_key)):
            element.add(names.SCRAM, name, text=base64.b64encode(bytes(value)).decode())
        yield _text(element)


def _about(account: Account) -> str:
    """What the specification has no place for: whether the account may sign in, since when there is one, where its
    owner has moved to, and when it was last there (XEP-0012)."""
    attrs = {"state": account.state, "created": build.timestamp(account.created.astimezone(UTC).timestamp())}
    if account.moved_to:
        attrs["moved-to"] = account.moved_to
    element = Element(names.MLINK, "account", attrs)
    if account.last_logout is not None:
        last = {"stamp": build.timestamp(account.last_logout.astimezone(UTC).timestamp())}
        element.add(names.MLINK, "last", last, account.last_status or None)
    return _text(element)


def _roster(database: Database, account: Account) -> Iterator[str]:
    rows = RosterItem.objects.using(database.alias).filter(account_id=account.pk)
    requests: list[str] = []
    yield f"<query xmlns='{ns.ROSTER}' ver='{account.roster_version}'>"
    for row in _pages(rows):
        if row.pending_in:
            requests.append(_text(_request(row, account)))
            if row.version == 0 and not _is_contact(row):
                continue
        attrs = {"jid": row.jid, "subscription": row.subscription}
        if row.name:
            attrs["name"] = row.name
        if row.ask:
            attrs["ask"] = "subscribe"
        if row.approved:
            attrs["approved"] = "true"
        item = Element(ns.ROSTER, "item", attrs)
        for group in row.groups:
            item.add(ns.ROSTER, "group", text=group)
        yield write(item, ns.ROSTER)
    yield "</query>"
    yield from requests


def _is_contact(row: RosterItem) -> bool:
    return bool(row.subscription != "none" or row.ask or row.approved or row.name or row.groups)


def _request(row: RosterItem, account: Account) -> Element:
    """Somebody's request to see the account's presence, as it came where that is known."""
    if row.request:
        try:
            request = stored(row.request, "presence")
        except StreamError:
            pass
        else:
            request.attrs["from"], request.attrs["type"] = row.jid, "subscribe"
            request.attrs.pop("to", None)
            return request
    return Element(ns.CLIENT, "presence", {"from": row.jid, "type": "subscribe"})


def _blocked(database: Database, account: Account) -> Iterator[str]:
    """The block list in its own form (XEP-0191), and as the privacy list that does the same (XEP-0016) for servers that
    know only that."""
    rows = BlockItem.objects.using(database.alias).filter(account_id=account.pk)
    jids = list(rows.order_by("jid").values_list("jid", flat=True))
    if not jids:
        return
    listed = Element(ns.BLOCKING, "blocklist")
    privacy = Element(names.PRIVACY, "query")
    privacy.add(names.PRIVACY, "default", {"name": _NAME_OF_LIST})
    rules = privacy.add(names.PRIVACY, "list", {"name": _NAME_OF_LIST})
    for order, jid in enumerate(jids, 1):
        listed.add(ns.BLOCKING, "item", {"jid": jid})
        rules.add(names.PRIVACY, "item", {"type": "jid", "value": jid, "action": "deny", "order": str(order)})
    yield _text(listed)
    yield _text(privacy)


def _private(database: Database, account: Account) -> Iterator[str]:
    rows = PrivateXml.objects.using(database.alias).filter(account_id=account.pk).order_by("ns", "name")
    begun = False
    for row in rows.iterator(chunk_size=50):
        try:
            element = parse_document(row.xml.encode(), STORED_LIMITS)
        except StreamError:
            continue
        if not begun:
            begun = True
            yield f"<query xmlns='{ns.PRIVATE}'>"
        yield write(element, ns.PRIVATE)
    if begun:
        yield "</query>"


def _vcard(database: Database, account: Account) -> Iterator[str]:
    row = VCard.objects.using(database.alias).filter(account_id=account.pk).first()
    if row is not None:
        try:
            yield _text(parse_document(row.xml.encode(), STORED_LIMITS))
        except StreamError:
            return


def _personal_nodes(database: Database, account: Account) -> Iterator[str]:
    found = [node for node in _nodes(database, account.username) if _REDIRECT not in node.config]
    if not found:
        return
    yield f"<pubsub xmlns='{ns.PUBSUB_OWNER}'>"
    for node in found:
        for part in _owner_parts(node):
            yield write(part, ns.PUBSUB_OWNER)
    yield f"</pubsub><pubsub xmlns='{ns.PUBSUB}'>"
    for node in found:
        yield f"<items node='{escape_attr(node.name)}'>"
        for item in all_items(database, node.number):
            yield write(item_element(item), ns.PUBSUB)
        yield "</items>"
    yield "</pubsub>"


def _nodes(database: Database, service: str) -> list[stored_pubsub.NodeRecord]:
    """The nodes of an account, whose number is bounded, in the order of their names."""
    found: list[stored_pubsub.NodeRecord] = []
    after = ""
    while True:
        page = nodes.summaries(database, service, after, PAGE)
        found += nodes.load(database, service, [summary.name for summary in page])
        if len(page) < PAGE:
            return found
        after = page[-1].name


def all_items(database: Database, number: int) -> Iterator[stored_pubsub.Item]:
    """The items of a node, oldest first. One that is published meanwhile comes at the end; a page whose last item goes
    meanwhile is the last."""
    after: str | None = None
    while True:
        try:
            page = items.page(database, number, PAGE, after, None, None)
        except (LookupError, ValueError):
            return
        yield from page.items
        if page.complete or not page.items:
            return
        after = page.items[-1].id


def item_element(item: stored_pubsub.Item) -> Element:
    """An item with when it was published, for which XEP-0060 has no place."""
    attrs = {"id": item.id}
    if item.publisher:
        attrs["publisher"] = item.publisher
    if item.published:
        attrs[f"{names.MLINK} published"] = build.timestamp(item.published)
    if item.expire:
        attrs[f"{names.MLINK} expires"] = build.timestamp(item.expire)
    element = Element(ns.PUBSUB, "item", attrs)
    if item.payload:
        try:
            element.append(parse_document(item.payload.encode(), STORED_LIMITS))
        except StreamError:
            pass
    return element


def base_config(name: str, kind: str) -> node_config.NodeConfig:
    """How a node of an account is configured that says nothing itself."""
    if kind == "collection":
        return node_config.NodeConfig(persist_items=False, send_last_published_item="never")
    return node_config.from_values(node_config.NodeConfig(), personal_nodes.DEFAULTS)


def _owner_parts(node: stored_pubsub.NodeRecord) -> Iterator[Element]:
    config = node_config.from_values(base_config(node.name, node.kind), node.config)
    made = {f"{names.MLINK} created": build.timestamp(node.created)} if node.created else {}
    if node.creator:
        made[f"{names.MLINK} creator"] = node.creator
    fields = node_form.fields(config, node.kind)
    form = forms.render("form", ns.PUBSUB_NODE_CONFIG, [_short(field) for field in fields])
    yield Element(ns.PUBSUB_OWNER, "configure", {"node": node.name, **made}, form)
    if node.affiliations:
        listed = Element(ns.PUBSUB_OWNER, "affiliations", {"node": node.name})
        for jid, affiliation in sorted(node.affiliations.items()):
            listed.add(ns.PUBSUB_OWNER, "affiliation", {"jid": jid, "affiliation": affiliation})
        yield listed
    if node.subscriptions:
        listed = Element(ns.PUBSUB_OWNER, "subscriptions", {"node": node.name})
        for subid, entry in sorted(node.subscriptions.items()):
            attrs = {"jid": entry.jid, "subscription": entry.state, "subid": subid}
            one = listed.add(ns.PUBSUB_OWNER, "subscription", attrs)
            if entry.options or entry.expire:
                options = one.add(ns.PUBSUB_OWNER, "options")
                options.append(subscription_form.element(node.kind, entry))
        yield listed


def _short(field: forms.Field) -> forms.Field:
    """A field without what only people who fill in the form need."""
    return forms.Field(field.var, field.type, "", field.values)
