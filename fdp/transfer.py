"""Topics as one JSON document, with all versions and stylesheets: from one server to another, and the samples."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

from django.db import transaction

from fdp import services
from fdp.definition import Definition, from_json
from fdp.models import TemplateVersion, Topic
from fdp.reading import DefinitionError, Place

FORMAT: Final = "forms"
FORMAT_VERSION: Final = 1
MAX_BYTES: Final = 20 * 1024 * 1024
KEYS: Final = ("suffix", *services.CHANGEABLE, "versions")
VERSION_KEYS: Final = ("name", "definition", "created", "author", "note")


def export_topics(topics: Iterable[Topic]) -> dict[str, Any]:
    """The document of these topics. Submissions are not part of it."""
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "topics": [
            {
                "suffix": topic.suffix,
                **{name: getattr(topic, name) for name in services.CHANGEABLE},
                "versions": [
                    {name: getattr(version, name) for name in VERSION_KEYS}
                    for version in topic.versions.order_by("number")
                ],
            }
            for topic in topics
        ],
    }


def loads(text: str | bytes) -> dict[str, Any]:
    """A document from its text; raises ValueError."""
    if len(text) > MAX_BYTES:
        raise ValueError(f"An import has at most {MAX_BYTES // 1024 // 1024} MiB.")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"This is no JSON: {error}") from None
    if not isinstance(document, dict):
        raise ValueError("This is no export of topics.")
    return document


def import_topics(
    document: dict[str, Any], service: str, *, replace: bool = False, author: str = "", prefix: str = ""
) -> list[Topic]:
    """Make the topics of a document on a service, all or none. Topics that are there are an error, unless `replace`:
    then they get the options of the document, and as new versions those that they do not have. `prefix` is put before
    each suffix. Raises DefinitionError and ValueError."""
    place = Place("", document)
    known = place.mapping("format", "format_version", "topics")
    if known["format"].value != FORMAT or known["format_version"].value != FORMAT_VERSION:
        raise known["format"].error("is no export of topics that this version reads")
    entries = known["topics"].items(services.MAX_TOPICS)
    if not entries:
        raise known["topics"].error("holds no topic")
    # What can be checked is checked before anything is written, as far as that needs no database.
    read = [_read(entry, prefix) for entry in entries]
    with transaction.atomic():
        return [_store(service, one, replace, author) for one in read]


class _Entry:
    """A topic of a document, checked."""

    def __init__(self, suffix: str, options: dict[str, Any], versions: list[dict[str, Any]]) -> None:
        self.suffix = suffix
        self.options = options
        self.versions = versions


def _read(place: Place, prefix: str) -> _Entry:
    known = place.mapping(*KEYS)
    options = {name: known[name].value for name in services.CHANGEABLE if not known[name].absent}
    versions = []
    for one in known["versions"].items(services.MAX_VERSIONS):
        parts = one.mapping(*VERSION_KEYS)
        versions.append(
            {
                "name": parts["name"].text(200),
                "definition": _definition(parts["definition"]),
                "author": parts["author"].text(3_071),
                "note": parts["note"].text(services.MAX_NOTE),
            }
        )
    try:
        suffix = services.check_suffix(prefix + known["suffix"].text(services.MAX_SUFFIX, required=True))
        if "title" not in options:
            raise known["title"].error("a topic needs a title")
        return _Entry(suffix, options, versions)
    except DefinitionError:
        raise
    except ValueError as error:
        raise known["suffix"].error(str(error)) from None


def _definition(place: Place) -> Definition:
    try:
        return from_json(place.value)
    except DefinitionError as error:
        inner = f"{place.path}.{error.path}" if error.path else place.path
        raise DefinitionError(inner, error.reason) from None


def _store(service: str, entry: _Entry, replace: bool, author: str) -> Topic:
    topic = services.topics(service).filter(suffix=entry.suffix).first()
    if topic is None:
        options = dict(entry.options)
        topic = services.add_topic(service, entry.suffix, options.pop("title"), **options)
    elif replace:
        topic = services.change_topic(topic, **entry.options)
    else:
        raise ValueError(f"There is a topic {entry.suffix} on {service} already.")
    present = {version.name: version for version in topic.versions.all()}
    for version in entry.versions:
        stored: TemplateVersion | None = present.get(version["name"])
        if stored is not None and from_json(stored.definition) == version["definition"]:
            continue
        services.add_version(
            topic,
            version["definition"],
            author=version["author"] or author,
            note=version["note"],
            # A version does not change: what is called alike and is not alike gets a number of its own.
            name="" if stored is not None else version["name"],
        )
    return topic


def dumps(document: dict[str, Any]) -> str:
    """The text of a document, for people too."""
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"
