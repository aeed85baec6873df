"""XEP-0054: vcard-temp of accounts. Everybody may read, as clients expect, the account itself writes."""

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
class VCardOptions:
    """`limit`: bytes of one vCard, picture included."""

    limit: int = 200_000


class Pictures(Protocol):
    """Who keeps the pictures of people in another form (XEP-0398). Both raise StanzaError or StoreUnavailable."""

    async def shown(self, card: Element, iq: Stanza, context: IqContext) -> Element:
        """The stored vCard with the picture that the asker may see."""

    async def taken(self, card: Element, context: IqContext) -> Element:
        """Take over the picture of a vCard; returns what is stored as the vCard."""


class VCard(Module):
    """vcard-temp."""

    name = "vcard"
    xeps = (Xep("0054", "1.3.0"),)
    Config = VCardOptions
    features = {Target.HOST: (ns.VCARD,), Target.ACCOUNT: (ns.VCARD,)}

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        #: The module of avatars, where there is one; it sets this itself.
        self.pictures: Pictures | None = None

    def setup(self, reg: Registrar) -> None:
        self.pictures = None
        reg.iq_get(Target.ACCOUNT, ns.VCARD, "vCard", self.read)
        reg.iq_set(Target.ACCOUNT, ns.VCARD, "vCard", self.write, own_only=True)
        reg.iq_get(Target.HOST, ns.VCARD, "vCard", self.server)

    async def read(self, iq: Stanza, context: IqContext) -> Element:
        """The stored vCard; an empty one for oneself, `item-not-found` for others (section 3.1, 3.3)."""
        assert context.account is not None
        stored = await self.services.stores.vcards.get(context.account.bare)
        card = parse_document(stored.encode()) if stored is not None else Element(ns.VCARD, "vCard")
        if self.pictures is not None:
            card = await self.pictures.shown(card, iq, context)
        if stored is None and not context.own and card.first() is None:
            raise StanzaError("item-not-found")
        return card

    async def write(self, iq: Stanza, context: IqContext) -> None:
        """Store or replace the own vCard."""
        assert context.account is not None
        card = iq.element.first()
        assert card is not None
        xml = write(card)
        if len(xml.encode()) > self.config.limit:
            raise StanzaError("not-acceptable", f"a vCard may have at most {self.config.limit} bytes")
        if self.pictures is not None:
            xml = write(await self.pictures.taken(card, context))
        await self.services.stores.vcards.put(context.account.id, xml)

    def server(self, _iq: Stanza, _context: IqContext) -> Element:
        """The server's own card."""
        card = Element(ns.VCARD, "vCard")
        card.add(ns.VCARD, "FN", text=self.host.domain)
        return card
