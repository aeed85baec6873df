"""Hosting: how the domains of one engine begin, change and end; what each is, `host.py` says."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from xmpp_engine.config.schema import HostConfig
from xmpp_engine.plugin.loader import compile_table, load, options_of
from xmpp_engine.plugin.module import Module
from xmpp_engine.routing.host import Host, Services
from xmpp_engine.runtime.timers import Timers
from xmpp_engine.xml.errors import StreamError

log = logging.getLogger("mlink.engine")


class Hosting:
    """Makes hosts with their modules, of `kinds` in reading order, and looks after their timers."""

    def __init__(self, services: Services, kinds: Sequence[type[Module]], timers: Timers) -> None:
        self._services = services
        self._kinds = tuple(kinds)
        self._timers = timers

    def make(self, config: HostConfig) -> Host:
        """A host that does nothing yet."""
        host = Host(config)
        host.modules = load(self._kinds, host, self._services, config.modules, config.disabled_modules)
        host.table = compile_table(host.modules)
        return host

    async def start(self, host: Host) -> None:
        """All hosts are known: the modules begin."""
        for module in host.modules.values():
            await module.started()
        self._timers.begin(host.domain)
        for seconds, function, owner in host.table.timers:
            self._timers.every(seconds, function, owner, host.domain)

    async def reconfigure(self, host: Host, config: HostConfig) -> None:
        """New options for a host: the modules learn of them, the table is compiled anew, sessions take it over. Where
        one is switched on or off all are made anew, for they know each other: those that were end as with the host."""
        host.config = config
        kinds = {kind.name: kind for kind in self._kinds}
        wanted = [kind for kind in self._kinds if kind.name not in config.disabled_modules]
        if [kind.name for kind in wanted] != list(host.modules):
            modules = load(self._kinds, host, self._services, config.modules, config.disabled_modules)
            self.close(host)
            await self.end(host)
            host.modules = modules
        else:
            for module in host.modules.values():
                module.reconfigured(options_of(kinds[module.name], config.modules.get(module.name, {})))
        host.table = compile_table(host.modules)
        for session in self._services.registry.full.values():
            if session.host is host:
                session.table = host.table

    def close(self, host: Host) -> None:
        """Let the modules say a last word to the sessions."""
        for module in host.modules.values():
            try:
                module.closing()
            except Exception:
                log.exception("module %s could not say its last word", module.name)

    async def end(self, host: Host) -> None:
        """The modules of a host finish what must not be lost, and do nothing more by themselves."""
        self._timers.end(host.domain)
        for module in host.modules.values():
            try:
                await module.stopping()
            except Exception:
                log.exception("module %s could not stop", module.name)

    async def remove(self, host: Host) -> None:
        """The domain is gone: its streams end with `host-gone`, its accounts are forgotten."""
        services = self._services
        self.close(host)
        for session in list(services.registry.full.values()):
            if session.host is host:
                session.kick(StreamError("host-gone"))
        await self.end(host)
        for account in list(services.accounts.resident.values()):
            if account.host is host:
                services.accounts.forget(account.bare)
