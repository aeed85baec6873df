"""The only writer of topics: for the console, for commands, for imports, and for templates that come over XMPP.

Every change grows FormsState.version in its transaction and then wakes the nodes, which bring their nodes into step
(`engine.py`). Wrong input raises ValueError with a sentence for people; where a document does not fit it is a
DefinitionError, which names the place.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

from django.db import DEFAULT_DB_ALIAS, IntegrityError, transaction
from django.db.models import F, Max, QuerySet

from fdp import domains, rules, stylesheets
from fdp.definition import Definition, DefinitionError, to_json
from fdp.definition import from_json as definition_from_json
from fdp.models import MAX_SUFFIX, FormsState, Submission, TemplateVersion, Topic
from fdp.reading import Place
from mlink_web.conf import notify

T = TypeVar("T")

MAX_TOPICS: Final = 1_000
MAX_VERSIONS: Final = 1_000
MAX_DESCRIPTION: Final = 4_000
MAX_NOTE: Final = 2_000
MAX_RETENTION: Final = 36_500
RULES: Final = ("publish_rules", "read_rules", "fill_rules")
#: What `change_topic` changes.
CHANGEABLE: Final = ("title", "description", "enabled", "retention_days", *RULES, "xslt", "css")
#: Begins with a domain of whoever made the form (XEP-0346, 3).
_SUFFIX: Final = re.compile(r"[^\s/<>&'\"]+(?:/[^\s/<>&'\"]+)+\Z")
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,200}\Z")


class UnknownTopic(ValueError):
    """There is no such topic."""


def topics(service: str = "", using: str = DEFAULT_DB_ALIAS) -> QuerySet[Topic]:
    """The topics that are there, of one service or of all, by service and suffix."""
    found = Topic.objects.using(using).filter(removed=0.0)
    return found.filter(service=service) if service else found


def find_topic(service: str, suffix: str, using: str = DEFAULT_DB_ALIAS) -> Topic:
    """One topic; raises UnknownTopic."""
    topic = topics(service, using).filter(suffix=suffix.strip()).first()
    if topic is None:
        raise UnknownTopic(f"There is no topic {suffix.strip()} on {service}.")
    return topic


def newest_version(topic: Topic) -> TemplateVersion | None:
    """The version that is filled in now."""
    return topic.versions.order_by("-number").first()


def add_topic(
    service: str,
    suffix: str,
    title: str,
    definition: Definition | dict[str, Any] | None = None,
    *,
    author: str = "",
    note: str = "",
    name: str = "",
    using: str = DEFAULT_DB_ALIAS,
    **options: Any,
) -> Topic:
    """A new topic, with the first version of its template (called `name`) if there is one already; `options` as in
    `change_topic`. A topic that was removed comes back with its submissions, versions and serial numbers."""
    service = domains.find_service(service, using)
    suffix = check_suffix(suffix)
    values = _checked({"title": title, **options})
    checked = _definition(definition) if definition is not None else None

    def write() -> Topic:
        now = time.time()
        topic = Topic.objects.using(using).select_for_update().filter(service=service, suffix=suffix).first()
        if topic is not None and not topic.removed:
            raise ValueError(f"There is a topic {suffix} on {service} already.")
        if topics(service, using).count() >= MAX_TOPICS:
            raise ValueError(f"{service} has {MAX_TOPICS} topics, and no more fit.")
        if topic is None:
            topic = Topic(service=service, suffix=suffix, created=now)
        fresh = Topic(**values)
        for option in CHANGEABLE:
            setattr(topic, option, getattr(fresh, option))
        topic.removed, topic.changed = 0.0, now
        topic.save(using=using)
        if checked is not None:
            _add_version(topic, checked, author, note, name, now)
        return topic

    try:
        return change(write, using)
    except IntegrityError:
        raise ValueError(f"There is a topic {suffix} on {service} already.") from None


def change_topic(topic: Topic, **options: Any) -> Topic:
    """Set some of CHANGEABLE; rules are lists of documents (`rules.py`)."""
    values = _checked(options)

    def write() -> Topic:
        row = _locked(topic)
        for name, value in values.items():
            setattr(row, name, value)
        row.changed = time.time()
        row.save(update_fields=(*values, "changed"))
        return row

    return change(write)


def remove_topic(topic: Topic, *, erase: bool = False) -> None:
    """Its nodes go, what was submitted stays in the archive; with `erase` nothing of it stays."""

    def write() -> None:
        row = Topic.objects.select_for_update().filter(pk=topic.pk).first()
        if row is None:
            raise UnknownTopic("There is no such topic any more.")
        if erase:
            from fdp import export_jobs

            row.delete()
            transaction.on_commit(lambda: export_jobs.forget(topic.pk))
            return
        row.removed = row.changed = time.time()
        row.save(update_fields=("removed", "changed"))

    change(write)


def add_version(
    topic: Topic,
    definition: Definition | dict[str, Any],
    *,
    author: str = "",
    note: str = "",
    name: str = "",
    using: str = DEFAULT_DB_ALIAS,
) -> TemplateVersion:
    """A new version of the template, which is filled in from now on; without a name it is `version02` and so on."""
    checked = _definition(definition)

    def write() -> TemplateVersion:
        row = _locked(topic, using)
        now = time.time()
        version = _add_version(row, checked, author, note, name, now)
        row.changed = now
        row.save(using=using, update_fields=("changed",))
        return version

    return change(write, using)


def _add_version(
    topic: Topic, definition: Definition, author: str, note: str, name: str, now: float
) -> TemplateVersion:
    number = (topic.versions.aggregate(most=Max("number"))["most"] or 0) + 1
    if number > MAX_VERSIONS:
        raise ValueError(f"A template has at most {MAX_VERSIONS} versions.")
    if len(note) > MAX_NOTE:
        raise ValueError(f"A note has at most {MAX_NOTE} characters.")
    name = name or f"version{number:02d}"
    if not _NAME.match(name):
        raise ValueError("The name of a version has letters, digits, dots and dashes, at most 200.")
    if topic.versions.filter(name=name).exists():
        raise ValueError(f"There is a version {name} already, and versions do not change.")
    return topic.versions.create(
        number=number,
        name=name,
        definition=to_json(definition),
        created=now,
        author=author,
        note=note.strip(),
    )


def forget_person(bare: str, using: str = DEFAULT_DB_ALIAS) -> None:
    """The account of this address is removed: rules for it go, and nobody amends what it submitted as its author."""
    Submission.objects.using(using).filter(publisher=bare, orphaned=False).update(orphaned=True)
    for topic in Topic.objects.using(using).all():
        kept = {name: [one for one in getattr(topic, name) if one != {"kind": "jid", "value": bare}] for name in RULES}
        if any(kept[name] != getattr(topic, name) for name in RULES):
            change(lambda row=topic, kept=kept: _put(row, kept, using), using)  # type: ignore[misc]


def _put(topic: Topic, values: dict[str, Any], using: str) -> None:
    Topic.objects.using(using).filter(pk=topic.pk).update(**values, changed=time.time())


def change(write: Callable[[], T], using: str = DEFAULT_DB_ALIAS) -> T:
    """Run one change of topics: the version grows with it, and the nodes look once it is committed."""
    with transaction.atomic(using=using):
        # First, so that changes follow each other.
        states = FormsState.objects.using(using)
        if not states.filter(pk=1).update(version=F("version") + 1):
            _state, is_new = states.get_or_create(pk=1, defaults={"version": 1})
            if not is_new:
                # Somebody else was the first of all at the same moment.
                states.filter(pk=1).update(version=F("version") + 1)
        result = write()
        transaction.on_commit(lambda: notify.send([{"type": "forms.changed"}]), using=using)
    return result


def _locked(topic: Topic, using: str = DEFAULT_DB_ALIAS) -> Topic:
    row = Topic.objects.using(using).select_for_update().filter(pk=topic.pk, removed=0.0).first()
    if row is None:
        raise UnknownTopic("There is no such topic any more.")
    return row


def check_suffix(suffix: str) -> str:
    """The name of a topic inside its service; raises ValueError."""
    suffix = suffix.strip()
    if len(suffix.encode(errors="surrogatepass")) > MAX_SUFFIX:
        raise ValueError(f"The name of a topic has at most {MAX_SUFFIX} bytes.")
    if not _SUFFIX.match(suffix) or not suffix.isprintable():
        raise ValueError("The name of a topic begins with a domain of yours, such as example.org/sitrep.")
    return suffix


def _definition(definition: Definition | dict[str, Any]) -> Definition:
    """Checked whether it comes as a document or not: a Definition can be made by hand."""
    checked = definition_from_json(to_json(definition) if isinstance(definition, Definition) else definition)
    if not any(field.type != "fixed" for field in checked.fields):
        raise DefinitionError("fields", "a form needs at least one field to fill in")
    return checked


def _checked(options: dict[str, Any]) -> dict[str, Any]:
    """Options of a topic as they are stored."""
    place = Place("", options).mapping(*CHANGEABLE)
    found: dict[str, Any] = {}
    for name in options:
        given = place[name]
        if name == "title":
            found[name] = given.text(200, required=True).strip()
            if not found[name]:
                raise given.error("a topic needs a title")
        elif name == "description":
            found[name] = given.text(MAX_DESCRIPTION).strip()
        elif name == "enabled":
            found[name] = given.flag()
        elif name == "retention_days":
            found[name] = given.number(0, MAX_RETENTION) or 0
        elif name in RULES:
            found[name] = [rule.document() for rule in rules.read(name, given.value)]
        else:
            found[name] = _stylesheet(given)
    return found


def _stylesheet(place: Place) -> str:
    is_css = place.path == "css"
    text = place.text(stylesheets.MAX_CSS if is_css else stylesheets.MAX_XSLT)
    if not text.strip():
        return ""
    try:
        stylesheets.check_css(text) if is_css else stylesheets.check_xslt(text)
    except ValueError as error:
        raise place.error(str(error)) from None
    return text
