"""What all commands on publish-subscribe share: finding a service, asking it, and what it has as they show it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.admin.command import Argument, CommandError
from xmpp_engine.admin.values import YES, stamp
from xmpp_engine.plugin.pubsub_administration import (
    NodeDetails,
    NodeFacts,
    PubSubAdministration,
    PubSubHosting,
    ServiceFacts,
)
from xmpp_engine.stanza.forms import Field
from xmpp_engine.storage.protocols import StoreUnavailable
from xmpp_engine.storage.pubsub import Item, ItemPage, Subscription
from xmpp_engine.xml.errors import StanzaError

SERVICE: Final = Argument("service", "domain of the service, or address of an account")
NODE: Final = Argument("node", "name of the node")
#: Characters of a payload that a list of items shows.
PREVIEW: Final = 500
_SENTENCES: Final = {
    "item-not-found": "There is no such node.",
    "conflict": "There is such a node already.",
    "feature-not-implemented": "The node does not do this.",
}


@asynccontextmanager
async def asked(engine: PubSubHosting, address: str) -> AsyncIterator[PubSubAdministration]:
    """The service of a domain or an account, to be asked meanwhile; what it refuses becomes a sentence. Raises
    CommandError."""
    try:
        jid = Jid.parse(address.strip())
    except ValueError:
        jid = None
    if jid is None or jid.resource:
        raise CommandError(f"{address.strip()!r} is not the address of a service; it is a domain or a bare address.")
    try:
        async with engine.pubsub_service(jid.bare) as service:
            if service is None:
                raise CommandError(_missing(engine, jid))
            yield service
    except StanzaError as error:
        text = _sentence(error.text) or _SENTENCES.get(error.condition, f"The node refuses this: {error.condition}.")
        raise CommandError(text) from None
    except StoreUnavailable as error:
        raise CommandError(f"The database does not answer: {error}.") from None


def _missing(engine: PubSubHosting, jid: Jid) -> str:
    if jid.local:
        return f"There is no account {jid.bare}."
    known = ", ".join(sorted(engine.pubsub_services())) or "none"
    return f"There is no publish-subscribe service {jid.bare!r}; there are: {known}."


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}." if text and not text.endswith(".") else text


def resolve(fields: Sequence[Field], given: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Values by the names that people use, as values by field; yes and no become what the form wants. Raises
    CommandError for a name that no field has."""
    known = {name: field for field in fields for name in (field.var, field.var.partition("#")[2])}
    found: dict[str, list[str]] = {}
    for key, texts in given.items():
        field = known.get(key)
        if field is None:
            names = ", ".join(field.var.partition("#")[2] for field in fields)
            raise CommandError(f"A node has no option {key!r}; there are: {names}.")
        found[field.var] = [YES.get(text.lower(), text) for text in texts] if field.type == "boolean" else texts
    return found


def service_row(facts: ServiceFacts) -> dict[str, Any]:
    """A service as commands show it."""
    return {
        "service": facts.address,
        "name": facts.name,
        "nodes": facts.nodes,
        "in_memory": facts.resident,
        "subscriptions": facts.subscriptions,
        "notifications": facts.notifications,
    }


def node_row(facts: NodeFacts) -> dict[str, Any]:
    """A node as lists show it."""
    return {
        "node": facts.name,
        "kind": facts.kind,
        "title": facts.title,
        "access": facts.access_model,
        "items": facts.items,
        "subscribers": facts.subscribers,
        "creator": facts.creator,
        "created": stamp(facts.created),
    }


def node_details(details: NodeDetails) -> dict[str, Any]:
    """A node as a page shows it."""
    return {
        **node_row(details.facts),
        "number": details.number,
        "description": details.description,
        "publish": details.publish_model,
        "keeps": details.keeps,
        "pending": details.pending,
        "affiliated": details.affiliated,
        "collections": list(details.collections),
        "children": list(details.children),
    }


def item_row(item: Item, preview: int = PREVIEW) -> dict[str, Any]:
    """An item; its payload is cut off behind `preview` characters, unless that is 0."""
    long = preview and len(item.payload) > preview
    return {
        "id": item.id,
        "publisher": item.publisher,
        "published": stamp(item.published),
        "expires": stamp(item.expire),
        "bytes": len(item.payload.encode()),
        "payload": f"{item.payload[:preview]}…" if long else item.payload,
    }


def page_of_items(page: ItemPage) -> dict[str, Any]:
    """A page of items. `complete` is whether there are none beyond it, in the direction in which was asked."""
    return {
        "total": page.count,
        "index": page.index,
        "complete": page.complete,
        "items": [item_row(item) for item in page.items],
    }


def subscription_row(entry: Subscription) -> dict[str, Any]:
    """A subscription."""
    options = ", ".join(f"{name}={_text(value)}" for name, value in sorted(entry.options.items()))
    return {
        "jid": entry.jid,
        "state": entry.state,
        "subid": entry.subid,
        "options": options,
        "expires": stamp(entry.expire),
    }


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
