"""Commands on topics of the forms services, and on what was submitted."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from django.db.models import Count

from fdp import domains, rules, sample_topics, services, transfer
from fdp.definition import loads as read_definition
from fdp.models import Submission, TemplateVersion, Topic
from xmpp_engine.admin.command import Argument, CommandError, Registry
from xmpp_engine.admin.values import row_number, yes_or_no

registry: Final = Registry()
TOPIC: Final = Argument("topic", "its name, such as example.org/sitrep")
SERVICE: Final = Argument("service", "forms service; otherwise the first one", option=True, default="")
FILE: Final = Argument("file", "file with JSON")
MAX_LISTED: Final = 1_000
#: A file of somebody else's could be of any size.
MAX_FILE: Final = transfer.MAX_BYTES


@registry.command("topic list", "List the topics.", SERVICE, permission="read")
def topic_list(service: str) -> list[dict[str, Any]]:
    """Of one service or of all."""
    chosen = domains.find_service(service) if service else ""
    counted = services.topics(chosen).annotate(versions_counted=Count("versions", distinct=True))
    return [
        {
            "service": topic.service,
            "topic": topic.suffix,
            "title": topic.title,
            "enabled": topic.enabled,
            "versions": topic.versions_counted,
            "submissions": topic.last_serial,
            "publish": rules.shown(topic.publish_rules),
            "read": rules.shown(topic.read_rules),
        }
        for topic in counted
    ]


@registry.command(
    "topic add",
    "Make a topic.",
    TOPIC,
    Argument("title", "what people see"),
    Argument("file", "file with the definition of its form (docs/forms.md)", default=""),
    SERVICE,
    local=True,
)
def topic_add(topic: str, title: str, file: str, service: str) -> str:
    """Without a form it takes no submissions yet."""
    definition = read_definition(_content(file)) if file else None
    made = services.add_topic(_service(service), topic, title, definition)
    return f"{made.suffix} is a topic of {made.service} now."


@registry.command("topic show", "Show a topic.", TOPIC, SERVICE, permission="read")
def topic_show(topic: str, service: str) -> dict[str, Any]:
    """With its versions."""
    found = _find(topic, service)
    return {
        "service": found.service,
        "topic": found.suffix,
        "title": found.title,
        "description": found.description,
        "enabled": found.enabled,
        "template_node": f"fdp/template/{found.suffix}",
        "submitted_node": f"fdp/submitted/{found.suffix}",
        "publish": rules.shown(found.publish_rules),
        "read": rules.shown(found.read_rules),
        "fill": rules.shown(found.fill_rules),
        "retention_days": found.retention_days,
        "stylesheets": [name for name in ("xslt", "css") if getattr(found, name)],
        "last_serial": found.last_serial,
        "submissions": found.submissions.count(),
        "versions": [version.name for version in found.versions.order_by("number")],
        "created": _moment(found.created),
        "changed": _moment(found.changed),
    }


@registry.command(
    "topic rules",
    "Say who may submit to a topic, read it, or fetch its form.",
    TOPIC,
    Argument("right", "publish, read or fill"),
    Argument("who", "everybody, local, jid:ADDRESS, domain:NAME, group:NAME, several apart by commas, or nobody"),
    SERVICE,
)
def topic_rules(topic: str, right: str, who: str, service: str) -> str:
    """The rules take the place of those that were there."""
    if f"{right}_rules" not in services.RULES:
        raise CommandError("A right is publish, read or fill.")
    found = services.change_topic(_find(topic, service), **{f"{right}_rules": rules.parse(who)})
    return f"{found.suffix}: {right} is {rules.shown(getattr(found, f'{right}_rules'))} now."


@registry.command(
    "topic set",
    "Change an option of a topic.",
    TOPIC,
    Argument("key", "title, description, enabled or retention_days"),
    Argument("value", "the new value"),
    SERVICE,
)
def topic_set(topic: str, key: str, value: str, service: str) -> str:
    """Stylesheets come by import, or in the console."""
    found = _find(topic, service)
    if key in ("title", "description"):
        services.change_topic(found, **{key: value})
    elif key == "enabled":
        if value not in ("on", "off", "yes", "no"):
            raise CommandError("enabled is on or off.")
        services.change_topic(found, enabled=value in ("on", "yes"))
    elif key == "retention_days":
        services.change_topic(found, retention_days=row_number(value))
    else:
        raise CommandError("A topic has the options title, description, enabled and retention_days.")
    return f"{found.suffix}: {key} is {value} now."


@registry.command(
    "topic version",
    "Publish a new version of a topic's form.",
    TOPIC,
    FILE,
    SERVICE,
    Argument("note", "what has changed", option=True, default=""),
    local=True,
)
def topic_version(topic: str, file: str, service: str, note: str) -> str:
    """Subscribers of the template are told at once."""
    version = services.add_version(_find(topic, service), read_definition(_content(file)), note=note)
    return f"{version.name} of {topic} is what is filled in now."


@registry.command(
    "topic export",
    "Write topics with all versions and stylesheets to a file.",
    Argument("topic", "its name, or all"),
    Argument("file", "a new file"),
    SERVICE,
    local=True,
)
def topic_export(topic: str, file: str, service: str) -> str:
    """Submissions are not part of it."""
    chosen = list(services.topics(_service(service))) if topic == "all" else [_find(topic, service)]
    try:
        with Path(file).open("x", encoding="utf-8") as target:
            target.write(transfer.dumps(transfer.export_topics(chosen)))
    except OSError as error:
        raise CommandError(f"{file} cannot be written: {error.strerror}.") from None
    return f"{len(chosen)} topic(s) are in {file}."


@registry.command(
    "topic import",
    "Make topics from a file that was exported.",
    FILE,
    SERVICE,
    Argument("replace", "yes changes topics that are there", option=True, default="no"),
    local=True,
)
def topic_import(file: str, service: str, replace: str) -> list[str]:
    """All of them or none."""
    made = transfer.import_topics(
        transfer.loads(_content(file)), _service(service), replace=yes_or_no("replace", replace)
    )
    return [topic.suffix for topic in made]


@registry.command("topic sample", "Install a sample topic.", Argument("name", "medevac, sitrep or incident"), SERVICE)
def topic_sample(name: str, service: str) -> str:
    """A first start installs all of them."""
    made = sample_topics.install(name, service)
    return f"{made.suffix} is a topic of {made.service} now."


@registry.command(
    "topic remove",
    "Remove a topic; what was submitted stays in the archive.",
    TOPIC,
    SERVICE,
    Argument("erase", "yes removes its submissions too, for ever", option=True, default="no"),
)
def topic_remove(topic: str, service: str, erase: str) -> str:
    """Its nodes go, and subscribers are told."""
    found = _find(topic, service)
    services.remove_topic(found, erase=yes_or_no("erase", erase))
    return f"{found.suffix} is removed."


@registry.command(
    "submission list",
    "List what was submitted to a topic, the newest first.",
    TOPIC,
    SERVICE,
    Argument("limit", "how many", option=True, default="100"),
    permission="read",
)
def submission_list(topic: str, service: str, limit: str) -> list[dict[str, Any]]:
    """Of topics that were removed too."""
    found = _submissions(topic, service).select_related("version", "amends").defer("xml", "values")
    return [_row(one) for one in found.order_by("-serial")[: min(row_number(limit), MAX_LISTED)]]


@registry.command(
    "submission show",
    "Show one submission.",
    TOPIC,
    Argument("serial", "its serial number"),
    SERVICE,
    permission="read",
)
def submission_show(topic: str, serial: str, service: str) -> dict[str, Any]:
    """With its values by field."""
    found = _submissions(topic, service).select_related("version", "amends").filter(serial=row_number(serial)).first()
    if found is None:
        raise CommandError(f"{topic} has no submission {serial}.")
    amended = [one.serial for one in found.amendments.order_by("serial")[:MAX_LISTED]]
    return {**_row(found), "amended_by": amended, **{f"value {var}": values for var, values in found.values.items()}}


def _row(one: Submission) -> dict[str, Any]:
    version: TemplateVersion = one.version
    return {
        "serial": one.serial,
        "published": _moment(one.published),
        "publisher": one.publisher,
        "version": version.name,
        "item": one.item_id,
        "amends": one.amends.serial if one.amends is not None else None,
    }


def _submissions(topic: str, service: str) -> Any:
    found = Topic.objects.filter(service=_service(service), suffix=topic.strip()).first()
    if found is None:
        raise CommandError(f"There is no topic {topic}.")
    return found.submissions


def _service(name: str) -> str:
    return domains.find_service(name) if name else domains.first_service()


def _find(topic: str, service: str) -> Topic:
    return services.find_topic(_service(service), topic)


def _content(file: str) -> str:
    try:
        with Path(file).open(encoding="utf-8") as source:
            text = source.read(MAX_FILE + 1)
    except UnicodeDecodeError:
        raise CommandError(f"{file} is no text in UTF-8.") from None
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}.") from None
    if len(text) > MAX_FILE:
        raise CommandError(f"{file} is larger than {MAX_FILE // 1024 // 1024} MiB.")
    return text


def _moment(seconds: float) -> str | None:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds") if seconds else None
