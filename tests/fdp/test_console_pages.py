"""The console's pages of forms by requests: who may open them, what they refuse, what they change. The browser's part
is in test_browser_forms_console.py."""

from __future__ import annotations

import json
import logging
import re
from io import BytesIO
from typing import Any

import pytest
from django.test import Client

from fdp import domains, services
from fdp.definition import from_json
from fdp.models import Submission, Topic
from mlink_web.accounts import services as accounts
from mlink_web.accounts.models import Account
from mlink_web.conf.models import Domain
from mlink_web.jobs import work
from mlink_web.jobs.models import Job
from tests.fdp.kit import DEFINITION, VALUES, XSLT, make_topic, publish

pytestmark = pytest.mark.django_db
JSON = {"accept": "application/json"}


@pytest.fixture
def admin() -> Account:
    """An administrator."""
    Domain.objects.get_or_create(name="localhost")
    return accounts.create_account("admin@localhost", None, is_staff=True, is_superuser=True)


@pytest.fixture
def console(client: Client, admin: Account) -> Client:
    """A browser in which the administrator is signed in."""
    client.force_login(admin)
    return client


@pytest.fixture
def topic(admin: Account) -> Topic:
    """A topic."""
    return make_topic()


def text(response: Any) -> str:
    """The page as text."""
    return response.content.decode()


def body(response: Any) -> bytes:
    """The bytes of a file."""
    return b"".join(response.streaming_content) if response.streaming else response.content


PATHS = [
    "/admin/forms/",
    "/admin/forms/add/",
    "/admin/forms/import/",
    "/admin/forms/topics.json",
    "/admin/forms/services/",
    "/admin/forms/services/add/",
    "/admin/forms/services/forms.localhost/remove/",
    "/admin/forms/topic/{topic}/",
    "/admin/forms/topic/{topic}/settings/",
    "/admin/forms/topic/{topic}/rules/",
    "/admin/forms/topic/{topic}/remove/",
    "/admin/forms/topic/{topic}/edit/",
    "/admin/forms/topic/{topic}/try/",
    "/admin/forms/topic/{topic}/versions/",
    "/admin/forms/topic/{topic}/versions/1/",
    "/admin/forms/topic/{topic}/stylesheets/",
    "/admin/forms/published/",
    "/admin/forms/published/{form}/",
    "/admin/forms/published/{form}/print/",
    "/admin/forms/published/{form}/file.xml",
    "/admin/forms/exports/",
]
POSTS = [
    "/admin/forms/samples",
    "/admin/forms/topic/{topic}/enable",
    "/admin/forms/topic/{topic}/check",
    "/admin/forms/topic/{topic}/stylesheets/preview",
    "/admin/forms/export",
]


@pytest.mark.parametrize("path", PATHS)
def test_pages_are_for_administrators(client: Client, topic: Topic, path: str) -> None:
    path = path.format(topic=topic.pk, form=publish(topic).pk)
    assert client.get(path).status_code == 302
    client.force_login(accounts.create_account("ada@localhost", None))
    assert client.get(path).status_code == 403
    assert client.post(path, {"name": "forms.localhost"}).status_code in (403, 405)
    client.force_login(Account.objects.get(username="admin@localhost"))
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    policy = answer.headers["Content-Security-Policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    if "html" in answer.headers["Content-Type"]:
        assert not re.search(r"<[^>]+\s(style|on\w+)=", text(answer)), (
            "inline styles and handlers are refused by browsers"
        )


@pytest.mark.parametrize("path", POSTS)
def test_changes_are_for_administrators(client: Client, topic: Topic, path: str) -> None:
    path = path.format(topic=topic.pk)
    client.force_login(accounts.create_account("ada@localhost", None))
    assert client.post(path).status_code == 403
    client.force_login(Account.objects.get(username="admin@localhost"))
    assert client.get(path).status_code == 405


def test_topics_are_listed_and_found(console: Client, topic: Topic) -> None:
    make_topic("sitrep", title="Situation <report>", enabled=False)
    publish(topic)
    shown = text(console.get("/admin/forms/"))
    assert "example.org/medevac" in shown
    assert "Situation &lt;report&gt;" in shown
    assert "2 topics" in shown
    assert "Install incident" in shown
    assert "Install medevac" not in shown
    assert "example.org/medevac" not in text(console.get("/admin/forms/?q=situation"))
    assert "Situation" not in text(console.get("/admin/forms/?state=on"))
    assert "No topic matches" in text(console.get("/admin/forms/?q=nothing"))


def test_a_topic_is_added(console: Client, admin: Account) -> None:
    data = {"service": "forms.localhost", "title": "Report", "suffix": "no domain"}
    answer = console.post("/admin/forms/add/", data)
    assert answer.status_code == 400
    assert "begins with a domain of yours" in text(answer)
    answer = console.post("/admin/forms/add/", {**data, "suffix": "example.org/report"})
    made = services.find_topic("forms.localhost", "example.org/report")
    assert answer.headers["Location"] == f"/admin/forms/topic/{made.pk}/edit/"
    assert services.newest_version(made) is None
    answer = console.post("/admin/forms/add/", {**data, "suffix": "example.org/report"})
    assert "There is a topic example.org/report" in text(answer)
    console.post("/admin/forms/add/", {**data, "suffix": "example.org/m", "start": "medevac"})
    copied = services.newest_version(services.find_topic("forms.localhost", "example.org/m"))
    assert copied is not None
    assert "MEDEVAC" in copied.definition["title"]


def test_settings_and_switch(console: Client, topic: Topic) -> None:
    path = f"/admin/forms/topic/{topic.pk}/settings/"
    data = {"title": "New", "description": "d", "enabled": "on", "retention_days": "30"}
    assert console.post(path, data).status_code == 302
    topic.refresh_from_db()
    assert (topic.title, topic.retention_days, topic.enabled) == ("New", 30, True)
    assert console.post(path, {**data, "retention_days": "-1"}).status_code == 400
    console.post(f"/admin/forms/topic/{topic.pk}/enable", {"enabled": "0"})
    topic.refresh_from_db()
    assert not topic.enabled


def rules_data(**lists: list[tuple[str, str]]) -> dict[str, str]:
    """What the rules page posts."""
    data = {}
    for name in services.RULES:
        rows = lists.get(name, [])
        data[f"{name}-TOTAL_FORMS"] = str(len(rows))
        data[f"{name}-INITIAL_FORMS"] = "0"
        for number, (kind, value) in enumerate(rows):
            data[f"{name}-{number}-kind"], data[f"{name}-{number}-value"] = kind, value
    return data


def test_rules(console: Client, topic: Topic) -> None:
    path = f"/admin/forms/topic/{topic.pk}/rules/"
    data = rules_data(
        publish_rules=[("jid", "Ada@LOCALHOST"), ("domain", "example.org"), ("group", "Doctors")],
        fill_rules=[("everybody", "")],
    )
    assert console.post(path, data).status_code == 302
    topic.refresh_from_db()
    assert topic.publish_rules == [
        {"kind": "jid", "value": "ada@localhost"},
        {"kind": "domain", "value": "example.org"},
        {"kind": "group", "value": "Doctors"},
    ]
    assert topic.read_rules == []
    assert topic.fill_rules == [{"kind": "everybody", "value": ""}]
    shown = text(console.get(f"/admin/forms/topic/{topic.pk}/"))
    assert "ada@localhost, example.org, group Doctors" in shown
    assert "nobody" in shown
    answer = console.post(path, rules_data(publish_rules=[("jid", "a@b/c"), ("", "x"), ("domain", "")]))
    assert answer.status_code == 400
    page = text(answer)
    for sentence in ("must be an address without a resource", "Choose what this is.", "needs a value"):
        assert sentence in page
    assert console.post(path, {}).status_code == 400
    topic.refresh_from_db()
    assert len(topic.publish_rules) == 3


def test_removing_needs_the_name_and_keeps_what_was_published(console: Client, topic: Topic) -> None:
    form = publish(topic)
    path = f"/admin/forms/topic/{topic.pk}/remove/"
    assert console.post(path, {"name": "medevac"}).status_code == 400
    assert console.post(path, {"name": topic.suffix}).status_code == 302
    assert console.get(f"/admin/forms/topic/{topic.pk}/").status_code == 404
    assert console.get(f"/admin/forms/published/{form.pk}/").status_code == 200
    assert "(removed)" in text(console.get("/admin/forms/published/"))
    again = make_topic()
    publish(again)
    console.post(f"/admin/forms/topic/{again.pk}/remove/", {"name": again.suffix, "erase": "1"})
    assert not Submission.objects.exists()


def test_services_are_added_and_removed(console: Client, topic: Topic) -> None:
    answer = console.post(
        "/admin/forms/services/add/", {"label": "Exercise", "domain": "localhost", "name": "Exercise"}
    )
    assert answer.status_code == 302
    assert domains.service_names() == ["forms.localhost", "exercise.localhost"]
    for label in ("exercise", "a.b", "x y"):
        data = {"label": label, "domain": "localhost", "name": "n"}
        assert console.post("/admin/forms/services/add/", data).status_code == 400
    assert console.post("/admin/forms/services/exercise.localhost/remove/", {"name": "x"}).status_code == 400
    answer = console.post("/admin/forms/services/forms.localhost/remove/", {"name": "forms.localhost"})
    assert "still has 1 topic" in text(answer)
    console.post("/admin/forms/services/exercise.localhost/remove/", {"name": "exercise.localhost"})
    assert domains.service_names() == ["forms.localhost"]
    assert console.get("/admin/forms/services/exercise.localhost/remove/").status_code == 404


def test_saving_makes_a_version(console: Client, topic: Topic) -> None:
    path = f"/admin/forms/topic/{topic.pk}/edit/"
    changed = {**DEFINITION, "title": "MEDEVAC 2"}
    answer = console.post(path, {"definition": json.dumps(changed), "note": "a title", "based_on": "1"})
    assert answer.headers["Location"] == f"/admin/forms/topic/{topic.pk}/versions/"
    version = services.newest_version(topic)
    assert version is not None
    assert (version.name, version.author, version.note) == ("version02", "admin@localhost", "a title")
    answer = console.post(path, {"definition": json.dumps(changed), "based_on": "2"})
    assert "Nothing is different" in text(answer)
    other = {**changed, "title": "MEDEVAC 3"}
    answer = console.post(path, {"definition": json.dumps(other), "based_on": "1"})
    assert answer.status_code == 400
    assert "Meanwhile admin@localhost saved version02" in text(answer)
    answer = console.post(path, {"definition": json.dumps(other), "based_on": "2"}, headers=JSON)
    assert answer.json() == {"saved": "version03", "where": f"/admin/forms/topic/{topic.pk}/versions/"}


def test_a_wrong_form_is_refused_with_its_place(console: Client, topic: Topic) -> None:
    path = f"/admin/forms/topic/{topic.pk}/edit/"
    fields = [{"var": "a"}, {"var": "a", "type": "list-single"}]
    for definition, place, words in (
        ("{", "", "JSON"),
        (json.dumps({"fields": fields}), "fields[1].var", "Another field is called a."),
        (json.dumps({"fields": [{"var": "a", "type": "list-single"}]}), "fields[0].options", "A list needs options"),
        (json.dumps({"fields": []}), "fields", "at least one field"),
        (json.dumps({"fields": [{"var": str(number)} for number in range(10_000)]}), "fields", "500 entries"),
        (json.dumps({"title": "x" * 600_000}), "", "at most 64 KiB"),
        ("[" * 100_000, "", "JSON"),
    ):
        answer = console.post(path, {"definition": definition}, headers=JSON)
        assert answer.status_code == 400
        assert words in answer.json()["error"]
        if place:
            assert answer.json()["path"] == place
        page = console.post(path, {"definition": definition})
        assert page.status_code == 400
        assert 'role="alert"' in text(page)
    assert topic.versions.count() == 1
    spaced = json.dumps({**DEFINITION, "title": "x"}) + " " * 70_000
    assert console.post(path, {"definition": spaced}).status_code == 302


def test_what_is_checked_while_one_edits(console: Client, topic: Topic) -> None:
    path = f"/admin/forms/topic/{topic.pk}/check"
    answer = console.post(path, {"definition": json.dumps(DEFINITION)}).json()
    assert 'name="f.0"' in answer["html"]
    assert "First lines" in answer["html"]
    assert "<fieldref" in answer["xml"]
    assert answer["errors"] == {}
    assert "error" not in answer
    answer = console.post(path, {"definition": json.dumps(DEFINITION), "filled": "1", "f.1": "500"}).json()
    assert answer["errors"] == {"f.0": "Must be filled in.", "f.1": "Must be at most 400."}
    answer = console.post(path, {"definition": json.dumps({"fields": [{"var": ""}]})}).json()
    assert answer["path"] == "fields[0].var"
    hostile = {"title": "<script>", "fields": [{"var": "<b>", "label": "<i>\"'", "desc": "&<u>", "values": ["'\"<"]}]}
    html = console.post(path, {"definition": json.dumps(hostile)}).json()["html"]
    for word in ("<script", "<b>", "<i>", "<u>", '"\'"<'):
        assert word not in html


def test_versions_and_their_difference(console: Client, topic: Topic) -> None:
    path = f"/admin/forms/topic/{topic.pk}/versions/"
    assert "What is different" not in text(console.get(path))
    fields = [dict(field) for field in DEFINITION["fields"]]
    fields[1]["validate"] = {**fields[1]["validate"], "max": "300"}
    del fields[6]
    fields.append({"var": "extra", "label": "Extra <field>"})
    services.add_version(topic, {**DEFINITION, "fields": fields})
    page = text(console.get(path))
    assert "<del>400</del>" in page
    assert "<ins>300</ins>" in page
    assert "“Extra &lt;field&gt;” (extra)" in page
    assert re.search(r"removed</span> <strong>“Contact”", page)
    assert "same version" in text(console.get(f"{path}?from=1&to=1"))
    assert "JSON" in text(console.get(f"{path}1/"))
    assert console.get(f"{path}7/").status_code == 404
    assert "Location of the site" in text(console.get(f"/admin/forms/topic/{topic.pk}/edit/?from=1"))


def test_the_test_run_publishes_nothing(console: Client, topic: Topic) -> None:
    services.change_topic(topic, xslt=XSLT)
    path = f"/admin/forms/topic/{topic.pk}/try/"
    answer = text(console.post(path, {"f.1": "1000", "f.6": "not an address@"}))
    assert "The server would refuse this form: Location of the site: must be filled in" in answer
    assert "3 fields are marked" in answer
    assert answer.count('aria-invalid="true"') == 3
    answer = text(console.post(path, {"f.0": "here <1>", "f.1": "30", "f.2": ["A", "B"], "f.3": ["0", "1"]}))
    assert "would accept this form" in answer
    assert "here &lt;1&gt;" in answer
    assert "Urgent, Priority" in answer
    assert not Submission.objects.exists()
    topic.refresh_from_db()
    assert topic.last_serial == 0
    empty = make_topic("empty", None)
    assert console.get(f"/admin/forms/topic/{empty.pk}/try/").headers["Location"].endswith("/edit/")


def test_stylesheets_are_checked_and_previewed(console: Client, topic: Topic) -> None:
    path = f"/admin/forms/topic/{topic.pk}/stylesheets/"
    answer = console.post(path, {"xslt": XSLT.replace("select=", "select"), "css": ""})
    assert answer.status_code == 400
    assert "Line 3" in text(answer)
    answer = console.post(path, {"xslt": "", "css": "p {}\n@import 'x';"})
    assert "Line 2: @import cannot be used here" in text(answer)
    assert console.post(path, {"xslt": XSLT, "css": "h1 { color: red }"}).status_code == 302
    answer = console.post(f"{path}preview", {"xslt": XSLT, "css": "h1 { color: blue }"})
    assert "<h1>Styled</h1>" in text(answer)
    assert "h1 { color: blue }" in text(answer)
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "sandbox" in policy
    assert "script" not in policy
    assert answer.headers["X-Frame-Options"] == "SAMEORIGIN"
    form = publish(topic)
    answer = console.post(f"{path}preview", {"xslt": XSLT, "sample": str(form.pk)})
    assert "31U DQ 48251 11932" in text(answer)
    answer = console.post(f"{path}preview", {"xslt": XSLT.replace("d:field[", "document('/etc/passwd')["), "css": ""})
    assert "Line 3: document() cannot be used" in text(answer)
    assert "The CSS cannot be used" in text(console.post(f"{path}preview", {"css": "a { b: url(x) }"}))
    assert "<h2>First lines</h2>" in text(console.post(f"{path}preview", {"css": "h2 { color: red }"}))


def test_a_published_form_is_shown_by_its_stylesheet_or_plainly(
    console: Client, topic: Topic, caplog: pytest.LogCaptureFixture
) -> None:
    form = publish(topic)
    amended = publish(topic, amends=form)
    path = f"/admin/forms/published/{form.pk}/"
    page = console.get(path)
    assert "31U DQ 48251 11932" in text(page)
    assert "line &lt;one&gt;" in text(page)
    assert "sesame" not in text(page)
    assert f'<a href="/admin/forms/published/{amended.pk}/">number 2</a>' in text(page)
    assert "amends" in text(console.get(f"/admin/forms/published/{amended.pk}/"))
    assert console.get(f"{path}frame").status_code == 404
    services.change_topic(topic, xslt=XSLT)
    page = console.get(path)
    assert 'sandbox="allow-modals"' in text(page)
    assert "frame-src 'self'" in page.headers["Content-Security-Policy"]
    frame = console.get(f"{path}frame")
    assert '<p id="site">31U DQ 48251 11932</p>' in text(frame)
    assert "sandbox" in frame.headers["Content-Security-Policy"]
    assert "<iframe" not in text(console.get(f"{path}?plain=1"))
    # What was stored by older rules and fails now is shown plainly, and the log says so once.
    Topic.objects.filter(pk=topic.pk).update(xslt=XSLT.replace("d:field[", "gone()["))
    for _ in range(2):
        assert "<iframe" not in text(console.get(path))
    failures = [record.getMessage() for record in caplog.records if "stylesheet" in record.getMessage()]
    assert len(failures) == 1
    assert "Line 3" in failures[0]


def test_published_forms_are_searched(console: Client, topic: Topic) -> None:
    publish(topic, {**VALUES, "site": ["north & south"]}, published=1_700_000_000.0)
    publish(topic, {**VALUES, "site": ["somewhere"]}, publisher="bob@localhost", published=1_700_100_000.0)
    other = make_topic("sitrep")
    publish(other)

    def serials(query: str) -> list[str]:
        return re.findall(r'aria-label="Mark (\w+ \d+)"', text(console.get(f"/admin/forms/published/?{query}")))

    assert len(serials("")) == 3
    assert serials("q=north+%26") == ["MEDEVAC 1"]
    assert serials("q=%232") == ["MEDEVAC 2"]
    assert serials("publisher=BOB") == ["MEDEVAC 2"]
    assert serials(f"topic={other.pk}") == ["SITREP 1"]
    assert serials("start=2023-11-14&end=2023-11-14") == ["MEDEVAC 1"]
    assert serials("start=2023-11-15&end=2023-11-16") == ["MEDEVAC 2"]
    assert serials("start=2023-11-16&end=2023-11-15") == []
    assert console.get("/admin/forms/published/?start=x").status_code == 400
    assert "No published form matches" in text(console.get("/admin/forms/published/?q=nothing"))


def test_pages_of_published_forms(console: Client, topic: Topic) -> None:
    for _ in range(55):
        publish(topic)
    page = text(console.get(f"/admin/forms/published/?topic={topic.pk}"))
    assert "Page 1 of 2" in page
    assert f"?page=2&amp;topic={topic.pk}" in page
    assert "Page 2 of 2" in text(console.get(f"/admin/forms/published/?topic={topic.pk}&page=2"))


def test_exports_by_the_page(console: Client, topic: Topic, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "mlink.audit")
    first, second = publish(topic), publish(topic)
    answer = console.post("/admin/forms/export", {"format": "csv", "form": [first.pk]})
    assert answer.headers["Content-Disposition"] == 'attachment; filename="forms.csv"'
    assert body(answer).count(b"31U DQ") == 1
    answer = console.post("/admin/forms/export", {"format": "xml", "all": "1", "q": "31U"})
    assert body(answer).count(b"<submission ") == 2
    answer = console.get(f"/admin/forms/published/{second.pk}/file.pdf")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="medevac-00002.pdf"'
    assert body(answer).startswith(b"%PDF-")
    assert body(console.get(f"/admin/forms/published/{second.pk}/file.xml")).startswith(b"<?xml")
    assert console.get(f"/admin/forms/published/{second.pk}/file.exe").status_code == 404
    for data in ({"format": "csv"}, {"format": "exe", "all": "1"}, {"format": "csv", "all": "1", "q": "nothing"}):
        assert console.post("/admin/forms/export", data).status_code == 302
    assert console.post("/admin/forms/export", {"format": "csv", "form": ["x", "9" * 30]}).status_code == 302
    lines = [record.getMessage() for record in caplog.records if record.name == "mlink.audit"]
    assert sum("exported published forms" in line for line in lines) == 4


def test_many_forms_are_exported_by_a_job(console: Client, topic: Topic, monkeypatch: pytest.MonkeyPatch) -> None:
    from fdp import export_jobs

    monkeypatch.setattr(export_jobs, "AT_ONCE", 1)
    publish(topic)
    publish(topic)
    answer = console.post("/admin/forms/export", {"format": "csv", "all": "1", "topic": str(topic.pk)})
    assert answer.headers["Location"] == "/admin/forms/exports/"
    job = Job.objects.get()
    assert job.about == "CSV: 2 forms, topic MEDEVAC"
    page = text(console.get("/admin/forms/exports/"))
    assert "Waiting" in page
    assert "<progress" in page
    assert console.get(f"/jobs/{job.token}/file").status_code == 404
    work.run(job.pk)
    assert "Download" in text(console.get("/admin/forms/exports/"))
    assert body(console.get(f"/jobs/{job.token}/file")).count(b"31U DQ") == 2
    console.post(f"/jobs/{job.token}/remove")
    assert not Job.objects.exists()


def test_topics_are_exported_and_imported(console: Client, topic: Topic) -> None:
    answer = console.get(f"/admin/forms/topics.json?topic={topic.pk}")
    document = answer.content
    assert json.loads(document)["topics"][0]["suffix"] == "example.org/medevac"

    def bring(content: bytes, **data: str) -> Any:
        file = BytesIO(content)
        file.name = "topics.json"
        return console.post("/admin/forms/import/", {"service": "forms.localhost", "file": file, **data})

    assert "There is a topic example.org/medevac" in text(bring(document))
    assert bring(document, replace="on").status_code == 302
    assert bring(document.replace(b"medevac", b"other")).status_code == 302
    made = services.find_topic("forms.localhost", "example.org/other")
    assert from_json(services.newest_version(made).definition) == from_json(services.newest_version(topic).definition)
    for content in (b"{", b"[]", b'{"format": "x"}', b"\xff\xfe"):
        assert bring(content).status_code == 400
    assert console.post("/admin/forms/import/", {"service": "forms.localhost"}).status_code == 400


def test_samples_are_installed(console: Client, admin: Account) -> None:
    answer = console.post("/admin/forms/samples", {"name": "medevac"})
    made = services.find_topic("forms.localhost", "localhost/medevac")
    assert answer.headers["Location"] == f"/admin/forms/topic/{made.pk}/"
    assert console.post("/admin/forms/samples", {"name": "../x"}).headers["Location"] == "/admin/forms/"


def test_without_services_the_pages_say_so(console: Client, admin: Account) -> None:
    domains.remove_service(Domain.objects.get(name="localhost"), "forms")
    assert "no forms service" in text(console.get("/admin/forms/services/"))
    assert console.get("/admin/forms/add/").headers["Location"] == "/admin/forms/services/"
