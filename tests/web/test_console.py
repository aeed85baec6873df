"""The console by requests: who may open it, its forms with their errors, what it does and logs. No node runs here, so
these tests also state how the pages look without one; test_browser_console.py has a running node."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.test import Client

from mlink_web.accounts import services
from mlink_web.accounts.models import Account, AccountChange
from mlink_web.clusters.models import Node
from mlink_web.conf.models import ConfigVersion, Domain
from mlink_web.console.views.users import PAGE_SIZE
from mlink_web.node.client import EngineClient, EngineError

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse"
PAGES = ("/admin/", "/admin/sessions/", "/admin/users/", "/admin/users/add/", "/admin/domains/", "/admin/domains/add/")
DOMAIN_FORM = {"enabled": "on", "archive": "on", "max_resources": "10", "resource_conflict": "replace", "contacts": ""}


@pytest.fixture
def domain() -> Domain:
    """The first domain."""
    return Domain.objects.get_or_create(name="localhost")[0]


@pytest.fixture
def ada(domain: Domain) -> Account:
    """An ordinary user."""
    return services.create_account("ada@localhost", PASSWORD)


@pytest.fixture
def admin(domain: Domain) -> Account:
    """An administrator."""
    return services.create_account("admin@localhost", PASSWORD, is_staff=True, is_superuser=True)


@pytest.fixture
def console(client: Client, admin: Account) -> Client:
    """A browser in which the administrator is signed in."""
    client.force_login(admin)
    return client


def text(response) -> str:
    """The page as text."""
    return response.content.decode()


def audit(caplog) -> list[str]:
    """The audit lines so far."""
    return [record.getMessage() for record in caplog.records if record.name == "mlink.audit"]


@pytest.mark.parametrize("path", PAGES)
def test_signed_out_people_are_sent_to_the_sign_in_page(client: Client, domain: Domain, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 302
    assert response.headers["Location"] == f"/accounts/sign-in/?next={path}"


@pytest.mark.parametrize("path", PAGES)
def test_ordinary_users_get_a_clear_refusal(client: Client, ada: Account, path: str) -> None:
    client.force_login(ada)
    response = client.get(path)
    assert response.status_code == 403
    assert "This page is not for your account" in text(response)
    assert "ada@localhost" in text(response)


def test_ordinary_users_change_nothing(client: Client, ada: Account, admin: Account) -> None:
    client.force_login(ada)
    for path, data in (
        (f"/admin/users/{admin.pk}/state", {"active": "0"}),
        (f"/admin/users/{admin.pk}/password", {"password": "x", "again": "x"}),
        (f"/admin/users/{admin.pk}/remove/", {"name": "admin@localhost"}),
        ("/admin/users/add/", {"local": "eve", "domain": "localhost", "password": "x", "administrator": "on"}),
        ("/admin/domains/add/", {"name": "evil.example", **DOMAIN_FORM}),
        ("/admin/sessions/end", {"jid": "admin@localhost/x"}),
    ):
        assert client.post(path, data).status_code == 403, path
    admin.refresh_from_db()
    assert admin.is_active
    assert services.find("admin@localhost").check_password(PASSWORD)
    assert not Account.objects.filter(local="eve").exists()
    assert Domain.objects.count() == 1


@pytest.mark.parametrize("path", PAGES)
def test_administrators_see_every_page_without_a_node(console: Client, path: str) -> None:
    response = console.get(path)
    assert response.status_code == 200
    assert "no-store" in response.headers["Cache-Control"]


@pytest.mark.parametrize("path", ["/admin/", "/admin/sessions/"])
def test_a_node_that_is_down_is_said(console: Client, path: str) -> None:
    assert "No node is running" in text(console.get(path))


def test_changes_need_the_token(admin: Account, ada: Account) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin)
    assert client.post(f"/admin/users/{ada.pk}/state", {"active": "0"}).status_code == 403
    ada.refresh_from_db()
    assert ada.is_active


@pytest.mark.parametrize("path", ["/admin/users/{}/state", "/admin/users/{}/password", "/admin/sessions/end"])
def test_changes_take_post_only(console: Client, ada: Account, path: str) -> None:
    assert console.get(path.format(ada.pk)).status_code == 405


# Users


def test_add_a_user(console: Client, caplog) -> None:
    with caplog.at_level(logging.INFO, logger="mlink.audit"):
        response = console.post("/admin/users/add/", {"local": "Bob", "domain": "localhost", "password": "s3cret word"})
    bob = services.find("bob@localhost")
    assert response.headers["Location"] == f"/admin/users/{bob.pk}/"
    assert bob.check_password("s3cret word")
    assert not bob.is_staff
    assert 'who="admin@localhost"' in audit(caplog)[0]
    assert 'did="added user" to="bob@localhost"' in audit(caplog)[0]
    assert "s3cret" not in caplog.text
    assert "bob@localhost can sign in now." in text(console.get(response.headers["Location"]))


def test_add_an_administrator(console: Client) -> None:
    form = {"local": "eve", "domain": "localhost", "password": "x", "administrator": "on"}
    console.post("/admin/users/add/", form)
    eve = services.find("eve@localhost")
    assert eve.is_staff
    assert eve.is_superuser


@pytest.mark.parametrize(
    ("local", "password", "sentence"),
    [
        ("", "x", "Enter a name."),
        ("a b", "x", "is not an XMPP address"),
        ("eve@localhost", "x", "Enter only the part before the @"),
        ("ADA", "x", "There is a user ada@localhost already."),
        ("eve", "", "Enter a password."),
        ("eve", "x" * 2000, "The password is longer than"),
        ("eve", "a\u0000b", "Null characters are not allowed."),
    ],
)
def test_add_user_shows_errors_in_place(
    console: Client, ada: Account, local: str, password: str, sentence: str
) -> None:
    form = {"local": local, "domain": "localhost", "password": password}
    response = console.post("/admin/users/add/", form)
    assert response.status_code == 400
    assert sentence in text(response)
    assert 'aria-invalid="true"' in text(response)
    assert Account.objects.count() == 2


def test_search_and_pages(console: Client, domain: Domain) -> None:
    for number in range(PAGE_SIZE + 3):
        services.create_account(f"crew{number:02d}@localhost", None)
    services.disable(services.find("crew01@localhost"))
    first = text(console.get("/admin/users/?q=crew"))
    assert f"{PAGE_SIZE + 3} users" in first
    assert "Page 1 of 2" in first
    assert "page=2&amp;q=crew" in first
    second = text(console.get("/admin/users/?q=crew&page=2"))
    assert f"crew{PAGE_SIZE + 2:02d}@localhost" in second
    assert "crew00@localhost" not in second
    disabled = text(console.get("/admin/users/?state=disabled"))
    assert "crew01@localhost" in disabled
    assert "crew02@localhost" not in disabled
    assert "No user matches" in text(console.get("/admin/users/?q=%25"))
    assert console.get("/admin/users/?page=99999&state=nonsense").status_code == 200


def test_markup_in_a_search_stays_text(console: Client) -> None:
    page = text(console.get("/admin/users/?q=<script>alert(1)</script>"))
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_disable_and_enable(console: Client, ada: Account, caplog) -> None:
    with caplog.at_level(logging.INFO, logger="mlink.audit"):
        console.post(f"/admin/users/{ada.pk}/state", {"active": "0"})
        ada.refresh_from_db()
        assert not ada.is_active
        assert AccountChange.objects.filter(bare="ada@localhost").exists(), "nodes must learn of it"
        console.post(f"/admin/users/{ada.pk}/state", {"active": "1"})
    ada.refresh_from_db()
    assert ada.is_active
    assert [line.split(" to=")[0].split("did=")[1] for line in audit(caplog)] == ['"disabled user"', '"enabled user"']


def test_administrators_keep_themselves(console: Client, admin: Account) -> None:
    response = console.post(f"/admin/users/{admin.pk}/state", {"active": "0"}, follow=True)
    assert "You cannot disable your own account." in text(response)
    response = console.post(f"/admin/users/{admin.pk}/remove/", {"name": "admin@localhost"}, follow=True)
    assert "You cannot remove your own account." in text(response)
    admin.refresh_from_db()
    assert admin.is_active


def test_set_a_password(console: Client, ada: Account) -> None:
    path = f"/admin/users/{ada.pk}/password"
    wrong = console.post(path, {"password": "one", "again": "two"})
    assert wrong.status_code == 400
    assert "The two entries differ." in text(wrong)
    assert "No node is running" in text(wrong), "the rest of the page is there"
    assert console.post(path, {"password": "brand new", "again": "brand new"}).status_code == 302
    assert services.find("ada@localhost").check_password("brand new")


def test_ones_own_new_password_keeps_the_session(console: Client, admin: Account) -> None:
    console.post(f"/admin/users/{admin.pk}/password", {"password": "brand new", "again": "brand new"})
    assert console.get("/admin/").status_code == 200


def test_remove_a_user_only_by_its_name(console: Client, ada: Account) -> None:
    path = f"/admin/users/{ada.pk}/remove/"
    wrong = console.post(path, {"name": "ada"})
    assert wrong.status_code == 400
    assert "This is not the name of what would be deleted." in text(wrong)
    assert Account.objects.filter(pk=ada.pk).exists()
    assert console.post(path, {"name": "ada@localhost"}).headers["Location"] == "/admin/users/"
    assert not Account.objects.filter(pk=ada.pk).exists()


def test_users_that_do_not_exist(console: Client) -> None:
    for path in ("/admin/users/99999/", "/admin/users/99999/remove/", "/admin/domains/99999/"):
        assert console.get(path).status_code == 404


# Domains


def test_add_and_change_a_domain(console: Client, caplog) -> None:
    with caplog.at_level(logging.INFO, logger="mlink.audit"):
        response = console.post("/admin/domains/add/", {"name": "Team.Example.org", **DOMAIN_FORM})
    assert response.headers["Location"] == "/admin/domains/"
    team = Domain.objects.get(name="team.example.org")
    version = ConfigVersion.objects.get(pk=1).version
    assert team.archive
    assert not team.archive_strict
    assert 'did="added domain" to="team.example.org"' in audit(caplog)[0]
    form = {
        "archive": "strict",
        "registration": "on",
        "max_resources": "3",
        "resource_conflict": "reject",
        "contacts": "abuse mailto:abuse@example.org\nadmin: xmpp:admin@example.org",
    }
    assert console.post(f"/admin/domains/{team.pk}/", form).status_code == 302
    team.refresh_from_db()
    assert (team.enabled, team.archive, team.archive_strict, team.registration) == (False, True, True, True)
    assert (team.max_resources, team.resource_conflict) == (3, "reject")
    assert team.contacts == {"abuse": ["mailto:abuse@example.org"], "admin": ["xmpp:admin@example.org"]}
    assert ConfigVersion.objects.get(pk=1).version > version, "nodes must learn of it"
    page = text(console.get(f"/admin/domains/{team.pk}/"))
    assert "abuse mailto:abuse@example.org" in page
    assert '<option value="strict" selected' in page


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("name", "", "Enter a domain name."),
        ("name", "a b", "is not a domain name"),
        ("name", "user@example.org", "is not a domain name"),
        ("name", "LOCALHOST", "There is a domain with this name already."),
        ("max_resources", "0", "greater than or equal to 1"),
        ("max_resources", "many", "Enter a whole number."),
        ("resource_conflict", "explode", "Select a valid choice."),
        ("archive", "maybe", "Select a valid choice."),
        ("contacts", "abuse", "Line 1 must be one kind and one address."),
        ("contacts", "abuse mailto:a@b\nfriend mailto:c@d", "Line 2 must be one kind and one address."),
        ("contacts", "abuse javascript:alert(1)", "The address in line 1 must begin with"),
        ("contacts", "abuse mailto:a@b\n" * 31, "Enter at most 30 addresses."),
    ],
)
def test_domain_form_shows_errors_in_place(console: Client, field: str, value: str, sentence: str) -> None:
    response = console.post("/admin/domains/add/", {"name": "new.example", **DOMAIN_FORM, field: value})
    assert response.status_code == 400
    assert sentence in text(response)
    assert f'id="id_{field}_error"' in text(response)
    assert Domain.objects.count() == 1


# Sessions


SESSION = {
    "jid": "ada@localhost/phone",
    "address": "192.0.2.1:5000",
    "transport": "tcp",
    "tls": "TLSv1.3 X",
    "secure": True,
    "since": 0.0,
    "show": "",
    "available": True,
    "unacked": 0,
    "queued_bytes": 0,
}


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """A node that answers with these sessions, and says that another one gave no answer."""
    rows: list[dict[str, Any]] = [SESSION]

    async def call(client: EngineClient, command: str, /, **_given: Any) -> Any:
        if command == "sessions":
            client.warnings = ["The node n3 did not answer: its part is missing."] if "node" in rows[0] else []
            return rows
        raise EngineError("not asked")

    monkeypatch.setattr(EngineClient, "call", call)
    return rows


def test_a_node_that_is_alone_has_no_column(console: Client, ada: Account, answers: list[dict[str, Any]]) -> None:
    for path in ("/admin/sessions/", f"/admin/users/{ada.pk}/"):
        page = text(console.get(path))
        assert "192.0.2.1:5000" in page
        assert 'data-label="Node"' not in page
        assert "data-several" not in page
        assert "did not answer" not in page


def test_in_a_cluster_sessions_have_their_node(
    console: Client, ada: Account, answers: list[dict[str, Any]], settings: Any
) -> None:
    settings.MLINK_CLUSTER = True
    answers[:] = [{**SESSION, "node": "n<2>"}]
    for number in (1, 2):
        Node.objects.create(name=f"n{number}", number=number)
        for path in ("/admin/sessions/", f"/admin/users/{ada.pk}/"):
            page = text(console.get(path))
            assert ('<td data-label="Node">n&lt;2&gt;</td>' in page) == (number == 2)
            assert "The node n3 did not answer: its part is missing." in page


def test_ending_a_session_without_a_node_says_so(console: Client) -> None:
    page = console.post("/admin/sessions/end", {"jid": "ada@localhost/phone"}, follow=True)
    assert "No node is running" in text(page)
    script = console.post("/admin/sessions/end", {"jid": "ada@localhost/phone"}, headers={"Accept": "application/json"})
    assert script.status_code == 503
    assert "No node is running" in script.json()["error"]


@pytest.mark.parametrize("jid", ["", "ada@localhost", "x" * 5000])
def test_ending_nothing_in_particular_is_refused(console: Client, jid: str) -> None:
    script = console.post("/admin/sessions/end", {"jid": jid}, headers={"Accept": "application/json"})
    assert script.status_code == 400


def test_a_number_of_thousands_of_digits_is_nobodys(console: Client) -> None:
    answer = console.post("/admin/sessions/end", {"jid": "ada@localhost/phone", "user": "9" * 5_000})
    assert answer["Location"] == "/admin/sessions/"


def test_an_audit_value_cannot_forge_a_line(console: Client, caplog) -> None:
    with caplog.at_level(logging.INFO, logger="mlink.audit"):
        console.post("/admin/sessions/end", {"jid": 'a@b/x"\nwho="admin" did="nothing'})
    assert len(audit(caplog)) == 1
    assert "\n" not in audit(caplog)[0]
