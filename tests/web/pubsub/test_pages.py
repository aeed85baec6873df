"""The pages and commands of publish-subscribe while no node runs: they show what the database holds and refuse every
change. test_browser_pubsub.py has a running node."""

from __future__ import annotations

import json
import logging
from io import StringIO
from pathlib import Path
from urllib.parse import quote

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.test import Client

from mlink_web.accounts import services as accounts
from mlink_web.conf.models import Domain
from mlink_web.console import commands
from mlink_web.pubsub import nodes
from mlink_web.pubsub.forms import NodeConfigForm
from mlink_web.pubsub.rows import indented
from mlink_web.pubsub.store import apply_changes
from xmpp_engine.api import stored_pubsub

pytestmark = pytest.mark.django_db
SERVICE = "pubsub.localhost"
NAME = "news/<weather>?&x=1"
PAGE = f"/admin/pubsub/{SERVICE}/node/"
QUERY = f"?node={quote(NAME, safe='')}"


@pytest.fixture(autouse=True)
def _no_node(settings, tmp_path: Path) -> None:
    settings.MLINK_HOME = tmp_path


@pytest.fixture
def node() -> int:
    """A stored node with items, subscriptions and affiliations, and one that has moved away."""
    entries = [
        stored_pubsub.Subscription("ada@localhost/desk", "s1", options={"deliver": False, "show-values": ["away"]}),
        stored_pubsub.Subscription("zoe@localhost", "s2", "pending"),
    ]
    record = stored_pubsub.NodeRecord(
        SERVICE,
        NAME,
        config={"title": "The <Weather>", "access_model": "authorize", "description": "Rain"},
        creator="ada@localhost",
        created=1_700_000_000.0,
        affiliations={"ada@localhost": "owner", "evil.example": "outcast"},
        subscriptions={entry.subid: entry for entry in entries},
    )
    number = nodes.create(connection, record)
    nodes.create(connection, stored_pubsub.NodeRecord(SERVICE, "moved", config={"redirect": "xmpp:x?;node=y"}))
    nodes.create(connection, stored_pubsub.NodeRecord("ada@localhost", "urn:xmpp:avatar:data"))
    items = [
        stored_pubsub.Item(f"i{index}", f"<x xmlns='urn:x'><n>{index}</n></x>", "ada@localhost/desk", 1.7e9 + index)
        for index in range(25)
    ]
    with transaction.atomic():
        apply_changes(connection, [stored_pubsub.PutItem(number, item) for item in items])
    return number


@pytest.fixture
def console(client: Client) -> Client:
    """A browser in which the administrator is signed in."""
    Domain.objects.get_or_create(name="localhost")
    client.force_login(accounts.create_account("admin@localhost", None, is_staff=True, is_superuser=True))
    return client


def text(response) -> str:
    """The page as text."""
    return response.content.decode()


@pytest.mark.parametrize(
    "path",
    [
        "/admin/pubsub/",
        "/admin/pubsub/account?address=ada@localhost",
        f"/admin/pubsub/{SERVICE}/",
        f"/admin/pubsub/{SERVICE}/add/",
        *(f"{PAGE}{page}{QUERY}" for page in ("", "config/", "purge/", "delete/", "item/", "publish/")),
    ],
)
def test_only_administrators_see_nodes(client: Client, node: int, path: str) -> None:
    Domain.objects.get_or_create(name="localhost")
    assert client.get(path).status_code == 302
    client.force_login(accounts.create_account("eve@localhost", None))
    assert client.get(path).status_code == 403


@pytest.mark.parametrize(
    "path",
    ["config/", "purge/", "delete/", "publish/", "retract", "subscribe", "subscription", "affiliation"],
)
def test_only_administrators_change_nodes(
    client: Client, node: int, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Domain.objects.get_or_create(name="localhost")
    monkeypatch.setattr(commands, "ask", lambda *_words, **_more: pytest.fail("the node was asked"))
    client.force_login(accounts.create_account("eve@localhost", None))
    assert client.post(f"{PAGE}{path}{QUERY}", {"name": NAME, "item": "i1"}).status_code == 403


def test_without_a_node_the_database_is_shown(console: Client, node: int) -> None:
    shown = text(console.get("/admin/pubsub/"))
    assert "No node is running" in shown
    assert SERVICE in shown
    assert "ada@localhost" not in shown, "accounts are no services of the list"
    shown = text(console.get(f"/admin/pubsub/{SERVICE}/"))
    assert "1 node" in shown
    assert "news/&lt;weather&gt;?&amp;x=1" in shown
    assert f"{PAGE}?node=news%2F%3Cweather%3E%3F%26x%3D1" in shown
    assert "moved" not in shown
    assert "No node matches" in text(console.get(f"/admin/pubsub/{SERVICE}/?q=cellar"))
    assert "1 node with" in text(console.get(f"/admin/pubsub/{SERVICE}/?q=THE <weather"))
    shown = text(console.get(f"{PAGE}{QUERY}"))
    assert "The &lt;Weather&gt;" in shown
    assert "owners approve who may read" in shown
    assert "25 items" in shown
    assert "1 subscription waits" in shown
    assert "deliver=no, show-values=away" in shown
    assert "evil.example" in shown
    assert "urn:xmpp:avatar:data" in text(console.get("/admin/pubsub/account?address=ada@localhost", follow=True))


def test_items_have_pages(console: Client, node: int) -> None:
    seen: list[str] = []
    page = console.get(f"{PAGE}{QUERY}").context["items"]
    assert page["newer"] == page["newest"] == ""
    while True:
        seen += [row["id"] for row in page["rows"]]
        if not page["older"]:
            break
        page = console.get(page["older"]).context["items"]
    assert seen == [f"i{index}" for index in reversed(range(25))]
    page = console.get(page["newer"]).context["items"]
    assert [row["id"] for row in page["rows"]] == [f"i{index}" for index in reversed(range(5, 15))]
    page = console.get(page["newer"]).context["items"]
    assert page["rows"][0]["id"] == "i24"
    assert page["newer"] == ""
    # The item from which was paged has gone meanwhile.
    page = console.get(f"{PAGE}{QUERY}&before=gone").context["items"]
    assert page["rows"][0]["id"] == "i24"


def test_an_item_is_shown_whole(console: Client, node: int) -> None:
    shown = text(console.get(f"{PAGE}item/{QUERY}&item=i7"))
    assert "&lt;x xmlns=&#x27;urn:x&#x27;&gt;\n  &lt;n&gt;7&lt;/n&gt;\n&lt;/x&gt;" in shown
    assert "ada@localhost/desk" in shown
    page = console.get(f"{PAGE}item/{QUERY}&item=nothing")
    assert page.status_code == 404
    assert "There is no such item" in text(page)


@pytest.mark.parametrize("path", [f"{PAGE}?node=missing", f"{PAGE}?node=moved", PAGE, "/admin/pubsub/no.example/"])
def test_what_is_not_there_is_a_page(console: Client, node: int, path: str) -> None:
    page = console.get(path)
    assert page.status_code == 404
    assert 'role="alert"' in text(page)


def test_without_a_node_nothing_is_changed(console: Client, node: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "mlink.audit")
    for path, values in (
        ("purge/", {}),
        ("retract", {"item": "i1"}),
        ("subscribe", {"subscriber": "eve@localhost"}),
        ("subscription", {"jid": "zoe@localhost", "subid": "s2", "allowed": "yes"}),
        ("affiliation", {"jid": "eve@localhost", "affiliation": "owner"}),
    ):
        shown = console.post(f"{PAGE}{path}{QUERY}", values, follow=True)
        assert "No node is running" in text(shown), path
    assert console.post(f"{PAGE}delete/{QUERY}", {"name": NAME}).status_code == 400
    assert console.post(f"{PAGE}publish/{QUERY}", {"payload": "<x xmlns='urn:x'/>"}).status_code == 400
    assert console.post(f"{PAGE}config/{QUERY}", {}).status_code == 503
    assert console.get(f"/admin/pubsub/{SERVICE}/add/").status_code == 503
    (record,) = nodes.load(connection, SERVICE, [NAME])
    assert (record.items, len(record.subscriptions), len(record.affiliations)) == (25, 2, 2)
    lines = [line.getMessage() for line in caplog.records if line.name == "mlink.audit"]
    assert sum("failed" in line for line in lines) == len(lines) == 6


def test_deleting_needs_the_name(console: Client, node: int) -> None:
    page = console.post(f"{PAGE}delete/{QUERY}", {"name": "news"})
    assert page.status_code == 400
    assert "not the name of the node" in text(page)
    page = console.post(f"{PAGE}delete/{QUERY}", {"name": NAME, "redirect": "https://elsewhere.example/"})
    assert "xmpp:service" in text(page)


def test_wrong_forms_keep_what_was_typed(console: Client, node: int) -> None:
    page = console.post(f"{PAGE}affiliation{QUERY}", {"jid": "", "affiliation": "king"})
    assert page.status_code == 400
    assert "Enter an address or a domain." in text(page)
    page = console.post(f"{PAGE}subscribe{QUERY}", {"subscriber": ""})
    assert page.status_code == 400
    assert "Enter an address." in text(page)
    page = console.get("/admin/pubsub/account?address=ada@localhost/desk", follow=True)
    assert "without the part after a slash" in text(page)


def ctl(*words: str) -> object:
    """What the terminal's command prints, as JSON."""
    out = StringIO()
    call_command("xmppctl", "--json", *words, stdout=out, stderr=StringIO())
    return json.loads(out.getvalue())


def test_the_terminal_reads_nodes_of_a_stopped_node(node: int) -> None:
    assert [row["nodes"] for row in ctl("pubsub", "services")] == [1]  # type: ignore[attr-defined]
    (row,) = ctl("pubsub", "nodes", SERVICE, "--search", "WEATHER")  # type: ignore[misc]
    assert row == {
        "node": NAME,
        "kind": "leaf",
        "title": "The <Weather>",
        "access": "authorize",
        "items": 25,
        "subscribers": 1,
        "creator": "ada@localhost",
        "created": "2023-11-14T22:13:20Z",
    }
    shown = ctl("pubsub", "node", SERVICE, NAME)
    assert (shown["pending"], shown["affiliated"]) == (1, 2)  # type: ignore[index]
    page = ctl("pubsub", "items", SERVICE, NAME, "--before", "i3", "--limit", "2")
    assert [row["id"] for row in page["items"]] == ["i1", "i2"]  # type: ignore[index]
    assert ctl("pubsub", "item", SERVICE, NAME, "i0")["publisher"] == "ada@localhost/desk"  # type: ignore[index]
    assert [row["state"] for row in ctl("pubsub", "subscriptions", SERVICE, NAME)] == ["pending", "subscribed"]  # type: ignore[attr-defined]
    assert [row["jid"] for row in ctl("pubsub", "affiliations", SERVICE, NAME)] == ["ada@localhost", "evil.example"]  # type: ignore[attr-defined]
    assert [row["node"] for row in ctl("pubsub", "nodes", "ada@localhost")] == ["urn:xmpp:avatar:data"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "words",
    [
        ("delete", SERVICE, NAME),
        ("publish", SERVICE, NAME, "<x xmlns='urn:x'/>"),
        ("config", SERVICE, NAME),
        ("node", SERVICE, "moved"),
        ("nodes", "no.example"),
        ("items", SERVICE, NAME, "--after", "gone"),
        ("items", SERVICE, NAME, "--limit", "many"),
    ],
)
def test_the_terminal_refuses_what_cannot_be(node: int, words: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit):
        call_command("xmppctl", "pubsub", *words, stdout=StringIO(), stderr=StringIO())
    assert len(nodes.load(connection, SERVICE, [NAME])) == 1


def field(var: str, kind: str, *values: str, **more: object) -> dict[str, object]:
    """A field as `pubsub config` describes it."""
    row = {"field": f"pubsub#{var}", "label": var, "type": kind, "values": list(values), "options": [], "help": ""}
    return {**row, "open": False, **more}


def test_the_form_has_parts_and_sends_only_what_was_changed(rf) -> None:
    described = [
        field("title", "text-single", "Old"),
        field("language", "list-single", options=[["de", "Deutsch"]], open=True),
        field("node_type", "list-single", "leaf", options=[["leaf", ""]]),
        field("access_model", "list-single", "open", options=[["open", ""], ["whitelist", "List"]]),
        field("roster_groups_allowed", "list-multi", "a", options=[["a", ""]], open=True),
        field("persist_items", "boolean", "1"),
    ]
    form = NodeConfigForm(described)
    assert [(heading, [one.name for one in fields]) for heading, fields in form.parts()] == [
        ("About the node", ["title", "language"]),
        ("Who may read and publish", ["access_model", "roster_groups_allowed"]),
        ("Items", ["persist_items"]),
    ]
    untouched = {
        "title": "Old",
        "initial-title": "Old",
        "language": "",
        "initial-language": "",
        "access_model": "open",
        "initial-access_model": "open",
        "roster_groups_allowed": "a",
        "initial-roster_groups_allowed": "a",
        "persist_items": "on",
        "initial-persist_items": "True",
    }
    form = NodeConfigForm(described, rf.post("/", untouched).POST)
    assert form.is_valid(), form.errors
    assert json.loads(form.submission()) == {}, "a language that nobody chose is not set"
    form = NodeConfigForm(described, rf.post("/", {**untouched, "roster_groups_allowed": "a\r\nb"}).POST)
    assert form.is_valid(), form.errors
    assert json.loads(form.submission()) == {"pubsub#roster_groups_allowed": ["a", "b"]}


@pytest.mark.parametrize(
    ("payload", "shown"),
    [
        ("<x xmlns='urn:x'/>", "<x xmlns='urn:x'/>"),
        ("<x xmlns='urn:x'>a<b/>c</x>", "<x xmlns='urn:x'>a<b/>c</x>"),
        ("<x xmlns='urn:x' a='1'><y><z/></y></x>", "<x xmlns='urn:x' a='1'>\n  <y>\n    <z/>\n  </y>\n</x>"),
        ("<x xmlns='urn:x'><y xmlns='urn:y'>&lt;</y></x>", "<x xmlns='urn:x'>\n  <y xmlns='urn:y'>&lt;</y>\n</x>"),
        ("damaged", "damaged"),
    ],
)
def test_payloads_are_laid_out(payload: str, shown: str) -> None:
    assert indented(payload) == shown
