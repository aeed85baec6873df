"""Officers: who appoints them, what each may, domains, and two who must agree on private conversations."""

from __future__ import annotations

import time

import pytest
from django.db import connection
from django.test import Client

from archive import ids
from archive.oversight import access, officers, requests, scopes, search, trail
from archive.oversight.criteria import EVERYTHING, Criteria
from archive.oversight.models import Officer, Options, Request
from mlink_web.accounts.models import Account
from mlink_web.audit import log
from mlink_web.conf.models import Domain
from tests.archive.oversight.kit import BOSS, START, audited, bodies, officer, person, say

pytestmark = pytest.mark.django_db
HALL = "hall@conference.localhost"
DAY = START.strftime("%Y-%m-%d")


@pytest.fixture
def boss() -> Account:
    """The administrator."""
    return person(BOSS, is_staff=True, is_superuser=True)


@pytest.fixture
def talks() -> dict[str, str]:
    """A private message in each of two domains, one between them, one to outside, and one in a room of each."""
    ada, bob = person("ada@localhost"), person("bob@localhost")
    eve, kim = person("eve@b.example"), person("kim@b.example")
    return {
        "here": say(ada, bob, "word here", 1),
        "there": say(eve, kim, "word there", 2),
        "across": say(ada, eve, "word across", 3),
        "outside": say(kim, "x@far.example", "word outside", 4),
        "hall": say(eve, HALL, "word hall", 5, room=1),
        "yard": say(ada, "yard@conference.b.example", "word yard", 6, room=2),
        # Hers alone: who received it keeps no archive.
        "kept": say(ada, "kim@b.example", "word kept", 7),
    }


def found(client: Client, **asked: object) -> list[str]:
    """The bodies of a search, without the first word."""
    response = client.post("/admin/archive/", {"words": "word", **asked}, follow=True)
    assert response.status_code == 200
    return [body.removeprefix("word ") for body in bodies(response.content.decode())][::-1]


def four_eyes(on: bool = True, hours: int = 24) -> None:
    officers.change_options(administrators=True, four_eyes=on, hours=hours, by=BOSS)


def test_administrators_have_all_rights_unless_they_must_be_appointed(boss: Account, client: Client) -> None:
    assert all(access.may_everywhere(boss, right) for right in access.RIGHTS)
    client.force_login(boss)
    client.post("/admin/archive/officers/options", {"options-hours": "24"})
    assert not access.may_oversee(boss, "search")
    assert client.get("/admin/archive/").status_code == 403
    assert client.get("/admin/archive/officers/").status_code == 200
    officers.appoint(BOSS, ["search"], None, by=BOSS)
    assert client.get("/admin/archive/").status_code == 200
    assert not access.may_oversee(boss, "export")
    with pytest.raises(ValueError, match="no right"):
        access.may_oversee(boss, "everything")


def test_an_administrator_appoints_and_removes_officers(boss: Account, client: Client) -> None:
    eve = person("eve@localhost")
    client.force_login(boss)
    page = "/admin/archive/officers/"
    assert client.post(page, {"account": "eve@localhost"}).status_code == 400
    assert client.post(page, {"account": "no@localhost", "rights": "search", "everywhere": "on"}).status_code == 400
    assert not Officer.objects.exists()
    given = {"account": "eve@localhost", "rights": ["search", "approve"], "domains": ["localhost"]}
    assert client.post(page, given).status_code == 302
    assert access.rights_of(eve) == {"search": ("localhost",), "approve": ("localhost",)}
    text = client.get(f"{page}?change=eve@localhost").content.decode()
    assert 'value="eve@localhost"' in text
    assert text.count("checked") >= 3
    client.post(page, {"account": "eve@localhost", "rights": ["export"], "everywhere": "on"})
    assert access.rights_of(eve) == {"export": None}
    client.post("/admin/archive/officers/remove", {"account": "eve@localhost"})
    assert access.rights_of(eve) == {}
    told = [(entry.did, entry.who) for entry in audited() if "officer" in entry.did]
    appointed = ("archive officer appointed", BOSS)
    assert told == [appointed, appointed, ("archive officer removed", BOSS)]


def test_officers_who_are_no_administrators_see_only_the_archive(client: Client) -> None:
    client.force_login(officer("eve@localhost", "search"))
    text = client.get("/admin/archive/").content.decode()
    assert "/admin/users/" not in text
    assert "Archive" in text
    assert "/admin/archive/saved/" in text
    assert "/admin/archive/officers/" not in text
    assert 'href="/admin/archive/"' in client.get("/archive/").content.decode()
    for path in ("/admin/", "/admin/users/", "/admin/audit/", "/admin/archive/officers/"):
        assert client.get(path).status_code == 403
    assert client.post("/admin/archive/officers/options", {"options-hours": "1"}).status_code == 403
    client.force_login(person("kim@localhost"))
    assert "/admin/" not in client.get("/archive/").content.decode()


def test_rights_end_with_the_account(boss: Account) -> None:
    eve = officer("eve@localhost", "search")
    eve.state = Account.State.DISABLED
    eve.save()
    assert access.rights_of(Account.objects.get(pk=eve.pk)) == {}
    eve.delete()
    assert not Officer.objects.exists()
    assert access.rights_of(person("eve@localhost")) == {}


def test_an_officer_of_some_domains_finds_what_stands_in_their_archives(
    client: Client, talks: dict[str, str], boss: Account
) -> None:
    client.force_login(boss)
    assert found(client) == ["here", "there", "across", "outside", "hall", "yard", "kept"]
    client.force_login(officer("o@localhost", "search", domains=["localhost"]))
    assert found(client) == ["here", "across", "hall", "kept"]
    # What is asked for cannot widen it, and neither can a search of somebody else.
    assert found(client, domains="b.example") == ["across", "hall", "kept"]
    token = trail.keep(Criteria(people=("kim@b.example",), scope=EVERYTHING))
    assert bodies(client.get(f"/admin/archive/s/{token}/").content.decode()) == ["word kept"]
    for name in ("there", "outside", "yard"):
        assert client.get(f"/admin/archive/r/{talks[name]}/").status_code == 404
        assert client.get(f"/admin/archive/r/{talks[name]}/around/").status_code == 404
    around = client.get(f"/admin/archive/r/{talks['across']}/around/?what=all&minutes=60").content.decode()
    assert [body.removeprefix("word ") for body in bodies(around)] == ["here", "across", "hall", "kept"]
    client.force_login(officer("p@b.example", "search", domains=["b.example"]))
    assert found(client) == ["there", "across", "outside", "yard"]


def test_hosts_of_a_domain_are_its_own() -> None:
    Domain.objects.create(name="a.example", modules={"muc": {"services": {"rooms": {}, "b": {}}}})
    assert scopes.hosts_of("a.example") == {"a.example", "rooms.a.example", "b.a.example"}
    # A domain that is served itself is nobody's service.
    Domain.objects.create(name="b.a.example")
    assert scopes.hosts_of("a.example") == {"a.example", "rooms.a.example"}


def test_private_conversations_stay_closed_until_two_agree(
    client: Client, talks: dict[str, str], boss: Account
) -> None:
    four_eyes()
    reader = officer("reader@localhost", "search", "export")
    second = officer("second@localhost", "approve", "search")
    client.force_login(reader)
    response = client.post("/admin/archive/", {"words": "word"}, follow=True)
    page = response.content.decode()
    assert bodies(page) == ["word yard", "word hall"]
    assert "5 private messages of b.example, far.example, localhost match too and are not shown" in page
    for secret in ("word here", "ada@localhost</bdi></strong> to", "bob@localhost", "kim@b.example"):
        assert secret not in page
    assert client.get(f"/admin/archive/r/{talks['here']}/").status_code == 404
    assert scopes.scope_of(reader, "export").private is False
    asked = {"people": "bob@localhost", "start": DAY, "end": DAY, "reason": "A complaint of 1 March"}
    assert client.post("/admin/archive/requests/", {**asked, "reason": ""}).status_code == 400
    assert client.post("/admin/archive/requests/", asked).status_code == 302
    row = Request.objects.get()
    address = f"/admin/archive/requests/{row.pk}/"
    assert client.post(f"{address}decide", {"decision": "grant"}).status_code == 403
    assert found(client) == ["hall", "yard"]
    client.force_login(second)
    assert "Waiting for you" in client.get("/admin/archive/requests/").content.decode()
    assert "A complaint of 1 March" in client.get(address).content.decode()
    assert client.post(f"{address}decide", {"decision": "maybe"}).status_code == 404
    client.post(f"{address}decide", {"decision": "grant", "note": "once"})
    client.force_login(reader)
    assert found(client) == ["here", "hall", "yard"]
    assert client.get(f"/admin/archive/r/{talks['here']}/").status_code == 200
    # The one who granted it has got nothing by that.
    client.force_login(second)
    assert found(client) == ["hall", "yard"]
    told = [entry.did for entry in audited() if entry.did.startswith("private")]
    assert told == ["private archive asked", "private archive granted"]
    # The time is over.
    Request.objects.update(expires=time.time() - 1)
    client.force_login(reader)
    assert found(client) == ["hall", "yard"]
    assert "Ended" in client.get("/admin/archive/requests/").content.decode()


def test_a_grant_is_for_a_time_and_can_be_ended(client: Client, talks: dict[str, str], boss: Account) -> None:
    four_eyes(hours=2)
    reader, second = officer("reader@localhost", "search"), officer("second@localhost", "approve")
    start = START.timestamp()
    row = requests.ask(reader, ["ada@localhost", "bob@localhost"], start, start + 120, "why", together=True)
    assert requests.decide(second, row, grant=True).expires == pytest.approx(time.time() + 7_200, abs=60)
    everything = scopes.bounded(reader, Criteria(people=("ada@localhost",), kinds=("chat",)))
    assert [record.key for record in search.walk(connection, everything)] == [talks["here"]]
    requests.withdraw(second, row)
    everything = scopes.bounded(reader, everything)
    assert list(search.walk(connection, everything)) == []
    with pytest.raises(ValueError, match="nothing to take back"):
        requests.withdraw(reader, row)


def test_nobody_decides_on_his_own_request(client: Client, boss: Account) -> None:
    four_eyes()
    client.force_login(boss)
    row = requests.ask(boss, ["bob@localhost"], 0, 1, "why")
    assert not requests.may_decide(boss, row)
    client.post(f"/admin/archive/requests/{row.pk}/decide", {"decision": "grant"})
    row.refresh_from_db()
    assert row.state == Request.State.WAITING
    # An officer of another domain does not decide either, nor sees it.
    Domain.objects.create(name="b.example")
    other = officer("other@b.example", "approve", domains=["b.example"])
    assert not requests.may_see(other, row)
    with pytest.raises(ValueError, match="Another officer"):
        requests.decide(other, row, grant=True)


def test_a_request_is_refused_once(client: Client, boss: Account) -> None:
    four_eyes()
    reader = officer("reader@localhost", "search")
    row = requests.ask(reader, ["bob@localhost"], 0, 1, "why")
    client.force_login(boss)
    client.post(f"/admin/archive/requests/{row.pk}/decide", {"decision": "refuse", "note": "No reason."})
    row.refresh_from_db()
    assert (row.state, row.note) == (Request.State.REFUSED, "No reason.")
    with pytest.raises(ValueError, match="decided already"):
        requests.decide(boss, row, grant=True)
    client.force_login(reader)
    assert "No reason." in client.get(f"/admin/archive/requests/{row.pk}/").content.decode()


def test_requests_have_bounds() -> None:
    reader = officer("reader@localhost", "search", domains=["localhost"])
    for wrong in (
        ([], 0, 1, "why"),
        ([f"p{number}@localhost" for number in range(21)], 0, 1, "why"),
        (["bob@localhost"], 1, 0, "why"),
        (["bob@localhost"], 0, 1, " "),
        (["bob@localhost"], 0, 1, "x" * 2_001),
        (["bob@b.example"], 0, 1, "why"),
    ):
        with pytest.raises(ValueError):
            requests.ask(reader, *wrong)
    for _ in range(requests.MAX_WAITING):
        requests.ask(reader, ["bob@localhost"], 0, 1, "why")
    with pytest.raises(ValueError, match="wait already"):
        requests.ask(reader, ["bob@localhost"], 0, 1, "why")


def test_ones_own_conversations_stay_open_to_an_officer(client: Client, boss: Account) -> None:
    four_eyes()
    reader = officer("reader@localhost", "search")
    say(reader, person("bob@localhost"), "word mine")
    client.force_login(reader)
    assert found(client) == ["mine"]


def test_nothing_is_decided_or_appointed_without_the_audit_log(
    client: Client, boss: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    eve = person("eve@localhost")
    row = requests.ask(officer("reader@localhost", "search"), ["bob@localhost"], 0, 1, "why")

    def broken(*_arguments: object, **_given: object) -> None:
        raise log.NotWritten("the disk is full")

    monkeypatch.setattr(log, "append", broken)
    client.force_login(boss)
    given = {"account": "eve@localhost", "rights": ["search"], "everywhere": "on"}
    assert client.post("/admin/archive/officers/", given).status_code == 503
    assert client.post("/admin/archive/officers/options", {"options-hours": "5"}).status_code == 503
    assert client.post(f"/admin/archive/requests/{row.pk}/decide", {"decision": "grant"}).status_code == 503
    row.refresh_from_db()
    assert row.state == Request.State.WAITING
    assert access.rights_of(eve) == {}
    assert not Options.objects.filter(hours=5).exists()


def test_damaged_rows_give_nothing(talks: dict[str, str]) -> None:
    """What cannot be understood opens nothing."""
    eve = officer("o@localhost", "search", domains=["localhost"])
    Officer.objects.update(domains=[])
    assert access.rights_of(eve) == {}
    assert scopes.scope_of(eve) == scopes.NOTHING
    assert list(search.walk(connection, scopes.bounded(eve, Criteria()))) == []
    assert search.page(connection, scopes.bounded(None, Criteria()))[0] == []
    assert ids.from_text(talks["here"])
