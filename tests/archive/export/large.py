"""Exports ten thousand messages in each format, each by a process of its own: run as a program by `test_large.py`.

Prints a line of JSON for each: how much memory the worker took at most, and how long it computed.
"""

from __future__ import annotations

import json
import os
import random
import resource
import time
from pathlib import Path

import django

MESSAGES = 10_000
TEXT = "the of and message today report convoy arrived at noon façade Привет мир שלום السلام 中文 日本語 हिन्दी 😀"


def main() -> None:
    """Fill a database, then make the files."""
    django.setup()
    from django.core.management import call_command
    from django.db import connections

    call_command("migrate", verbosity=0)
    from archive import ids
    from archive.export import making
    from archive.export.ordered import FORMATS
    from archive.models import Message
    from tests.kits.exported import START, account, make, settle

    ada = account("ada")
    words = TEXT.split()
    chance = random.Random(7)
    rows = []
    for number in range(MESSAGES):
        peer = f"peer{chance.randrange(40)}@far.example"
        body = " ".join(chance.choices(words, k=chance.randint(3, 30)))
        rows.append(
            Message(
                id=ids.first_at(START + number * 60),
                sender=str(ada),
                recipient=peer,
                sender_account=ada.pk,
                kind="chat",
                xml=f"<message from='{ada}/r' type='chat' to='{peer}'><body>{body}</body></message>",
            )
        )
    Message.objects.bulk_create(rows, batch_size=500)
    with connections["default"].cursor() as cursor:
        cursor.execute("INSERT INTO archive_slice (low, high, size) VALUES (%s, %s, %s)", [rows[0].id, rows[-1].id, 1])
    settle()
    rows.clear()
    connections.close_all()
    for format in FORMATS:
        read, write = os.pipe()
        child = os.fork()
        if not child:
            begun = time.process_time()
            made, _export = make(making.own_order(ada, format=format), Path(os.environ["MLINK_HOME"]) / format)
            told = {
                "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                "seconds": time.process_time() - begun,
                "messages": made.messages,
                "name": made.name,
                "path": str(made.path),
            }
            os.write(write, json.dumps(told).encode())
            os._exit(0)
        os.close(write)
        with os.fdopen(read) as answer:
            print(answer.read())
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
