"""Erasing an account: what goes, what stays, what forbids it, and the certificate."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client

from archive import query
from archive.dayfiles import removed, turns
from archive.filters import Filter
from archive.models import Message
from archive.retention import holds
from archive.text import parse
from mlink_web.accounts import services
from mlink_web.accounts.models import Account
from mlink_web.audit import log as audit
from mlink_web.audit.models import Entry
from mlink_web.conf.models import Domain
from mlink_web.jobs import services as jobs
from mlink_web.jobs import work
from mlink_web.jobs.models import Job
from mlink_web.portability import erasing
from mlink_web.portability.models import Erasure
from mlink_web.pubsub.models import Node
from mlink_web.rooms.models import Room, RoomAffiliation
from mlink_web.stores.models import RosterItem
from tests.kits.databases import clear
from tests.web.portability import kit

PASSWORD = "correct horse"


@pytest.fixture(autouse=True)
def _places(transactional_db: None, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.clear()
    settings.MLINK_HOME = tmp_path
    place = {"BACKEND": "django.core.files.storage.FileSystemStorage"}
    settings.STORAGES = {
        **settings.STORAGES,
        **{name: {**place, "OPTIONS": {"location": str(tmp_path / name)}} for name in ("exports", "uploads")},
    }
    monkeypatch.setattr(jobs, "start", lambda _pk: None)
    # Beside the models there are tables of the archive that no flush empties.
    clear("default")
    Domain.objects.get_or_create(name="localhost")


@pytest.fixture
def boss(client: Client) -> Account:
    """An administrator, signed in."""
    account = services.create_account("boss@localhost", PASSWORD, is_staff=True, is_superuser=True)
    client.force_login(account)
    return account


@pytest.fixture
def ada(boss: Account) -> Account:
    """Who is to be erased, and talked with Bob and somebody elsewhere."""
    ada = services.create_account("ada@localhost", PASSWORD)
    bob = services.create_account("bob@localhost", PASSWORD)
    RosterItem.objects.create(account=ada, jid=bob.username, subscription="both", version=1)
    RosterItem.objects.create(account=bob, jid=ada.username, subscription="both", version=1)
    kit.node("default", ada.username, "urn:xmpp:bookmarks:1", {"max_items": "max"}, 2)
    room = Room.objects.create(service="rooms.localhost", local="r")
    RoomAffiliation.objects.create(room=room, jid=ada.username, affiliation="member", version=1)
    kit.talk(
        "default",
        [(number, ada, bob, f"<body>secret {number}</body>") for number in range(1, 4)]
        + [(9, ada, "x@elsewhere.example", "<body>secret elsewhere</body>")],
    )
    return ada


def page_of(account: Account) -> str:
    """Where it is ordered."""
    return f"/admin/users/{account.pk}/erase/"


def order(client: Client, account: Account, name: str = "ada@localhost", reason: str = "asked for") -> Any:
    """Send the form."""
    return client.post(page_of(account), {"name": name, "reason": reason})


def test_the_whole_way(client: Client, ada: Account) -> None:
    page = client.get(page_of(ada)).content.decode()
    assert "What goes, for good" in page
    assert "copies that belong to the other side" in page
    assert order(client, ada, name="ada").status_code == 400
    assert order(client, ada, reason="").status_code == 400
    assert not Erasure.objects.exists()
    answer = order(client, ada)
    row = Erasure.objects.get()
    assert answer["Location"] == f"/admin/erasures/{row.pk}/"
    ada.refresh_from_db()
    assert ada.state == "disabled", "at once"
    assert client.get(page_of(ada))["Location"] == answer["Location"]
    work.run(Job.objects.get().pk)
    row.refresh_from_db()
    assert row.state == Erasure.State.DONE, row.trouble
    assert not Account.objects.filter(pk=ada.pk).exists()
    assert not Node.objects.exists()
    assert RoomAffiliation.objects.get().affiliation == "none"
    assert query.page(connection, Filter(ada.pk), 10) == ([], False)
    bob = Account.objects.get(username="bob@localhost")
    theirs, _more = query.page(connection, Filter(bob.pk, terms=tuple(parse("secret"))), 10)
    assert len(theirs) == 3, "what Bob has is Bob's"
    assert Message.objects.count() == 3, "what nobody else had is gone"
    assert row.removed["messages"] == 4
    assert row.removed["contacts"] == 1
    page = client.get(answer["Location"]).content.decode()
    assert "Certificate of erasure" in page
    assert "asked for" in page
    told = list(Entry.objects.order_by("seq").values_list("did", flat=True))
    assert told == ["erasure ordered", "erasure done"]
    assert audit.verify().sound


def test_the_certificate_says_where_day_files_stay(
    client: Client, ada: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def away(address: str) -> list[str]:
        asked.append(address)
        raise turns.Unusable("The folder is not there. Is the disk mounted?")

    monkeypatch.setattr(removed, "of_person", away)
    order(client, ada)
    work.run(Job.objects.get().pk)
    row = Erasure.objects.get()
    assert row.state == Erasure.State.DONE
    assert asked == ["ada@localhost"]
    assert row.kept[-1] == {"what": "the person's day files", "why": "The folder is not there. Is the disk mounted?"}


def test_a_hold_forbids_it(client: Client, ada: Account, boss: Account) -> None:
    hold = holds.place(boss.username, "account", ada.username, reason="case 7")
    answer = client.get(page_of(ada))
    assert answer.status_code == 400
    assert "case 7" in answer.content.decode()
    assert order(client, ada).status_code == 400
    assert not Erasure.objects.exists()
    ada.refresh_from_db()
    assert ada.state == "active"
    holds.release(hold, boss.username, "closed")
    assert order(client, ada).status_code == 302


def test_not_knowing_forbids_it(client: Client, ada: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(**_what: Any) -> None:
        raise RuntimeError("no idea")

    monkeypatch.setattr(holds, "is_held", fails)
    assert "cannot be found out" in client.get(page_of(ada)).content.decode()
    assert order(client, ada).status_code == 400
    assert not Erasure.objects.exists()


def test_a_hold_that_comes_before_the_worker_forbids_it_too(client: Client, ada: Account, boss: Account) -> None:
    order(client, ada)
    holds.place(boss.username, "account", ada.username, reason="case 8")
    work.run(Job.objects.get().pk)
    row = Erasure.objects.get()
    assert row.state == Erasure.State.REFUSED
    assert "case 8" in client.get(f"/admin/erasures/{row.pk}/").content.decode()
    assert Account.objects.filter(pk=ada.pk).exists()
    assert Message.objects.count() == 4


def test_messages_that_a_hold_of_somebody_else_covers_stay(client: Client, ada: Account, boss: Account) -> None:
    order(client, ada)
    holds.place(boss.username, "account", "x@elsewhere.example", reason="case 9")
    work.run(Job.objects.get().pk)
    row = Erasure.objects.get()
    assert row.state == Erasure.State.DONE
    assert row.kept[-1]["what"] == "1 message"
    assert Message.objects.filter(recipient="x@elsewhere.example").exists()


def test_a_worker_that_dies_at_any_step_is_no_harm(
    client: Client, ada: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    order(client, ada)
    job = Job.objects.get()
    steps = ("_messages", "_files", "_exports", "_finish")
    for name in steps:
        real = getattr(erasing._Eraser, name)

        def dies(self: Any, *arguments: Any, _real: Any = real) -> None:
            _real(self, *arguments) if _real.__name__ != "_finish" else None
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(erasing._Eraser, name, dies)
            with pytest.raises(KeyboardInterrupt):
                work.run(job.pk)
        Job.objects.filter(pk=job.pk).update(state="waiting", changed=time.time())
    work.run(job.pk)
    row = Erasure.objects.get()
    assert row.state == Erasure.State.DONE
    assert row.removed["messages"] == 4
    assert not Account.objects.filter(pk=ada.pk).exists()


def test_administrators(client: Client, boss: Account, ada: Account) -> None:
    assert "your own account" in client.get(page_of(boss)).content.decode()
    other = Client()
    other.force_login(ada)
    assert other.get(page_of(boss)).status_code == 403
    with pytest.raises(erasing.CannotErase, match="last administrator"):
        erasing.check(boss, "somebody@localhost")
