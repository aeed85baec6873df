"""What is published on the nodes of a forms service (XEP-0346, 5).

A submission is held against the version of the template that it names, numbered, and stored with its archive row in
one transaction; what is stored and distributed is the form as the service has understood it. A template, which only
operators publish, becomes a version of its topic; a template for a node that no topic has makes the topic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fdp import templates, validation
from fdp.definition import DefinitionError
from fdp.storage import VERSIONS_KEPT, NotStored, Submitted
from xmpp_engine.api import (
    STORED_LIMITS,
    Element,
    Jid,
    StanzaError,
    StreamError,
    ns,
    parse_document,
    stored_pubsub,
    write,
)

if TYPE_CHECKING:
    from fdp.service import FormsService

Item = stored_pubsub.Item
TEMPLATE: Final = "fdp/template/"


async def submission(forms: FormsService, node: Any, item: Item, who: Jid) -> list[Item]:
    """Check and store a completed form; the item as it is stored, or nothing where it was stored before. Raises
    StanzaError, StoreUnavailable."""
    topic = forms.topics.get(node.name)
    if topic is None:
        raise StanzaError("item-not-found", "there is no such topic")
    try:
        given = validation.read(_payload(item))
        version = topic.version(given.version)
        if version is None and given.version:
            raise validation.WrongField(validation.VERSION, validation.VERSION, "there is no such version of the form")
        if version is None:
            raise StanzaError("not-acceptable", "this topic has no form yet")
        definition = await forms.definition(version)
        values = validation.validate(definition, given.values)
    except validation.WrongField as error:
        raise invalid(str(error)) from None
    except LookupError:
        raise StanzaError("item-not-found", "this version of the form is not there any more") from None
    name = version.name

    def form(serial: int, original: str) -> str:
        stored = validation.stored(
            definition, values, version=name, serial=serial, amends=original, published=item.published
        )
        return write(stored)

    draft = Submitted(
        topic=topic.record.id,
        version=version,
        node=node.number,
        item_id=item.id,
        publisher=who.bare,
        resource=who.full,
        published=item.published,
        values=values,
        amends=given.amends,
        owner=forms.pubsub.is_operator(who),
        form=form,
    )
    try:
        stored = await forms.store.submit(draft)
    except NotStored as error:
        raise _refusal(error) from None
    return [] if stored.again else [stored.item]


async def template(forms: FormsService, node: Any, item: Item, who: Jid) -> list[Item]:
    """Store a template as a version of its topic; the item, or nothing where it is there already. Raises StanzaError,
    StoreUnavailable."""
    try:
        definition = templates.from_element(_payload(item))
    except DefinitionError as error:
        raise invalid(str(error)) from None
    topic = forms.topics.get(node.name)
    version = topic.version(item.id) if topic is not None else None
    # The service itself publishes what stands in the database, to bring the node into step.
    if who.full != forms.pubsub.jid.full or version is None:
        suffix = node.name.removeprefix(TEMPLATE)
        try:
            version = await forms.store.publish_template(forms.domain, suffix, item.id, definition, who.bare)
        except NotStored as error:
            raise _refusal(error) from None
        except ValueError as error:
            raise StanzaError("not-acceptable", str(error)) from None
        # Who is answered may fill it in at once.
        await forms.refresh()
        forms.wake()
    store = forms.services.stores.pubsub
    present = await store.get(node.number, [item.id])
    if present and present[0].published == version.created:
        return []
    stored = Item(item.id, write(templates.to_element(definition)), who.full, version.created)
    (stored.sequence,) = await store.commit([stored_pubsub.PutItem(node.number, stored, VERSIONS_KEPT)])
    if stored.sequence < 0:
        raise StanzaError("item-not-found", "the node is not there any more")
    return [stored]


def invalid(text: str) -> StanzaError:
    """What is published is not what the topic takes; `text` names the field and says why."""
    return StanzaError("bad-request", text, app=Element(ns.PUBSUB_ERRORS, "invalid-payload"))


def _payload(item: Item) -> Element:
    try:
        return parse_document(item.payload.encode(), STORED_LIMITS)
    except StreamError:
        raise invalid("an item holds one data form") from None


def _refusal(error: NotStored) -> StanzaError:
    if error.reason == "gone":
        return StanzaError("item-not-found", str(error))
    if error.reason == "conflict":
        return StanzaError("conflict", str(error))
    return invalid(f"{validation.AMENDS}: {error}")
