"""The page of the cluster by requests: who may open it, alone, with nodes, without an answer; drains are recorded."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from mlink_web.accounts import services
from mlink_web.audit.models import Entry
from mlink_web.conf.models import Domain
from mlink_web.console import commands
from mlink_web.console.node import NodeUnavailable
from tests.web.clusters.test_picture import peer, report

pytestmark = pytest.mark.django_db
PAGE = "/admin/cluster/"


@pytest.fixture
def console(client: Client, settings: Any) -> Client:
    """A browser in which an administrator is signed in."""
    Domain.objects.get_or_create(name="localhost")
    settings.MLINK_CLUSTER = True
    client.force_login(services.create_account("admin@localhost", "correct horse", is_staff=True, is_superuser=True))
    return client


def test_others_are_sent_away(client: Client) -> None:
    Domain.objects.get_or_create(name="localhost")
    assert client.get(PAGE).status_code == 302
    client.force_login(services.create_account("ada@localhost", "correct horse"))
    assert client.get(PAGE).status_code == 403
    assert client.post(f"{PAGE}drain", {"node": "n1"}).status_code == 403


def test_a_node_that_is_alone_says_how_it_would_be_several(console: Client, settings: Any) -> None:
    settings.MLINK_CLUSTER = False
    page = console.get(PAGE).content.decode()
    assert "This node is alone" in page
    assert "cluster.js" not in page


def test_the_page_shows_nodes_and_links(console: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    reports = [report("n1", [peer("n2")]), report("n2", [peer("n1")])]
    heard = commands.Answer(reports, "The node n3 did not answer: its part is missing.")
    monkeypatch.setattr(commands, "answer", lambda command, **_: heard if command == "cluster report" else None)
    page = console.get(PAGE).content.decode()
    assert 'class="name"' in page
    assert "n1 – n2" in page
    assert "it was stopped" in page
    assert "The node n3 did not answer: its part is missing." in page


def test_without_an_answer_the_page_says_why(console: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(command: str, **_: str) -> None:
        raise NodeUnavailable("No node is running.")

    monkeypatch.setattr(commands, "answer", away)
    page = console.get(PAGE)
    assert page.status_code == 200
    assert "No node is running." in page.content.decode()


def test_drains_are_recorded_and_refusals_shown(console: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    def change(command: str, node: str) -> None:
        asked.append((command, node))
        if node == "n9":
            raise commands.Refused("There is no node n9 in the cluster now.")

    monkeypatch.setattr(commands, "change", change)
    heard = commands.Answer([report("n1", [peer("n2")])])
    monkeypatch.setattr(commands, "answer", lambda _command, **_: heard)
    page = console.post(f"{PAGE}drain", {"node": "n2"}, follow=True).content.decode()
    assert "n2 takes no clients any more" in page
    page = console.post(f"{PAGE}undrain", {"node": "n2"}, follow=True).content.decode()
    assert "n2 takes clients again" in page
    page = console.post(f"{PAGE}drain", {"node": "n9"}, follow=True).content.decode()
    assert "There is no node n9" in page
    assert asked == [("cluster drain", "n2"), ("cluster undrain", "n2"), ("cluster drain", "n9")]
    assert console.get(f"{PAGE}drain").status_code == 405
    assert [entry.did for entry in Entry.objects.order_by("pk") if "node" in entry.did] == [
        "drained node",
        "put node into service",
        "drained node: failed",
    ]


def test_a_drain_names_its_node(console: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "change", lambda *_given, **_more: pytest.fail("the node was asked"))
    monkeypatch.setattr(commands, "answer", lambda _command, **_: commands.Answer([report("n1", [peer("n2")])]))
    for form in ({}, {"node": ""}, {"node": "n" * 101}):
        for what in ("drain", "undrain"):
            page = console.post(f"{PAGE}{what}", form, follow=True).content.decode()
            assert "The form did not say which node." in page
