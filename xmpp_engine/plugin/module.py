"""Module: the base of every feature.

A module is made once per host by the loader with `Module(host, services)`. Its class data say what it is; `setup`
registers everything it does. `services` (routing.host.Services) gives it the stores, clock, tasks, ledger, router and
registry; other modules come through `requires`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from xmpp_engine.plugin.table import Target

if TYPE_CHECKING:
    from xmpp_engine.plugin.registrar import Registrar


@dataclass(frozen=True, slots=True)
class Xep:
    """A specification that a module implements. `status` is complete, partial or planned; `note` says what is not
    done."""

    number: str
    version: str
    status: str = "complete"
    note: str = ""


@dataclass(frozen=True, slots=True)
class NoOptions:
    """The options of a module that has none."""


class Module:
    """One feature of one host."""

    #: Unique short name: configuration, logs and the hook table speak of the module by it.
    name: ClassVar[str] = ""
    xeps: ClassVar[tuple[Xep, ...]] = ()
    #: Names of modules that must stand before this one; `self.needs("roster")` gives the object. Names, because
    #: modules do not
    #: import each other.
    requires: ClassVar[tuple[str, ...]] = ()
    #: A frozen dataclass with defaults; the host's options are turned into it.
    Config: ClassVar[type] = NoOptions
    #: Disco features and identities (category, type, name) by target.
    features: ClassVar[Mapping[Target, tuple[str, ...]]] = {}
    identities: ClassVar[Mapping[Target, tuple[tuple[str, str, str], ...]]] = {}

    def __init__(self, host: Any, services: Any, config: Any, modules: Mapping[str, Module]) -> None:
        """`host` is routing.host.Host, `services` routing.host.Services, `modules` those of this host made so far by
        name."""
        self.host = host
        self.services = services
        self.config = config
        self._modules = modules

    def needs(self, name: str) -> Any:
        """The module of this host that `requires` names."""
        if name not in self.requires:
            raise KeyError(f"{self.name} does not require {name}")
        return self._modules[name]

    def setup(self, reg: Registrar) -> None:
        """Register everything; called once per compiled table, so it must only register."""

    def reconfigured(self, config: Any) -> None:
        """The host's options for this module changed; the table is compiled anew afterwards."""
        self.config = config

    async def started(self) -> None:
        """The engine runs: start what needs a loop."""

    def closing(self) -> None:
        """The engine is about to end all sessions, or those of the host: send what they should still learn."""

    async def stopping(self) -> None:
        """The engine stops: finish what must not be lost."""
