"""The pages of a domain's administrator by requests: what he does in his own domain, and what he must not do there."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from archive.oversight.models import Officer
from mlink_web.accounts import services as accounts
from mlink_web.accounts.models import Account
from mlink_web.audit.models import Entry
from mlink_web.conf.models import Domain
from mlink_web.delegation import services
from mlink_web.delegation.models import DomainAdministrator
from tests.web.delegation import marks
from tests.web.delegation.marks import DEN, HALL, OTHER, OWN, PASSWORD
from tests.web.delegation.test_walk import keeper, node

pytestmark = pytest.mark.django_db
__all__ = ["keeper", "node"]


def find(bare: str) -> Account:
    return Account.objects.get(username=bare)


def test_an_administrator_of_the_server_appoints_and_dismisses(client: Client) -> None:
    domain = Domain.objects.create(name=OWN)
    boss = accounts.create_account(f"boss@{OWN}", PASSWORD, is_staff=True, is_superuser=True)
    ann = accounts.create_account(f"ann@{OWN}", PASSWORD)
    client.force_login(boss)
    page = f"/admin/domains/{domain.pk}/administrators/"
    assert page in client.get(f"/admin/domains/{domain.pk}/").content.decode()
    assert client.post(page, {"jid": f"nobody@{OWN}"}).status_code == 400
    assert client.post(page, {"jid": ann.username}, follow=True).status_code == 200
    assert ann.username in client.get(page).content.decode()
    client.post(f"{page}dismiss", {"jid": ann.username})
    assert not DomainAdministrator.objects.exists()
    done = list(Entry.objects.order_by("seq").values_list("did", "target"))
    assert done[-2:] == [
        ("appointed domain administrator", ann.username),
        ("dismissed domain administrator", ann.username),
    ]


def test_he_signs_in_to_the_console(keeper: Client) -> None:
    keeper.logout()
    answer = keeper.post("/accounts/sign-in/", {"username": f"own-keeper@{OWN}", "password": PASSWORD})
    assert (answer.status_code, answer.headers["Location"]) == (302, "/admin/")
    assert "Open the console" in keeper.get("/").content.decode()


def test_users_are_made_disabled_and_removed(keeper: Client) -> None:
    form = keeper.get("/admin/users/add/").content.decode()
    assert "administrator" not in form.replace("own-keeper", "").lower().split("<main")[1]
    new = {"local": "new", "domain": OWN, "password": PASSWORD, "administrator": "on"}
    assert keeper.post("/admin/users/add/", {**new, "domain": OTHER}).status_code == 400
    assert keeper.post("/admin/users/add/", new).status_code == 302
    made = find(f"new@{OWN}")
    assert not made.is_superuser
    keeper.post(f"/admin/users/{made.pk}/state", {"active": "0"})
    made.refresh_from_db()
    assert not made.is_active
    keeper.post(f"/admin/users/{made.pk}/password", {"password": "another one!", "again": "another one!"})
    assert find(made.username).check_password("another one!")
    keeper.post(f"/admin/users/{made.pk}/remove/", {"name": made.username})
    assert not Account.objects.filter(pk=made.pk).exists()


@pytest.mark.parametrize("kind", ["administrator", "officer", "of two domains"])
def test_nobody_gets_more_power_by_a_new_password(keeper: Client, node: marks.Node, kind: str) -> None:
    target = find(f"own-root@{OWN}" if kind == "administrator" else f"own-ann@{OWN}")
    if kind == "officer":
        Officer.objects.create(account=target, rights=["search"], everywhere=True, appointed=1.0, appointed_by="boss")
    elif kind == "of two domains":
        services.appoint(target.username, Domain.objects.get(name=OTHER), "boss")
    page = keeper.get(f"/admin/users/{target.pk}/").content.decode()
    assert "may do more than you here" in page
    assert "Set a new password" not in page
    node.asked.clear()
    for path, form in (
        ("password", {"password": "mine now 123", "again": "mine now 123"}),
        ("state", {"active": "0"}),
        ("remove/", {"name": target.username}),
    ):
        assert keeper.post(f"/admin/users/{target.pk}/{path}", form).status_code == 302
    assert keeper.post(f"/admin/users/{target.pk}/password-link").status_code == 302
    keeper.post("/admin/sessions/end", {"jid": f"{target.username}/desk"})
    assert not [command for command, _arguments in node.asked if command == "kick"]
    after = find(target.username)
    assert after.is_active
    assert after.check_password(PASSWORD)
    assert Entry.objects.filter(did="change of user refused", target=target.username).count() == 4


def test_sessions_of_his_domain_end(keeper: Client, node: marks.Node) -> None:
    json = {"HTTP_ACCEPT": "application/json"}
    assert keeper.post("/admin/sessions/end", {"jid": f"own-ann@{OWN}/desk"}, **json).status_code == 200
    gone = keeper.post("/admin/sessions/end", {"jid": f"zebra-ann@{OTHER}/desk"}, **json)
    never = keeper.post("/admin/sessions/end", {"jid": f"never@{OTHER}/desk"}, **json)
    assert gone.status_code == never.status_code == 404
    assert [arguments["jid"] for command, arguments in node.asked if command == "kick"] == [f"own-ann@{OWN}/desk"]


def test_what_he_sets_of_his_domain(keeper: Client) -> None:
    domain = Domain.objects.get(name=OWN)
    page = f"/admin/domains/{domain.pk}/"
    shown = keeper.get(page).content.decode()
    for word in ("name=&quot;enabled", 'name="enabled"', 'name="archive"', 'name="federation"', "Administrators …"):
        assert word not in shown
    assert "Delete …" not in shown
    keeper.post(
        page,
        {
            "registration": "on",
            "max_resources": "3",
            "resource_conflict": "reject",
            "contacts": f"abuse mailto:abuse@{OWN}",
            "enabled": "",
            "archive": "off",
            "federation": "",
        },
    )
    domain.refresh_from_db()
    assert (domain.registration, domain.max_resources, domain.resource_conflict) == (True, 3, "reject")
    assert (domain.enabled, domain.archive, domain.federation) == (True, True, True)


def test_rooms_of_his_services(keeper: Client, node: marks.Node) -> None:
    assert keeper.get(f"/admin/rooms/room/{HALL}/").status_code == 200
    assert keeper.get(f"/admin/rooms/room/{DEN}/").status_code == 404
    assert keeper.get(f"/admin/rooms/room/nothing@conference.{OTHER}/").status_code == 404
    node.asked.clear()
    keeper.post("/admin/rooms/idle/", {"days": "1", "service": "", "room": [HALL, DEN]})
    told: list[Any] = [arguments.get("only") for command, arguments in node.asked if arguments.get("remove") == "yes"]
    assert told == [HALL]
    # Its messages are part of the archive.
    assert keeper.post(f"/admin/rooms/room/{HALL}/clear/").status_code == 403


def test_a_name_that_another_domain_s_group_has(keeper: Client) -> None:
    domain = Domain.objects.get(name=OWN)
    form = {"name": "Zebra Crew", "domain": domain.pk, "description": ""}
    answer = keeper.post("/admin/groups/add/", form)
    assert answer.status_code == 400
    assert "This name cannot be used" in answer.content.decode()
    answer = keeper.post("/admin/groups/add/", {**form, "name": "own crew"})
    assert "There is a group own crew already." in answer.content.decode()


def test_who_is_dismissed_sees_nothing_any_more(keeper: Client) -> None:
    services.dismiss(f"own-keeper@{OWN}", Domain.objects.get(name=OWN))
    for page in ("/admin/", "/admin/users/", "/admin/sessions/"):
        assert keeper.get(page).status_code == 403
    assert "Console" not in keeper.get("/").content.decode()
