"""Makes the modules of one host from the explicit list and compiles their table."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from xmpp_engine.plugin.module import Module
from xmpp_engine.plugin.registrar import Registrar, RegistrationError
from xmpp_engine.plugin.table import HandlerTable


def import_modules(paths: Sequence[str]) -> tuple[type[Module], ...]:
    """Module classes by dotted path, in the order given; raises RegistrationError for what is no module."""
    found: list[type[Module]] = []
    for path in paths:
        package, _, name = path.rpartition(".")
        kind = getattr(import_module(package), name, None)
        if not (isinstance(kind, type) and issubclass(kind, Module) and kind.name):
            raise RegistrationError(f"{path} is no module")
        if any(other.name == kind.name for other in found):
            raise RegistrationError(f"two modules are named {kind.name}")
        found.append(kind)
    return tuple(found)


def options_of(kind: type[Module], given: Mapping[str, Any]) -> Any:
    """The module's Config from a mapping; raises ValueError naming the option that does not fit."""
    known = {field.name for field in dataclasses.fields(kind.Config)}
    for name in given:
        if name not in known:
            raise ValueError(f"{kind.name}.{name}: there is no such option")
    return kind.Config(**given)


def load(
    kinds: Sequence[type[Module]],
    host: Any,
    services: Any,
    options: Mapping[str, Mapping[str, Any]],
    disabled: frozenset[str],
) -> dict[str, Module]:
    """Instances for one host, in order. A module whose requirement is switched off or stands after it is an error."""
    made: dict[str, Module] = {}
    for kind in kinds:
        if kind.name in disabled:
            continue
        for required in kind.requires:
            if required not in made:
                raise RegistrationError(f"{kind.name} needs {required} before it in the list")
        made[kind.name] = kind(host, services, options_of(kind, options.get(kind.name, {})), made)
    return made


def compile_table(modules: Mapping[str, Module]) -> HandlerTable:
    """The handler table of these modules."""
    registrar = Registrar()
    for module in modules.values():
        registrar.add(module)
    return registrar.compile()
