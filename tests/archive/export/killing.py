"""Workers that are killed at every step of an export, and those that take over: run as a program by `test_killed.py`.

Prints JSON: how many steps there were, and those after which the result was another one. A step is whatever changes
something outside of the worker: a page taken in, a note of how far it is, a finished volume, the list of what the
export holds, the result.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from typing import Any

import django

#: Kills of one format, spread over all steps: some formats have more than a test has time for.
MOST = 24


def main(format: str) -> None:
    """Make a database, one undisturbed result, and one for each step at which a worker is killed."""
    django.setup()
    from django.core.management import call_command
    from django.db import connections

    call_command("migrate", verbosity=0)
    from archive.export import held, making, producing
    from archive.export.gathered import Gathered
    from mlink_web.jobs.models import Job
    from mlink_web.jobs.work import Work
    from tests.kits.exported import account, room, say, settle

    producing.produce.__kwdefaults__["volume"] = 40
    if format == "pdf":
        # Here, so that no child has to load all fonts.
        from mlink_web.pdfa.document import Document

        with Document(f"{os.environ['MLINK_HOME']}/warm.pdf", title="warm") as doc:
            doc.paragraph("warm")
    ada = account("ada")
    cave = room("cave", {"ada@localhost": "member"})
    for number in range(60):
        say(ada, "bob@far.example", f"number {number}", number, id=f"n{number}")
        say("carol@far.example", cave, f"in the cave {number}", number, nick="Carol")
    say(ada, "bob@far.example", "<body>corrected</body><replace xmlns='urn:xmpp:message-correct:0' id='n59'/>", 70)
    settle()
    parameters = making.own_order(ada, format=format).to_json()
    left = [0]
    steps = [0]

    def step() -> None:
        steps[0] += 1
        if steps[0] == left[0]:
            os.kill(os.getpid(), signal.SIGKILL)

    def watched(owner: Any, name: str) -> None:
        inner = getattr(owner, name)

        def outer(*given: Any, **named: Any) -> Any:
            step()
            try:
                return inner(*given, **named)
            finally:
                step()

        setattr(owner, name, outer)

    for owner, name in (
        (Gathered, "add"),
        (Gathered, "note"),
        (Gathered, "number_of"),
        (Work, "note"),
        (Work, "keep"),
        (held, "note"),
        (held, "clear"),
        (producing, "_volume"),
        (producing, "_zip"),
        (making, "ready"),
    ):
        if hasattr(owner, name):
            watched(owner, name)

    def order() -> int:
        now = time.time()
        job = Job.objects.create(
            kind=making.KIND, owner="ada@localhost", about="x", parameters=parameters, created=now, changed=now
        )
        making.remember(making.Order.from_json(parameters), job.token, "x")
        return int(job.pk)

    def run(job: int, kill: int) -> int:
        """The worker, as a child of its own; returns its number of steps, or -1 where it was killed."""
        connections.close_all()
        read, write = os.pipe()
        child = os.fork()
        if not child:
            from mlink_web.jobs import work

            left[0] = kill
            work.run(job)
            os.write(write, str(steps[0]).encode())
            os._exit(0)
        os.close(write)
        with os.fdopen(read) as told:
            answer = told.read()
        _pid, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            assert os.WTERMSIG(status) == signal.SIGKILL
            return -1
        assert status == 0
        return int(answer)

    def result(job: int) -> str:
        row = Job.objects.get(pk=job)
        assert row.state == Job.State.READY, (row.state, row.trouble)
        held_ids = sorted(
            id
            for part in making.Export.objects.get(token=row.token).held.all()
            for id in held.unpack(bytes(part.packed))
        )
        return f"{row.sha256} {row.name} {row.size} {len(held_ids)}"

    reference_job = order()
    whole = run(reference_job, 0)
    reference = result(reference_job)
    different = []
    not_killed = []
    chosen = range(1, whole + 1, -(-whole // MOST))
    for number in chosen:
        job = order()
        if run(job, number) != -1:
            not_killed.append(number)
            continue
        # As the sweep does it for a worker that is silent.
        Job.objects.filter(pk=job).update(state=Job.State.WAITING, holder="")
        assert run(job, 0) > 0
        if result(job) != reference:
            different.append([number, result(job), reference])
    print(json.dumps({"steps": whole, "tried": len(chosen), "different": different, "not_killed": not_killed}))


if __name__ == "__main__":
    main(sys.argv[1])
