"""Pictures of accounts: the nodes of XEP-0084 are where they are kept, vcard-temp and presence show them (XEP-0398).

A vCard is stored without its picture. Who asks for it gets the picture that he may see by the access model of the
nodes; who stores one with a picture has it published, in nodes that everybody may read unless they are there already:
a vCard is for everybody. So there is one picture, however it came.

The hash in presence (XEP-0153) is known with the account (`AccountData.avatar`), so no presence waits. It goes into
every available presence that reaches somebody who may see the picture, and what is broadcast is renewed when the
picture changes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.plugin.module import Module, Xep
from xmpp_engine.plugin.phases import Phase
from xmpp_engine.plugin.registrar import Registrar
from xmpp_engine.plugin.table import Target
from xmpp_engine.plugin.verdict import Verdict
from xmpp_engine.pubsub import access
from xmpp_engine.pubsub import pep_avatar_forms as forms
from xmpp_engine.pubsub.node import Node
from xmpp_engine.pubsub.payload import element_of, text_of
from xmpp_engine.pubsub.pep_service import AccountService, Change
from xmpp_engine.routing.account import Account
from xmpp_engine.routing.iq import IqContext
from xmpp_engine.routing.session import Session
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.storage.pubsub import Item
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError

#: A note of a session: its client hides the picture.
_HIDES: Final = "avatar hidden"
_OPEN: Final = {"access_model": "open"}
_SHOWN: Final = "avatar"


@dataclass(frozen=True, slots=True)
class Shown:
    """What presence shows of an account's picture: its hash ("" for no picture), and whether to everybody or only to
    contacts."""

    id: str
    everybody: bool


class Avatars(Module):
    """Conversion between both forms, and the hash in presence."""

    name = "pep-avatars"
    xeps = (
        Xep("0084", "1.1.4"),
        Xep("0153", "1.1.1"),
        Xep("0398", "1.0.1", note="presence to rooms is not sent anew when the picture changes, as there: clients do"),
    )
    requires = ("pep", "vcard", "presence")
    features: ClassVar = {Target.ACCOUNT: (ns.AVATAR_CONVERSION,)}

    def setup(self, reg: Registrar) -> None:
        self.needs("vcard").pictures = self
        pep = self.needs("pep")
        pep.watchers[ns.AVATAR_METADATA] = self.changed
        self.services.hear(self.host.domain, _SHOWN, self.heard)
        reg.account_loaded(self.loaded)
        reg.presence_out(Phase.REWRITE, self.show)

    # Presence

    def loaded(self, account: Account) -> None:
        """An account has come into memory."""
        stored = account.data.avatar
        if stored is not None:
            payload, config = stored
            model = json.loads(config).get("access_model", "presence")
            self._note(account, _shown(element_of(payload), model))

    def heard(self, account: Account | None, _bare: str, values: list[Any]) -> None:
        """The picture was changed on another node of a cluster, which has renewed what is shown."""
        if account is not None:
            self._note(account, Shown(*values))

    def show(self, stanza: Stanza, session: Session) -> Verdict:
        """Put the hash into a presence that a client sends; where nothing is known of a picture it stays as it is."""
        if stanza.type:
            return None
        shown = self.shown_by(session.account)
        to = stanza.to
        if to is None:
            self._remember(stanza.element, session)
        if shown is None:
            return None
        visible = to is None or shown.everybody or session.account.is_subscribed_to_us(to.bare)
        if forms.show(stanza.element, shown.id if visible else ""):
            stanza.changed()
        return None

    def shown_by(self, account: Account) -> Shown | None:
        """What an account's presence shows, None where it never had a picture."""
        notes = account.notes
        return notes.get(self.name) if notes is not None else None

    def _note(self, account: Account, shown: Shown | None) -> None:
        if shown is not None or self.shown_by(account) is not None:
            account.note(self.name, lambda: None)
            assert account.notes is not None
            account.notes[self.name] = shown or Shown("", everybody=True)

    def _remember(self, presence: Element, session: Session) -> None:
        """Whether a client hides the picture: then it is not put into its presence later."""
        update = presence.find(ns.VCARD_UPDATE, "x")
        told = update.child_text(ns.VCARD_UPDATE, "photo") if update is not None else None
        if told is not None and not told.strip():
            if session.notes is None:
                session.notes = {}
            session.notes[_HIDES] = True
        elif session.notes is not None:
            session.notes.pop(_HIDES, None)

    def changed(self, service: AccountService, change: Change) -> None:
        """The node of metadata has changed: presence follows."""
        account = service.owner
        if account is None:
            return
        node = service.nodes.get(change.node)
        before = self.shown_by(account)
        last = node.record.last if node is not None else None
        metadata = element_of(last.payload) if last is not None else None
        self._note(account, _shown(metadata, node.config.access_model) if node is not None else None)
        now = self.shown_by(account)
        if now == before or now is None:
            return
        self.services.tell(account.bare, _SHOWN, now.id, now.everybody)
        presence = self.needs("presence")
        for session in account.available():
            if session.presence is None or (session.notes is not None and session.notes.get(_HIDES)):
                continue
            element = session.presence.element.copy()
            if forms.replace(element, now.id):
                presence.renew(session, Stanza(element, None, session.jid, ""))

    # vCards

    async def shown(self, card: Element, iq: Stanza, context: IqContext) -> Element:
        """A stored vCard with the picture that the asker may see. Raises StoreUnavailable."""
        account = context.account
        assert account is not None
        async with self.needs("pep").accounts.use(account.bare, reads=True) as service:
            metadata = service.nodes.get(ns.AVATAR_METADATA)
            if metadata is None or metadata.record.last is None:
                return card
            found = await self._picture(service, metadata, iq.sender)
        return forms.without_photo(card) if found is None else forms.with_photo(card, found)

    async def _picture(self, service: AccountService, metadata: Node, who: Jid) -> forms.Picture | None:
        data = service.nodes.get(ns.AVATAR_DATA)
        last = metadata.record.last
        info = forms.info(element_of(last.payload) or Element("", "")) if last is not None else None
        if data is None or info is None:
            return None
        if not (await access.receives(metadata, who) and await access.receives(data, who)):
            return None
        item = data.record.last
        if item is None or item.id != info.id:
            items = await self.services.stores.pubsub.get(data.number, [info.id])
            item = items[0] if items else None
        payload = element_of(item.payload) if item is not None else None
        return forms.picture(payload, info) if payload is not None else None

    async def taken(self, card: Element, context: IqContext) -> Element:
        """Publish the picture of a vCard that an account stores, or that it has none any more; returns what is kept as
        the vCard. Raises StanzaError, StoreUnavailable."""
        account = context.account
        assert account is not None
        picture = forms.photo(card)
        async with self.needs("pep").accounts.use(account.bare) as service:
            metadata = service.nodes.get(ns.AVATAR_METADATA)
            last = metadata.record.last if metadata is not None else None
            info = forms.info(element_of(last.payload) or Element("", "")) if last is not None else None
            if picture is None:
                if info is not None and metadata is not None:
                    empty = Item("", text_of(forms.metadata_element(None)))
                    await service.publish(ns.AVATAR_METADATA, [empty], account.jid)
                return card
            if info is None or info.id != picture.id:
                await self._publish(service, picture)
        return forms.without_photo(card)

    async def _publish(self, service: AccountService, picture: forms.Picture) -> None:
        for name, payload in (
            (ns.AVATAR_DATA, forms.data_element(picture)),
            (ns.AVATAR_METADATA, forms.metadata_element(picture)),
        ):
            if service.nodes.get(name) is None:
                try:
                    await service.create_node(name, _OPEN, creator=service.domain)
                except StanzaError as error:
                    if error.condition != "conflict":
                        raise
            await service.publish(name, [Item(picture.id, text_of(payload))], service.jid)


def _shown(metadata: Element | None, model: str) -> Shown:
    """What presence shows by metadata and the access model of their node: nothing where not all contacts may see it."""
    info = forms.info(metadata) if metadata is not None else None
    visible = info is not None and model in ("open", "presence")
    return Shown(info.id if info is not None and visible else "", everybody=model == "open")
