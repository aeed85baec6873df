"""Reports in the console and by commands."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.test import Client

from archive import ids
from archive.models import Message
from mlink_web.accounts import services as accounts
from mlink_web.accounts.models import Account
from mlink_web.admin_commands.registry import registry
from mlink_web.conf.models import Domain
from mlink_web.reports import store
from mlink_web.reports.models import Report as Row
from xmpp_engine.admin.command import CommandError

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada() -> Account:
    """An administrator."""
    Domain.objects.get_or_create(name="localhost")
    return accounts.create_account("ada@localhost", "correct horse", is_staff=True, is_superuser=True)


@pytest.fixture
def bob(ada: Account) -> Account:
    """Who reports."""
    return accounts.create_account("bob@localhost", "correct horse")


def report(messages: list[list[str]] | None = None, reported: str = "spam@evil.example", **more: Any) -> Row:
    """A stored report of Bob's."""
    values = {"reason": "spam", "text": "Buy <b>this</b>", "created": time.time(), **more}
    return Row.objects.create(
        domain="localhost", reporter="bob@localhost", reported=reported, messages=messages or [], **values
    )


def archived(owner: Account, sender: str, body: str, number: int) -> str:
    """A message in an archive; its id as clients see it."""
    id = ids.first_at(time.time()) + number
    xml = f"<message from='{sender}' to='{owner.username}' type='chat'><body>{body}</body></message>"
    Message.objects.create(
        id=id, sender=sender, recipient=owner.username, recipient_account=owner.pk, kind="chat", xml=xml
    )
    return ids.text_of(id)


def text(response: Any) -> str:
    """The page as text."""
    return str(response.content.decode())


def test_only_administrators_see_reports(client: Client, bob: Account) -> None:
    row = report()
    assert client.get("/admin/reports/").status_code == 302
    client.force_login(bob)
    assert client.get("/admin/reports/").status_code == 403
    assert client.get(f"/admin/reports/{row.pk}/").status_code == 403
    assert client.post(f"/admin/reports/{row.pk}/close").status_code == 403


def test_the_list_filters_and_the_navigation_counts(client: Client, ada: Account) -> None:
    client.force_login(ada)
    assert "No report is waiting" in text(client.get("/admin/reports/"))
    report()
    report(reported="done@evil.example", closed=time.time())
    page = text(client.get("/admin/reports/"))
    assert "spam@evil.example" in page
    assert "done@evil.example" not in page
    assert "done@evil.example" in text(client.get("/admin/reports/?state=closed"))
    both = text(client.get("/admin/reports/?state=all"))
    assert "done@evil.example" in both
    assert "spam@evil.example" in both
    assert '1<span class="unseen"> open</span>' in text(client.get("/admin/"))
    # The number in the navigation is nobody else's: this page counts rooms that wait.
    assert "for approval" not in text(client.get("/admin/rooms/"))


def test_pages_of_the_list(client: Client, ada: Account) -> None:
    rows = [report(reported=f"u{number:03}@evil.example") for number in range(60)]
    client.force_login(ada)
    first = text(client.get("/admin/reports/"))
    assert f"before={rows[10].pk}" in first
    second = text(client.get(f"/admin/reports/?before={rows[10].pk}"))
    assert "u009@" in second
    assert "u010@" not in second


def test_a_report_shows_the_messages_of_the_reporter_and_no_others(client: Client, ada: Account, bob: Account) -> None:
    right = archived(bob, "spam@evil.example", "Cheap watches", 1)
    other = archived(bob, "friend@good.example", "Between us", 2)
    foreign = archived(ada, "spam@evil.example", "For Ada only", 3)
    row = report([[right, "bob@localhost"], [other, "bob@localhost"], [foreign, "bob@localhost"], ["zz", ""]])
    client.force_login(ada)
    page = text(client.get(f"/admin/reports/{row.pk}/"))
    assert "Cheap watches" in page
    assert "Between us" not in page
    assert "For Ada only" not in page
    assert page.count("Not in the reporter") == 3
    assert "Buy &lt;b&gt;this&lt;/b&gt;" in page
    assert client.get("/admin/reports/999999/").status_code == 404


def test_closing_takes_a_note_and_happens_once(client: Client, ada: Account) -> None:
    row = report()
    client.force_login(ada)
    assert client.post(f"/admin/reports/{row.pk}/close", {"note": "told them"}).status_code == 302
    found = store.get(row.pk)
    assert found is not None
    assert (found.closed_by, found.note) == ("ada@localhost", "told them")
    client.post(f"/admin/reports/{row.pk}/close", {"note": "again"})
    assert store.get(row.pk) == found
    assert "told them" in text(client.get(f"/admin/reports/{row.pk}/"))


def test_a_local_account_is_disabled_with_it(client: Client, ada: Account, bob: Account) -> None:
    eve = accounts.create_account("eve@localhost", "correct horse")
    row = report(reported="eve@localhost/phone")
    client.force_login(ada)
    assert "Disable eve@localhost and close" in text(client.get(f"/admin/reports/{row.pk}/"))
    client.post(f"/admin/reports/{row.pk}/close", {"disable": "1"})
    assert Account.objects.get(pk=eve.pk).state == "disabled"
    assert store.open_count() == 0
    own = report(reported="ada@localhost")
    client.post(f"/admin/reports/{own.pk}/close", {"disable": "1"})
    assert Account.objects.get(pk=ada.pk).state == "active"
    assert store.open_count() == 1


def test_commands(ada: Account, bob: Account) -> None:
    def run(name: str, **given: str) -> Any:
        command = registry.get(name)
        return command.function(**command.bind(given))

    row = report([[archived(bob, "spam@evil.example", "Cheap watches", 1), "bob@localhost"]])
    assert [found["number"] for found in run("report list")] == [row.pk]
    assert run("report show", number=str(row.pk))["messages"] == ["Cheap watches"]
    run("report close", number=str(row.pk), note="done")
    assert run("report list") == []
    assert run("report list", state="closed")[0]["state"] == "closed"
    for name, given in (("report list", {"state": "x"}), ("report show", {"number": "x"})):
        with pytest.raises(CommandError):
            run(name, **given)
    with pytest.raises(ValueError, match="closed already"):
        run("report close", number=str(row.pk))
