"""Deleting a domain: what is told before, what forbids it, what goes and stays, and that a worker which is killed at
any moment loses and doubles nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client

from archive.models import Message
from archive.oversight.models import Options
from archive.retention import holds
from mlink_web.accounts.models import Account
from mlink_web.audit.models import Entry
from mlink_web.clusters import numbers
from mlink_web.conf.models import Domain
from mlink_web.delegation import deleting, deletion
from mlink_web.delegation.models import DomainDeletion
from mlink_web.groups.models import Group, GroupMember
from mlink_web.invitations.models import Invitation
from mlink_web.jobs import services as jobs
from mlink_web.jobs import work
from mlink_web.jobs.models import Job
from mlink_web.node.client import EngineClient
from mlink_web.pubsub.models import Node, Service
from mlink_web.rooms.models import Room
from mlink_web.uploads.models import Upload
from tests.kits.commands import ctl, refused
from tests.kits.databases import clear
from tests.web.delegation import doomed
from tests.web.delegation.doomed import NAME, OTHER

ROOT = Path(__file__).resolve().parents[3]
BOSS = f"boss@{OTHER}"


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
    monkeypatch.setattr(deletion, "SETTLE_SECONDS", 0.0)
    clear("default")
    doomed.furnish()


def domain() -> Domain:
    return Domain.objects.get(name=NAME)


def delete(archive: str) -> tuple[DomainDeletion, Job]:
    """Order it and do it."""
    pk = doomed.order(archive)
    assert not domain().enabled
    work.run(pk)
    return DomainDeletion.objects.get(), Job.objects.get(pk=pk)


def bodies() -> set[str]:
    return set(Message.objects.values_list("search", flat=True))


def nothing_is_left() -> None:
    """Nothing of the domain, and all of the other one."""
    assert list(Domain.objects.values_list("name", flat=True)) == [OTHER]
    assert sorted(Account.objects.values_list("username", flat=True)) == [f"bob@{OTHER}", BOSS]
    assert [str(room) for room in Room.objects.all()] == [f"r0@conference.{OTHER}"]
    assert [str(service) for service in Service.objects.all()] == [f"pubsub.{OTHER}"]
    assert Node.objects.count() == 1
    assert [group.name for group in Group.objects.all()] == ["staying"]
    assert not GroupMember.objects.exists()
    assert not Invitation.objects.exists()
    assert not Upload.objects.filter(state="stored").exists()


def test_the_report() -> None:
    found = deleting.report(domain())
    kinds = ("users", "groups", "rooms", "nodes", "personal_nodes", "files", "file_bytes", "invitations")
    assert [found[kind] for kind in kinds] == [3, 1, 3, 1, 1, 3, 9, 1]
    # Among us, across, from afar, and in three rooms.
    assert (found["messages"], found["messages_exact"]) == (13, True)
    assert found["message_bytes"] > 1000
    assert Domain.objects.get(name=NAME).enabled


def test_the_archive_is_kept() -> None:
    before = bodies()
    row, job = delete("keep")
    assert (row.state, job.state) == ("done", "ready")
    nothing_is_left()
    assert bodies() == before
    assert row.removed == {
        "files": 3,
        "rooms": 3,
        "nodes": 1,
        "invitations": 1,
        "users": 3,
        "groups": 1,
    }
    assert row.kept[0]["what"] == "the archive of the domain"
    steps = [entry.did for entry in Entry.objects.order_by("seq")]
    assert steps == [
        "domain deletion: closed",
        "domain deletion: files removed",
        "domain deletion: rooms removed",
        "domain deletion: nodes removed",
        "domain deletion: topics removed",
        "domain deletion: invitations removed",
        "domain deletion: users removed",
        "domain deletion: done",
    ]


def test_the_archive_is_exported_and_then_removed() -> None:
    row, job = delete("export")
    assert (row.state, job.state) == ("done", "ready")
    nothing_is_left()
    assert job.name.startswith(f"{NAME}-archive-")
    exported = [json.loads(line) for line in jobs.open_result(job).read().decode().splitlines()]
    assert len(exported) == 13
    assert row.removed["archive messages exported"] == 13
    # Bob's copies stay, and what was said in the other domain.
    left = " ".join(bodies())
    assert all(f"across {number}" in left for number in range(10, 14))
    assert "not ours" in left
    assert "in room 0" in left
    assert not [words for words in ("among us", "from afar", "in room 1") if words in left]
    bob = Account.objects.get(username=f"bob@{OTHER}")
    across = Message.objects.filter(recipient=bob.username, sender=f"u0@{NAME}")
    assert {(one.sender_account, one.recipient_account) for one in across} == {(None, bob.pk)}


@pytest.mark.parametrize(
    ("scope", "address", "peer"),
    [
        ("domain", NAME, ""),
        ("domain", "example", ""),
        ("account", f"u1@{NAME}", ""),
        ("room", f"r1@conference.{NAME}", ""),
        ("talk", f"bob@{OTHER}", f"u0@{NAME}"),
        ("all", "", ""),
    ],
)
def test_a_legal_hold_forbids_it(scope: str, address: str, peer: str) -> None:
    holds.place("officer", scope, address, peer, reason="the lawyers said so")
    with pytest.raises(deleting.CannotDelete, match="the lawyers said so"):
        deleting.check(domain(), BOSS)
    with pytest.raises(deleting.CannotDelete):
        doomed.order("keep")
    assert domain().enabled
    assert not DomainDeletion.objects.exists()


def test_a_hold_on_others_forbids_nothing() -> None:
    holds.place("officer", "account", f"bob@{OTHER}", reason="another matter")
    deleting.check(domain(), BOSS)


def test_a_hold_that_comes_meanwhile_stops_it(monkeypatch: pytest.MonkeyPatch) -> None:
    rooms = deletion.Deletion._rooms

    def held(self: deletion.Deletion, domain: Domain) -> None:
        rooms(self, domain)
        holds.place("officer", "account", f"u1@{NAME}", reason="late")

    monkeypatch.setattr(deletion.Deletion, "_rooms", held)
    row, job = delete("keep")
    assert (row.state, job.state) == ("refused", "failed")
    assert "late" in row.trouble
    assert "late" in job.trouble
    assert Account.objects.filter(domain__name=NAME).count() == 3
    assert Entry.objects.order_by("-seq").first().did == "domain deletion stopped"
    # Released, it is ordered anew and finishes what was begun.
    monkeypatch.setattr(deletion.Deletion, "_rooms", rooms)
    holds.release(holds.Hold.objects.get(), "officer", "settled")
    work.run(doomed.order("keep"))
    nothing_is_left()


def test_holds_that_cannot_be_read_forbid_it(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def broken(_address: str) -> list[str]:
        raise RuntimeError("no")

    monkeypatch.setattr(deleting, "domains_of", broken)
    with pytest.raises(deleting.CannotDelete, match="cannot be found out"):
        deleting.check(domain(), BOSS)
    caplog.clear()


def test_what_else_forbids_it() -> None:
    with pytest.raises(deleting.CannotDelete, match="Your own account"):
        deleting.check(domain(), f"u0@{NAME}")
    Account.objects.filter(username=f"u0@{NAME}").update(is_superuser=True)
    Account.objects.filter(username=BOSS).update(is_superuser=False)
    with pytest.raises(deleting.CannotDelete, match="All administrators"):
        deleting.check(domain(), BOSS)
    Domain.objects.filter(name=OTHER).update(enabled=False)
    with pytest.raises(deleting.CannotDelete, match="No other domain"):
        deleting.check(domain(), BOSS)


def test_a_domain_below_is_another_one() -> None:
    Domain.objects.create(name=f"lab.{NAME}")
    Room.objects.create(service=f"conference.lab.{NAME}", local="theirs")
    assert f"conference.lab.{NAME}" not in deleting.hosts_of(domain())
    delete("keep")
    assert sorted(Domain.objects.values_list("name", flat=True)) == [f"lab.{NAME}", OTHER]
    assert Room.objects.filter(service=f"conference.lab.{NAME}").exists()


def test_a_node_that_does_not_let_go_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deletion, "is_served", lambda _name: True)
    monkeypatch.setattr(deletion, "CLOSE_SECONDS", 0.0)
    row, _job = delete("keep")
    assert "A node still serves the domain" in row.trouble
    assert Account.objects.filter(domain__name=NAME).count() == 3


def test_all_nodes_of_a_cluster_must_have_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    # No node runs with this data folder, but one does elsewhere.
    assert not deletion.is_served(NAME)
    numbers.claim("elsewhere")
    numbers.seen("elsewhere", time.time())
    assert deletion.is_served(NAME)

    async def stats(client: EngineClient) -> dict[str, Any]:
        client.warnings = list(silent)
        return {"domains": [OTHER]}

    silent: list[str] = []
    monkeypatch.setattr(EngineClient, "stats", stats)
    assert not deletion.is_served(NAME)
    assert deletion.is_served(OTHER)
    silent.append("node2 did not answer")
    assert deletion.is_served(NAME)
    silent.clear()
    # One that the others do not hear may serve it still.
    numbers.claim("cut off")
    numbers.seen("cut off", time.time())
    assert deletion.is_served(NAME)


def test_by_command() -> None:
    found = ctl("domain", "delete", NAME)
    assert (found["users"], found["can_be_deleted"]) == (3, True)
    assert not DomainDeletion.objects.exists()
    assert "--confirm must be" in refused("domain", "delete", NAME, "--confirm", "gone")
    assert "Say why" in refused("domain", "delete", NAME, "--confirm", NAME)
    made = ctl("domain", "delete", NAME, "--confirm", NAME, "--reason", "the end")
    assert made["state"] == "Under way"
    work.run(Job.objects.get().pk)
    (row,) = ctl("domain", "deletions")
    assert (row["domain"], row["state"]) == (NAME, "Done")
    nothing_is_left()


def test_by_the_console(client: Client) -> None:
    client.force_login(Account.objects.get(username=BOSS))
    page = f"/admin/domains/{domain().pk}/deletion/"
    assert page in client.get(f"/admin/domains/{domain().pk}/").content.decode()
    shown = client.get(page).content.decode()
    assert "13 messages" in shown
    form = {"archive": "keep", "reason": "the end", "name": NAME}
    assert client.post(page, {**form, "name": "gone"}).status_code == 400
    assert client.post(page, {**form, "archive": "burn"}).status_code == 400
    assert domain().enabled
    answer = client.post(page, form)
    row = DomainDeletion.objects.get()
    assert answer.url == f"/admin/domains/deletions/{row.pk}/"
    assert "under way" in client.get(answer.url).content.decode()
    work.run(Job.objects.get().pk)
    said = client.get(answer.url).content.decode()
    assert "done" in said
    assert "Users" in said
    assert NAME in client.get("/admin/domains/deletions/").content.decode()
    assert Entry.objects.order_by("seq").first().who == BOSS


def test_the_archive_goes_only_with_rights_over_archives(client: Client) -> None:
    Options.objects.update_or_create(pk=1, defaults={"administrators": False})
    client.force_login(Account.objects.get(username=BOSS))
    page = f"/admin/domains/{domain().pk}/deletion/"
    assert "then remove it" not in client.get(page).content.decode()
    assert client.post(page, {"archive": "export", "reason": "x", "name": NAME}).status_code == 400


def test_the_file_is_only_for_those_with_rights_over_archives(client: Client) -> None:
    row, job = delete("export")
    client.force_login(Account.objects.get(username=BOSS))
    page, file = f"/admin/domains/deletions/{row.pk}/", f"/jobs/{job.token}/file"
    assert file in client.get(page).content.decode()
    assert b"".join(client.get(file)).count(b"\n") == 13
    assert Entry.objects.latest("seq").did == "domain archive downloaded"
    Options.objects.update_or_create(pk=1, defaults={"administrators": False})
    assert file not in client.get(page).content.decode()
    assert client.get(file).status_code == 403
    assert Entry.objects.latest("seq").did == "domain archive refused"


def test_a_worker_that_is_killed_again_and_again(tmp_path: Path) -> None:
    """In processes of their own, with a database of their own."""
    environment = {
        **os.environ,
        "MLINK_HOME": str(tmp_path / "home"),
        "DJANGO_SETTINGS_MODULE": "mlink_web.settings.dev",
    }
    environment.pop("MLINK_DATABASE_URL", None)
    program = [sys.executable, "-m", "tests.web.delegation.doomed"]
    done = subprocess.run(program, cwd=ROOT, env=environment, timeout=300, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["state"], found["job"]) == ("done", "ready"), found
    assert found["killed"] >= 6
    assert (found["users"], found["domains"], found["lines"]) == (2, [OTHER], 13)
    assert found["removed"]["users"] == 7
    assert found["removed"]["archive messages removed"] == 13
    assert len(found["steps"]) == len(set(found["steps"])) == 10
