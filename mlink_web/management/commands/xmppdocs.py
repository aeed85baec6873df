"""`manage.py xmppdocs`: write docs/xeps.md, the table of what is implemented, from the code."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from xmpp_engine.plugin.loader import import_modules
from xmpp_engine.plugin.module import Xep
from xmpp_engine.xeps import BELOW_MODULES, RFCS

TARGET = Path("docs/xeps.md")
HEAD = """# What is implemented

Made by `make docs` from what the modules declare; do not edit. "Where" is the place to start reading.

| Specification | Version | State | Where | What is left |
| --- | --- | --- | --- | --- |
"""


class Command(BaseCommand):
    """Writes the table, or with --check fails when it is not current."""

    help = "Write the table of implemented specifications (docs/xeps.md)."

    def add_arguments(self, parser: Any) -> None:
        """One option for continuous integration."""
        parser.add_argument("--check", action="store_true", help="only tell whether the file is current")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Compare or write."""
        root = Path(settings.BASE_DIR)
        text = table(root)
        path = root / TARGET
        if options["check"]:
            if not path.exists() or path.read_text() != text:
                self.stderr.write(f"{TARGET} is not current: run `make docs`.")
                raise SystemExit(1)
            return
        path.write_text(text)
        self.stdout.write(f"{TARGET} written")


def table(root: Path) -> str:
    """The whole document; `root` is the checkout."""
    rows: list[tuple[str, Xep]] = list(BELOW_MODULES)
    for kind in import_modules(settings.XMPP_MODULES):
        source = Path(inspect.getfile(kind)).relative_to(root)
        rows += [(str(source), xep) for xep in kind.xeps]
    merged: dict[str, tuple[list[str], Xep]] = {}
    for where, xep in rows:
        places, _ = merged.setdefault(xep.number, ([], xep))
        if where not in places:
            places.append(where)
    lines = [
        f"| RFC {number}: {what} | | {state} | {', '.join(map(_code, where.split(', ')))} | {left} |"
        for number, what, state, where, left in RFCS
    ]
    for number, (places, xep) in sorted(merged.items()):
        lines.append(f"| XEP-{number} | {xep.version} | {xep.status} | {', '.join(map(_code, places))} | {xep.note} |")
    return HEAD + "\n".join(lines) + "\n"


def _code(path: str) -> str:
    return f"`{path}`"
