"""XEP-0352: clients say when nobody looks at them; the queue is `stream/feature_csi.py`.

A session that waits to be resumed (XEP-0198) is treated alike: nobody looks at it either, and its queue of
unacknowledged stanzas shall not fill up with presence. An inactive client gets what was held before each important
stanza, because its radio is awake then; a sleeping one only what came from the same sender, so that the order of each
sender holds. A resumed session begins active (XEP-0352, 5.2).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from xmpp_engine.plugin.module import Module, Xep
from xmpp_engine.plugin.registrar import Registrar
from xmpp_engine.plugin.verdict import HANDLED, Verdict
from xmpp_engine.routing.host import Host
from xmpp_engine.routing.session import Session
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.stream.feature_csi import HeldBack, feature, key_of
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element

_HELD = "client_state"


@dataclass(frozen=True, slots=True)
class ClientStateOptions:
    """`rooms`: which room messages an inactive client gets at once: all, or those that mention the user's nickname in
    that room."""

    rooms: Literal["all", "mentions"] = "all"

    def __post_init__(self) -> None:
        if self.rooms not in ("all", "mentions"):
            raise ValueError("client_state.rooms is all or mentions")


class ClientState(Module):
    """Holds unimportant stanzas back while a client is inactive."""

    name = "client_state"
    xeps = (Xep("0352", "1.0.0"),)
    Config = ClientStateOptions

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._watchers: list[Callable[[Stanza, Session], None]] = []

    def setup(self, reg: Registrar) -> None:
        self._watchers.clear()  # modules come again when a table is compiled anew
        reg.stream_feature(self.offer)
        reg.element(ns.CSI, "active", self.active)
        reg.element(ns.CSI, "inactive", self.inactive)
        reg.bind_inline(ns.CSI, self.inactive)
        reg.presend(self.hold_back)
        reg.session_asleep(self.sleep)
        reg.session_awake(self.flush)

    def watch(self, watcher: Callable[[Stanza, Session], None]) -> None:
        """Call `watcher(stanza, session)` for each important stanza to a session that nobody looks at; so deliveries to
        all others cost one test altogether."""
        self._watchers.append(watcher)

    def offer(self, _host: Host) -> Element:
        """The stream feature."""
        return feature()

    def inactive(self, element: Element, session: Session) -> None:
        """Nobody looks at the client any more."""
        if element.name == "inactive":
            self.sleep(session)

    def active(self, _element: Element, session: Session) -> None:
        """Somebody looks again."""
        session.awake()

    def sleep(self, session: Session) -> None:
        """Hold back from now on."""
        session.inactive = True
        if session.notes is None:
            session.notes = {}
        session.notes.setdefault(_HELD, HeldBack())

    def flush(self, session: Session) -> None:
        """Everything held goes out."""
        session.inactive = False
        if session.notes is not None and _HELD in session.notes:
            for stanza in session.notes[_HELD].flush():
                session.transmit(stanza)

    def hold_back(self, stanza: Stanza, session: Session) -> Verdict:
        """Keep what can wait; let what held stanzas precede go before an important one."""
        if not session.inactive:
            return None
        held: HeldBack = session.notes[_HELD]  # type: ignore[index]
        key = key_of(stanza)
        if key is not None:
            if held.keep(key, stanza):
                return HANDLED
        elif stanza.type == "groupchat" and not self._mentioned(stanza, session) and held.append(stanza):
            return HANDLED
        asleep = session.stream is None and key is None
        for earlier in held.take(stanza.sender.bare) if asleep else held.flush():
            session.transmit(earlier)
        for watcher in self._watchers:
            watcher(stanza, session)
        return None

    def _mentioned(self, stanza: Stanza, session: Session) -> bool:
        """Whether a room message is for the user, as far as the host wants to know: his nickname stands in it, or it
        has no text (a subject)."""
        if self.config.rooms == "all":
            return True
        body = stanza.element.child_text(ns.CLIENT, "body")
        if not body:
            return True
        room = stanza.sender.bare
        nicks = (jid.resource for jid in (session.directed or {}).values() if jid.bare == room)
        folded = body.casefold()
        return any(nick.casefold() in folded for nick in nicks if nick)
