"""A domain with something of everything, for tests of its deletion; and, as a program, a worker at it that is killed
now and then (`test_deleting.py`)."""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
import time
from typing import Any

NAME, OTHER = "gone.example", "stays.example"


def furnish(users: int = 3) -> None:
    """Fill the default database."""
    from django.core.files.base import ContentFile
    from django.core.files.storage import storages

    from mlink_web.accounts import services
    from mlink_web.accounts.models import Account
    from mlink_web.conf.models import Domain
    from mlink_web.groups import services as groups
    from mlink_web.invitations.models import Invitation
    from mlink_web.rooms.models import Room, RoomAffiliation
    from mlink_web.uploads.files import Files
    from mlink_web.uploads.models import Upload
    from tests.kits.archived import said
    from tests.web.portability import kit

    for name in (NAME, OTHER):
        Domain.objects.get_or_create(name=name)
    services.create_account(f"boss@{OTHER}", "correct horse", is_staff=True, is_superuser=True)
    bob = kit.account("default", f"bob@{OTHER}")
    people = [kit.account("default", f"u{number}@{NAME}") for number in range(users)]
    ann = people[0]
    for number in range(4):
        room = Room.objects.create(service=f"conference.{NAME if number else OTHER}", local=f"r{number}")
        RoomAffiliation.objects.create(room=room, jid=ann.username, affiliation="owner", version=1)
        kit.writer("default").commit(
            kit.Batch(archive=[said(100 + number, ann.username, (str(room), room.pk), f"in room {number}")])
        )
    kit.node("default", f"pubsub.{NAME}", "news", {}, 2)
    kit.node("default", f"pubsub.{OTHER}", "news", {}, 2)
    kit.node("default", ann.username, "urn:xmpp:bookmarks:1", {"max_items": "max"}, 1)
    groups.add_members(groups.add_group(Domain.objects.get(name=NAME), "doomed"), [bob.username])
    groups.add_members(groups.add_group(Domain.objects.get(name=OTHER), "staying"), [ann.username, NAME])
    Invitation.objects.create(digest="d" * 64, domain=NAME, kind="account", created=1.0, expires=9e12)
    talks: list[Any] = [(number, ann, people[-1], f"<body>among us {number}</body>") for number in range(1, 6)]
    talks += [(number, ann, bob, f"<body>across {number}</body>") for number in range(10, 14)]
    talks += [(20, "x@far.example", ann, "<body>from afar</body>"), (21, bob, bob, "<body>not ours</body>")]
    kit.talk("default", talks)
    for number, account in enumerate(people):
        token = f"{number:A>32}"
        Upload.objects.create(
            token=token,
            secret="s",
            account_id=account.pk,
            owner=account.username,
            name="a.txt",
            size=3,
            purpose="message",
            created=1.0,
            put_until=2.0,
            state="stored",
        )
        storages["uploads"].save(Files().name(token) if hasattr(Files(), "name") else token, ContentFile(b"abc"))
    assert Account.objects.filter(domain__name=NAME).count() == users


def order(archive: str) -> int:
    """Order the deletion; returns the number of the job."""
    from mlink_web.conf.models import Domain
    from mlink_web.delegation import deleting
    from mlink_web.jobs.models import Job

    row = deleting.order(Domain.objects.get(name=NAME), f"boss@{OTHER}", archive, "a test", lambda *_a, **_k: None)
    return Job.objects.get(token=row.job).pk


def at_work(moment: int) -> None:
    """Go on with the job, and be killed after so many signs of progress (0 for never)."""
    from mlink_web.jobs import work
    from mlink_web.jobs.models import Job

    left = [moment]
    note = work.Work.note

    def counted(self: Any, *arguments: Any, **more: Any) -> None:
        note(self, *arguments, **more)
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    work.Work.note = counted  # type: ignore[method-assign]
    work.run(Job.objects.get(kind="domain deletion").pk)


def killed_again_and_again() -> dict[str, Any]:
    """Order the deletion, and let children go on with it that are killed, until one is through; what is there then."""
    from django.db import connections

    from mlink_web.accounts.models import Account
    from mlink_web.audit.models import Entry
    from mlink_web.conf.models import Domain
    from mlink_web.delegation.models import DomainDeletion
    from mlink_web.jobs import services
    from mlink_web.jobs.models import Job

    furnish(7)
    order("export")
    killed = 0
    for moment in itertools.chain(itertools.islice(itertools.cycle((2, 1, 3, 2, 4)), 40), (0,)):
        connections.close_all()
        child = os.fork()
        if not child:
            try:
                at_work(moment)
            finally:
                os._exit(0)
        status = os.waitpid(child, 0)[1]
        if not os.WIFSIGNALED(status):
            break
        killed += 1
        services.sweep(time.time() + services.SILENT_SECONDS + 1)
    row, job = DomainDeletion.objects.get(), Job.objects.get()
    steps = Entry.objects.filter(did__startswith="domain deletion: ").order_by("seq").values_list("did", flat=True)
    return {
        "killed": killed,
        "state": row.state,
        "job": job.state,
        "trouble": job.trouble,
        "removed": row.removed,
        "lines": len(services.open_result(job).read().splitlines()) if job.name else 0,
        "steps": list(steps),
        "users": Account.objects.count(),
        "domains": list(Domain.objects.values_list("name", flat=True)),
    }


def main() -> None:
    """On a database of its own."""
    import django

    django.setup()
    from django.core.management import call_command

    from mlink_web.delegation import deletion
    from mlink_web.jobs import services

    call_command("migrate", verbosity=0)
    services.start = lambda _pk: None  # type: ignore[assignment]
    deletion.SETTLE_SECONDS = 0.0  # type: ignore[misc]
    deletion.SLICE = 2  # type: ignore[misc]
    sys.stdout.write(json.dumps(killed_again_and_again()) + "\n")


if __name__ == "__main__":
    main()
