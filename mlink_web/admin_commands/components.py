"""Commands on the components that may connect (XEP-0114). Whether they are connected is the running node's to say
(`component status`)."""

from __future__ import annotations

from typing import Any, Final

from mlink_web.components import services
from mlink_web.components.models import Component
from xmpp_engine.admin.command import Argument, Registry

registry: Final = Registry()
DOMAIN: Final = Argument("domain", "domain of the component")
SECRET: Final = Argument(
    "secret", "the shared secret; one is made and shown once where none is given", option=True, secret=True, default=""
)


@registry.command("component list", "List the components that may connect.", permission="read")
def component_list() -> list[dict[str, Any]]:
    """By domain."""
    return [
        {
            "domain": row.domain,
            "enabled": row.enabled,
            "networks": row.networks or ["every address"],
            "conflict": row.conflict,
            "delegated": list(row.delegated),
            "privileges": [f"{kind} {permission}" for kind, permission in row.privileges.items()],
            "description": row.description,
        }
        for row in Component.objects.all()
    ]


@registry.command("component show", "Show what is configured for a component.", DOMAIN, permission="read")
def component_show(domain: str) -> dict[str, Any]:
    """Every field by its name, but the secret."""
    row = services.find(domain)
    return {"domain": row.domain, **services.shown(row), "secret renewed": row.renewed.isoformat(timespec="seconds")}


@registry.command(
    "component add",
    "Let a component connect; its secret is shown once.",
    DOMAIN,
    Argument("description", "what it is", default=""),
    SECRET,
    Argument("networks", "addresses and networks it may connect from; every one by default", option=True, default=""),
)
def component_add(domain: str, description: str, secret: str, networks: str) -> dict[str, Any]:
    """Running nodes take it within seconds."""
    given = {"description": description, "networks": services.value_of("networks", networks)}
    made, shared = services.add(domain, secret, **given)
    return {"domain": made.domain, "secret": "(as given)" if secret else shared}


@registry.command(
    "component set",
    "Change what is configured for a component.",
    DOMAIN,
    Argument("key", f"one of {', '.join(services.FIELDS)}"),
    Argument("value", "the new value; entries of lists are separated by semicolons"),
)
def component_set(domain: str, key: str, value: str) -> str:
    """A connection that is not allowed any more ends."""
    changed = services.change(services.find(domain), **{key: services.value_of(key, value)})
    return f"{changed.domain}: {key} is {services.shown(changed)[key] or 'empty'} now."


@registry.command("component secret", "Give a component another secret; it is shown once.", DOMAIN, SECRET)
def component_secret(domain: str, secret: str) -> dict[str, Any]:
    """A connection with the old one ends."""
    row = services.find(domain)
    shared = services.renew_secret(row, secret)
    return {"domain": row.domain, "secret": "(as given)" if secret else shared}


@registry.command("component remove", "Forget a component; it is disconnected.", DOMAIN)
def component_remove(domain: str) -> str:
    """Its domain is one of the rest of the world then."""
    row = services.find(domain)
    services.remove(row)
    return f"{row.domain} is no component any more."
