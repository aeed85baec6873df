"""The server's part of the forms page: the page with its policy, its service worker, a form in its topic's look."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from django.contrib.staticfiles import finders
from django.core.cache import cache
from django.test import Client

from fdp import client_access, services
from mlink_web.accounts import services as accounts
from mlink_web.accounts.models import Account
from mlink_web.conf.models import Domain
from mlink_web.groups import services as groups

pytestmark = pytest.mark.django_db
SERVICE = "forms.localhost"
SUFFIX = "localhost/report"
XSLT = """<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform" xmlns:d="jabber:x:data">
<xsl:template match="/d:x"><h1><xsl:value-of select="d:field/d:value"/></h1></xsl:template></xsl:stylesheet>"""
FORM = "<x xmlns='jabber:x:data' type='submit'><field var='what'><value>Smoke &lt;b&gt;</value></field></x>"
DEFINITION = {"title": "Report", "fields": [{"var": "what", "label": "What"}]}


@pytest.fixture(autouse=True)
def _empty_cache() -> None:
    cache.clear()


@pytest.fixture
def ada() -> Account:
    """An ordinary user."""
    Domain.objects.get_or_create(name="localhost")
    return accounts.create_account("ada@localhost", "correct horse")


@pytest.fixture
def page(client: Client, ada: Account) -> Client:
    """Signed in."""
    client.force_login(ada)
    return client


def rendering(page: Client, **given: str):
    """Ask for a form in its topic's look."""
    return page.post("/forms/rendering/", {"service": SERVICE, "suffix": SUFFIX, "item": "i", "xml": FORM, **given})


def test_the_page_is_for_those_who_are_signed_in(client: Client) -> None:
    answer = client.get("/forms/")
    assert answer.status_code == 302
    assert answer.headers["Location"] == "/accounts/sign-in/?next=/forms/"
    assert client.post("/forms/rendering/", {"xml": FORM}).status_code == 302


def test_the_page_names_its_person_and_has_a_strict_policy(page: Client) -> None:
    answer = page.get("/forms/?transport=nonsense")
    config = json.loads(re.search(r'id="forms-config"[^>]*>(.*?)</script>', answer.content.decode(), re.S)[1])
    assert (config["jid"], config["only"], config["is_operator"]) == ("ada@localhost", "", False)
    assert page.get("/forms/?transport=bosh").context["forms_config"]["only"] == "bosh"
    policy = dict(part.split(" ", 1) for part in answer.headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'self'"
    assert policy["style-src"] == "'self'"
    assert "ws://testserver" in policy["connect-src"]
    assert answer.headers["Cache-Control"].startswith("max-age=0")


def test_the_worker_keeps_files_that_are_there(client: Client) -> None:
    answer = client.get("/forms/worker.js")
    assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
    files = json.loads(re.search(r"const FILES = (\[.*?\]);", answer.content.decode())[1])
    assert "/static/fdp/client/main.js" in files
    assert all(finders.find(name.removeprefix("/static/")) for name in files)
    # Whatever a module of the page imports must be there without a connection too.
    for name in files:
        if name.endswith(".js") and "/fdp/client/" in name:
            source = Path(str(finders.find(name.removeprefix("/static/")))).read_text()
            for wanted in re.findall(r'from "\./(\w+\.js)"', source):
                assert f"/static/fdp/client/{wanted}" in files


def test_a_form_is_shown_in_its_topics_look(page: Client) -> None:
    services.add_topic(SERVICE, SUFFIX, "Report", DEFINITION, xslt=XSLT, css="h1 { color: red; }")
    answer = rendering(page)
    html = answer.content.decode()
    assert 'data-rendering="styled"' in html
    assert "<h1>Smoke &lt;b&gt;</h1>" in html
    assert "h1 { color: red; }" in html
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:;")
    assert policy.endswith("sandbox allow-modals allow-same-origin")
    assert "frame-ancestors 'self'" in policy
    assert answer.headers["X-Frame-Options"] == "SAMEORIGIN"


@pytest.mark.parametrize(
    "given",
    [{"xml": ""}, {"xml": "no XML"}, {"xml": "x" * 1_000_001}, {"suffix": "nowhere"}, {"service": "pubsub.localhost"}],
)
def test_what_cannot_be_styled_is_left_to_the_page(page: Client, given: dict[str, str]) -> None:
    services.add_topic(SERVICE, SUFFIX, "Report", DEFINITION, xslt=XSLT)
    answer = rendering(page, **given)
    assert answer.status_code == 200
    assert 'data-rendering="none"' in answer.content.decode()


def test_a_topic_without_a_stylesheet_is_left_to_the_page(page: Client) -> None:
    services.add_topic(SERVICE, SUFFIX, "Report", DEFINITION)
    assert 'data-rendering="none"' in rendering(page).content.decode()


@pytest.mark.parametrize(
    ("rules", "is_styled"),
    [
        ([], False),
        ([{"kind": "jid", "value": "bob@localhost"}], False),
        ([{"kind": "jid", "value": "ada@localhost"}], True),
        ([{"kind": "domain", "value": "localhost"}], True),
        ([{"kind": "group", "value": "watch"}], True),
        ([{"kind": "group", "value": "others"}], False),
    ],
)
def test_a_stylesheet_is_for_readers_of_the_topic(page: Client, rules: list[dict[str, str]], is_styled: bool) -> None:
    group = groups.add_group(Domain.objects.get(name="localhost"), "watch")
    groups.add_members(group, ["ada@localhost"])
    services.add_topic(SERVICE, SUFFIX, "Report", DEFINITION, xslt=XSLT, read_rules=rules)
    assert ('data-rendering="styled"' in rendering(page).content.decode()) is is_styled


def test_nobody_keeps_the_server_busy_with_stylesheets(page: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_access, "PER_MINUTE", 2)
    services.add_topic(SERVICE, SUFFIX, "Report", DEFINITION, xslt=XSLT)
    found = ['data-rendering="styled"' in rendering(page).content.decode() for _ in range(3)]
    assert found == [True, True, False]


def test_another_site_cannot_have_forms_rendered(ada: Account) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(ada)
    assert rendering(strict).status_code == 403
    assert strict.get("/forms/rendering/").status_code == 405
