"""`xmppctl topic` and `xmppctl submission`, without a running node."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fdp import services
from fdp.models import Submission
from mlink_web.admin_commands.registry import registry
from mlink_web.conf import services as conf
from tests.fdp.samples import LONGER, REPORT
from xmpp_engine.admin.command import CommandError

pytestmark = pytest.mark.django_db

Run = Callable[..., Any]
NAME = "a.example/report"


@pytest.fixture
def run(settings: Any) -> Run:
    settings.MLINK_DOMAIN = "a.example"
    conf.add_domain("a.example")

    def execute(name: str, /, **given: str) -> Any:
        command = registry.get(name)
        return command.function(**command.bind(given))

    return execute


@pytest.fixture
def form(tmp_path: Path) -> str:
    path = tmp_path / "form.json"
    path.write_text(json.dumps(REPORT))
    return str(path)


def test_a_topic_from_its_beginning_to_its_end(run: Run, form: str, tmp_path: Path) -> None:
    run("topic add", topic=NAME, title="Report", file=form)
    assert run("topic list")[0]["topic"] == NAME
    assert run("topic rules", topic=NAME, right="read", who="jid:boss@a.example, group:doctors").endswith(
        "read is jid:boss@a.example group:doctors now."
    )
    run("topic set", topic=NAME, key="title", value="Reports")
    run("topic set", topic=NAME, key="retention_days", value="30")
    run("topic set", topic=NAME, key="enabled", value="off")
    Path(form).write_text(json.dumps(LONGER))
    run("topic version", topic=NAME, file=form, note="longer")
    shown = run("topic show", topic=NAME)
    assert shown["versions"] == ["version01", "version02"]
    assert (shown["title"], shown["enabled"], shown["retention_days"]) == ("Reports", False, 30)
    assert shown["submitted_node"] == "fdp/submitted/a.example/report"
    out = str(tmp_path / "out.json")
    assert run("topic export", topic="all", file=out).startswith("1 topic(s)")
    with pytest.raises(CommandError, match="cannot be written"):
        run("topic export", topic=NAME, file=out)
    run("topic remove", topic=NAME, erase="yes")
    assert run("topic list") == []
    assert run("topic import", file=out) == [NAME]
    with pytest.raises(ValueError, match="already"):
        run("topic import", file=out)
    assert run("topic import", file=out, replace="yes") == [NAME]
    assert run("topic sample", name="sitrep").startswith("a.example/sitrep")


def test_what_was_submitted(run: Run, form: str) -> None:
    run("topic add", topic=NAME, title="Report", file=form)
    topic = services.find_topic("forms.a.example", NAME)
    common = {"topic": topic, "version": topic.versions.get(), "publisher": "romeo@a.example", "published": 1.0}
    first = Submission.objects.create(**common, serial=1, item_id="i1", values={"place": ["x"]})
    Submission.objects.create(**common, serial=2, item_id="i2", values={"place": ["y"]}, amends=first)
    assert [row["serial"] for row in run("submission list", topic=NAME)] == [2, 1]
    assert [row["serial"] for row in run("submission list", topic=NAME, limit="1")] == [2]
    shown = run("submission show", topic=NAME, serial="1")
    assert (shown["value place"], shown["amended_by"], shown["version"]) == (["x"], [2], "version01")
    run("topic remove", topic=NAME)
    assert len(run("submission list", topic=NAME)) == 2


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("topic show", {"topic": "x"}, "no topic"),
        ("topic list", {"service": "x.example"}, "no forms service"),
        ("topic add", {"topic": NAME, "title": "x", "file": "/nowhere/x.json"}, "cannot be read"),
        ("topic rules", {"topic": NAME, "right": "own", "who": "local"}, "publish, read or fill"),
        ("topic set", {"topic": NAME, "key": "colour", "value": "x"}, "has the options"),
        ("topic set", {"topic": NAME, "key": "enabled", "value": "x"}, "on or off"),
        ("topic set", {"topic": NAME, "key": "retention_days", "value": "x"}, "no number"),
        ("topic remove", {"topic": NAME, "erase": "maybe"}, "yes or no"),
        ("submission show", {"topic": NAME, "serial": "9"}, "no submission"),
        ("submission list", {"topic": "x"}, "no topic"),
    ],
)
def test_refusals(run: Run, form: str, name: str, given: dict[str, str], message: str) -> None:
    run("topic add", topic=NAME, title="Report", file=form)
    with pytest.raises((CommandError, ValueError), match=message):
        run(name, **given)


def test_files_that_are_no_forms(run: Run, form: str) -> None:
    run("topic add", topic=NAME, title="Report")
    for content in (b"\xff\xfe", b"[1]", b'{"fields": [{"var": "a", "type": "x"}]}'):
        Path(form).write_bytes(content)
        with pytest.raises((CommandError, ValueError)):
            run("topic version", topic=NAME, file=form)
        with pytest.raises((CommandError, ValueError)):
            run("topic import", file=form)
