"""The nodes of a forms service follow its topics: at the start, and whenever topics change while the node runs.

Each topic has two nodes, named and described like it. The template's node holds the newest versions in their order, so
that its last item is what is filled in now; a version is told to subscribers when it is added. Topics that were removed
or switched off lose their nodes, and subscribers learn of it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from fdp import templates
from fdp.storage import VERSIONS_KEPT, TopicRecord, VersionRecord
from xmpp_engine.api import StanzaError, ns, stored_pubsub, write

if TYPE_CHECKING:
    from fdp.service import FormsService

log = logging.getLogger("mlink.forms")

#: What is not as in every node. Who may what is the gate's matter alone.
COMMON: Final[dict[str, Any]] = {
    "type": ns.DATA_FORMS,
    "access_model": "whitelist",
    "publish_model": "publishers",
    "item_expire": "max",
    "notify_delete": True,
    "notify_retract": True,
}
#: XML says more than the JSON of a definition does.
TEMPLATE_BYTES: Final = 262_144
TEMPLATE_NODE: Final[dict[str, Any]] = {
    **COMMON,
    "max_items": VERSIONS_KEPT,
    "send_last_published_item": "on_sub",
    "max_payload_size": TEMPLATE_BYTES,
}
#: An old submission is no alert: who subscribes hears of those that come.
SUBMITTED_NODE: Final[dict[str, Any]] = {
    **COMMON,
    "max_items": "max",
    "send_last_published_item": "never",
    "itemreply": "publisher",
}


async def bring_into_step(forms: FormsService) -> None:
    """Make, change and delete nodes until they are what the topics are. Raises StoreUnavailable, and StanzaError where
    the service refuses a node."""
    pubsub = forms.pubsub
    await pubsub.nodes.ready()
    records = await forms.store.topics([forms.domain])
    wanted = {record.id: record for record in records if record.active}
    names = {name for record in wanted.values() for name in (record.template_node, record.submitted_node)}
    leaving = [name for name, line in pubsub.nodes.directory.items() if name not in names and not line.redirect]
    if leaving:
        # Until its nodes are gone a topic's rules stand: they say who is told.
        forms.take(record for record in records if record.active or _has_node(record, leaving))
        for name in leaving:
            await _delete(forms, name)
    forms.take(wanted.values())
    for number in forms.followed.keys() - wanted.keys():
        del forms.followed[number]
    failure: StanzaError | None = None
    for record in wanted.values():
        there = record.template_node in pubsub.nodes.directory and record.submitted_node in pubsub.nodes.directory
        if there and forms.followed.get(record.id) == record:
            continue
        try:
            await _follow(forms, record)
            forms.followed[record.id] = record
        except StanzaError as error:
            # One topic that cannot be served does not keep the others waiting.
            log.warning("%s cannot serve %s: %s", forms.domain, record.suffix, error)
            failure = error
    if failure is not None:
        raise failure


def _has_node(record: TopicRecord, names: list[str]) -> bool:
    return record.template_node in names or record.submitted_node in names


async def _follow(forms: FormsService, record: TopicRecord) -> None:
    shown = {"title": _cut(record.title), "description": _cut(record.description)}
    await _ensure(forms, record.template_node, {**TEMPLATE_NODE, **shown})
    await _publish_versions(forms, record)
    size = forms.options.submission_bytes
    await _ensure(forms, record.submitted_node, {**SUBMITTED_NODE, **shown, "max_payload_size": size})


async def _ensure(forms: FormsService, name: str, values: dict[str, Any]) -> None:
    """The node is there and has these values."""
    try:
        await forms.pubsub.configure_node(name, values)
    except StanzaError as error:
        if error.condition not in ("item-not-found", "gone"):
            raise
        await forms.pubsub.create_node(name, values)


async def _delete(forms: FormsService, name: str) -> None:
    try:
        await forms.pubsub.delete_node(name)
    except StanzaError as error:
        if error.condition not in ("item-not-found", "gone"):
            raise


async def _publish_versions(forms: FormsService, record: TopicRecord) -> None:
    """The template's node has the newest versions, in their order. Items are told apart by their id and time: a topic
    that was erased and made anew has other versions of the same names."""
    name = record.template_node
    node = await forms.pubsub.node(name)
    versions = record.versions[-VERSIONS_KEPT:]
    page = await forms.services.stores.pubsub.items(node.number, limit=stored_pubsub.MAX_PAGE, before="")
    present = [(item.id, item.published) for item in page.items]
    wanted = [(version.name, version.created) for version in versions]
    if present == wanted:
        return
    kept = [one for one in present if one in wanted]
    strangers = [id for id, published in present if (id, published) not in wanted]
    if kept == wanted[: len(kept)]:
        missing = versions[len(kept) :]
    elif kept == wanted[-len(kept) :] and not strangers:
        return  # Older versions than the node has ever had: they need not be in it.
    else:
        strangers, missing = [id for id, _published in present], versions
    if strangers:
        await forms.pubsub.retract(name, strangers, notify=False)
    for version in missing:
        await _publish_version(forms, name, version)


async def _publish_version(forms: FormsService, node: str, version: VersionRecord) -> None:
    try:
        definition = await forms.definition(version)
    except LookupError:
        return  # The topic is being erased; the next look sees that.
    item = stored_pubsub.Item(version.name, write(templates.to_element(definition)))
    await forms.pubsub.publish(node, [item], forms.pubsub.jid)


def _cut(text: str) -> str:
    """As much of a text as the configuration of a node takes."""
    return text.encode()[:2_000].decode(errors="ignore")
