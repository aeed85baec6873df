"""Crossing: stanzas that go from this node to another one and come from there (hot file).

A stanza is dealt with whole on the node that took it from its sender: the hooks of both accounts, the archive, offline
storage. Only the last step crosses, the delivery to a session (record "d"). So one batch of the ledger makes both sides
durable, and what XEP-0198 promises to the sender holds as on one node.

    d   number, full JID, to, carried, notes   to a session; notes of modules go along, and in which room it must be
    p   carried, addresses, since              presence and probes: the node runs the hooks and tells its own sessions,
                                               or answers for them
    r   carried, to                            to be dealt with there: a headline for somebody who is not resident here
    a   carried, to                            the answer to a request of that node itself
    k   full JID, since, silent, condition, text    a session ends
    v   full JID, since, carried               its presence is another one, by what the server adds

What cannot be delivered where it was sent (the session ended while it was on its way) is that node's to bring home;
what a node that is gone never acknowledged is this node's (`returns.py`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.routing.copies import SOLE
from xmpp_engine.routing.doubts import DELIVER, DOUBT, Doubts
from xmpp_engine.routing.ports import Directory, Peers, Record
from xmpp_engine.routing.remote_session import shown_presence
from xmpp_engine.routing.repeats import LATE, is_repeat
from xmpp_engine.routing.rescue import OTHERS, REPLAYED, SAME_SECONDS
from xmpp_engine.routing.returns import Returns
from xmpp_engine.routing.strangers import Strangers
from xmpp_engine.stanza.build import presence
from xmpp_engine.stanza.carried import CarriedStanza, carry
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml.errors import StreamError

if TYPE_CHECKING:
    from xmpp_engine.routing.account import Account
    from xmpp_engine.routing.host import Host, Services
    from xmpp_engine.routing.remote_session import RemoteSession
    from xmpp_engine.routing.session import Session

#: Notes of stanzas that go along, and the room in which a session must be that is to get one.
ALONG: Final = (REPLAYED, OTHERS, DOUBT, SOLE, LATE)
ROOM: Final = "room"
SINCE: Final = "since"
#: Kinds of records: they are short because there are many.
SHOW: Final = "p"
ROUTE: Final = "r"
ANSWER: Final = "a"
KICK: Final = "k"
RENEW: Final = "v"
#: Presence that may be shown by each node to its own sessions.
_SHOWN: Final = frozenset({"", "unavailable", "error", "probe"})
#: Note of a probe that came from another node: each node answers for its own sessions.
HERE: Final = "here"
#: Note of a presence that says nothing of what its resource is like, but that somebody does not see it any more.
WITHDRAWN: Final = "withdrawn"
#: Seconds by which a session is later than it was on another node.
LATER: Final = 1e-6
#: Addresses of one record of presence.
_ADDRESSES: Final = 500


class Crossing:
    """The way of stanzas between this node and the others."""

    def __init__(self, services: Services, directory: Directory, peers: Peers) -> None:
        self._services = services
        self._directory = directory
        self._post = peers.post
        self._full = services.registry.full
        self._resident = services.accounts.resident
        self.doubts = Doubts()
        #: Where a session is that was here until it was resumed there, by full JID; and accounts with sessions that
        #: are just coming, for which `early` says whether a delivery has to wait. `handover.py` keeps both.
        self.moved: OrderedDict[str, str] = OrderedDict()
        self.returns = Returns(services, peers, self.doubts, self.moved)
        self.strangers = Strangers(services, directory)
        self.arrivals: dict[str, Any] = {}
        self.early: Callable[[str, str, Record], bool] = lambda _node, _full, _record: False
        self.shown_early: Callable[[str, str, Record], None] = lambda _node, _address, _record: None
        #: Of sessions that have just moved: nodes whose presence for them may still come here.
        self.unfenced: dict[str, set[str]] = {}
        #: Since when sessions were bound that have just ended here, by full JID; `whereabouts.py` keeps it.
        self.ended: dict[str, float] = {}
        #: What tags of requests stand for: nodes. Ours is `services.iq.tag`.
        self.tags: dict[str, str] = {}
        for kind, function in (
            (DELIVER, self._delivered),
            (SHOW, self._shown),
            (ROUTE, self._routed),
            (ANSWER, self._answered),
            (KICK, self._kicked),
            (RENEW, self._renewed),
        ):
            peers.handle(kind, function)

    # From here

    def deliver(self, session: RemoteSession, stanza: Stanza, room: str = "") -> None:
        """To a session of another node."""
        node = session.node
        out = self.doubts.out.get(node)
        if out is None:
            return  # It is about to be gone.
        number = out.number = out.number + 1
        to = stanza.to
        full = session.jid.full
        to_text = "" if to is None or to.full == full else to.full
        notes = stanza.notes
        along: dict[str, Any] | None = None
        if notes and (notes.get(OTHERS) or REPLAYED in notes or DOUBT in notes or SOLE in notes or LATE in notes):
            along = {name: notes[name] for name in ALONG if name in notes}
        if room:
            along = {**(along or {}), ROOM: room}
        if stanza.kind == "presence":
            along = {SINCE: self._since_of(stanza)}
        self._post(node, (DELIVER, number, full, to_text, *carry(stanza), along))

    def to_full(self, stanza: Stanza) -> bool:
        """To the session that has this full JID, without its account; False where there is none elsewhere."""
        to = stanza.to
        entry = self._directory.find(to.bare, to.resource) if to is not None and to.resource else None
        if entry is None or to is None:
            return False
        out = self.doubts.out.get(entry.node)
        if out is None:
            return False
        out.number += 1
        self._post(entry.node, (DELIVER, out.number, to.full, "", *carry(stanza), None))
        return True

    def online(self, bare: str) -> bool:
        """Whether an account has sessions on other nodes."""
        return bool(self._directory.of(bare))

    def show(self, stanza: Stanza, addresses: Iterable[Jid]) -> None:
        """Presence for accounts that are not resident here, to every node that has sessions of them."""
        by_node: dict[str, list[str]] = {}
        for jid in addresses:
            for node in dict.fromkeys(entry.node for entry in self._directory.of(jid.bare)):
                by_node.setdefault(node, []).append(jid.full)
        if by_node:
            for node, texts in by_node.items():
                self.show_at(node, stanza, texts)

    def show_at(self, node: str, stanza: Stanza, addresses: list[str]) -> None:
        """The same to one node."""
        carried, since = carry(stanza), self._since_of(stanza)
        for start in range(0, len(addresses), _ADDRESSES):
            self._post(node, (SHOW, *carried, addresses[start : start + _ADDRESSES], since))

    def _since_of(self, stanza: Stanza) -> float:
        """Of which session of a full JID a presence is: since when it is bound; 0.0 where that is not known, or does
        not matter."""
        if stanza.notes is not None and WITHDRAWN in stanza.notes:
            return 0.0
        sender = stanza.sender
        session = self._full.get(sender.full)
        if session is not None:
            return session.since
        ended = self.ended.get(sender.full)
        if ended is not None:
            return ended
        entry = self._directory.find(sender.bare, sender.resource) if sender.resource else None
        return entry.since if entry is not None else 0.0

    def _fresh(self, shown: Stanza, since: float) -> Stanza | None:
        """What to show of a presence that came from a session since when it is bound. Links do not keep the order of
        what comes from several nodes, so another session may have its full JID by now, on another node: it has shown
        itself, and that the old one is gone is told only where it does not (None: nothing is to be shown). If that is
        the same one, which has moved, it has not: what it shows now is told."""
        sender = shown.sender
        if not since or shown.type not in ("", "unavailable"):
            return shown
        found = self._full.get(sender.full) or self._directory.find(sender.bare, sender.resource)
        # What comes back about a session of this node (passed on for one that has moved here) is older than that.
        if found is None or (found.since <= since and sender.full not in self._full):
            return shown
        if found.presence is None:
            return shown if shown.type else None
        if found.since > since + SAME_SECONDS:
            return None
        now: Stanza | bytes = found.presence
        return shown_presence(sender.full, now) if isinstance(now, bytes) else now

    def pass_on(self, stanza: Stanza) -> bool:
        """A stanza for an account that is not resident here but has sessions elsewhere, and that need not be stored:
        presence, or a headline. False where it is for this node."""
        to = stanza.to
        assert to is not None
        entries = self._directory.of(to.bare)
        if not entries or self._services.accounts.is_loading(to.bare):
            return False
        if stanza.kind == "presence" and stanza.type in _SHOWN:
            self.show(stanza, (to,))
            return True
        node = entries[0].node
        for entry in entries:
            if entry.resource == to.resource:
                node = entry.node
        self.route_at(node, stanza)
        return True

    def route_at(self, node: str, stanza: Stanza) -> None:
        """A stanza for an account, to be dealt with by another node."""
        assert stanza.to is not None
        self._post(node, (ROUTE, *carry(stanza), stanza.to.full))

    def renew(self, session: RemoteSession, stanza: Stanza) -> None:
        """The presence of a session elsewhere says more from now on."""
        self._post(session.node, (RENEW, session.jid.full, session.since, *carry(stanza)))

    def answer(self, stanza: Stanza) -> bool:
        """The answer to a request of another node, known by the tag in its id; False where it is nobody's."""
        node = self.tags.get((stanza.id or "").rpartition(".")[2])
        if node is None or stanza.to is None:
            return False
        self._post(node, (ANSWER, *carry(stanza), stanza.to.full))
        return True

    def kick(self, session: RemoteSession, error: StreamError, *, silent: bool = False) -> None:
        """End a session elsewhere. `silent`: contacts are not told by its node."""
        self._post(session.node, (KICK, session.jid.full, session.since, silent, error.condition, error.text or ""))
        session.ended = True
        account = session.account
        here: Any = account.sessions.get(session.jid.resource)
        if here is session:
            del account.sessions[session.jid.resource]
        self._directory.remove(account.bare, session.jid.resource, session.node, session.since)

    # From there

    def _delivered(self, node: str, record: Record) -> None:
        number, full = record[1], record[2]
        self.doubts.took(node, number)
        if self.arrivals and self.early(node, full, record):
            return
        self.hand_over(full, record)

    def hand_over(self, full: str, record: Record) -> None:
        """A delivery of another node to its session, or presence that had to wait with such."""
        if record[0] == SHOW:
            self._show_here("", record)
            return
        session = self._full.get(full)
        if session is None:
            self._missed(full, record)
            return
        to = record[3]
        if to == "":
            jid = session.jid
        elif to == session.account.bare:
            jid = session.account.jid
        else:
            jid = Jid.parse(to)
        stanza = CarriedStanza(record[4:10], jid)
        along = record[10]
        if along:
            room = along.pop(ROOM, "")
            if room and not is_in(session, room):
                return
            doubt = along.get(DOUBT)
            if doubt is not None and doubt[2] == full and self.doubts.arrived(doubt[0], doubt[1]):
                return  # It came the first time.
            since = along.pop(SINCE, 0.0)
            if stanza.kind == "presence":
                fresh = self._fresh(stanza, since)
                if fresh is None:
                    return
                self.strangers.shown(session, fresh)
                if fresh is not stanza:
                    session.deliver(fresh.addressed(jid))
                    return
            stanza.notes = along
            if (LATE in along or DOUBT in along) and is_repeat(session, stanza):
                return
        session.deliver(stanza)

    def _missed(self, full: str, record: Record) -> None:
        """The session is not here any more."""
        jid = Jid.parse(full)
        node = self.moved.get(full)
        if node is not None:
            out = self.doubts.out.get(node)
            if out is not None:
                out.number += 1
                self._post(node, (DELIVER, out.number, *record[2:]))
                return
        stanza = CarriedStanza(record[4:10], Jid.parse(record[3]) if record[3] else jid)
        stanza.notes = record[10] or None
        self.returns.bring_home(jid, stanza)

    def _shown(self, node: str, record: Record) -> None:
        self._show_here(node, record)
        if self.arrivals:
            for text in record[7]:
                if text.partition("/")[0] in self.arrivals:
                    self.shown_early(node, text, shown_to(record, (text,)))

    def _show_here(self, node: str, record: Record) -> None:
        """Presence from a node for our sessions of some accounts."""
        stanza: Stanza | None = CarriedStanza(record[1:7], None)
        assert stanza is not None
        probe = stanza.type == "probe"
        if not probe:
            stanza = self._fresh(stanza, record[8])
            if stanza is None:
                return
        for text in record[7]:
            jid = Jid.parse(text)
            account = self._resident.get(jid.bare)
            if account is not None:
                shown = stanza.addressed(jid)
                if probe:
                    shown.note(HERE, True)
                self._services.router.local.presence_here(shown, account)
                if self.unfenced and not probe:
                    self._pass_on_shown(node, jid, account, record)

    def _pass_on_shown(self, node: str, jid: Jid, account: Account, record: Record) -> None:
        """Sessions that were here a moment ago get what their new node has not got from this one."""
        for session in list(account.sessions.values()):
            full = session.jid.full
            if node in self.unfenced.get(full, ()) and jid.resource in ("", session.jid.resource):
                self._post(self.moved[full], shown_to(record, (full,)))

    def _routed(self, _node: str, record: Record) -> None:
        jid = Jid.parse(record[7])
        stanza = CarriedStanza(record[1:7], jid)
        host: Host | None = self._services.router.hosts.get(jid.domain)
        if host is None:
            return
        local = self._services.router.local
        there = local.message_to if stanza.kind == "message" else local.presence_to

        def loaded(account: Account | None, _error: Exception | None) -> None:
            if account is not None:
                there(stanza, account)

        # Not by the router: it could send it on, back to where it came from.
        self._services.accounts.fetch(jid.bare, host, loaded)

    def _answered(self, _node: str, record: Record) -> None:
        stanza = CarriedStanza(record[1:7], Jid.parse(record[7]))
        self._services.iq.answered(stanza)

    def _kicked(self, _node: str, record: Record) -> None:
        _kind, full, since, silent, condition, text = record[:6]
        session = self._full.get(full)
        if session is None and full in self.moved:
            # Each move makes it a little later (handover.py).
            self._post(self.moved[full], (KICK, full, since + LATER, silent, condition, text))
            return
        if session is None or session.since != since:
            return
        if silent:
            session.hush()
        session.kick(StreamError(condition, text))

    def _renewed(self, _node: str, record: Record) -> None:
        session = self._full.get(record[1])
        if session is None or session.since != record[2] or session.presence is None:
            return
        shows: Any = session.host.modules.get("presence")
        if shows is not None:
            shows.renew(session, CarriedStanza(record[3:9], None))


def withdrawn(session: Session, contact: Jid) -> Stanza:
    """What somebody gets who may not see a session any more (RFC 6121, 3.2.2): it is unavailable to him, whatever it
    shows to others, and whichever node says so."""
    stanza = presence(session.jid, contact, "unavailable")
    stanza.note(WITHDRAWN, True)
    return stanza


def shown_to(record: Record, addresses: Sequence[str]) -> Record:
    """A record of presence, for other addresses."""
    return (*record[:7], addresses, record[8])


def is_in(session: Session, room: str) -> bool:
    """Whether a resource is in a room (a bare JID): it has sent its presence there."""
    directed = session.directed
    return directed is not None and any(jid.bare == room for jid in directed.values())
