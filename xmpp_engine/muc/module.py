"""XEP-0045: the module that gives a domain its chat services. Start at `service.py`, then `room.py`.

Other modules that add something to rooms name it in `requires = ("muc",)` and register in `setup`: iq handlers with
`Target.ROOM` (`context.room` is the Room) or `Target.SERVICE` (`context.room` is the RoomService), `reg.room_message`
for the conversation, and here, by their own name so that a reload changes nothing:

    muc = self.needs("muc")
    muc.message_handlers["invite"] = self.take        messages to the room's bare JID that are no groupchat
    muc.presence_extras["hats"] = self.hats           an element for an occupant's presence
    muc.room_features["mam"] = self.features          disco features that depend on the room
    muc.info_fields["avatar"] = self.fields           fields of muc#roominfo
    muc.info_parts["x"] = self.parts                  further elements of the room's disco#info
    muc.welcomes["versions"] = self.catch_up          stanzas for who enters, before any presence
    muc.affiliation_marks["x"] = self.mark            an element for the <x/> of every change of an affiliation
    muc.room_ended["x"] = self.ended                  a room is gone for good
    muc.private_messages["x"] = self.keep             a private message as an occupant is about to get it
    muc.heard["x"] = self.hear                        a message that another node of the cluster has accepted
    muc.extras_changed["x"] = self.changed            another node has changed entries of record.extras
    muc.room_logging["x"] = self.decide               whether a room is archived, None: as it is configured

Ad-hoc commands of a room are added where all are: `self.needs("adhoc").add(CommandNode(..., target=Target.ROOM))`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from xmpp_engine.muc import disco
from xmpp_engine.muc.options import MucOptions, service_options
from xmpp_engine.muc.room import Room
from xmpp_engine.muc.service import MessageHandler, PresenceExtra, PrivateMessage, RoomEnded, RoomService, Welcome
from xmpp_engine.plugin.module import Module, Xep
from xmpp_engine.plugin.registrar import Registrar
from xmpp_engine.plugin.table import Target
from xmpp_engine.routing.iq import IqContext
from xmpp_engine.stanza.forms import Field
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element

_SWEEP_SECONDS: Final = 30.0


class Muc(Module):
    """The chat services of one domain."""

    name = "muc"
    xeps = (
        Xep("0045", "1.35.1"),
        Xep("0359", "0.7.0"),
        Xep("0410", "1.1.0"),
        Xep("0421", "1.0.1"),
    )
    requires = ("disco",)
    Config = MucOptions

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.message_handlers: dict[str, MessageHandler] = {}
        self.presence_extras: dict[str, PresenceExtra] = {}
        self.room_features: dict[str, Callable[[Room], Iterable[str]]] = {}
        self.info_fields: dict[str, Callable[[Room], Iterable[Field]]] = {}
        self.info_parts: dict[str, Callable[[Room], Iterable[Element]]] = {}
        self.welcomes: dict[str, Welcome] = {}
        self.affiliation_marks: dict[str, Callable[[Room], Element | None]] = {}
        self.room_ended: dict[str, RoomEnded] = {}
        self.private_messages: dict[str, PrivateMessage] = {}
        self.room_logging: dict[str, Callable[[Room], bool | None]] = {}
        self.heard: dict[str, Callable[[Stanza, Room], Any]] = {}
        self.extras_changed: dict[str, Callable[[Room, Mapping[str, Any]], Any]] = {}
        #: Services by their domain.
        self.chat: dict[str, RoomService] = {}
        self._running = False
        self._make_services()

    def setup(self, reg: Registrar) -> None:
        for domain, service in self.chat.items():
            reg.service(domain, service)
        reg.disco_items(self.items)
        reg.iq_get(Target.SERVICE, ns.DISCO_INFO, "query", disco.service_info)
        reg.iq_get(Target.SERVICE, ns.DISCO_ITEMS, "query", disco.service_items)
        reg.iq_get(Target.SERVICE, ns.PING, "ping", self.pong)
        reg.iq_get(Target.ROOM, ns.DISCO_INFO, "query", disco.room_info)
        reg.iq_get(Target.ROOM, ns.DISCO_ITEMS, "query", disco.room_items)
        reg.account_removed(self.account_removed)
        reg.timer(_SWEEP_SECONDS, self.sweep)

    def items(self) -> Iterable[tuple[str, str]]:
        """The services, for the domain's disco#items."""
        return [(domain, service.options.name) for domain, service in self.chat.items()]

    def pong(self, _iq: Stanza, _context: IqContext) -> None:
        """XEP-0199 for the service."""

    def account_removed(self, bare: str) -> None:
        """The rooms in memory forget somebody, as the store has."""
        for service in self.chat.values():
            service.administration.forget_person(bare)

    def room(self, jid: str) -> Room | None:
        """A resident room by its bare JID."""
        local, _, domain = jid.partition("@")
        service = self.chat.get(domain)
        return None if service is None else service.rooms.get(local)

    def moved(self, full: str, from_node: str, to_node: str) -> None:
        """The session of a full JID goes from one node of the cluster to another, with the client knowing nothing of
        it (XEP-0198): so does its place in rooms. Called on the node that it leaves, before its end, and nowhere
        else."""
        for service in self.chat.values():
            if service.neighbours is not None:
                service.neighbours.moving.moved(full, from_node, to_node)

    def resumed(self, full: str) -> None:
        """A session that another node has given away is bound here now: it is served here in its rooms."""
        for service in self.chat.values():
            if service.neighbours is not None:
                service.neighbours.moving.resumed(full)

    def reconfigured(self, config: MucOptions) -> None:
        """Services come, change and go; the rooms of one that goes are closed, not destroyed."""
        super().reconfigured(config)
        before = set(self.chat)
        self._make_services()
        if self._running:
            for domain in self.chat.keys() - before:
                self.services.tasks.spawn(f"rooms of {domain}", self.chat[domain].started())

    async def started(self) -> None:
        """Read which rooms there are."""
        self._running = True
        for service in self.chat.values():
            await service.started()

    def closing(self) -> None:
        """Everybody learns that the rooms go (332)."""
        for service in self.chat.values():
            service.close()

    async def stopping(self) -> None:
        """Write what rooms have not written yet."""
        for service in self.chat.values():
            await service.stopping()

    async def sweep(self) -> None:
        """Now and then."""
        for service in list(self.chat.values()):
            await service.sweep()

    def _make_services(self) -> None:
        wanted = {f"{name}.{self.host.domain}": values for name, values in self.config.services.items()}
        for domain in self.chat.keys() - wanted.keys():
            self.chat.pop(domain).close()
        for domain, values in wanted.items():
            options = service_options(values)
            if domain in self.chat:
                self.chat[domain].configure(options)
            else:
                self.chat[domain] = RoomService(self, domain, options)
