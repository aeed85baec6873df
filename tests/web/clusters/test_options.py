"""The page of options by requests, and the commands: who may, what is marked, what is written down."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from mlink_web.accounts import services as accounts
from mlink_web.admin_commands.registry import registry
from mlink_web.audit.models import Entry
from mlink_web.clusters.models import Node
from mlink_web.conf import node_options, services
from mlink_web.conf.models import Domain

pytestmark = pytest.mark.django_db
PAGE = "/admin/cluster/options"


@pytest.fixture
def console(client: Client) -> Client:
    """A browser in which an administrator is signed in."""
    Domain.objects.get_or_create(name="localhost")
    for number, name in enumerate(("n1", "n 2"), 1):
        Node.objects.create(name=name, number=number)
    client.force_login(accounts.create_account("admin@localhost", "correct horse", is_staff=True, is_superuser=True))
    return client


def posted(page: Any, **changes: str) -> dict[str, str]:
    """What a browser sends: every field as the page has it, and its hidden first value, with some changed."""
    form = page.context["form"]
    data = {}
    for bound in form:
        data[bound.html_name] = data[bound.html_initial_name] = bound.value() or ""
    return {**data, **{key.replace("__", "."): value for key, value in changes.items()}}


def test_others_are_sent_away(client: Client) -> None:
    Domain.objects.get_or_create(name="localhost")
    assert client.get(PAGE).status_code == 302
    client.force_login(accounts.create_account("ada@localhost", "correct horse"))
    assert client.get(PAGE).status_code == 403
    assert client.post(PAGE, {"c2s.depth": "40"}).status_code == 403


def test_set_for_all_and_for_one(console: Client) -> None:
    page = console.post(PAGE, posted(console.get(PAGE), c2s__depth="40"), follow=True)
    assert "The options are saved" in page.content.decode()
    assert node_options.values_of() == {"c2s.depth": 40}
    own = console.get(PAGE, {"node": "n 2"})
    assert "40 levels (all nodes)" in own.content.decode()
    page = console.post(f"{PAGE}?node=n%202", posted(own, c2s__depth="50", http__allow_plain_http="off"), follow=True)
    assert page.redirect_chain == [(f"{PAGE}?node=n+2", 302)]
    assert node_options.values_of("n 2") == {"c2s.depth": 50, "http.allow_plain_http": False}
    assert "2 of its own" in page.content.decode()
    assert "instead of 40 levels (all nodes)" in " ".join(page.content.decode().split())
    everywhere = console.get(PAGE).content.decode()
    assert "What differs" in everywhere
    assert "50 levels" in everywhere
    assert [(entry.did, entry.target) for entry in Entry.objects.order_by("pk")][-2:] == [
        ("changed options", "all nodes"),
        ("changed options", "n 2"),
    ]
    assert json.loads(Entry.objects.latest("pk").details) == {"c2s.depth": "50", "http.allow_plain_http": "off"}
    console.post(f"{PAGE}?node=n%202", posted(console.get(PAGE, {"node": "n 2"}), c2s__depth=""))
    assert node_options.values_of("n 2") == {"http.allow_plain_http": False}


def test_what_others_change_meanwhile_is_left_alone(console: Client) -> None:
    page = console.get(PAGE)
    services.set_node_options({"c2s.depth": 99})
    console.post(PAGE, posted(page, c2s__attributes="70"))
    assert node_options.values_of() == {"c2s.depth": 99, "c2s.attributes": 70}


def test_what_does_not_fit_is_told_at_its_field(console: Client) -> None:
    page = console.post(PAGE, posted(console.get(PAGE), s2s__stanza_bytes="5", http__origins="x"))
    assert page.status_code == 400
    assert "Please look at the marked fields below" in page.content.decode()
    assert "10,000 to 16,777,216 bytes." in str(page.context["form"].errors["s2s.stanza_bytes"])
    assert "https://host" in str(page.context["form"].errors["http.origins"])
    assert node_options.values_of() == {}
    page = console.post(PAGE, posted(console.get(PAGE), node__ledger_rows="9000", node__ledger_backlog="100"))
    assert page.status_code == 400
    assert "the backlog at least the rows" in page.content.decode()


def test_a_node_that_nobody_knows(console: Client) -> None:
    page = console.get(PAGE, {"node": "n9"}, follow=True)
    assert "There is no node &#x27;n9&#x27;" in page.content.decode()


def run(name: str, **arguments: str) -> Any:
    """A command by its name."""
    return registry.get(name).function(**arguments)


def test_the_commands(console: Client) -> None:
    assert run("option set", key="c2s.depth", value="40", only="") == (
        "c2s.depth is 40 now, for all nodes that have none of their own."
    )
    assert run("option set", key="c2s.depth", value="50", only="n1") == "c2s.depth is 50 now, for n1 alone."
    listed = {row["key"]: row for row in run("option list", only="")}
    assert (listed["c2s.depth"]["value"], listed["c2s.depth"]["differs"]) == ("40", "n1: 50")
    own = {row["key"]: row for row in run("option list", only="n1")}
    assert (own["c2s.depth"]["value"], own["c2s.depth"]["from"]) == ("50", "of its own")
    assert own["c2s.attributes"]["from"] == "default"
    assert run("option reset", key="c2s.depth", only="n1") == "c2s.depth is 40 again, for n1 alone."
    assert run("option reset", key="c2s.depth", only="").startswith("c2s.depth is 64 again")
    for bad in ({"key": "c2s.nothing", "value": "1", "only": ""}, {"key": "c2s.depth", "value": "40", "only": "n9"}):
        with pytest.raises(ValueError, match="There is no"):
            run("option set", **bad)
    with pytest.raises(ValueError, match="no node"):
        run("option list", only="n9")
