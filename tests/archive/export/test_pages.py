"""The console's pages of exports by requests: who sees what, ordering, and odd input."""

from __future__ import annotations

import json

import pytest
from django.test import Client

from archive.export import making
from archive.export.models import Export
from archive.oversight.models import Officer
from archive.oversight.search import Criteria
from archive.text import parse
from mlink_web.accounts.models import Account
from mlink_web.audit.models import Entry
from mlink_web.jobs import work
from mlink_web.jobs.models import Job
from tests.kits.exported import account, say, settle

pytestmark = pytest.mark.django_db
LIST = "/admin/archive/exports/"
ORDER = f"{LIST}order/"
BOB = "bob@far.example"


@pytest.fixture
def chief(client: Client) -> Account:
    """An administrator, signed in."""
    made = account("chief", is_staff=True, is_superuser=True)
    client.force_login(made)
    return made


@pytest.fixture
def ada() -> Account:
    """Somebody who has talked."""
    made = account("ada")
    for number in range(12):
        say(made, BOB, f"harbour {number}", number)
    settle()
    return made


def criteria(**given: object) -> str:
    """A search as it stands in an address."""
    return json.dumps(Criteria(**given).to_json())  # type: ignore[arg-type]


def appointed(name: str, *rights: str, domains: tuple[str, ...] | None = None) -> Account:
    """An officer."""
    made = account(name)
    Officer.objects.create(
        account=made,
        rights=list(rights),
        everywhere=domains is None,
        domains=list(domains or ()),
        appointed=0.0,
        appointed_by="chief@localhost",
    )
    return made


def test_only_officers_see_the_pages(client: Client, ada: Account) -> None:
    assert client.get(LIST).status_code == 302
    client.force_login(ada)
    for path in (LIST, ORDER, f"{LIST}1/"):
        assert client.get(path).status_code == 403
    client.force_login(appointed("reader", "search"))
    assert client.get(LIST).status_code == 403


def test_an_order_from_the_search_to_the_file(client: Client, chief: Account, ada: Account) -> None:
    assert "There is no export yet" in client.get(LIST).content.decode()
    found = criteria(people=(BOB,), words=tuple(parse("harbour")))
    page = client.get(ORDER, {"criteria": found}).content.decode()
    assert "<dd>12</dd>" in page
    assert "bob@far.example" in page
    assert "PDF/A about" in page
    response = client.post(ORDER, {"criteria": found, "format": "xml", "reason": ""})
    assert response.status_code == 400
    assert "Say why the messages are exported." in response.content.decode()
    assert not Job.objects.exists()
    response = client.post(ORDER, {"criteria": found, "format": "xml", "reason": "Case <17>", "attach": "on"})
    job = Job.objects.get()
    assert response.headers["Location"] == job.get_absolute_url()
    entry = Entry.objects.get(did="archive export ordered")
    assert entry.origin == "127.0.0.1"
    assert "Case <17>" in entry.details
    work.run(job.pk)
    page = client.get(LIST).content.decode()
    assert "XML of 12 messages" in page
    assert "Download" in page
    export = Export.objects.get()
    page = client.get(f"{LIST}{export.pk}/").content.decode()
    assert "Case &lt;17&gt;" in page
    assert export.sha256 in page
    assert Entry.objects.filter(did="archive export looked at").exists()


@pytest.mark.parametrize(
    "given",
    ["", "{", "[]", "null", "1", '{"people": 5}', '{"within": [{"within": [{}]}]}', "[" * 5_000, "x" * 30_000],
)
def test_a_search_that_is_none(client: Client, chief: Account, given: str) -> None:
    response = client.get(ORDER, {"criteria": given})
    assert response.status_code == 400
    assert client.post(ORDER, {"criteria": given, "format": "xml", "reason": "x"}).status_code == 400


def test_nothing_is_found(client: Client, chief: Account) -> None:
    found = criteria(people=("nobody@far.example",))
    page = client.get(ORDER, {"criteria": found}).content.decode()
    assert "disabled" in page
    response = client.post(ORDER, {"criteria": found, "format": "xml", "reason": "x"})
    assert response.status_code == 409
    assert "no such message" in response.content.decode()


def test_what_may_be_seen_is_not_said_by_who_asks(client: Client, ada: Account) -> None:
    other = appointed("other", "search", "export", domains=("elsewhere.example",))
    client.force_login(other)
    given = json.loads(criteria())
    given["scope"] = {"domains": None, "private": True, "grants": []}
    page = client.get(ORDER, {"criteria": json.dumps(given)}).content.decode()
    assert "disabled" in page
    response = client.post(ORDER, {"criteria": json.dumps(given), "format": "xml", "reason": "x"})
    assert response.status_code == 409
    assert not Job.objects.exists()


def test_an_officer_of_one_domain_sees_his_own_exports_only(client: Client, chief: Account, ada: Account) -> None:
    wide = making.order_officer(chief, Criteria(people=(BOB,)), "xml", reason="wide")
    work.run(wide.pk)
    narrow = appointed("narrow", "export", domains=("localhost",))
    own = making.order_officer(narrow, Criteria(people=(BOB,)), "xml", reason="narrow")
    work.run(own.pk)
    client.force_login(narrow)
    page = client.get(LIST).content.decode()
    assert "narrow@localhost" in page
    assert "chief@localhost" not in page
    wide_export = Export.objects.get(token=wide.token)
    assert client.get(f"{LIST}{wide_export.pk}/").status_code == 404
    assert client.get(f"/jobs/{wide.token}/file").status_code == 404
    assert client.get(f"/jobs/{own.token}/file").status_code == 200
    # His rights shrink: what he made with more of them is not his any more.
    Officer.objects.filter(account=narrow).update(domains=["elsewhere.example"])
    assert client.get(f"/jobs/{own.token}/file").status_code == 403
    client.force_login(chief)
    assert client.get(LIST).content.decode().count("data-job") == 2
