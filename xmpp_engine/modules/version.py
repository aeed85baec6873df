"""XEP-0092: name and version of the server. The operating system is told only where the option says so."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import Final

from xmpp_engine.plugin.module import Module, Xep
from xmpp_engine.plugin.registrar import Registrar
from xmpp_engine.plugin.table import Target
from xmpp_engine.routing.iq import IqContext
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element

VERSION: Final = "0.1.0"


@dataclass(frozen=True, slots=True)
class VersionOptions:
    """`reveal_os`: whether the operating system's name is part of the answer."""

    reveal_os: bool = False


class Version(Module):
    """Answers jabber:iq:version."""

    name = "version"
    xeps = (Xep("0092", "1.1"),)
    Config = VersionOptions
    features = {Target.HOST: (ns.VERSION,)}

    def setup(self, reg: Registrar) -> None:
        reg.iq_get(Target.HOST, ns.VERSION, "query", self.answer)

    def answer(self, _iq: Stanza, _context: IqContext) -> Element:
        """Name, version and perhaps the system."""
        query = Element(ns.VERSION, "query")
        query.add(ns.VERSION, "name", text="mlink")
        query.add(ns.VERSION, "version", text=VERSION)
        if self.config.reveal_os:
            query.add(ns.VERSION, "os", text=platform.system())
        return query
