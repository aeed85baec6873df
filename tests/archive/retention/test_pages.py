"""The pages of retention by requests: who may, what is shown before it counts, what the audit log says."""

from __future__ import annotations

import json

import pytest
from django.db import connection
from django.test import Client

from archive.oversight.models import Officer
from archive.retention import holds, policies
from archive.retention.models import Expired, Hold, Keeping, Policy, Rules, Run
from mlink_web.accounts import services as accounts
from mlink_web.accounts.models import Account
from mlink_web.audit.models import Entry
from mlink_web.conf.models import Domain

pytestmark = pytest.mark.django_db
BASE = "/admin/archive/retention/"


@pytest.fixture
def admin() -> Account:
    """An administrator."""
    Domain.objects.get_or_create(name="a.example")
    Domain.objects.get_or_create(name="b.example")
    return accounts.create_account("law@a.example", None, is_staff=True, is_superuser=True)


@pytest.fixture
def console(client: Client, admin: Account) -> Client:
    """A browser in which the administrator is signed in."""
    client.force_login(admin)
    return client


def text(response) -> str:
    """The page as text."""
    return response.content.decode()


def count(account: int, day: int, number: int) -> None:
    """So many messages of an account on a day."""
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO archive_tally VALUES (%s, '', %s, %s)", [account, day, number])


@pytest.mark.parametrize("path", ["", "policies/add/", "holds/", "holds/place/"])
def test_only_officers_see_them(client: Client, admin: Account, path: str) -> None:
    assert client.get(BASE + path).status_code == 302
    client.force_login(accounts.create_account("ada@a.example", None))
    assert client.get(BASE + path).status_code == 403
    client.force_login(admin)
    assert client.get(BASE + path).status_code == 200


def test_a_policy_shows_what_would_go_and_is_saved_only_then(console: Client, admin: Account) -> None:
    ada = accounts.create_account("ada@a.example", None)
    count(ada.pk, 20_000, 12)
    count(ada.pk, 20_001, 30)
    given = {"subject": "domain", "value": " A.example ", "kind": "chat", "days": "30", "note": "rule 7"}
    page = console.post(f"{BASE}policies/add/", {**given, "do": "preview"})
    assert page.status_code == 200
    assert "<strong>42</strong> messages of 1 archive." in text(page)
    assert "ada@a.example" in text(page)
    assert "October 2024: 42" in text(page)
    assert not Policy.objects.exists()
    assert Entry.objects.filter(did="retention policy tried").exists()
    assert console.post(f"{BASE}policies/add/", {**given, "do": "save"}).status_code == 302
    policy = Policy.objects.get()
    assert (policy.subject, policy.value, policy.kind, policy.days) == ("domain", "a.example", "chat", 30)
    assert policy.changed_by == "law@a.example"
    entry = Entry.objects.get(did="retention policy saved")
    assert json.loads(entry.details)["days"] == 30
    assert Rules.objects.get(pk=1).version == 1
    overview = text(console.get(BASE))
    assert "a.example" in overview
    assert "30 days" in overview


def test_a_policy_that_makes_no_sense_comes_back(console: Client) -> None:
    page = console.post(f"{BASE}policies/add/", {"subject": "user", "value": "nobody", "do": "save"})
    assert page.status_code == 400
    assert "no address of an account" in text(page)
    page = console.post(f"{BASE}policies/add/", {"subject": "domain", "value": "a.example", "days": "0", "do": "save"})
    assert page.status_code == 400
    assert not Policy.objects.exists()


def test_a_policy_is_changed_and_removed(console: Client) -> None:
    old = policies.save(policies.check("label", "Secret", "", 30), "law@a.example")
    page = f"{BASE}policies/{old.pk}/"
    assert "Secret" in text(console.get(page))
    console.post(page, {"subject": "label", "value": "secret", "kind": "", "days": "", "do": "save"})
    policy = Policy.objects.get()
    assert policy.days is None
    assert "for ever" in text(console.get(BASE))
    remove = f"{BASE}policies/{policy.pk}/remove/"
    assert console.get(remove).status_code == 200
    assert Policy.objects.exists()
    console.post(remove)
    assert not Policy.objects.exists()
    assert Entry.objects.filter(did="retention policy removed").exists()


def test_a_hold_is_placed_and_released(console: Client) -> None:
    given = {"scope": "talk", "address": "ada@a.example", "peer": "bob@b.example", "reason": "Case 12"}
    page = console.post(f"{BASE}holds/place/", {**given, "start": "2026-01-01", "end": "2026-01-31"})
    assert page.status_code == 302
    hold = Hold.objects.get()
    assert hold.start is not None
    assert hold.end is not None
    assert 30.9 < (hold.end - hold.start) / 86_400 < 31
    listed = text(console.get(f"{BASE}holds/"))
    assert "Case 12" in listed
    assert "2026-01-01" in listed
    assert "2026-01-31" in listed
    release = f"{BASE}holds/{hold.pk}/release/"
    assert console.post(release, {"reason": ""}).status_code == 400
    console.post(release, {"reason": "Case closed"})
    hold.refresh_from_db()
    assert hold.released is not None
    # It stays in the list, and cannot be released again.
    assert "Case closed" in text(console.get(f"{BASE}holds/"))
    assert "already" in text(console.post(release, {"reason": "again"}))
    done = list(Entry.objects.values_list("did", flat=True))
    assert "legal hold placed" in done
    assert "legal hold released" in done
    assert Rules.objects.get(pk=1).version == 1


@pytest.mark.parametrize(
    "given",
    [
        {"scope": "account", "address": "x", "reason": "y"},
        {"scope": "talk", "address": "ada@a.example", "peer": "", "reason": "y"},
        {"scope": "all", "reason": " "},
        {"scope": "planet", "reason": "y"},
        {"scope": "all", "reason": "y", "start": "2026-02-01", "end": "2026-01-01"},
        {"scope": "all", "reason": "y", "start": "yesterday"},
    ],
)
def test_a_hold_that_makes_no_sense_comes_back(console: Client, given: dict[str, str]) -> None:
    page = console.post(f"{BASE}holds/place/", given)
    assert page.status_code == 400
    assert 'class="error"' in text(page) or "note bad" in text(page)
    assert not Hold.objects.exists()


def test_officers_of_a_domain_stay_in_it(client: Client, admin: Account) -> None:
    ada = accounts.create_account("ada@a.example", None)
    Officer.objects.create(
        account=ada, rights=["retain"], domains=["a.example"], appointed=1.0, appointed_by="law@a.example"
    )
    client.force_login(ada)
    assert client.get(BASE).status_code == 200
    own = policies.save(policies.check("domain", "a.example", "", 30), "law@a.example")
    other = policies.save(policies.check("domain", "b.example", "", 30), "law@a.example")
    assert client.get(f"{BASE}policies/{own.pk}/").status_code == 200
    assert client.get(f"{BASE}policies/{other.pk}/").status_code == 403
    assert client.post(f"{BASE}policies/{other.pk}/remove/").status_code == 403
    for subject, value in (("everything", ""), ("label", "x"), ("user", "bob@b.example")):
        page = client.post(f"{BASE}policies/add/", {"subject": subject, "value": value, "days": "3", "do": "save"})
        assert page.status_code == 400
    page = client.post(f"{BASE}holds/place/", {"scope": "all", "reason": "x"})
    assert page.status_code == 400
    assert not Hold.objects.exists()
    hold = holds.place("law@a.example", "account", "bob@b.example", reason="x")
    assert client.post(f"{BASE}holds/{hold.pk}/release/", {"reason": "x"}).status_code == 403
    client.post(f"{BASE}retracted/", {"domain": ""})
    client.post(f"{BASE}retracted/", {"domain": "b.example"})
    assert not Keeping.objects.exists()
    client.post(f"{BASE}retracted/", {"domain": "a.example"})
    assert Keeping.objects.get().domain == "a.example"


def test_nothing_changes_while_the_audit_log_is_away(console: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlink_web.audit import log

    def fail(*_given: object, **_more: object) -> None:
        raise log.NotWritten("no")

    monkeypatch.setattr(log, "of_request", fail)
    for path, given in (
        ("holds/place/", {"scope": "all", "reason": "x"}),
        ("policies/add/", {"subject": "everything", "days": "3", "do": "save"}),
        ("retracted/", {"domain": "a.example"}),
    ):
        assert console.post(BASE + path, given).status_code == 503
    assert not Hold.objects.exists()
    assert not Policy.objects.exists()
    assert not Keeping.objects.exists()


def test_the_overview_tells_of_runs_and_of_what_went(console: Client) -> None:
    from datetime import UTC, datetime

    policies.save(policies.check("everything", "", "", 30), "law@a.example")
    Run.objects.create(started=1_790_000_000.0, ended=1_790_000_009.0, removed=1234, held=5, seen=9_999, complete=True)
    Run.objects.create(started=1_790_000_100.0, ended=1_790_000_109.0, trouble="The disk is <full>")
    Expired.objects.create(day=datetime.now(UTC).date(), domain="a.example", kind="room", messages=77)
    page = text(console.get(BASE))
    assert "1,234" in page
    assert "The disk is &lt;full&gt;" in page
    assert "<strong>77</strong>" in page
    assert "in rooms" in page
