"""Options of the services that a domain has on its sub-domains: rooms, publish-subscribe, forms.

Each kind of service has a frozen dataclass of options; a domain's configuration names its services and gives plain
values for each. What makes no sense raises ValueError with a sentence that says where.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import fields
from typing import Any, TypeVar

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.addressing.prep import domainpart

Options = TypeVar("Options")


def check_services(services: Mapping[str, Mapping[str, Any]], make: Callable[[Mapping[str, Any]], object]) -> None:
    """Whether the names are labels of a domain and `make` takes the values of each."""
    for name, values in services.items():
        try:
            if domainpart(name) != name or "." in name:
                raise ValueError("a service is named by one label of a domain, in its canonical form")
            make(values)
        except ValueError as error:
            raise ValueError(f"services.{name}: {error}") from None


def options_from(kind: type[Options], values: Mapping[str, Any], several: Collection[str] = ()) -> Options:
    """The options from plain values; those named `several` hold several values, which may come as a list."""
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    for name in values:
        if name not in known:
            raise ValueError(f"there is no option {name}")
    prepared = {
        name: tuple(value) if name in several and isinstance(value, list | tuple) else value
        for name, value in values.items()
    }
    try:
        return kind(**prepared)
    except TypeError as error:
        raise ValueError(f"a value has the wrong type: {error}") from None


def bare_addresses(option: str, texts: Collection[str]) -> tuple[str, ...]:
    """The bare JIDs and domains of an option, prepared."""
    return tuple(_bare(option, text) for text in texts)


def _bare(option: str, text: str) -> str:
    try:
        jid = Jid.parse(text)
    except ValueError as error:
        raise ValueError(f"{option}: {text!r} is no address: {error}") from None
    if jid.resource:
        raise ValueError(f"{option}: {text!r} is an address with a resource")
    return jid.bare
