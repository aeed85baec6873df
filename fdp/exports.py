"""Submitted forms as files: XML and CSV written form by form, so that any number of them fits into memory.

Each writer takes the sheets one after the other and a binary file, and calls `progress` after each. PDF is in
`exports_pdf.py`.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from typing import BinaryIO, Final
from xml.sax.saxutils import quoteattr

from fdp.fields import Definition
from fdp.render import Sheet, shown_values

#: The namespace of what wraps several forms; each form in it is as its topic's node carries it.
NAMESPACE: Final = "urn:mlink:forms:export:0"
#: What makes a spreadsheet take a cell for a formula, in the forms that it normalises as well.
_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_NUMBER: Final = re.compile(r"[+-]?\d+(?:[.,]\d+)?")
_META: Final = ("Number", "Published (UTC)", "Publisher", "Version", "Amends number", "Item", "Topic")
Progress = Callable[[int], None]


def nothing(_done: int) -> None:
    """For whoever needs no progress."""


def write_xml(sheets: Iterable[Sheet], out: BinaryIO, progress: Progress = nothing) -> None:
    """One document with all forms, as they were stored, each with what the server knows of it."""
    out.write(f'<?xml version="1.0" encoding="UTF-8"?>\n<submissions xmlns="{NAMESPACE}">\n'.encode())
    for number, sheet in enumerate(sheets, 1):
        out.write(_element(sheet).encode())
        progress(number)
    out.write(b"</submissions>\n")


def _element(sheet: Sheet) -> str:
    attributes = {
        "service": sheet.service,
        "topic": sheet.suffix,
        "serial": str(sheet.serial),
        "version": sheet.version,
        "id": sheet.item_id,
        "publisher": sheet.publisher,
        "published": sheet.published.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    if sheet.amends:
        attributes["amends"] = str(sheet.amends)
    written = " ".join(f"{name}={quoteattr(value)}" for name, value in attributes.items())
    return f"<submission {written}>\n{sheet.xml}\n</submission>\n"


def one_xml(sheet: Sheet) -> bytes:
    """One form as a document, as it was stored."""
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{sheet.xml}\n'.encode()


def csv_columns(definitions: Sequence[Definition]) -> list[tuple[str, str]]:
    """Name and heading of the columns for forms that were filled in by these definitions, the newest first: its fields
    in its order, then what only older ones have."""
    columns: dict[str, str] = {}
    for definition in definitions:
        for field in definition.fields:
            if field.var and field.type not in ("fixed", "hidden"):
                columns.setdefault(field.var, field.name)
    headings = list(columns.values())
    return [(var, name if headings.count(name) == 1 else f"{name} ({var})") for var, name in columns.items()]


def write_csv(
    sheets: Iterable[Sheet], columns: Sequence[tuple[str, str]], out: BinaryIO, progress: Progress = nothing
) -> None:
    """One line for each form. The file says that it is UTF-8, which spreadsheets want to be told; nothing in it is
    taken for a formula."""
    text = io.TextIOWrapper(out, "utf-8-sig", newline="", write_through=True)
    try:
        writer = csv.writer(text, quoting=csv.QUOTE_ALL)
        writer.writerow([*_META, *(cell(heading) for _, heading in columns)])
        for number, sheet in enumerate(sheets, 1):
            writer.writerow([cell(value) for value in _line(sheet, columns)])
            progress(number)
    finally:
        text.detach()


def _line(sheet: Sheet, columns: Sequence[tuple[str, str]]) -> list[str]:
    fields = {field.var: field for field in sheet.definition.fields if field.var}
    line = [
        str(sheet.serial),
        sheet.published.strftime("%Y-%m-%d %H:%M:%S"),
        sheet.publisher,
        sheet.version,
        str(sheet.amends or ""),
        sheet.item_id,
        sheet.suffix,
    ]
    for var, _ in columns:
        values, field = sheet.values.get(var, ()), fields.get(var)
        # What is private on screens is not in a file for spreadsheets either; the XML has it.
        shown = shown_values(field, values) if field is not None else tuple(values)
        line.append(("\n" if field is not None and field.type == "text-multi" else "; ").join(shown))
    return line


def cell(text: str) -> str:
    """A text that no spreadsheet takes for a formula: an apostrophe before it where it could. Numbers stay numbers."""
    if text.lstrip(" ").startswith(_STARTS) and not _NUMBER.fullmatch(text):
        return f"'{text}"
    return text


def wrapped_xml(sheets: Iterable[Sheet]) -> bytes:
    """What `write_xml` writes, for the few forms of one PDF file."""
    out = io.BytesIO()
    write_xml(sheets, out)
    return out.getvalue()
