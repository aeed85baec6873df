"""Commands on domains."""

from __future__ import annotations

from typing import Any, Final

from django.db.models import Count

from mlink_web.conf import certificates, sealing, services
from mlink_web.conf.models import Domain
from xmpp_engine.admin.command import Argument, Registry

registry: Final = Registry()
NAME: Final = Argument("name", "domain name")


@registry.command("domain list", "List the domains.", permission="read")
def domain_list() -> list[dict[str, Any]]:
    """Every domain with its main options."""
    return [
        {
            "name": domain.name,
            "enabled": domain.enabled,
            "accounts": domain.account_count,
            "archive": "strict" if domain.archive and domain.archive_strict else domain.archive,
            "registration": domain.registration,
            "certificate": domain.tls_certificate or "made by the node",
        }
        for domain in Domain.objects.annotate(account_count=Count("accounts"))
    ]


@registry.command("domain add", "Serve another domain.", NAME)
def domain_add(name: str) -> str:
    """The domain gets a self-signed certificate of this data folder at once."""
    domain = services.add_domain(name)
    certificates.ensure(domain)
    return f"{domain.name} is served now."


@registry.command("domain remove", "Serve a domain no more.", NAME)
def domain_remove(name: str) -> str:
    """Only a domain without accounts can go."""
    domain = services.find_domain(name)
    services.remove_domain(domain)
    return f"{domain.name} is removed."


@registry.command(
    "domain set",
    "Change an option of a domain.",
    NAME,
    Argument("key", f"one of {', '.join(services.CHANGEABLE)}"),
    Argument("value", "the new value; lists as a,b,c or JSON", logged=False),
)
def domain_set(name: str, key: str, value: str) -> str:
    """Checked as the engine checks it before anything is stored."""
    domain = services.find_domain(name)
    services.change_domain(domain, **{key: services.value_of(key, value)})
    return f"{domain.name}: {key} is {without_secrets(getattr(domain, key))!r} now."


@registry.command("domain show", "Show all options of a domain.", NAME, permission="read")
def domain_show(name: str) -> dict[str, Any]:
    """Every option by its name."""
    domain = services.find_domain(name)
    return {"name": domain.name, **{key: without_secrets(getattr(domain, key)) for key in services.CHANGEABLE}}


def without_secrets(value: Any) -> Any:
    """An option as it may be shown: what modules keep under `secret` or `password` is left out."""
    if isinstance(value, dict):
        return {
            name: "(not shown)" if name in sealing.NAMES and part else without_secrets(part)
            for name, part in value.items()
        }
    return [without_secrets(part) for part in value] if isinstance(value, list) else value
