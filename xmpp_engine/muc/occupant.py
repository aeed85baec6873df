"""Occupant: somebody in a room under one nickname, with every client he is there with (hot data).

Several clients of one account may share a nickname (XEP-0045, 7.2.9): they are one occupant. One of them is the one
whose presence the others see (`shown`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.xml import ns

if TYPE_CHECKING:
    from xmpp_engine.routing.session import Session
    from xmpp_engine.stanza.stanza import Stanza
    from xmpp_engine.storage.rooms import Affiliation, Role
    from xmpp_engine.xml.element import Element

_PRIORITY: Final = re.compile(r"[+-]?[0-9]{1,3}")
_SHOWS: Final = {"chat": 3, "": 3, "dnd": 3, "away": 2, "xa": 1}


class Client:
    """One client in a room. `session` is its session where it is bound here, None for users of other servers.
    `children` is what its presence holds beside what the room adds, `lang` its language or "". `node` is the node of
    the cluster that serves it, "" for this one; `stamp` is when it took its nickname, `served` when that node began to
    serve it (hybrid stamps). `role` and `affiliation` are what another node has said of it."""

    __slots__ = ("affiliation", "children", "jid", "lang", "node", "rank", "role", "served", "session", "stamp")

    def __init__(
        self,
        jid: Jid,
        session: Session | None,
        children: tuple[Element, ...],
        lang: str,
        stamp: int = 0,
        node: str = "",
    ) -> None:
        self.jid = jid
        self.session = session
        self.stamp = self.served = stamp
        self.node = node
        self.role: Role = "none"
        self.affiliation: Affiliation = "none"
        self.wear(children, lang)

    def wear(self, children: tuple[Element, ...], lang: str) -> None:
        """Take another presence."""
        self.children = children
        self.lang = lang
        show, priority = "", 0
        for child in children:
            if child.ns == ns.CLIENT:
                if child.name == "show":
                    show = child.text
                elif child.name == "priority":
                    text = child.text.strip()
                    # Short and checked first: int() takes other scripts' digits too, and long texts cost it much.
                    if _PRIORITY.fullmatch(text):
                        priority = int(text)
        #: How present it is: the client that is more so is shown.
        self.rank = (_SHOWS.get(show, 0), priority)


class Occupant:
    """A nickname in a room. `user` is the bare JID behind it, `jid` the occupant JID (`room/nick`), `id` the stable
    occupant id (XEP-0421). `affiliation` and `role` are kept current by the room: only the room changes them."""

    __slots__ = ("affiliation", "clients", "id", "jid", "nick", "role", "shown", "since", "user", "views", "visible")

    def __init__(
        self, jid: Jid, user: Jid, id: str, affiliation: Affiliation, role: Role, client: Client, since: float
    ) -> None:
        """`since` is when it came, in seconds since the epoch."""
        self.nick = jid.resource
        self.jid = jid
        self.user = user
        self.id = id
        self.affiliation: Affiliation = affiliation
        self.role: Role = role
        self.clients: dict[str, Client] = {client.jid.full: client}
        self.shown = client
        self.since = since
        #: Whether the others were told that he is there; see affiliations.py.
        self.visible = False
        #: Its presence as others see it, without and with the real JID; None until somebody needs it.
        self.views: list[Stanza | None] = [None, None]

    @property
    def lead(self) -> Client:
        """The client that has had the nickname the longest: the node that serves it decides for the occupant."""
        clients = self.clients
        if len(clients) == 1:
            return next(iter(clients.values()))
        return min(clients.values(), key=_stamp)

    def changed(self) -> None:
        """What others see has changed: forget the encoded presence."""
        self.views = [None, None]

    def choose(self) -> bool:
        """Choose the client that is shown: the most present one, of equal ones the first, so that all nodes choose the
        same. Returns whether it is another one than before."""
        best = self.shown if len(self.clients) == 1 and self.shown.jid.full in self.clients else None
        if best is None:
            best = min(self.clients.values(), key=_choice)
        if best is self.shown:
            return False
        self.shown = best
        return True

    def __repr__(self) -> str:
        return f"<Occupant {self.jid} {self.affiliation}/{self.role} clients={len(self.clients)}>"


def _stamp(client: Client) -> int:
    return client.stamp


def _choice(client: Client) -> tuple[int, int, int]:
    return -client.rank[0], -client.rank[1], client.stamp
