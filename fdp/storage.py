"""What the engine asks of the database about forms: the contract. `store.py` keeps it over the project's database,
`memory.py` in memory for tests.

Topics are resident without the definitions of their versions, which are read when they are needed. A submission is
one transaction: its serial number, its row in the archive and its publish-subscribe item are all there, or none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from fdp.definition import Definition
from fdp.rules import Rule
from xmpp_engine.api import stored_pubsub

#: Versions of a template that its node keeps as items; older ones stay in the database.
VERSIONS_KEPT: Final = 20
#: Submissions that one call removes.
SLICE: Final = 500


@dataclass(frozen=True, slots=True)
class VersionRecord:
    """A version of a template without its definition; `name` is the id of its item."""

    id: int
    number: int
    name: str
    created: float
    author: str


@dataclass(frozen=True, slots=True)
class TopicRecord:
    """A topic with its versions from the oldest on. One that was removed or switched off is not `active`: it has no
    nodes, but who was subscribed to them shall learn that they go."""

    id: int
    service: str
    suffix: str
    title: str
    description: str
    retention_days: int
    publish: tuple[Rule, ...]
    read: tuple[Rule, ...]
    fill: tuple[Rule, ...]
    versions: tuple[VersionRecord, ...]
    active: bool = True

    @property
    def template_node(self) -> str:
        """The node of its template (XEP-0346, 3)."""
        return f"fdp/template/{self.suffix}"

    @property
    def submitted_node(self) -> str:
        """The node of what was submitted."""
        return f"fdp/submitted/{self.suffix}"


@dataclass(frozen=True, slots=True)
class Submitted:
    """A submission to be stored. `node` is the number of the publish-subscribe node; `amends` the item id of what it
    amends, "" for none; `owner` says that its publisher may amend what others submitted. `form` makes the stored XML
    of its serial number and of the item id of the original."""

    topic: int
    version: VersionRecord
    node: int
    item_id: str
    publisher: str
    resource: str
    published: float
    values: Mapping[str, Sequence[str]]
    amends: str
    owner: bool
    form: Callable[[int, str], str]


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of it: its item, and whether it was there already and nothing has changed."""

    item: stored_pubsub.Item
    again: bool = False


class NotStored(Exception):
    """A submission or a template cannot be stored; the text is a sentence, `reason` says what to answer:

    gone      the topic, or its node, is not there any more
    conflict  the id of the item belongs to something else
    amends    what it amends is not there, or is not the publisher's
    """

    def __init__(self, reason: Literal["gone", "conflict", "amends"], text: str) -> None:
        super().__init__(text)
        self.reason = reason


class FormStore(Protocol):
    """All methods but `listen` and `forget_listener` raise StoreUnavailable when the database does not answer."""

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener()`, in the loop's thread, whenever topics may have changed."""

    def forget_listener(self, listener: Callable[[], None]) -> None:
        """Undo `listen`."""

    async def topics(self, services: Sequence[str]) -> list[TopicRecord]:
        """All topics of these services."""

    async def definition(self, version: int) -> Definition:
        """The definition of a version; raises LookupError."""

    async def submit(self, draft: Submitted) -> Stored:
        """Store a submission durably, unless the same publisher has stored the same under its item id already. Raises
        NotStored."""

    async def publish_template(
        self, service: str, suffix: str, name: str, definition: Definition, author: str
    ) -> VersionRecord:
        """A version of this name of the topic's template, which is made where it is missing, and so is the topic. The
        same version again is no error. Raises NotStored where there is another one of this name, ValueError where the
        definition cannot be stored."""

    async def expired(self, services: Sequence[str], now: float) -> list[tuple[TopicRecord, list[str]]]:
        """Submissions beyond their topic's retention, at most SLICE of each topic: the topic (without versions), item
        ids."""

    async def remove(self, topic: int, item_ids: Sequence[str]) -> None:
        """Remove submissions from the archive."""
