"""The forms services that the configuration has: `forms.example.org` and as many more as an organisation wants. They
are an option of the module `forms` of each domain; adding and removing one is a change of the configuration."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS

from fdp.options import FormsOptions, form_service
from mlink_web.conf import services as conf
from mlink_web.conf.models import Domain

MODULE = "forms"


def services_of(domain: Domain) -> dict[str, dict[str, Any]]:
    """Label to options of each forms service of a domain; none where the module is off."""
    if not domain.enabled or MODULE in domain.disabled_modules:
        return {}
    given = domain.modules.get(MODULE, {}).get("services")
    chosen = FormsOptions().services if given is None else given
    return {str(label): dict(values) for label, values in chosen.items()}


def service_names(using: str = DEFAULT_DB_ALIAS) -> list[str]:
    """The domains of all forms services: those of the first domain come first."""
    rows = Domain.objects.using(using).filter(enabled=True).order_by("pk")
    domains = sorted(rows, key=lambda domain: domain.name != settings.MLINK_DOMAIN)
    return [f"{label}.{domain.name}" for domain in domains for label in services_of(domain)]


def first_service() -> str:
    """Where samples are installed and commands look unless told otherwise; raises ValueError where there is none."""
    names = service_names()
    if not names:
        raise ValueError("No domain has a forms service: the module forms is off everywhere.")
    return names[0]


def find_service(name: str, using: str = DEFAULT_DB_ALIAS) -> str:
    """The canonical name of a forms service; raises ValueError where it is none."""
    canonical = conf.canonical(name)
    names = service_names(using)
    if canonical not in names:
        raise ValueError(f"{canonical} is no forms service; there are {', '.join(names) or 'none'}.")
    return canonical


def add_service(domain: Domain, label: str, **options: Any) -> str:
    """A further forms service `label` below a domain; returns its name. Raises ValueError."""
    label = conf.canonical(label)
    form_service(options)
    chosen = services_of(domain)
    if label in chosen:
        raise ValueError(f"There is a forms service {label}.{domain.name} already.")
    _store(domain, {**chosen, label: options})
    return f"{label}.{domain.name}"


def remove_service(domain: Domain, label: str) -> None:
    """A forms service goes; raises ValueError while it has topics."""
    from fdp.services import topics

    chosen = services_of(domain)
    if label not in chosen:
        raise ValueError(f"There is no forms service {label}.{domain.name}.")
    count = topics(f"{label}.{domain.name}").count()
    if count:
        raise ValueError(f"{label}.{domain.name} still has {count} topic(s); remove them first.")
    _store(domain, {name: values for name, values in chosen.items() if name != label})


def _store(domain: Domain, chosen: dict[str, dict[str, Any]]) -> None:
    module = {**domain.modules.get(MODULE, {}), "services": chosen}
    conf.change_domain(domain, modules={**domain.modules, MODULE: module})
