"""XEP-0049: private XML storage, one document per element name and namespace."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from xmpp_engine.plugin.module import Module, Xep
from xmpp_engine.plugin.registrar import Registrar
from xmpp_engine.plugin.table import Target
from xmpp_engine.routing.iq import IqContext
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError
from xmpp_engine.xml.parser import parse_document
from xmpp_engine.xml.writer import write


@dataclass(frozen=True, slots=True)
class PrivateOptions:
    """`quota`: bytes of all private data of one account."""

    quota: int = 1_048_576


class Converter(Protocol):
    """Who keeps some kind of private data in another form (XEP-0411). Both raise StanzaError, StoreUnavailable or
    QuotaExceeded."""

    async def read(self, context: IqContext) -> Element:
        """The data as private XML, an empty element for none."""

    async def write(self, element: Element, context: IqContext) -> None:
        """Take over what a client stores."""


class Private(Module):
    """jabber:iq:private."""

    name = "private"
    xeps = (Xep("0049", "1.2"),)
    Config = PrivateOptions
    features = {Target.HOST: (ns.PRIVATE,), Target.ACCOUNT: (ns.PRIVATE,)}

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        #: By namespace and name of the element.
        self.converters: dict[tuple[str, str], Converter] = {}

    def setup(self, reg: Registrar) -> None:
        reg.iq_get(Target.ACCOUNT, ns.PRIVATE, "query", self.read, own_only=True)
        reg.iq_set(Target.ACCOUNT, ns.PRIVATE, "query", self.write, own_only=True)

    async def read(self, iq: Stanza, context: IqContext) -> Element:
        """The stored element, or the empty one that was asked for."""
        wanted = _payloads(iq)
        if len(wanted) != 1:
            raise StanzaError("bad-request", "ask for exactly one element")
        assert context.account is not None
        converter = self.converters.get((wanted[0].ns, wanted[0].name))
        if converter is not None:
            return Element(ns.PRIVATE, "query", None, await converter.read(context))
        stored = await self.services.stores.private.get(context.account.id, wanted[0].ns, wanted[0].name)
        found = parse_document(stored.encode()) if stored is not None else Element(wanted[0].ns, wanted[0].name)
        return Element(ns.PRIVATE, "query", None, found)

    async def write(self, iq: Stanza, context: IqContext) -> None:
        """Store or replace; at least one element with a namespace of its own."""
        payloads = _payloads(iq)
        if not payloads:
            raise StanzaError("bad-request", "nothing to store")
        assert context.account is not None
        for payload in payloads:
            if payload.ns in ("", ns.PRIVATE, ns.CLIENT):
                raise StanzaError("not-acceptable", "private data needs a namespace of its own")
        for payload in payloads:
            converter = self.converters.get((payload.ns, payload.name))
            if converter is not None:
                await converter.write(payload, context)
                continue
            await self.services.stores.private.put(
                context.account.id, payload.ns, payload.name, write(payload), self.config.quota
            )


def _payloads(iq: Stanza) -> list[Element]:
    query = iq.element.first()
    assert query is not None
    return list(query.elements())
