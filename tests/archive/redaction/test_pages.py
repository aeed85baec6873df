"""Redactions by requests: choosing, proposing, agreeing, and the job that carries them out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from archive import ids, records
from archive.events import is_tombstone
from archive.oversight.models import Officer
from archive.redaction import places, services
from archive.redaction.models import Place, Redacted, Redaction
from archive.retention import holds
from mlink_web.accounts import services as accounts
from mlink_web.accounts.models import Account
from mlink_web.audit import log as audit
from mlink_web.audit.models import Entry
from mlink_web.conf.models import Domain
from mlink_web.jobs import work
from mlink_web.jobs.models import Job
from mlink_web.node.client import EngineError
from tests.kits.archived import CORRECT, id_of, talk

pytestmark = pytest.mark.django_db
BASE = "/admin/archive/redactions/"
ROMEO, JULIET = ("romeo@a.example", 1001), ("juliet@a.example", 1002)


@pytest.fixture(autouse=True)
def _home(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No node runs, and there are no day files."""
    settings.MLINK_HOME = tmp_path
    settings.MLINK_ARCHIVE_FILES = tmp_path / "archive"


@pytest.fixture
def admin() -> Account:
    """An administrator."""
    Domain.objects.get_or_create(name="a.example")
    Domain.objects.get_or_create(name="b.example")
    return accounts.create_account("law@a.example", None, is_staff=True, is_superuser=True)


@pytest.fixture
def second(admin: Account) -> Account:
    """Another one."""
    return accounts.create_account("second@a.example", None, is_staff=True, is_superuser=True)


@pytest.fixture
def console(client: Client, admin: Account) -> Client:
    """A browser in which the administrator is signed in."""
    client.force_login(admin)
    return client


def say(*rows: Any) -> list[str]:
    """Put messages into the archive; returns their ids."""
    from archive import indexing
    from archive.text import index_text

    with connection.cursor() as cursor:
        for row in rows:
            cursor.execute(
                "INSERT INTO archive_message (id, sender, recipient, sender_account, recipient_account, kind, search,"
                " origin_id, xml) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
                [
                    row.id,
                    row.sender,
                    row.recipient,
                    row.sender_account or None,
                    row.recipient_account or None,
                    row.kind,
                    index_text(row.body),
                    row.origin_id,
                    row.xml,
                ],
            )
            if row.event:
                cursor.execute("INSERT INTO archive_event (id, kind, named) VALUES (%s, %s, %s)", [row.id, *row.event])
            cursor.execute("INSERT INTO archive_slice (low, high, size) VALUES (%s, %s, 1)", [row.id, row.id])
    indexing.catch_up(connection, words=True)
    return [ids.text_of(row.id) for row in rows]


def is_gone(key: str) -> bool:
    (record,) = records.by_ids(connection, [int(key, 16)])
    return is_tombstone(record.xml)


def text(response: Any) -> str:
    """The page as text."""
    return str(response.content.decode())


def carry_out(redaction: Redaction) -> Job:
    """Run its job as the worker does."""
    work.run(Job.objects.get(token=redaction.job).pk)
    redaction.refresh_from_db()
    return Job.objects.get(token=redaction.job)


def test_only_officers_see_them(client: Client, admin: Account) -> None:
    assert client.get(BASE).status_code == 302
    client.force_login(accounts.create_account("ada@a.example", None))
    assert client.get(BASE).status_code == 403
    assert client.get(f"{BASE}new/?id=0000000000000001").status_code == 403
    client.force_login(admin)
    assert "Nothing was redacted yet" in text(client.get(BASE))


def test_a_message_is_chosen_with_what_says_it_again(console: Client) -> None:
    keys = say(
        talk(1, ROMEO, JULIET, "secret &lt;plan&gt;"),
        talk(2, ROMEO, JULIET, "<body>secret plans</body>" + CORRECT.format("o1")),
        talk(3, JULIET, ROMEO, "fine"),
    )
    first = console.get(f"{BASE}of/{keys[0]}/")
    page = text(console.get(first.url))
    assert "secret &lt;plan&gt;" in page
    assert page.count('name="id"') == page.count(" checked") == 2
    assert "another version of it" in page
    # What was looked at is in the log before it is shown.
    assert json.loads(Entry.objects.get(did="messages viewed for redaction").details)["messages"] == keys[:2]
    # Without a reason it comes back as it was.
    given = {"from": keys[0], "id": [keys[0]], "do": "redact"}
    page = console.post(f"{BASE}new/", given)
    assert page.status_code == 400
    assert text(page).count(" checked") == 1
    assert text(page).count('name="id"') == 2
    done = console.post(f"{BASE}new/", {**given, "id": keys[:2], "reason": "law 7", "told": "on"})
    redaction = Redaction.objects.get()
    assert done.url == f"{BASE}{redaction.pk}/"
    assert (redaction.state, redaction.operator, redaction.told) == ("working", "law@a.example", True)
    assert not is_gone(keys[0])
    job = carry_out(redaction)
    assert job.state == Job.State.READY, job.trouble
    assert redaction.state == "done"
    assert [is_gone(key) for key in keys] == [True, True, False]
    assert {item.how for item in redaction.messages.all()} == {"chosen", "correction"}
    page = text(console.get(done.url))
    assert "2 messages redacted." in page
    assert "No node is running" in page
    assert "SHA-256" in page
    assert "secret" not in page
    order, carried = Entry.objects.get(did="redaction ordered"), Entry.objects.get(did="redaction carried out")
    assert json.loads(order.details)["reason"] == "law 7"
    assert json.loads(carried.details)["messages"] == 2
    assert audit.verify().sound


def test_what_is_held_is_refused_with_a_sentence(console: Client) -> None:
    (key,) = say(talk(1, ROMEO, JULIET, "kept"))
    hold = holds.place("law@a.example", "account", ROMEO[0], reason="Case 12")
    page = console.post(f"{BASE}new/", {"from": key, "id": key, "reason": "law 7", "do": "redact"})
    assert page.status_code == 400
    assert f"under legal hold {hold.pk} (Case 12)" in text(page)
    assert not Redaction.objects.exists()


def test_a_hold_that_comes_in_between_keeps_it(console: Client) -> None:
    (key,) = say(talk(1, ROMEO, JULIET, "kept"))
    console.post(f"{BASE}new/", {"from": key, "id": key, "reason": "law 7", "do": "redact"})
    holds.place("law@a.example", "all", reason="Case 12")
    redaction = Redaction.objects.get()
    carry_out(redaction)
    assert not is_gone(key)
    assert "1 kept by a legal hold" in text(console.get(f"{BASE}{redaction.pk}/"))


def test_a_second_officer_agrees(console: Client, client: Client, admin: Account, second: Account) -> None:
    (key,) = say(talk(1, ROMEO, JULIET, "secret"))
    console.post(f"{BASE}options/", {"second": "on"})
    console.post(f"{BASE}new/", {"from": key, "id": key, "reason": "law 7", "do": "redact"})
    redaction = Redaction.objects.get()
    assert redaction.state == "proposed"
    assert not Job.objects.exists()
    page = f"{BASE}{redaction.pk}/"
    assert "Approve and redact" not in text(console.get(page))
    # The same person cannot, whatever he sends.
    refused = console.post(f"{page}decide/", {"do": "approve"}, follow=True)
    assert "cannot agree to it" in text(refused)
    assert not is_gone(key)
    client.force_login(second)
    shown = text(client.get(page))
    assert "Approve and redact" in shown
    # He sees to what he agrees, and that he has seen it is written down.
    assert "secret" in shown
    assert Entry.objects.filter(did="messages viewed for approval", who="second@a.example").exists()
    client.post(f"{page}decide/", {"do": "approve", "note": "yes"})
    redaction.refresh_from_db()
    assert (redaction.state, redaction.second, redaction.note) == ("working", "second@a.example", "yes")
    # Once.
    client.post(f"{page}decide/", {"do": "decline"})
    carry_out(redaction)
    assert redaction.state == "done"
    assert is_gone(key)
    assert Entry.objects.get(did="redaction approved").who == "second@a.example"


def test_a_proposal_is_declined_or_taken_back(console: Client, client: Client, admin: Account, second: Account) -> None:
    (key,) = say(talk(1, ROMEO, JULIET, "secret"))
    services.need_second(True, "law@a.example")
    for who in (second, admin):
        client.force_login(admin)
        client.post(f"{BASE}new/", {"from": key, "id": key, "reason": "law 7", "do": "redact"})
        made = Redaction.objects.first()
        assert made is not None
        client.force_login(who)
        client.post(f"{BASE}{made.pk}/decide/", {"do": "decline", "note": "no"})
        made.refresh_from_db()
        assert (made.state, made.second) == ("declined", who.username)
    assert not Job.objects.exists()
    assert not is_gone(key)


def test_officers_of_a_domain_redact_only_what_stands_in_it_alone(client: Client, admin: Account) -> None:
    mine, shared = say(talk(1, ROMEO, JULIET, "one"), talk(2, ROMEO, ("bob@b.example", 1003), "two"))
    ada = accounts.create_account("ada@a.example", None)
    Officer.objects.create(
        account=ada, rights=["redact"], domains=["a.example"], appointed=1.0, appointed_by="law@a.example"
    )
    client.force_login(ada)
    assert client.get(f"{BASE}new/?id={mine}").status_code == 200
    assert client.get(f"{BASE}new/?id={shared}").status_code == 302
    client.post(f"{BASE}new/", {"from": shared, "id": shared, "reason": "x", "do": "redact"})
    client.post(f"{BASE}new/", {"from": mine, "id": [mine, shared], "reason": "x", "do": "redact"})
    assert [item.message for item in Redacted.objects.all()] == [int(mine, 16)]
    assert client.post(f"{BASE}options/", {"second": "on"}).status_code == 403


@pytest.mark.parametrize("query", ["id=nonsense", "id=" + "&id=".join(f"{n:016x}" for n in range(1, 600))])
def test_absurd_requests_are_refused(console: Client, query: str) -> None:
    assert console.get(f"{BASE}new/?{query}").status_code == 400
    assert console.get(f"{BASE}new/").status_code == 302
    assert console.get(f"{BASE}new/?id=0000000000000007").status_code == 302


@pytest.mark.parametrize("dies_after", [name for name, _title, _go in places.PLACES])
def test_a_worker_that_dies_between_two_places_is_followed(
    console: Client, monkeypatch: pytest.MonkeyPatch, dies_after: str
) -> None:
    (key,) = say(talk(1, ROMEO, JULIET, "secret"))
    console.post(f"{BASE}new/", {"from": key, "id": key, "reason": "law 7", "do": "redact"})
    redaction = Redaction.objects.get()
    gone_to: list[str] = []

    class Killed(BaseException):
        pass

    def dying(name: str, go: Any) -> Any:
        def gone(*given: Any) -> str:
            result: str = go(*given)
            gone_to.append(name)
            if gone_to.count(name) == 1 and name == dies_after:
                raise Killed
            return result

        return gone

    monkeypatch.setattr(places, "PLACES", tuple((name, title, dying(name, go)) for name, title, go in places.PLACES))
    job = Job.objects.get(token=redaction.job)
    with pytest.raises(Killed):
        work.run(job.pk)
    page = text(console.get(f"{BASE}{redaction.pk}/"))
    assert "waits" in page
    # The sweep of jobs begins it again, and what was done is not done again.
    Job.objects.filter(pk=job.pk).update(state=Job.State.WAITING, holder="")
    carry_out(redaction)
    assert redaction.state == "done"
    assert is_gone(key)
    expected = [name for name, _title, _go in places.PLACES]
    expected.insert(expected.index(dies_after), dies_after)
    assert gone_to == expected
    assert {place.state for place in Place.objects.all()} == {"done"}


def test_a_node_that_does_not_answer_is_asked_again(console: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    (key,) = say(talk(1, ROMEO, JULIET, "secret"))
    console.post(f"{BASE}new/", {"from": key, "id": key, "reason": "law 7", "do": "redact"})
    redaction = Redaction.objects.get()

    async def refuses(_keys: str) -> dict[str, int]:
        raise EngineError("The database does not answer.")

    with monkeypatch.context() as changed:
        changed.setattr(places, "_ask", refuses)
        job = carry_out(redaction)
    assert job.state == Job.State.FAILED
    assert redaction.state == "working"
    # The other places are done meanwhile.
    states = dict(redaction.places.values_list("name", "state"))
    assert states == {"database": "done", "node": "trouble", "offline": "done", "files": "done", "exports": "done"}
    assert services.complete() == 1
    assert services.complete() == 0
    redaction.refresh_from_db()
    assert redaction.job != job.token
    carry_out(redaction)
    assert redaction.state == "done"


def test_nothing_is_redacted_while_the_audit_log_is_away(console: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    (key,) = say(talk(1, ROMEO, JULIET, "secret"))

    def fail(*_given: object, **_more: object) -> None:
        raise audit.NotWritten("no")

    monkeypatch.setattr(audit, "record", fail)
    for request in (console.get, console.post):
        page = request(f"{BASE}new/", {"from": key, "id": key, "reason": "law 7", "do": "redact"})
        assert page.status_code == 503
        assert "secret" not in text(page)
    assert not Redaction.objects.exists()


def test_a_message_that_has_gone_is_no_longer_offered() -> None:
    with pytest.raises(services.Refused, match="no longer"):
        services.propose("law@a.example", {id_of(1): "chosen"}, "x")
    with pytest.raises(services.Refused, match="reason"):
        services.propose("law@a.example", {id_of(1): "chosen"}, " ")
    with pytest.raises(services.Refused, match="At most"):
        services.propose("law@a.example", {id_of(n): "chosen" for n in range(1, 502)}, "x")
