"""FormsService: one forms service in the node. It knows the topics, says who may do what, and keeps its nodes in step.

    publishing.py    what is published: submissions and templates
    stepping.py      the nodes follow the topics
    retention.py     submissions that are kept no longer

The publish-subscribe service underneath does everything else, with its nodes `fdp/template/...` and
`fdp/submitted/...`. Nobody owns these nodes by the protocol: topics are changed in the console and by commands, and
over XMPP operators publish templates.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal

from fdp import publishing, stepping
from fdp.definition import Definition
from fdp.options import FormService
from fdp.rules import Policy
from fdp.storage import FormStore, TopicRecord, VersionRecord
from xmpp_engine.api import Groups, Jid, NoGroups, StanzaError, StoreUnavailable, ns, stored_pubsub

log = logging.getLogger("mlink.forms")

Action = Literal["see", "subscribe", "retrieve", "publish", "own"]
#: Definitions in memory, of the versions that were filled in last.
DEFINITIONS: Final = 200
FEATURES: Final = (ns.FDP, ns.DATA_FORMS, ns.FORM_VALIDATION, ns.FORM_LAYOUT, ns.FORM_MEDIA)


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic with its rules made ready."""

    record: TopicRecord
    publish: Policy
    read: Policy
    fill: Policy

    @classmethod
    def of(cls, record: TopicRecord) -> Topic:
        """From a record."""
        return cls(record, Policy.of(record.publish), Policy.of(record.read), Policy.of(record.fill))

    def version(self, name: str) -> VersionRecord | None:
        """The version of this name, the newest one for ""."""
        versions = self.record.versions
        if not name:
            return versions[-1] if versions else None
        return next((version for version in versions if version.name == name), None)


class FormsService:
    """The forms service of one domain."""

    def __init__(self, pubsub: Any, services: Any, store: FormStore, options: FormService) -> None:
        """`pubsub` is the PubSubService of the domain, `services` those of the engine."""
        self.pubsub = pubsub
        self.domain: str = pubsub.domain
        self.services = services
        self.store = store
        self.options = options
        #: Topics by the names of their nodes, template and submitted.
        self.topics: dict[str, Topic] = {}
        #: What the nodes were made of, by the number of the topic.
        self.followed: dict[int, TopicRecord] = {}
        self._loaded = False
        self._definitions: OrderedDict[int, Definition] = OrderedDict()
        self._wanted = False
        self._running = False
        #: Whether the nodes are not in step because the database did not answer.
        self.failed = False
        pubsub.gate = self
        pubsub.publisher = self.publish
        pubsub.renewed = self._renewed
        self.configure(options)

    def configure(self, options: FormService) -> None:
        """Take other options."""
        self.options = options
        self.pubsub.identities = (("pubsub", ns.FDP, options.name),)
        self.pubsub.features = FEATURES

    # Who may

    @property
    def groups(self) -> Groups:
        """Who is in which group."""
        found: Groups | None = self.services.extras.get("groups")
        return found or NoGroups()

    def allows(self, policy: Policy, who: Jid) -> bool:
        """Whether somebody is meant by a topic's rules."""
        return policy.allows(who, is_local=who.domain in self.services.router.hosts, groups=self.groups)

    def may(self, node: str, action: Action, who: Jid) -> bool | None:
        """The gate of the nodes: the rules of their topic decide, and nothing else. Raises StanzaError until they are
        known: an answer that is not final must not look like one."""
        if not self._loaded:
            raise StanzaError("resource-constraint", "the topics are not read yet", type="wait")
        if action == "own":
            return False
        topic = self.topics.get(node)
        if self.pubsub.is_operator(who):
            return True
        if topic is None:
            return False
        if node == topic.record.template_node:
            # Whoever submits or reads needs the form for it.
            return action != "publish" and any(
                self.allows(policy, who) for policy in (topic.fill, topic.publish, topic.read)
            )
        if action == "publish":
            return self.allows(topic.publish, who)
        if action == "see" and self.allows(topic.publish, who):
            return True
        return self.allows(topic.read, who)

    # What is published

    async def publish(self, node: Any, items: list[stored_pubsub.Item], who: Jid) -> list[stored_pubsub.Item]:
        """The publisher of the nodes, see `xmpp_engine/pubsub/service.py`. Raises StanzaError, StoreUnavailable."""
        stored = []
        for item in items:
            if node.name.startswith(publishing.TEMPLATE):
                stored += await publishing.template(self, node, item, who)
            else:
                stored += await publishing.submission(self, node, item, who)
        return stored

    async def definition(self, version: VersionRecord) -> Definition:
        """The definition of a version, which never changes. Raises StoreUnavailable, LookupError."""
        found = self._definitions.get(version.id)
        if found is None:
            found = self._definitions[version.id] = await self.store.definition(version.id)
            while len(self._definitions) > DEFINITIONS:
                self._definitions.popitem(last=False)
        self._definitions.move_to_end(version.id)
        return found

    # The nodes follow the topics

    def wake(self) -> None:
        """Topics may have changed: bring the nodes into step, where this is the node of the cluster that serves."""
        self._wanted = True
        if not self._running and self.pubsub.leads:
            self._running = True
            self.services.tasks.spawn(f"topics of {self.domain}", self._follow())

    @property
    def waits(self) -> bool:
        """Whether nodes are to be brought into step and nothing does so now."""
        return self.failed or (self._wanted and not self._running)

    def _renewed(self) -> None:
        """Another node of the cluster has served until now: nobody's rights are known before the topics are read."""
        self.followed.clear()
        self._loaded = False
        self.wake()

    @property
    def in_step(self) -> bool:
        """Whether the nodes are what the topics are, as far as the node knows."""
        return not self._running and not self._wanted and not self.failed

    async def _follow(self) -> None:
        try:
            while self._wanted:
                self._wanted = False
                self.failed = True
                await stepping.bring_into_step(self)
                self.failed = False
        except (StanzaError, StoreUnavailable) as error:
            log.warning("the nodes of %s do not follow its topics now: %s", self.domain, error)
        except Exception:
            log.exception("the nodes of %s do not follow its topics", self.domain)
        finally:
            self._running = False

    def take(self, records: Iterable[TopicRecord]) -> None:
        """These are the topics now."""
        self._loaded = True
        known = {}
        for record in records:
            topic = Topic.of(record)
            known[record.template_node] = known[record.submitted_node] = topic
        if known != self.topics:
            self.topics = known
            self.pubsub.rights_changed()

    async def start(self) -> None:
        """Know the topics before somebody asks, and bring the nodes into step."""
        try:
            await self.refresh()
        except StoreUnavailable as error:
            log.warning("the topics of %s cannot be read now: %s", self.domain, error)
        self.wake()

    async def refresh(self) -> None:
        """Read the topics anew. Raises StoreUnavailable."""
        self.take(record for record in await self.store.topics([self.domain]) if record.active)

    def overview(self) -> dict[str, int]:
        """Figures for commands and the console."""
        found: dict[str, int] = {"topics": len(self.topics) // 2, **self.pubsub.overview()}
        return found
