"""What readers see of a submitted form: by its topic's stylesheet where it has one that works, else plainly.

A Sheet is a submission with all that is needed to show it: the definition of the template version that was filled in,
the values, who and when. Pages, print, PDF and CSV start from it; only `sheet_of` knows the models.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from itertools import groupby
from typing import Any, Final

from fdp import stylesheets
from fdp.fields import LISTS, Definition, Field, Media
from fdp.layout import ShownPage, pages

log = logging.getLogger("mlink.forms")

#: What is shown in place of a text that its template calls private.
HIDDEN_TEXT: Final = "••••••"


@dataclass(frozen=True, slots=True)
class Sheet:
    """One submitted form. `version` is the name of the template version; `amends` the serial of the form that it
    replaces, 0 for none."""

    pk: int
    title: str
    topic: str
    suffix: str
    service: str
    serial: int
    version: str
    item_id: str
    publisher: str
    published: datetime
    definition: Definition
    values: Mapping[str, Sequence[str]]
    xml: str
    amends: int = 0

    @property
    def file_name(self) -> str:
        """A name for a file that holds it."""
        return f"{file_stem(self.suffix)}-{self.serial:05d}"


@dataclass(frozen=True, slots=True)
class Row:
    """A field with what was entered, as people read it."""

    var: str
    label: str
    values: tuple[str, ...]
    media: tuple[Media, ...] = ()
    is_text: bool = False
    kind: str = "field"

    @property
    def text(self) -> str:
        """All of it in one text."""
        return "\n".join(self.values) if self.is_text else ", ".join(self.values)


def file_stem(suffix: str) -> str:
    """A topic's suffix as part of a file name: letters, digits, dots and hyphens."""
    name = suffix.rpartition("/")[2] or suffix
    return "".join(one if one.isascii() and (one.isalnum() or one in ".-_") else "-" for one in name)[:80] or "form"


def sheet_of(submission: Any, definition: Definition | None = None) -> Sheet:
    """The sheet of a stored submission; its topic, version and original should be loaded with it. Who has read the
    version's definition before hands it over."""
    from fdp.definition import from_json

    topic = submission.topic
    if definition is None:
        definition = from_json(submission.version.definition)
    return Sheet(
        pk=submission.pk,
        title=definition.title or topic.title or topic.suffix,
        topic=topic.title or topic.suffix,
        suffix=topic.suffix,
        service=topic.service,
        serial=submission.serial,
        version=submission.version.name,
        item_id=submission.item_id,
        publisher=submission.publisher,
        published=_when(submission.published),
        definition=definition,
        values={var: tuple(values) for var, values in submission.values.items()},
        xml=submission.xml,
        amends=submission.amends.serial if submission.amends_id else 0,
    )


def _when(published: datetime | float) -> datetime:
    return published if isinstance(published, datetime) else datetime.fromtimestamp(published, UTC)


def shown_values(field: Field, values: Sequence[str]) -> tuple[str, ...]:
    """Values as people read them: labels for options, words for true and false."""
    if field.type == "boolean":
        return tuple("Yes" if value in ("1", "true") else "No" for value in values)
    if field.type == "text-private":
        return (HIDDEN_TEXT,) if any(values) else ()
    if field.type in LISTS:
        labels = {option.value: option.label or option.value for option in field.options}
        return tuple(labels.get(value, value) for value in values)
    return tuple(values)


def rows(definition: Definition, values: Mapping[str, Sequence[str]]) -> list[ShownPage]:
    """The pages of a form with a Row at each field, the empty ones too: that nothing was said is said as well."""

    def make(field: Field) -> Row:
        shown = shown_values(field, values.get(field.var, ()))
        return Row(field.var, field.name, shown, field.media, field.type == "text-multi")

    return pages(definition, make)


def stylesheet_html(xslt: str, sheet: Sheet) -> str:
    """What a topic's stylesheet makes of this form; raises StylesheetError."""
    return stylesheets.transform(xslt, sheet.xml)


def by_stylesheet(xslt: str, css: str, sheet: Sheet) -> str | None:
    """The document for a frame (see `stylesheets.framed`), or None where the topic has no stylesheet or it fails: then
    the plain rendering is shown, and the log says once for each stylesheet why. CSS alone is laid over plain HTML, if
    the definition is known."""
    try:
        if xslt.strip():
            html = stylesheet_html(xslt, sheet)
        elif css.strip() and sheet.definition.fields:
            html = plain_html(sheet)
        else:
            return None
    except stylesheets.StylesheetError as error:
        _note(xslt, sheet, error)
        return None
    return stylesheets.framed(html, css, f"{sheet.title} {sheet.serial}")


def plain_html(sheet: Sheet) -> str:
    """The form as simple HTML that a topic's CSS can do something with: headings, and a table for each group."""
    body = "".join(
        (f"<h2>{escape(page.label)}</h2>" if page.label else "") + _plain_parts(page.parts, 3)
        for page in rows(sheet.definition, sheet.values)
    )
    return f"<h1>{escape(sheet.title)}</h1>{body}"


def _plain_parts(parts: Sequence[Any], level: int) -> str:
    out: list[str] = []
    for is_row, group in groupby(parts, key=lambda part: part.kind == "field"):
        if is_row:
            lines = "".join(
                f'<tr><th scope="row">{escape(row.label)}</th><td>{escape(row.text).replace(chr(10), "<br>")}</td></tr>'
                for row in group
            )
            out.append(f"<table><tbody>{lines}</tbody></table>")
            continue
        for part in group:
            if part.kind == "section":
                head = f"<h{level}>{escape(part.label)}</h{level}>" if part.label else ""
                out.append(f"<section>{head}{_plain_parts(part.parts, min(level + 1, 6))}</section>")
            else:
                out.append(f"<p>{escape(part.text)}</p>")
    return "".join(out)


def _note(xslt: str, sheet: Sheet, error: stylesheets.StylesheetError) -> None:
    from django.core.cache import cache

    mark = hashlib.sha256(f"{sheet.service}\0{sheet.suffix}\0{xslt}".encode()).hexdigest()
    if cache.add(f"fdp-stylesheet-{mark}", True, timeout=None):
        log.warning(
            "the stylesheet of topic %s at %s fails, forms are shown plainly: %s", sheet.suffix, sheet.service, error
        )
