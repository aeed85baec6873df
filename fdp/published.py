"""Reads what was published: lists by criteria, and sheets of them to be shown or exported. Nothing is written here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from xml.sax.saxutils import escape

from django.db.models import QuerySet

from fdp.definition import from_json
from fdp.fields import Definition
from fdp.models import Submission, TemplateVersion, Topic
from fdp.render import Sheet, sheet_of

#: Words of a search that are looked for.
MAX_WORDS: Final = 10
#: Rows fetched at once while many forms are written to a file.
CHUNK: Final = 100
#: Definitions that are kept at hand meanwhile.
MAX_READ: Final = 50


def found(criteria: Mapping[str, Any]) -> QuerySet[Submission]:
    """The submissions that match, the newest first. `topic`: its key; `q`: words of which each stands in the form, or
    `#12` for a number; `publisher`: part of an address; `start` and `end`: seconds; `only`: keys of chosen ones. Empty
    ones do not count."""
    rows = Submission.objects.select_related("topic", "version", "amends").order_by("-published", "-pk")
    if criteria.get("topic"):
        rows = rows.filter(topic_id=criteria["topic"])
    if criteria.get("publisher"):
        rows = rows.filter(publisher__icontains=criteria["publisher"])
    if criteria.get("start"):
        rows = rows.filter(published__gte=criteria["start"])
    if criteria.get("end"):
        rows = rows.filter(published__lte=criteria["end"])
    if criteria.get("only"):
        rows = rows.filter(pk__in=criteria["only"])
    words = str(criteria.get("q") or "").split()[:MAX_WORDS]
    numbers = [word for word in words if re.fullmatch(r"#\d{1,18}", word)]
    for word in words:
        # The stored form is searched as text, where some characters stand as references.
        rows = rows.filter(serial=int(word[1:])) if word in numbers else rows.filter(xml__icontains=escape(word))
    return rows


def sheets(criteria: Mapping[str, Any]) -> Iterator[Sheet]:
    """The sheets of what matches, by topic and serial, a few at a time in memory."""
    rows = found(criteria).order_by("topic_id", "serial")
    read: dict[int, Definition] = {}
    last = (0, -1)
    while True:
        # By place and not by offset: what is published or removed meanwhile shifts nothing, and no cursor is held open.
        part = list(_after(rows, last)[:CHUNK])
        for row in part:
            if row.version_id not in read:
                if len(read) >= MAX_READ:
                    read.clear()
                read[row.version_id] = from_json(row.version.definition)
            yield sheet_of(row, read[row.version_id])
        if len(part) < CHUNK:
            return
        last = (part[-1].topic_id, part[-1].serial)


def _after(rows: QuerySet[Submission], last: tuple[int, int]) -> QuerySet[Submission]:
    from django.db.models import Q

    topic, serial = last
    return rows.filter(Q(topic_id__gt=topic) | Q(topic_id=topic, serial__gt=serial))


def definitions(criteria: Mapping[str, Any]) -> list[Definition]:
    """The definitions by which the matching forms were filled in, the newest of each topic first."""
    used = found(criteria).order_by().values("version_id").distinct()
    versions = TemplateVersion.objects.filter(pk__in=used).order_by("topic_id", "-number")
    return [from_json(version.definition) for version in versions.iterator(CHUNK)]


def related(submission: Submission) -> dict[str, Any]:
    """The original of an amendment, and the amendments of an original."""
    return {
        "original": submission.amends,
        "amendments": list(submission.amendments.order_by("serial")[:100]),
    }


def topics_with_forms() -> QuerySet[Topic]:
    """Topics for the filter: removed ones too, as long as something of them is kept."""
    return Topic.objects.filter(last_serial__gt=0).order_by("service", "suffix")
