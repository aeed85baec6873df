"""Decisions on single people and rooms: how they are made, and that nodes have them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from django.test import Client

from archive.options import ArchiveOptions
from archive.selection import services
from archive.selection.forms import options_of
from archive.selection.models import Decision, DecisionsVersion
from archive.selection.resident import ResidentDecisions, read
from mlink_web.accounts import services as accounts
from mlink_web.admin_commands.registry import registry
from mlink_web.audit.models import Entry
from mlink_web.conf.models import Domain

PATH = "/admin/archive/selection/"
ROOM = "hall@conference.localhost"


@pytest.fixture
def console(client: Client, settings: Any, tmp_path: Path, db: None) -> Client:
    """A browser in which the administrator is signed in."""
    settings.MLINK_HOME = tmp_path
    Domain.objects.get_or_create(name="localhost")
    client.force_login(accounts.create_account("admin@localhost", None, is_staff=True, is_superuser=True))
    return client


def told() -> list[tuple[str, str, str]]:
    return [(entry.who, entry.did, entry.target) for entry in Entry.objects.order_by("seq")]


@pytest.mark.django_db
def test_a_decision_is_stored_told_and_undone() -> None:
    assert services.decide("user", " Ada@LocalHost ", "never", who="admin@localhost") == "ada@localhost"
    assert services.decide("user", "ada@localhost", "never", who="admin@localhost") == "ada@localhost"
    assert services.decide("room", ROOM, "always", who="admin@localhost") == ROOM
    assert (services.of("user", "ada@localhost"), services.of("room", ROOM)) == ("never", "always")
    services.decide("user", "ada@localhost", "own", who="eve@localhost")
    assert services.of("user", "ada@localhost") == "own"
    # What changes nothing is no change.
    assert told() == [
        ("admin@localhost", "decided archive of user", "ada@localhost"),
        ("admin@localhost", "decided archive of room", ROOM),
        ("eve@localhost", "decided archive of user", "ada@localhost"),
    ]
    assert DecisionsVersion.objects.get().version == 3


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("kind", "address", "word"),
    [
        ("user", "localhost", "never"),
        ("user", "ada@localhost/phone", "never"),
        ("user", "@@", "never"),
        ("user", "", "never"),
        ("user", "x" * 5000 + "@localhost", "never"),
        ("node", "ada@localhost", "never"),
        ("user", "ada@localhost", "sometimes"),
    ],
)
def test_what_makes_no_sense_is_refused(kind: str, address: str, word: str) -> None:
    with pytest.raises(ValueError) as caught:
        services.decide(kind, address, word, who="admin@localhost")
    assert len(str(caught.value)) < 400
    assert not Decision.objects.exists()
    assert told() == []


@pytest.mark.django_db
def test_decisions_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "MAX_DECISIONS", 1)
    services.decide("user", "ada@localhost", "never", who="x")
    with pytest.raises(ValueError, match="decide for the domain"):
        services.decide("user", "bob@localhost", "never", who="x")
    services.decide("user", "ada@localhost", "always", who="x")


def test_nodes_follow_the_tables(database: str) -> None:
    resident = ResidentDecisions()
    seen: list[Any] = []
    resident.watchers["test"] = seen.append
    users, rooms = resident.users, resident.rooms

    def follow() -> None:
        resident.take(read(connections[database]))

    follow()
    assert (resident.version, users, rooms, seen) == (0, {}, {}, [])
    manager = Decision.objects.using(database)
    manager.create(kind="user", address="ada@a.example", kept=True)
    manager.create(kind="room", address=ROOM, kept=False)
    DecisionsVersion.objects.using(database).create(pk=1, version=5)
    follow()
    assert (resident.version, users, rooms, seen.pop()) == (5, {"ada@a.example": True}, {ROOM: False}, {ROOM: None})
    manager.filter(kind="user").delete()
    manager.filter(kind="room").update(kept=True)
    follow()
    assert (users, rooms, seen.pop()) == ({}, {ROOM: True}, {ROOM: False})
    follow()
    assert seen == []
    manager.all().delete()
    follow()
    assert (users, rooms, seen) == ({}, {}, [{ROOM: True}])
    # The module holds the mappings themselves.
    assert (users is resident.users, rooms is resident.rooms) == (True, True)


@pytest.mark.django_db
@pytest.mark.parametrize("path", [PATH, f"{PATH}domains/1/"])
def test_only_administrators_see_it(client: Client, path: str) -> None:
    assert client.get(path).status_code == 302
    domain = Domain.objects.get_or_create(name="localhost")[0]
    client.force_login(accounts.create_account("ada@localhost", None))
    path = path.replace("/1/", f"/{domain.pk}/")
    assert client.get(path).status_code == 403
    form = {"kind": "user", "address": "ada@localhost", "word": "never"}
    for address in (path, f"{PATH}decide"):
        assert client.post(address, form).status_code == 403
    assert not Decision.objects.exists()


def test_decisions_on_the_page(console: Client) -> None:
    response = console.post(PATH, {"kind": "user", "address": "Ada@localhost", "word": "never"}, follow=True)
    page = response.content.decode()
    assert "ada@localhost is never archived now." in page
    assert "1 decision" in page
    assert Entry.objects.filter(did="decided archive of user", who="admin@localhost").exists()
    response = console.post(PATH, {"kind": "room", "address": "<b>", "word": "never"})
    assert response.status_code == 400
    assert "&lt;b&gt;" in response.content.decode()
    undo = {"kind": "user", "address": "ada@localhost", "word": "own", "back": f"{PATH}?q=ada"}
    assert console.post(f"{PATH}decide", undo).headers["Location"] == f"{PATH}?q=ada"
    assert not Decision.objects.exists()
    evil = {**undo, "word": "always", "back": "https://evil.example/"}
    assert console.post(f"{PATH}decide", evil).headers["Location"] == PATH
    assert "Nothing is decided" not in console.get(PATH).content.decode()
    assert "No address matches" in console.get(f"{PATH}?q=zz").content.decode()


def test_a_person_s_page_has_the_decision(console: Client) -> None:
    ada = accounts.create_account("ada@localhost", None)
    page = console.get(f"/admin/users/{ada.pk}/").content.decode()
    assert '<option value="own" selected>As the person chooses</option>' in page
    services.decide("user", "ada@localhost", "never", who="x")
    page = console.get(f"/admin/users/{ada.pk}/").content.decode()
    assert '<option value="never" selected>Never archived</option>' in page


def test_what_a_domain_archives(console: Client) -> None:
    domain = Domain.objects.get(name="localhost")
    domain.modules = {"archive": {"users": "choice"}, "offline": {"messages": 5}}
    domain.save()
    path = f"{PATH}domains/{domain.pk}/"
    page = console.get(path).content.decode()
    assert "What localhost archives" in page
    response = console.post(path, {"users": "always", "rooms": "never", "kind_chat": "on", "kind_private": "on"})
    assert response.status_code == 302
    domain.refresh_from_db()
    assert domain.modules == {
        "archive": {"users": "always", "kinds": ["chat", "private"]},
        "room_archive": {"rooms": "never"},
        "offline": {"messages": 5},
    }
    assert options_of(domain)[0] == ArchiveOptions(("chat", "private"), "always")
    assert Entry.objects.filter(did="changed archive of domain", target="localhost").exists()
    page = console.get(PATH).content.decode()
    assert "always archived" in page
    assert "chat, private" in page
    assert console.post(path, {"users": "sometimes", "rooms": "room"}).status_code == 400
    assert console.get(f"{PATH}domains/99999/").status_code == 404


@pytest.mark.django_db
def test_commands() -> None:
    Domain.objects.get_or_create(name="localhost")

    def run(name: str, **given: str) -> Any:
        command = registry.get(name)
        return command.function(**command.bind(given))

    assert run("archive user", jid="ada@localhost", word="never") == "ada@localhost is never archived."
    assert run("archive room", room=ROOM, word="always") == f"{ROOM} is always archived."
    assert [(row["address"], row["archived"]) for row in run("archive decisions")] == [
        (ROOM, "always"),
        ("ada@localhost", "never"),
    ]
    assert run("archive user", jid="ada@localhost", word="own").startswith("ada@localhost is archived by")
    assert run("archive recount").startswith("The node counts anew")
    (row,) = [row for row in run("archive domains") if row["domain"] == "localhost"]
    assert (row["people"], row["rooms"], row["kinds"]) == ("choice", "room", "chat, normal, private")
