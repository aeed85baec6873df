"""Topics as the console, commands and imports change them."""

from __future__ import annotations

from typing import Any

import pytest

from fdp import domains, rules, sample_topics, services, transfer
from fdp.definition import DefinitionError, from_json
from fdp.models import FormsState, Submission, TemplateVersion, Topic
from fdp.rules import Policy, Rule
from mlink_web.accounts import services as accounts
from mlink_web.conf import services as conf
from tests.fdp.samples import LONGER, REPORT
from xmpp_engine.api import Jid, NoGroups

pytestmark = pytest.mark.django_db

SERVICE = "forms.a.example"


@pytest.fixture(autouse=True)
def domain(settings: Any) -> None:
    settings.MLINK_DOMAIN = "a.example"
    conf.add_domain("a.example")


def version() -> int:
    row = FormsState.objects.filter(pk=1).first()
    return row.version if row is not None else 0


def add(suffix: str = "a.example/report", **options: Any) -> Topic:
    return services.add_topic(SERVICE, suffix, "Report", REPORT, **options)


def test_every_change_is_one_step_of_the_version() -> None:
    topic = add(retention_days=7)
    assert version() == 1
    services.change_topic(topic, title=" New ", publish_rules=[{"kind": "jid", "value": "Romeo@A.example"}])
    services.add_version(topic, LONGER, author="boss@a.example", note="longer")
    assert version() == 3
    topic.refresh_from_db()
    assert (topic.title, topic.retention_days) == ("New", 7)
    assert topic.publish_rules == [{"kind": "jid", "value": "romeo@a.example"}]
    newest = services.newest_version(topic)
    assert newest is not None
    assert (newest.name, newest.author, newest.note) == ("version02", "boss@a.example", "longer")
    with pytest.raises(ValueError):
        services.change_topic(topic, retention_days=-1)
    assert version() == 3


def test_nodes_are_woken_once_it_is_committed(
    monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    told: list[Any] = []
    monkeypatch.setattr("fdp.services.notify.send", told.append)
    with django_capture_on_commit_callbacks(execute=True):
        add()
        assert told == []
    assert told == [[{"type": "forms.changed"}]]


@pytest.mark.parametrize(
    ("suffix", "message"),
    [
        ("report", "begins with a domain"),
        ("a.example/", "begins with a domain"),
        ("a.example/a b", "begins with a domain"),
        ("a.example/<x>", "begins with a domain"),
        ("a.example//x", "begins with a domain"),
        ("a.example/" + "x" * 1_000, "at most 1000 bytes"),
    ],
)
def test_names_that_no_topic_has(suffix: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        add(suffix)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"title": ""}, "title: a topic needs a title"),
        ({"enabled": 1}, "enabled: must be true or false"),
        ({"colour": "red"}, "colour: there is no such key"),
        ({"read_rules": [{"kind": "nobody"}]}, r"read_rules\[0\].kind: must be one of"),
        ({"read_rules": [{"kind": "jid"}]}, r"read_rules\[0\].value: a rule of the kind jid needs a value"),
        ({"read_rules": [{"kind": "jid", "value": "a@b/c"}]}, "without a resource"),
        ({"read_rules": [{"kind": "domain", "value": "a@b"}]}, "must be a domain"),
        ({"read_rules": [{"kind": "local", "value": "x"}]}, "takes no value"),
        ({"xslt": "<no"}, "xslt: "),
        ({"css": "@import url(//x)"}, "css: "),
    ],
)
def test_options_that_no_topic_has(options: dict[str, Any], message: str) -> None:
    topic = add()
    with pytest.raises(ValueError, match=message):
        services.change_topic(topic, **options)


def test_a_topic_has_one_name_and_a_known_service() -> None:
    add()
    with pytest.raises(ValueError, match="already"):
        add()
    with pytest.raises(ValueError, match="no forms service"):
        services.add_topic("forms.b.example", "b.example/x", "X")
    with pytest.raises(DefinitionError, match="at least one field"):
        services.add_topic(SERVICE, "a.example/x", "X", {"fields": [{"type": "fixed", "values": ["x"]}]})
    with pytest.raises(services.UnknownTopic):
        services.find_topic(SERVICE, "a.example/x")


def test_removed_topics_stay_as_an_archive_and_come_back() -> None:
    topic = add()
    services.remove_topic(topic)
    assert not services.topics().exists()
    with pytest.raises(services.UnknownTopic):
        services.change_topic(topic, title="x")
    with pytest.raises(services.UnknownTopic):
        services.add_version(topic, LONGER)
    again = add()
    assert again.pk == topic.pk
    assert [one.name for one in again.versions.all()] == ["version01", "version02"]
    one = Submission.objects.create(
        topic=again, version=again.versions.first(), serial=1, item_id="i", publisher="x", published=1.0, values={}
    )
    Submission.objects.create(
        topic=again, version=one.version, serial=2, item_id="j", publisher="x", published=1.0, values={}, amends=one
    )
    services.remove_topic(again, erase=True)
    assert not Topic.objects.exists()
    assert not TemplateVersion.objects.exists()
    assert not Submission.objects.exists()
    with pytest.raises(services.UnknownTopic):
        services.remove_topic(again)


def test_a_removed_account_takes_its_rules_with_it() -> None:
    account = accounts.create_account("romeo@a.example", "but soft what light")
    topic = add(read_rules=[{"kind": "jid", "value": "romeo@a.example"}])
    accounts.remove(account)
    topic.refresh_from_db()
    assert topic.read_rules == []


def test_export_and_import() -> None:
    topic = add(xslt="", css="p { color: red }", fill_rules=[{"kind": "everybody", "value": ""}])
    services.add_version(topic, LONGER, name="second", note="n")
    document = transfer.loads(transfer.dumps(transfer.export_topics([topic])))
    with pytest.raises(ValueError, match="already"):
        transfer.import_topics(document, SERVICE)
    # The same again changes nothing, but for the options.
    services.change_topic(topic, css="")
    transfer.import_topics(document, SERVICE, replace=True)
    topic.refresh_from_db()
    assert topic.css == "p { color: red }"
    assert [one.name for one in topic.versions.all()] == ["version01", "second"]
    # A version that is called alike and is not alike gets a number of its own.
    document["topics"][0]["versions"][1]["definition"] = REPORT
    transfer.import_topics(document, SERVICE, replace=True)
    assert [one.name for one in topic.versions.all()] == ["version01", "second", "version03"]
    services.remove_topic(topic, erase=True)
    (made,) = transfer.import_topics(document, SERVICE)
    assert [(one.name, one.note) for one in made.versions.all()] == [("version01", ""), ("second", "n")]
    assert made.fill_rules == [{"kind": "everybody", "value": ""}]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, "format: is no export of topics"),
        ({"topics": []}, "topics: holds no topic"),
        ({"topics": [{"suffix": "x", "title": "x"}]}, r"topics\[0\].suffix: The name of a topic begins"),
        ({"topics": [{"suffix": "a.example/x"}]}, r"topics\[0\].title: a topic needs a title"),
        (
            {"topics": [{"suffix": "a.example/x", "title": "x", "versions": [{"definition": {"fields": [{}]}}]}]},
            r"topics\[0\].versions\[0\].definition.fields\[0\].var: ",
        ),
    ],
)
def test_imports_are_all_or_nothing(change: dict[str, Any], message: str) -> None:
    good = {"suffix": "a.example/good", "title": "Good"}
    document = {"format": "forms", "format_version": 1, "topics": [good], **change}
    with pytest.raises(ValueError, match=message):
        transfer.import_topics(document, SERVICE)
    document = {"format": "forms", "format_version": 1, "topics": [good, good]}
    with pytest.raises(ValueError, match="already"):
        transfer.import_topics(document, SERVICE)
    assert not Topic.objects.exists()
    for text in ("[1]", "{", "[" * 100_000):
        with pytest.raises(ValueError):
            transfer.loads(text)


def test_samples_come_once() -> None:
    assert sample_topics.install_new() == ["incident", "medevac", "sitrep"]
    assert [topic.suffix for topic in services.topics()] == [
        "a.example/incident",
        "a.example/medevac",
        "a.example/sitrep",
    ]
    services.remove_topic(services.find_topic(SERVICE, "a.example/sitrep"), erase=True)
    assert sample_topics.install_new() == []
    assert services.topics().count() == 2
    assert sample_topics.install("sitrep").suffix == "a.example/sitrep"
    with pytest.raises(ValueError, match="already"):
        sample_topics.install("sitrep")
    with pytest.raises(ValueError, match="no sample"):
        sample_topics.install("other")


@pytest.mark.parametrize("name", ["incident", "medevac", "sitrep"])
def test_samples_are_complete(name: str) -> None:
    (topic,) = sample_topics.sample(name)["topics"]
    definition = from_json(topic["versions"][0]["definition"])
    assert definition.unplaced() == ()
    assert definition.instructions
    assert len(definition.pages) > 2
    assert all(field.label for field in definition.fields)
    assert sum(bool(field.desc) for field in definition.fields) * 2 > len(definition.fields)
    assert any(field.validate is not None and field.validate.method == "range" for field in definition.fields)


def test_without_a_forms_service_samples_wait() -> None:
    domain = conf.find_domain("a.example")
    conf.change_domain(domain, disabled_modules=["forms"])
    assert domains.service_names() == []
    assert sample_topics.install_new() == []
    with pytest.raises(ValueError, match="off everywhere"):
        domains.first_service()
    conf.change_domain(domain, disabled_modules=[])
    assert len(sample_topics.install_new()) == 3


def test_services_are_a_part_of_the_configuration() -> None:
    domain = conf.find_domain("a.example")
    made = domains.add_service(domain, "Reports", name="Reports", operators=["boss@a.example"])
    assert made == "reports.a.example"
    assert domains.service_names() == ["forms.a.example", "reports.a.example"]
    assert domains.services_of(domain)["reports"] == {"name": "Reports", "operators": ["boss@a.example"]}
    services.add_topic("reports.a.example", "a.example/x", "X")
    with pytest.raises(ValueError, match="still has 1 topic"):
        domains.remove_service(domain, "reports")
    services.remove_topic(services.find_topic("reports.a.example", "a.example/x"))
    domains.remove_service(domain, "reports")
    assert domains.service_names() == ["forms.a.example"]
    for label, options in (("forms", {}), ("a.b", {}), ("x", {"operators": ["@"]}), ("x", {"colour": 1})):
        with pytest.raises(ValueError):
            domains.add_service(domain, label, **options)


def test_rules() -> None:
    assert rules.parse("local, jid:Romeo@a.example domain:b.example group:x") == [
        {"kind": "local", "value": ""},
        {"kind": "jid", "value": "romeo@a.example"},
        {"kind": "domain", "value": "b.example"},
        {"kind": "group", "value": "x"},
    ]
    assert rules.parse("nobody") == []
    assert rules.shown(rules.parse("everybody")) == "everybody"
    assert rules.shown([]) == "nobody"
    for text in ("", "somebody", "jid:"):
        with pytest.raises(ValueError):
            rules.parse(text)

    def allows(rule: Rule, who: str, is_local: bool = False) -> bool:
        return Policy.of([rule]).allows(Jid.parse(who), is_local=is_local, groups=NoGroups())

    assert allows(Rule("everybody"), "x@y")
    assert allows(Rule("local"), "x@y", is_local=True)
    assert not allows(Rule("local"), "x@y")
    assert allows(Rule("jid", "x@y"), "x@y/r")
    assert not allows(Rule("jid", "x@y"), "z@y")
    assert allows(Rule("domain", "y"), "x@y")
    assert not allows(Rule("domain", "y"), "x@sub.y")
    assert not allows(Rule("group", "g"), "x@y")
