"""What pages and commands do with components, the only writers. Wrong input raises ValueError with a sentence.

Every change goes through `conf.services.change`: nodes follow within seconds, and disconnect a component that may not
be there any more. A secret is given back once, by the call that made it; it is never shown or logged afterwards.
"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Iterable, Mapping
from typing import Any, Final

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from mlink_web.components.models import Component
from mlink_web.components.snapshot import seal_of
from mlink_web.conf import sealing
from mlink_web.conf import services as configuration
from mlink_web.conf.models import Domain
from mlink_web.conf.typed import typed
from xmpp_engine.config.components import MAX_QUEUE, MAX_SECRET, MIN_QUEUE, MIN_SECRET, PERMISSIONS

#: Components are resident in every node.
MAX_COMPONENTS: Final = 1_000
MAX_DESCRIPTION: Final = 200
#: What `component set` and the form may change.
FIELDS: Final = (
    "description",
    "enabled",
    "networks",
    "conflict",
    "delegated",
    "privileges",
    "domains",
    "queue_bytes",
)


class UnknownComponent(ValueError):
    """There is no such component."""


def find(domain: str) -> Component:
    """The component with this domain; raises UnknownComponent."""
    try:
        return Component.objects.get(domain=configuration.canonical(domain))
    except Component.DoesNotExist:
        raise UnknownComponent(f"There is no component {domain.strip()}.") from None


def new_secret() -> str:
    """A secret that nobody guesses."""
    return secrets.token_urlsafe(24)


def add(domain: str, secret: str = "", **given: Any) -> tuple[Component, str]:
    """Let a component connect; returns it and its secret, made here where none is given."""
    secret = secret or new_secret()
    component = Component(domain=configuration.canonical(domain))
    _take(component, given)
    _seal(component, secret)
    try:
        with transaction.atomic():
            if Component.objects.count() >= MAX_COMPONENTS:
                raise ValueError(f"There are {MAX_COMPONENTS:,} components already; no more can be added.")
            configuration.change(component.save)
    except IntegrityError:
        raise ValueError(f"There is a component {component.domain} already.") from None
    except ValueError as error:
        raise ValueError(told(str(error), component.domain)) from None
    return component, secret


def change(component: Component, **given: Any) -> Component:
    """Set some fields; where one does not fit nothing is changed."""
    fresh = Component.objects.get(pk=component.pk)
    _take(fresh, given)
    try:
        configuration.change(fresh.save)
    except ValueError as error:
        raise ValueError(told(str(error), fresh.domain)) from None
    return fresh


def renew_secret(component: Component, secret: str = "") -> str:
    """Give it another secret, made here where none is given; a connection with the old one ends. Returns the secret."""
    secret = secret or new_secret()
    fresh = Component.objects.get(pk=component.pk)
    _seal(fresh, secret)
    configuration.change(fresh.save)
    return secret


def remove(component: Component) -> None:
    """Forget it: it is disconnected, and its domain is one of the rest of the world."""
    configuration.change(component.delete)


def told(problem: str, domain: str) -> str:
    """A breach of the configuration's rules as a sentence about this component."""
    path = f"components.{domain}: "
    if path not in problem:
        return problem
    text = problem.split(path, 1)[1].split(f"; {path}")[0].rstrip(".")
    return f"{text[0].upper()}{text[1:]}."


def value_of(name: str, text: str) -> Any:
    """What a person typed for a field, in its type."""
    if name not in FIELDS:
        raise ValueError(f"A component has no {name!r}; there are {', '.join(FIELDS)}.")
    if name in ("networks", "domains"):
        return text.replace(",", " ").split()
    if name == "delegated":
        return delegated_of(text.replace(";", "\n").splitlines())
    if name == "privileges":
        return privileges_of(text.replace(";", "\n").splitlines())
    return typed(Component._meta.get_field(name), text)


def delegated_of(lines: Iterable[str]) -> dict[str, list[str]]:
    """Namespaces that a component serves, from lines of a namespace and the names of attributes behind it."""
    found: dict[str, list[str]] = {}
    for line in lines:
        words = line.split()
        if words:
            found[words[0]] = words[1:]
    return found


def privileges_of(lines: Iterable[str]) -> dict[str, str]:
    """Privileges, from lines of a kind and a permission (`roster both`, `iq:jabber:iq:last get`)."""
    found: dict[str, str] = {}
    for line in lines:
        kind, _, permission = (
            line.strip().replace("\t", " ").rpartition("=" if "=" in line and " " not in line.strip() else " ")
        )
        if not kind and not permission:
            continue
        if not kind or not permission or " " in kind.strip():
            raise ValueError(f"A privilege is a kind and a permission, not {line.strip()!r}.")
        found[kind.strip()] = permission
    return found


def shown(component: Component) -> dict[str, str]:
    """Its fields as text, as `value_of` reads them."""
    return {
        "description": component.description,
        "enabled": "on" if component.enabled else "off",
        "networks": ", ".join(component.networks),
        "conflict": component.conflict,
        "delegated": "; ".join(" ".join((space, *names)) for space, names in component.delegated.items()),
        "privileges": "; ".join(f"{kind} {permission}" for kind, permission in component.privileges.items()),
        "domains": ", ".join(component.domains),
        "queue_bytes": str(component.queue_bytes),
    }


def _seal(component: Component, secret: str) -> None:
    if (
        not MIN_SECRET <= len(secret) <= MAX_SECRET
        or not secret.isprintable()
        or secret != secret.strip()
        or sealing.sealed({"secret": secret}, "")["secret"] == secret
    ):
        raise ValueError(
            f"A secret has {MIN_SECRET} to {MAX_SECRET:,} characters, no line breaks, and no blanks at its ends."
        )
    component.secret = sealing.sealed({"secret": secret}, seal_of(component.domain))["secret"]
    component.renewed = timezone.now()


def _take(component: Component, given: Mapping[str, Any]) -> None:
    for name, value in given.items():
        if name not in FIELDS:
            raise ValueError(f"A component has no {name!r}; there are {', '.join(FIELDS)}.")
        setattr(component, name, checked(name, value))


def checked(name: str, value: Any) -> Any:
    """A value of a field as it is stored; raises ValueError."""
    if name == "networks":
        return [_network(text) for text in value]
    if name == "domains":
        return [_served(text) for text in value]
    if name == "description":
        text = " ".join(str(value).split())
        if len(text) > MAX_DESCRIPTION:
            raise ValueError(f"A description has at most {MAX_DESCRIPTION} characters.")
        return text
    if name == "queue_bytes":
        if isinstance(value, bool) or not isinstance(value, int) or not MIN_QUEUE <= value <= MAX_QUEUE:
            raise ValueError(f"queue_bytes is {MIN_QUEUE:,} to {MAX_QUEUE:,} bytes.")
        return value
    if name == "conflict" and value not in ("refuse", "replace"):
        raise ValueError(f"conflict is refuse or replace, not {value!r}.")
    if name == "privileges":
        for kind, permission in value.items():
            allowed = PERMISSIONS.get(kind.partition(":")[0])
            if allowed is not None and permission not in allowed:
                raise ValueError(f"{kind} is one of {', '.join(allowed)}, not {permission}.")
        return dict(value)
    return value


def _network(text: str) -> str:
    try:
        network = ipaddress.ip_network(text.strip(), strict=False)
    except ValueError:
        raise ValueError(f"{text.strip()!r} is neither an IP address nor a network like 192.0.2.0/24.") from None
    return str(network.network_address) if network.num_addresses == 1 else str(network)


def _served(text: str) -> str:
    name = configuration.canonical(text)
    if not Domain.objects.filter(name=name).exists():
        raise ValueError(f"{name} is no domain of this server.")
    return name


def listener() -> dict[str, Any]:
    """Where components connect, for people: port (0 for nowhere), address, whether by TLS, whether from elsewhere."""
    address = str(settings.MLINK_COMPONENT_BIND)
    try:
        local = ipaddress.ip_address(address).is_loopback
    except ValueError:
        local = address == "localhost"
    tls = settings.MLINK_COMPONENT_TLS == "direct"
    return {"port": settings.MLINK_COMPONENT_PORT, "address": address, "tls": tls, "local": local}
