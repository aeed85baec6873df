"""Every address of the console, asked for by somebody who administers one domain: each is refused, or shows and changes
nothing of another domain. The addresses come from the routes, so a page that is added later is walked as well."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.apps import apps
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from mlink_web.accounts import services as accounts
from mlink_web.accounts.models import Account
from mlink_web.conf.models import Domain
from mlink_web.delegation import services
from mlink_web.jobs.models import Job
from mlink_web.node.client import EngineClient
from mlink_web.reports.models import Report
from tests.web.delegation import marks
from tests.web.delegation.marks import DEN, HALL, MARK, OTHER, OWN, PASSWORD

pytestmark = pytest.mark.django_db
KEEPER = f"own-keeper@{OWN}"
#: What stands for texts in addresses, beside what rows of jobs are named.
WORDS = (DEN, OTHER, f"conference.{OTHER}", f"{MARK}-ann@{OTHER}")
#: Addresses tried for one route.
MOST = 24
#: Forms are sent with everything that some view may read.
FORMS: tuple[dict[str, Any], ...] = (
    {
        "jid": f"{MARK}-ann@{OTHER}/desk",
        "name": DEN,
        "domain": OTHER,
        "service": f"conference.{OTHER}",
        "local": "new",
        "password": "a new pass phrase",
        "again": "a new pass phrase",
        "owner": f"{MARK}-ann@{OTHER}",
        "room": DEN,
        "days": "1",
        "active": "0",
        "disable": "1",
        "members": f"more@{OTHER}",
        "member": f"{MARK}-ann@{OTHER}",
        "description": "changed",
        "affiliation": "owner",
        "nick": "n",
        "device": MARK,
        "most": "1",
        "word": "never",
        "address": DEN,
        "kind": "room",
        "user": "1",
    },
    {"name": OTHER, "reason": "because", "enabled": "", "archive": "off", "max_resources": "3", "contacts": ""},
    {"name": f"{MARK} crew", "domain": OTHER, "description": "mine now"},
    {"name": f"{MARK}-ann@{OTHER}", "jid": KEEPER},
)


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> marks.Node:
    """A node that tells everything about both domains."""
    made = marks.Node()

    async def call(client: Any, command: str, /, *, progress: Any = None, **arguments: str) -> Any:
        return await made.call(client, command, **arguments)

    monkeypatch.setattr(EngineClient, "call", call)
    return made


@pytest.fixture
def keeper(client: Client, node: marks.Node) -> Client:
    """Signed in, and administrator of own.example."""
    marks.make()
    account = accounts.create_account(KEEPER, PASSWORD)
    services.appoint(KEEPER, Domain.objects.get(name=OWN), "test")
    client.force_login(account)
    return client


def routes(patterns: list[Any] | None = None, prefix: str = "") -> Iterator[tuple[str, list[Any]]]:
    """All routes below /admin/ and /jobs/, each with its converters in their order."""
    for one in get_resolver().url_patterns if patterns is None else patterns:
        route = prefix + str(one.pattern)
        if isinstance(one, URLResolver):
            yield from routes(one.url_patterns, route)
        elif isinstance(one, URLPattern) and route.startswith(("admin/", "jobs/")):
            yield route, []


def addresses(route: str) -> list[str]:
    """The route with what could stand in it."""
    parts = re.findall(r"<(?:(\w+):)?\w+>", route)
    if not parts:
        return [f"/{route}"]
    numbers = sorted({pk for model in (Account, Domain, Report) for pk in model.objects.values_list("pk", flat=True)})
    words = [*WORDS, *Job.objects.values_list("token", flat=True)]
    choices = [[str(n) for n in (*numbers, 999_999)] if kind == "int" else words for kind in parts]
    found = []
    for chosen in itertools.islice(itertools.product(*choices), MOST):
        address = route
        for value in chosen:
            address = re.sub(r"<[^>]+>", value.replace("\\", ""), address, count=1)
        found.append(f"/{address}")
    return found


def check(response: Any, address: str) -> None:
    """Refused, or nothing of the other domain in it; what was asked for stands in no answer either."""
    assert response.status_code in (200, 302, 400, 403, 404, 405, 409), (address, response.status_code)
    said = response.getvalue().decode(errors="replace") if response.status_code != 302 else ""
    assert "777" not in said, address  # figures of the whole node
    assert MARK not in said.lower(), f"{address} ({response.status_code}): {_around(said)}"
    target = response.headers.get("Location", "")
    assert MARK not in target.lower() or target.startswith("/accounts/"), (address, target)


def _around(text: str) -> str:
    place = text.lower().index(MARK)
    return text[max(0, place - 200) : place + 100]


def test_the_marks_are_everywhere(keeper: Client) -> None:
    found = marks.rows_of_the_other()
    tables = {label for label, rows in found.items() if rows}
    wanted = ("accounts.Account", "conf.Domain", "groups.Group", "rooms.Room", "reports.Report", "jobs.Job")
    assert set(wanted) <= tables
    assert {"invitations.Invitation", "uploads.Upload", "devices.Device", "fdp.Topic", "oversight.Officer"} <= tables
    # Of all tables with texts, few take no such row.
    assert len(tables) > len([m for a in apps.get_app_configs() for m in a.get_models()]) * 0.4


def test_the_walk_would_find_them(keeper: Client) -> None:
    """The same pages show all of it to an administrator of the server."""
    keeper.force_login(Account.objects.get(username=f"own-root@{OWN}"))
    for address in ("/admin/users/", "/admin/sessions/", "/admin/rooms/", "/admin/groups/", "/admin/domains/"):
        assert MARK in keeper.get(address).content.decode(), address


def test_no_address_shows_anything_of_another_domain(keeper: Client) -> None:
    walked, open_to_him = 0, 0
    for route, _converters in routes():
        walked += 1
        for address in addresses(route):
            response = keeper.get(address)
            check(response, address)
            if response.status_code == 403:
                break  # the page is not for him, whatever is asked for
            open_to_him += 1
    assert walked > 120
    assert open_to_him > 60


def test_searches_and_choices_find_nothing_of_it(keeper: Client) -> None:
    for address in (
        f"/admin/users/?q={MARK}",
        "/admin/users/?state=staff",
        f"/admin/rooms/?q={MARK}&sort=occupants",
        f"/admin/rooms/?service=conference.{OTHER}",
        f"/admin/rooms/idle/?days=1&service=conference.{OTHER}",
        "/admin/rooms/idle/?days=1",
        f"/admin/groups/?q={MARK}-ann@{OTHER}",
        f"/admin/invitations/?domain={OTHER}",
        "/admin/reports/?state=all",
    ):
        response = keeper.get(address)
        said = response.content.decode()
        # The words that were typed stand in the field again.
        for echo in (
            f'value="{MARK}"',
            f"“{MARK}”",
            f'value="{MARK}-ann@{OTHER}"',
            f"conference.{OTHER} is not one of the available choices",
        ):
            said = said.replace(echo, "")
        said = re.sub(r'data-socket="[^"]*"', "", said)
        assert MARK not in said.lower(), f"{address}: {_around(said)}"


def test_nothing_that_is_sent_changes_another_domain(keeper: Client, node: marks.Node) -> None:
    before = marks.rows_of_the_other()
    account = Account.objects.get(username=KEEPER)
    for route, _converters in routes():
        for address in addresses(route):
            for given in FORMS:
                node.asked.clear()
                if "_auth_user_id" not in keeper.session:
                    keeper.force_login(account)
                form = {**given, "number": Report.objects.get(domain=OTHER).pk}
                response = keeper.post(address, form)
                assert response.status_code in (200, 302, 400, 403, 404, 405, 409), (address, response.status_code)
                touched = [
                    (command, arguments)
                    for command, arguments in node.asked
                    if OTHER in arguments.get("room", "") + arguments.get("jid", "") + arguments.get("only", "")
                ]
                # Whoever owns a room or has an affiliation there may be of any domain.
                touched = [one for one in touched if one[0] != "room affiliate" or OTHER in one[1]["room"]]
                assert touched == [], address
                if response.status_code in (403, 404, 405):
                    break  # whatever is sent
            if response.status_code == 403:
                break
    after = marks.rows_of_the_other()
    for label, rows in before.items():
        gone = [row for row in rows if row not in after[label]]
        assert gone == [], label


def test_own_pages_show_the_own(keeper: Client) -> None:
    for address, words in (
        ("/admin/", f"You administer {OWN}"),
        ("/admin/users/", f"own-ann@{OWN}"),
        ("/admin/sessions/", f"own-ann@{OWN}"),
        ("/admin/rooms/", "The own room"),
        (f"/admin/rooms/room/{HALL}/", "The own room"),
        ("/admin/groups/", "own crew"),
        ("/admin/reports/", "spammer@far.example"),
        ("/admin/domains/", OWN),
        ("/admin/invitations/", f"own-ann@{OWN}"),
    ):
        response = keeper.get(address)
        assert response.status_code == 200, address
        assert words in response.content.decode(), address
    menu = keeper.get("/admin/").content.decode()
    for shut in (
        "/admin/audit/",
        "/admin/federation/",
        "/admin/certificates/",
        "/admin/cluster/",
        "/admin/pubsub/",
        "/admin/archive/",
        "Import and export",
        "Messages since start",
    ):
        assert shut not in menu
