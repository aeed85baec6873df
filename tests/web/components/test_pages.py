"""The pages of components by requests: what they show, what they change, what never shows a secret."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import Client

from mlink_web.accounts import services as accounts
from mlink_web.audit.models import Entry
from mlink_web.components import services, snapshot
from mlink_web.components.models import Component
from mlink_web.components.rows import listed
from mlink_web.conf.models import Domain
from mlink_web.console import commands
from mlink_web.console.node import NodeUnavailable
from tests.kits.console import console, home, text

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]
__all__ = ["console", "home"]
NAME = "gw.localhost"
STATUS = {
    "domain": NAME,
    "connected": True,
    "address": "127.0.0.1:5000",
    "tls": "TLSv1.3",
    "since": "2026-11-29T08:00:00Z",
    "received": 1200,
    "sent": 3,
    "bytes_in": 2000,
    "bytes_out": 10,
    "waiting": 0,
    "bounced": 4,
}
REFUSED = {
    "domain": "<b>evil</b>",
    "address": "192.0.2.66",
    "reason": "the secret is wrong",
    "count": 5,
    "first": "2026-11-29T08:00:00Z",
    "last": "2026-11-29T08:00:01Z",
}


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """A node that answers; `asked` is what it was asked."""
    made = SimpleNamespace(asked=[], refuses="", silent="")

    def ask(command: str, _seconds: float = 0.0, **arguments: str) -> Any:
        made.asked.append((command, arguments))
        if made.refuses:
            raise commands.Refused(made.refuses)
        return {"component status": [STATUS], "component refused": [REFUSED]}.get(command, {"ended": 1})

    monkeypatch.setattr(commands, "ask", ask)
    monkeypatch.setattr(commands, "answer", lambda command: commands.Answer(ask(command), made.silent))
    return made


def form(**given: Any) -> dict[str, Any]:
    """What the form sends."""
    return {
        "description": "",
        "enabled": "on",
        "networks": "",
        "conflict": "refuse",
        "queue_mib": "8",
        "delegated": "",
        "roster": "none",
        "roster_push": "on",
        "message": "none",
        "presence": "none",
        "iq": "",
        **given,
    }


def test_nodes_that_gave_no_answer_are_named(console: Client, node: SimpleNamespace) -> None:
    services.add(NAME)
    services.add("other.localhost")
    assert "not connected" in text(console.get("/admin/components/"))
    node.silent = "The node n2 did not answer: its part is missing."
    page = text(console.get("/admin/components/"))
    assert node.silent in page
    assert "not connected" not in page, "that is not known"
    assert "127.0.0.1:5000" in page


def test_only_administrators_look(client: Client) -> None:
    made, _secret = services.add(NAME)
    user = accounts.create_account("user@localhost", None)
    for path in ("", "add/", f"{made.pk}/", f"{made.pk}/secret/", f"{made.pk}/remove/"):
        client.logout()
        assert client.get(f"/admin/components/{path}").status_code == 302
        client.force_login(user)
        assert client.get(f"/admin/components/{path}").status_code == 403
    assert client.post("/admin/components/disconnect", {"domain": NAME}).status_code == 403


def test_the_list_shows_what_the_node_says(console: Client, node: SimpleNamespace) -> None:
    services.add(NAME, description="A gateway")
    services.add("off.localhost", enabled=False)
    page = text(console.get("/admin/components/"))
    for words in ("A gateway", "connected", "127.0.0.1:5000, TLSv1.3", "1,200 / 3", "switched off", "192.0.2.66"):
        assert words in page
    assert "&lt;b&gt;evil" in page
    assert 'href="/admin/components/"' in page


def test_the_list_without_a_node(console: Client) -> None:
    page = text(console.get("/admin/components/"))
    assert "No component may connect yet" in page
    services.add(NAME)
    page = text(console.get("/admin/components/"))
    assert "No node is running" in page
    assert NAME in page


def test_rows_say_the_state() -> None:
    made, _secret = services.add(NAME)
    assert listed([made], [{**STATUS, "connected": False, "since": ""}])["components"][0]["state"] == "away"
    assert listed([made], [STATUS])["connected"] == 1
    assert listed([made], None)["components"][0]["state"] == "unknown"
    made.enabled = False
    assert listed([made], None)["components"][0]["words"] == "switched off"


def test_a_component_is_added_and_its_secret_shown_once(console: Client) -> None:
    assert "Add the component" in text(console.get("/admin/components/add/?domain=x.localhost"))
    given = form(
        domain=NAME.upper(),
        networks="10.0.0.1\n10.1.0.0/16",
        delegated="urn:x node\nurn:y",
        roster="both",
        message="outgoing",
        presence="roster",
        iq="urn:z get",
    )
    answer = console.post("/admin/components/add/", given)
    assert answer.status_code == 200
    config = snapshot.read()[NAME]
    assert config.secret in text(answer)
    assert answer["Cache-Control"] == "no-store"
    assert config.delegated == {"urn:x": ("node",), "urn:y": ()}
    assert config.privileges == {"roster": "both", "message": "outgoing", "presence": "roster", "iq:urn:z": "get"}
    made = Component.objects.get()
    for path in ("", f"{made.pk}/", f"{made.pk}/secret/"):
        assert config.secret not in text(console.get(f"/admin/components/{path}"))
    entry = Entry.objects.get(did="added component")
    assert entry.target == NAME
    assert config.secret not in str(entry.__dict__)


def test_a_secret_of_ones_own_is_not_shown(console: Client) -> None:
    answer = console.post("/admin/components/add/", form(domain=NAME, secret="a secret of mine"), follow=True)
    assert "may connect" in text(answer)
    assert "a secret of mine" not in text(answer)
    assert snapshot.read()[NAME].secret == "a secret of mine"
    answer = console.post("/admin/components/add/", form(domain="b.localhost", secret="short"))
    assert answer.status_code == 400
    assert 'value="short"' not in text(answer)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"domain": ""}, "Enter a domain."),
        ({"domain": "no domain"}, "is not a domain name"),
        ({"domain": "localhost"}, "This domain is served here already."),
        ({"domain": "conference.localhost"}, "The service muc of localhost has this domain already."),
        ({"networks": "here"}, "is neither an IP address nor a network"),
        ({"presence": "roster"}, "The presence of contacts is only for who may get rosters"),
        ({"iq": "urn:x"}, "A privilege is a kind and a permission"),
        ({"iq": "urn:x all"}, "is one of none, get, set, both, not all"),
        ({"delegated": "urn:xmpp:privilege:2"}, "cannot be delegated"),
        ({"queue_mib": "1000"}, "less than or equal to 64"),
    ],
)
def test_what_does_not_fit_is_said(console: Client, given: dict[str, str], words: str) -> None:
    answer = console.post("/admin/components/add/", form(**{"domain": NAME, **given}))
    assert answer.status_code == 400
    assert words in text(answer).replace("&#x27;", "'")
    assert not Component.objects.exists()


def test_a_component_is_changed(console: Client) -> None:
    made, secret = services.add(NAME, privileges={"roster": "get", "roster-push": "no", "iq:urn:z": "set"})
    page = text(console.get(f"/admin/components/{made.pk}/"))
    assert "urn:z set" in page
    console.post(f"/admin/components/{made.pk}/", form(description="Now", conflict="replace", roster="get"))
    config = snapshot.read()[NAME]
    assert (config.conflict, config.privileges, config.secret) == ("replace", {"roster": "get"}, secret)
    assert Entry.objects.filter(did="changed component", target=NAME).exists()
    assert console.post(f"/admin/components/{made.pk}/", form(networks="x")).status_code == 400


def test_domains_are_chosen_where_there_are_several(console: Client) -> None:
    made, _secret = services.add(NAME)
    assert "In these domains only" not in text(console.get(f"/admin/components/{made.pk}/"))
    Domain.objects.create(name="b.example")
    assert "In these domains only" in text(console.get(f"/admin/components/{made.pk}/"))
    console.post(f"/admin/components/{made.pk}/", form(domains=["b.example"]))
    assert snapshot.read()[NAME].domains == ("b.example",)


def test_another_secret(console: Client) -> None:
    made, secret = services.add(NAME)
    page = text(console.post(f"/admin/components/{made.pk}/secret/"))
    renewed = snapshot.read()[NAME].secret
    assert renewed != secret
    assert renewed in page
    console.post(f"/admin/components/{made.pk}/secret/", {"secret": "a secret of mine"})
    assert snapshot.read()[NAME].secret == "a secret of mine"
    assert console.post(f"/admin/components/{made.pk}/secret/", {"secret": "x"}).status_code == 400
    assert Entry.objects.filter(did="renewed secret of component").count() == 2


def test_a_component_is_removed(console: Client) -> None:
    made, _secret = services.add(NAME)
    assert console.post(f"/admin/components/{made.pk}/remove/", {"name": "other"}).status_code == 400
    console.post(f"/admin/components/{made.pk}/remove/", {"name": NAME})
    assert not Component.objects.exists()
    assert Entry.objects.filter(did="removed component", target=NAME).exists()


def test_a_component_is_disconnected(console: Client, node: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "change", lambda command, **arguments: commands.ask(command, 0.0, **arguments))
    answer = console.post("/admin/components/disconnect", {"domain": NAME}, follow=True)
    assert f"{NAME} is disconnected." in text(answer)
    assert ("component kick", {"domain": NAME}) in node.asked
    assert console.post("/admin/components/disconnect", {}, headers={"accept": "application/json"}).status_code == 400
    node.refuses = "It is not connected."
    answer = console.post("/admin/components/disconnect", {"domain": NAME}, headers={"accept": "application/json"})
    assert (answer.status_code, answer.json()) == (404, {"error": "It is not connected."})

    def unreachable(_command: str, **_arguments: str) -> None:
        raise NodeUnavailable("No node.")

    monkeypatch.setattr(commands, "change", unreachable)
    answer = console.post("/admin/components/disconnect", {"domain": NAME}, headers={"accept": "application/json"})
    assert answer.status_code == 503
