"""Files with published forms: what is in them, that spreadsheets run nothing, that PDF files are archives by the word
of veraPDF, and that jobs take many forms in bounded memory."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pikepdf
import pytest
from lxml import etree

from fdp import export_jobs, exports, exports_pdf, published, services
from fdp.exports import NAMESPACE, cell
from fdp.exports_pdf import pdf
from fdp.models import Topic
from fdp.render import sheet_of
from mlink_web.jobs import services as jobs
from mlink_web.jobs import work
from mlink_web.jobs.models import Job
from tests.fdp.kit import DEFINITION, VALUES, make_topic, publish
from tests.live import ROOT
from tests.verapdf import Verdicts, verapdf

pytestmark = pytest.mark.django_db
__all__ = ["verapdf"]


@pytest.fixture(autouse=True)
def _own_files(settings, tmp_path: Path) -> None:
    settings.STORAGES = {
        **settings.STORAGES,
        "exports": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": str(tmp_path / "exports")},
        },
    }


@pytest.fixture
def topic() -> Topic:
    """A topic."""
    return make_topic()


def written(format: str, **criteria: Any) -> tuple[str, bytes]:
    """Name and bytes of a file."""
    out = io.BytesIO()
    name = export_jobs.write(format, criteria, out)
    return name, out.getvalue()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("=1+1", "'=1+1"),
        ("+1-2", "'+1-2"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("-2+3", "'-2+3"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("  =1", "'  =1"),
        ("＝1+1", "'＝1+1"),
        ("-12.5", "-12.5"),
        ("+49", "+49"),
        ("plain = text", "plain = text"),
        ("", ""),
    ],
)
def test_no_cell_is_a_formula(text: str, expected: str) -> None:
    assert cell(text) == expected


def test_csv(topic: Topic) -> None:
    publish(topic, {**VALUES, "site": ['=HYPERLINK("http://evil.example")']})
    second = publish(topic, {**VALUES, "site": ["two\u202ewords"]}, publisher="+bob@localhost")
    publish(topic, amends=second)
    name, content = written("csv", topic=topic.pk)
    assert name == "forms.csv"
    assert content.startswith(b"\xef\xbb\xbf")
    lines = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    assert [line["Number"] for line in lines] == ["1", "2", "3"]
    assert lines[0]["Location of the site"] == '\'=HYPERLINK("http://evil.example")'
    assert lines[0]["Patients"] == "Urgent; Priority"
    assert lines[0]["At night"] == "Yes"
    assert lines[0]["Remarks"] == "line <one>\n=1+1"
    assert "sesame" not in content.decode()
    assert lines[1]["Publisher"] == "'+bob@localhost"
    assert [line["Amends number"] for line in lines] == ["", "", "2"]


def test_csv_has_the_fields_of_all_versions(topic: Topic) -> None:
    publish(topic)
    fields = [{"var": "callsign", "label": "Callsign"}, {"var": "other", "label": "Callsign"}]
    services.add_version(topic, {**DEFINITION, "fields": [*fields, *DEFINITION["fields"][2:]], "pages": []})
    publish(topic, {"callsign": ["Dustoff"]})
    _, content = written("csv", topic=topic.pk)
    lines = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    assert list(lines[0])[7:9] == ["Callsign (callsign)", "Callsign (other)"]
    assert lines[0]["Location of the site"] == "31U DQ 48251 11932"
    assert lines[1]["Callsign (callsign)"] == "Dustoff"
    assert [line["Version"] for line in lines] == ["version01", "version02"]


def test_xml(topic: Topic) -> None:
    first = publish(topic, publisher="o'neil&co@localhost")
    publish(topic, amends=first)
    name, content = written("xml", topic=topic.pk)
    assert name == "forms.xml"
    document = etree.fromstring(content)
    entries = document.findall(f"{{{NAMESPACE}}}submission")
    assert [entry.get("serial") for entry in entries] == ["1", "2"]
    assert entries[0].get("publisher") == "o'neil&co@localhost"
    assert entries[1].get("amends") == "1"
    (form,) = entries[0]
    assert form.tag == "{jabber:x:data}x"
    assert form.find("{jabber:x:data}field[@var='remarks']/{jabber:x:data}value").text == "line <one>"
    assert etree.fromstring(exports.one_xml(sheet_of(first))).tag == "{jabber:x:data}x"


def attached(content: bytes) -> bytes:
    """The XML inside a PDF file."""
    with pikepdf.open(io.BytesIO(content)) as file:
        return bytes(file.attachments[exports_pdf.ATTACHMENT].get_file().read_bytes())


def words(content: bytes) -> str:
    """The text on the pages of a PDF file."""
    import pypdfium2

    document = pypdfium2.PdfDocument(content)
    return "\n".join(page.get_textpage().get_text_range() for page in document)


LANGUAGES = [
    "Ångström, Čapek, Łódź, ﬁ",
    "Привет, мир; Ελληνικά",
    "שלום עולם 123 abc",
    "السلام عليكم ورحمة الله وبركاته " * 4,
    "中文 日本語 한국어 हिन्दी 𓀀",
    "😀 👩‍🚀 \u200b\u00ad e\u0301 \u202e",
    "tab\there and     blanks",
    "<b>no markup</b> &amp; <font color='red'>",
]


@pytest.mark.timeout(180)
def test_pdf_files_are_archives(topic: Topic, verapdf: Verdicts, tmp_path: Path) -> None:
    publish(topic, {**VALUES, "remarks": LANGUAGES})
    publish(topic, {**VALUES, "remarks": ["x" * 9_000, *(f"line {number} of a long text" for number in range(900))]})
    publish(topic, {"site": ["only"]})
    for number, one in enumerate(published.sheets({"topic": topic.pk})):
        path = tmp_path / f"{number}.pdf"
        path.write_bytes(pdf([one]))
        assert verapdf(path, "3b") == []
    content = pdf(list(published.sheets({"topic": topic.pk})))
    path = tmp_path / "all.pdf"
    path.write_bytes(content)
    assert verapdf(path, "3b") == []
    assert [entry.get("serial") for entry in etree.fromstring(attached(content))] == ["1", "2", "3"]
    text = words(content)
    for expected in (
        "MEDEVAC",
        "31U DQ 48251 11932",
        "Urgent, Priority",
        "First lines",
        "<b>no markup</b> &amp;",
        "Привет",
        "中文 日本語 한국어 हिन्दी",
        "السلام عليكم",
        "U+13000",
    ):
        assert expected in text, expected
    assert "sesame" not in text
    assert "line 899 of a long text" in text


@pytest.mark.timeout(180)
def test_veraPDF_sees_what_is_wrong(topic: Topic, verapdf: Verdicts, tmp_path: Path) -> None:
    """Without these its silence would say nothing."""
    content = pdf([sheet_of(publish(topic))])
    path = tmp_path / "spoilt.pdf"

    def spoilt(change: Any) -> list[str]:
        with pikepdf.open(io.BytesIO(content)) as file:
            change(file)
            file.save(path)
        return verapdf(path, "3b")

    def no_intent(file: pikepdf.Pdf) -> None:
        del file.Root.OutputIntents

    def no_metadata(file: pikepdf.Pdf) -> None:
        del file.Root.Metadata

    def a_script(file: pikepdf.Pdf) -> None:
        file.Root.OpenAction = pikepdf.Dictionary(S=pikepdf.Name.JavaScript, JS="app.alert(1)")

    def a_font_outside(file: pikepdf.Pdf) -> None:
        for font in file.pages[0].Resources.Font.values():
            del font.DescendantFonts[0].FontDescriptor.FontFile2

    def no_relation(file: pikepdf.Pdf) -> None:
        del file.Root.AF

    for change, clause in (
        (no_intent, "6.2.4"),
        (no_metadata, "6.6.2"),
        (a_script, "6.5.1"),
        (a_font_outside, "6.2.11"),
        (no_relation, "6.8"),
    ):
        failures = spoilt(change)
        assert any(clause in failure for failure in failures), f"{change.__name__}: {failures}"
    path.write_bytes(content)
    assert verapdf(path, "3b") == []
    assert verapdf(path, "3a") != []


def test_many_forms_become_volumes(topic: Topic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports_pdf, "VOLUME", 2)
    for _ in range(5):
        publish(topic)
    name, content = written("pdf", topic=topic.pk)
    assert name == "forms.zip"
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = archive.namelist()
        assert names == [
            "0001-medevac-00001-to-00002.pdf",
            "0002-medevac-00003-to-00004.pdf",
            "0003-medevac-00005-to-00005.pdf",
        ]
        assert [entry.get("serial") for entry in etree.fromstring(attached(archive.read(names[1])))] == ["3", "4"]
    assert written("pdf", only=[topic.submissions.get(serial=3).pk])[0] == "medevac-00003.pdf"


def test_heavy_libraries_are_loaded_when_they_are_needed() -> None:
    code = (
        "import os, sys, django; os.environ['DJANGO_SETTINGS_MODULE'] = 'mlink_web.settings.test'; django.setup();"
        "import fdp.urls, fdp.engine, fdp.export_jobs;"
        "heavy = ('reportlab', 'pikepdf', 'PIL', 'lxml', 'nh3', 'tinycss2', 'uharfbuzz', 'fontTools', 'pyhanko');"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_sheets_are_read_a_few_at_a_time(
    topic: Topic, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries
) -> None:
    monkeypatch.setattr(published, "CHUNK", 3)
    other = make_topic("sitrep")
    for number in range(7):
        publish(topic if number % 2 else other)
    with django_assert_num_queries(3):
        serials = [(one.suffix, one.serial) for one in published.sheets({})]
    assert len(serials) == 7
    assert serials == sorted(serials, key=lambda one: (one[0] != topic.suffix, one[1]))


def order(topic: Topic, format: str = "csv", owner: str = "admin@localhost") -> Job:
    """An export of all forms of a topic."""
    total = topic.submissions.count()
    return export_jobs.order(owner, format, {"topic": topic.pk}, total, f"{total} forms")


def test_a_job_makes_a_file(topic: Topic) -> None:
    for _ in range(3):
        publish(topic)
    job = order(topic)
    work.run(job.pk)
    job.refresh_from_db()
    assert (job.state, job.name, job.done, job.total) == ("ready", "forms.csv", 3, 3)
    with jobs.open_result(job) as file:
        content = file.read()
    assert len(content) == job.size
    assert content.count(b"31U DQ") == 3


def test_a_job_that_fails_says_why(topic: Topic) -> None:
    job = order(topic, "pdf")
    work.run(job.pk)
    job.refresh_from_db()
    assert (job.state, job.trouble) == ("failed", "No published form matches.")


def test_what_is_deleted_is_in_no_export(topic: Topic, django_capture_on_commit_callbacks, monkeypatch) -> None:
    monkeypatch.setattr(jobs, "start", lambda _pk: None)
    other = make_topic("sitrep")
    publish(topic)
    publish(other)
    kept, gone = order(other), order(topic)
    everything = export_jobs.order("admin@localhost", "xml", {}, 2, "all")
    for job in (kept, gone, everything):
        work.run(job.pk)
    with django_capture_on_commit_callbacks(execute=True):
        services.remove_topic(topic, erase=True)
    assert list(Job.objects.values_list("pk", flat=True)) == [kept.pk]
    with pytest.raises(FileNotFoundError):
        jobs.open_result(gone)


def test_exports_are_bounded() -> None:
    with pytest.raises(jobs.TooMany, match="at most 200,000 forms"):
        export_jobs.order("a", "csv", {}, export_jobs.MAX_FORMS + 1, "")


ON_POSTGRESQL = """
import io, os
os.environ["DJANGO_SETTINGS_MODULE"] = "mlink_web.settings.test"
import django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from fdp import export_jobs, published, services
from tests.fdp.kit import VALUES, make_topic, publish
topic, other = make_topic(), make_topic("sitrep")
first = publish(topic, {**VALUES, "site": ["Ärztezelt & Nord"]}, published=1_700_000_000.0)
publish(other)
publish(topic, amends=first, publisher="Bob@localhost")
def serials(**criteria):
    return [(one.suffix[12:], one.serial) for one in published.sheets(criteria)]
assert serials() == [("medevac", 1), ("medevac", 2), ("sitrep", 1)], serials()
assert serials(q="Ärztezelt &") == [("medevac", 1)]
assert serials(q="#2") == [("medevac", 2)]
assert serials(publisher="bob") == [("medevac", 2)]
assert serials(end=1_700_000_001.0) == [("medevac", 1)]
assert serials(only=[first.pk], topic=topic.pk) == [("medevac", 1)]
assert len(published.definitions({})) == 2
out = io.BytesIO()
export_jobs.write("csv", {"topic": topic.pk}, out)
assert out.getvalue().count(b"31U DQ") == 1
print("as expected")
"""


def test_the_same_on_postgresql(fresh_postgres_url: str) -> None:
    environment = {**os.environ, "MLINK_DATABASE_URL": fresh_postgres_url, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", ON_POSTGRESQL]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
    assert done.stdout.strip() == "as expected", done.stderr
