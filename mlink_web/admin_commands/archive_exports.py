"""Archived messages as files, for whoever administers the machine."""

from __future__ import annotations

import secrets
import sys
import tempfile
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from django.db import connection

from archive import ids
from archive.export import making
from archive.export.criteria import facts_of
from archive.export.held import exports_with
from archive.export.models import Export
from archive.export.ordered import FORMATS, Order, zone_of
from archive.export.sources import Officer
from archive.oversight.criteria import EVERYTHING, Criteria, address, parse_words
from mlink_web.audit import log as audit
from xmpp_engine.admin.command import Argument, CommandError, Registry
from xmpp_engine.admin.values import yes_or_no

registry: Final = Registry()
WHO: Final = "command line"


@registry.command(
    "archive export",
    "Write archived messages to a file: PDF/A, XML or JSON lines.",
    Argument("file", "a new file"),
    Argument("reason", "why; stands in the file and in the audit log", option=True),
    Argument("format", "pdf, xml or jsonl", option=True, default="pdf"),
    Argument("people", "bare addresses apart by commas: messages of any of them", option=True, default=""),
    Argument("rooms", "addresses of rooms apart by commas", option=True, default=""),
    Argument("domains", "domains apart by commas", option=True, default=""),
    Argument("words", 'words that must occur, "phrases", begin*, -without', option=True, default="", logged=False),
    Argument("start", "from that time on, such as 2026-05-31 or 2026-05-31T12:00", option=True, default=""),
    Argument("end", "until that time", option=True, default=""),
    Argument("zone", "time zone of these times and of those in the file", option=True, default="UTC"),
    Argument("attach", "no leaves the XML out of a PDF/A file (PDF/A-2b)", option=True, default="yes"),
    Argument("sign", "yes signs a PDF/A file", option=True, default="no"),
    local=True,
)
def archive_export(file: str, reason: str, format: str, zone: str, attach: str, sign: str, **asked: str) -> str:
    """More messages than one PDF/A file holds become several in a zip file."""
    target = Path(file)
    if target.exists():
        raise CommandError(f"{file} is there already.")
    if not target.parent.is_dir():
        raise CommandError(f"There is no folder {target.parent}.")
    if format not in FORMATS:
        raise CommandError(f"A format is {', '.join(FORMATS)}.")
    if sign == "yes" and not making.can_sign():
        raise CommandError("There is no key to sign with (MLINK_PDF_SIGN_KEY).")
    criteria = criteria_of(zone, **asked)
    order = Order(
        WHO,
        format,
        zone,
        time.time(),
        officers=True,
        criteria=criteria.to_json(),
        reason=reason,
        attach=yes_or_no("attach", attach),
        earlier=True,
        sign=yes_or_no("sign", sign) and format == "pdf",
    )
    order = replace(order, facts=[list(fact) for fact in facts_of(criteria, order.time_zone)])
    about = f"{FORMATS[format]} by command: " + ", ".join(f"{name} {value}" for name, value in order.facts)
    audit.record(WHO, "archive export ordered", about, format=format, reason=reason, asked=order.facts, file=file)
    export = making.remember(order, f"cmd-{secrets.token_urlsafe(24)}", about)
    source = Officer(connection, criteria, before=ids.first_after(order.made))
    # Beside the target: what is made there can be moved there.
    with tempfile.TemporaryDirectory(prefix=".export-", dir=target.parent) as folder:
        try:
            made = making.produce(order, export, Path(folder), _tell, source=lambda: source)
            if not made.messages:
                raise CommandError("There is no such message.")
            making.ready(export, made)
            made.path.chmod(0o600)
            made.path.rename(target)
        except making.Refused as refusal:
            making.failed(export)
            raise CommandError(str(refusal)) from None
        except BaseException:
            making.failed(export)
            raise
    what = " (a zip file with several PDF/A files)" if made.type == "application/zip" else ""
    return f"{made.messages:,} messages are in {file}{what}."


@registry.command(
    "archive exports",
    "List exports of messages, the newest first.",
    Argument("message", "only those that hold the message of this id", option=True, default=""),
    Argument("limit", "how many", option=True, default="100"),
    permission="read",
)
def archive_exports(message: str, limit: str) -> list[dict[str, Any]]:
    """Those whose files are gone, too."""
    if not limit.isascii() or not limit.isdigit() or not 0 < int(limit) <= 10_000:
        raise CommandError("A limit is a number from 1 to 10000.")
    if not message:
        return [_shown(export) for export in Export.objects.all()[: int(limit)]]
    id = ids.from_text(message)
    if id is None:
        raise CommandError("The id of a message has 16 hexadecimal digits.")
    return [{**_shown(found.export), "certain": found.certain} for found in exports_with([id])[: int(limit)]]


def criteria_of(zone: str, people: str, rooms: str, domains: str, words: str, start: str, end: str) -> Criteria:
    """The search that the options ask for; raises ValueError with a sentence."""
    wanted, unwanted = parse_words(words)
    return Criteria(
        people=tuple(address(each) for each in _listed(people)),
        rooms=tuple(address(each) for each in _listed(rooms)),
        domains=tuple(each.lower() for each in _listed(domains)),
        start=_time("start", start, zone),
        end=_time("end", end, zone),
        words=wanted,
        exclusions=unwanted,
        scope=EVERYTHING,
    )


def _shown(export: Export) -> dict[str, Any]:
    return {
        "export": export.pk,
        "ordered": datetime.fromtimestamp(export.created, zone_of("UTC")).strftime("%Y-%m-%d %H:%M:%S"),
        "by": export.owner,
        "what": export.about,
        "messages": export.messages,
        "state": export.get_state_display(),
        "fetched": export.fetched,
    }


def _tell(done: int, total: int) -> None:
    if sys.stderr.isatty():
        end = "\n" if done >= total else ""
        sys.stderr.write(f"\r{done:,} of {total:,}{end}")


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _time(name: str, text: str, zone: str) -> float | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise CommandError(f"{name} is a time such as 2026-05-31 or 2026-05-31T12:00.") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone_of(zone))).timestamp()
