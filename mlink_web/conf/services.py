"""The only writers of the configuration. Each change bumps ConfigVersion in its transaction and then tells the nodes.

A change that would make a configuration that no engine accepts is refused as a whole with ValueError, whose text says
what and where.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import IntegrityError, models, transaction

from mlink_web.conf import node_options, notify, sealing, snapshot
from mlink_web.conf.models import ConfigVersion, Domain, NodeOptions
from mlink_web.conf.typed import typed
from xmpp_engine.addressing.prep import domainpart

T = TypeVar("T")
#: What `xmppctl domain set` and the console may change.
CHANGEABLE: Final = tuple(
    field.name for field in Domain._meta.concrete_fields if field.name not in ("id", "name", "created")
)


class UnknownDomain(ValueError):
    """There is no such domain."""


def first_domain() -> str:
    """The domain that the environment names where it is served, else the oldest one that is enabled."""
    names = list(Domain.objects.filter(enabled=True).order_by("pk").values_list("name", flat=True)[:100])
    configured = str(settings.MLINK_DOMAIN)
    return configured if configured in names or not names else names[0]


def find_domain(name: str) -> Domain:
    """The domain with this name; raises UnknownDomain."""
    try:
        return Domain.objects.get(name=canonical(name))
    except Domain.DoesNotExist:
        raise UnknownDomain(f"There is no domain {name}.") from None


def canonical(name: str) -> str:
    """A domain name as it is stored; raises ValueError with a sentence."""
    try:
        return domainpart(name.strip())
    except ValueError as error:
        raise ValueError(f"{name.strip()!r} is not a domain name: {error}.") from None


def add_domain(name: str, **options: Any) -> Domain:
    """Serve another domain; raises ValueError for a name or option that does not fit, or a domain that exists."""
    domain = Domain(name=canonical(name), **_known(options))
    try:
        return change(lambda: _store(domain))
    except IntegrityError:
        raise ValueError(f"The domain {domain.name} exists already.") from None


def change_domain(domain: Domain, **options: Any) -> Domain:
    """Set some options of a domain; raises ValueError and changes nothing where one does not fit."""
    before = {name: getattr(domain, name) for name in options if name in CHANGEABLE}
    try:
        for name, value in _known(options).items():
            setattr(domain, name, value)
        return change(lambda: _store(domain))
    except ValueError:
        for name, value in before.items():
            setattr(domain, name, value)
        raise


def remove_domain(domain: Domain) -> None:
    """Serve a domain no more; raises ValueError while it has accounts, or where it is the only one."""
    if not Domain.objects.exclude(pk=domain.pk).exists():
        raise ValueError(f"{domain.name} is the only domain; add another one first.")

    def delete() -> None:
        try:
            domain.delete()
        except models.ProtectedError:
            count = domain.accounts.count()
            raise ValueError(f"{domain.name} still has {count} account(s); remove them first.") from None

    change(delete)


def set_node_options(changes: Mapping[str, node_options.Value | None], node: str = "") -> None:
    """Set options for all nodes, or for one alone; None goes back to what holds otherwise. Raises ValueError."""
    given = {
        key: None if value is None else node_options.checked(node_options.find(key), value)
        for key, value in changes.items()
    }
    if node and node not in node_options.known():
        raise ValueError(f"There is no node {node!r}; there are {', '.join(node_options.known())}.")

    def store() -> None:
        row, _ = NodeOptions.objects.select_for_update().get_or_create(node=node)
        merged = {**row.values, **given}
        row.values = {key: value for key, value in merged.items() if value is not None}
        if row.values:
            row.save()
        else:
            row.delete()

    change(store)


def value_of(field: str, text: str) -> Any:
    """The value that a person typed for an option of a domain, in the type of its column; raises ValueError."""
    if field not in CHANGEABLE:
        raise ValueError(f"A domain has no option {field!r}; there are {', '.join(CHANGEABLE)}.")
    column = Domain._meta.get_field(field)
    if isinstance(column, models.JSONField):
        if isinstance(column.get_default(), list) and not text.lstrip().startswith("["):
            return [part.strip() for part in text.split(",") if part.strip()]
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"{field} is JSON, and this is not: {error}.") from None
    return typed(column, text)


def change(write: Callable[[], T]) -> T:
    """Run one change of the configuration: check its outcome, bump the version, tell the nodes once it is committed."""
    with transaction.atomic():
        result = write()
        version = bump()
        snapshot.check(version)
        transaction.on_commit(lambda: notify.config_changed(version))
    return result


def bump() -> int:
    """The next version; its row also makes concurrent changes follow each other."""
    row, _ = ConfigVersion.objects.select_for_update().get_or_create(pk=1)
    row.version += 1
    row.save(update_fields=("version",))
    return row.version


def _known(options: dict[str, Any]) -> dict[str, Any]:
    for name in options:
        if name not in CHANGEABLE:
            raise ValueError(f"A domain has no option {name!r}; there are {', '.join(CHANGEABLE)}.")
    return options


def _store(domain: Domain) -> Domain:
    try:
        domain.full_clean(validate_unique=False, validate_constraints=False)
    except ValidationError as error:
        sentences = (f"{name}: {' '.join(texts)}" for name, texts in error.message_dict.items())
        raise ValueError(" ".join(sentences)) from None
    domain.moved_to = canonical(domain.moved_to) if domain.moved_to.strip() else ""
    domain.modules = sealing.sealed(domain.modules, domain.name)
    domain.save()
    return domain
