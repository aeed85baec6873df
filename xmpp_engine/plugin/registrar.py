"""Registrar: the typed methods by which a module shows its whole surface in `setup(reg)`.

One registrar serves one host. There is no way to take a registration back: a reload compiles a new table from the
modules that are loaded then.
"""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from xmpp_engine.plugin.phases import Phase
from xmpp_engine.plugin.table import AT_ONCE, PHASED, PLAIN, Entry, HandlerTable, IqHandler, Target

if TYPE_CHECKING:
    from xmpp_engine.plugin.module import Module
    from xmpp_engine.plugin.verdict import Verdict


class RegistrationError(Exception):
    """Two modules claim one thing, or a registration makes no sense: the engine does not start."""


class Registrar:
    """Collects the registrations of one host and compiles them. `Stanza`, `Session` and `Account` below are those of
    `stanza.stanza`, `routing.session` and `routing.account`; this layer only passes them on."""

    def __init__(self) -> None:
        self._owner = ""
        self._entries: list[Entry] = []
        self._iq: dict[tuple[Target, str, str, str], IqHandler] = {}
        self._element: dict[tuple[str, str], Any] = {}
        self._bind_inline: dict[str, Any] = {}
        self._bound_extras: list[Any] = []
        self._features: defaultdict[Target, list[str]] = defaultdict(list)
        self._identities: defaultdict[Target, list[tuple[str, str, str]]] = defaultdict(list)
        self._stream_features: list[Any] = []
        self._early_features: list[Any] = []
        self._disco_items: list[Any] = []
        self._disco_extras: list[Any] = []
        self._services: dict[str, Any] = {}
        self._timers: list[tuple[float, Any, str]] = []

    def add(self, module: Module) -> None:
        """Take a module's class data and let it register."""
        self._owner = module.name
        for target, features in module.features.items():
            self._features[target].extend(features)
        for target, identities in module.identities.items():
            self._identities[target].extend(identities)
        module.setup(self)
        self._owner = ""

    # Hooks on what local sessions send. They see the sender's session.
    def message_out(self, phase: Phase, hook: Callable[[Any, Any], Verdict]) -> None:
        """hook(stanza, session) for each message a local session sends."""
        self._hook("message_out", phase, hook)

    def presence_out(self, phase: Phase, hook: Callable[[Any, Any], Verdict]) -> None:
        """hook(stanza, session) for each presence a local session sends, of every type."""
        self._hook("presence_out", phase, hook)

    def iq_out(self, phase: Phase, hook: Callable[[Any, Any], Verdict]) -> None:
        """hook(stanza, session) for each iq a local session sends."""
        self._hook("iq_out", phase, hook)

    # Hooks on what reaches a local account, from wherever. They see the resident account.
    def message_in(self, phase: Phase, hook: Callable[[Any, Any, Any], Verdict]) -> None:
        """hook(stanza, account, targets): `targets` is the list of sessions chosen by RFC 6121, 8.5 (may be empty)."""
        self._hook("message_in", phase, hook)

    def presence_in(self, phase: Phase, hook: Callable[[Any, Any], Verdict]) -> None:
        """hook(stanza, account) for presence of every type to a bare or full JID of a local account."""
        self._hook("presence_in", phase, hook)

    def iq_in(self, phase: Phase, hook: Callable[[Any, Any], Verdict]) -> None:
        """hook(stanza, account) for each iq to a bare or full JID of a local account, before it is answered or
        delivered."""
        self._hook("iq_in", phase, hook)

    def room_message(self, phase: Phase, hook: Callable[[Any, Any, Any], Verdict]) -> None:
        """hook(stanza, room, occupant) for each groupchat message and subject that a room is about to send.

        `stanza` has the sender's occupant JID (or the room's own) as sender and no `to`; `occupant` is None where the
        room itself speaks. In STORE the archive adds the room's stanza-id.
        """
        self._hook("room_message", phase, hook)

    def s2s_in(self, phase: Phase, hook: Callable[[Any, Any], Verdict]) -> None:
        """hook(stanza, stream) for each stanza that another server sends to this domain or a service below it, before
        it is routed; `stream` is s2s.peer_stream.PeerStream."""
        self._hook("s2s_in", phase, hook)

    def s2s_out(self, phase: Phase, hook: Callable[[Any, Any], Verdict]) -> None:
        """hook(stanza, destination) for each stanza that leaves this domain or a service below it for another server;
        `destination` is s2s.destination.Destination."""
        self._hook("s2s_out", phase, hook)

    def offline(self, hook: Callable[[Any, Any], Verdict]) -> None:
        """hook(stanza, account) for a message that no session takes; HANDLED when stored. Unhandled is answered
        `service-unavailable`."""
        self._hook("offline", None, hook)

    def presend(self, hook: Callable[[Any, Any], Verdict]) -> None:
        """hook(stanza, session) right before a stanza goes to a session; HANDLED keeps it back
        (`session.transmit(stanza)` sends it later)."""
        self._hook("presend", None, hook)

    def session_bound(self, hook: Callable[[Any], None]) -> None:
        """hook(session) after a resource is bound, before its first stanza."""
        self._hook("session_bound", None, hook)

    def session_closed(self, hook: Callable[[Any, str], None]) -> None:
        """hook(session, reason) when a session has ended for good; it is no longer in the registry."""
        self._hook("session_closed", None, hook)

    def session_asleep(self, hook: Callable[[Any], None]) -> None:
        """hook(session) when a session has lost its connection and waits to be resumed (XEP-0198)."""
        self._hook("session_asleep", None, hook)

    def session_awake(self, hook: Callable[[Any], None]) -> None:
        """hook(session) when a session goes on over a new connection (what waited has been written), or when its client
        says that somebody looks at it (XEP-0352)."""
        self._hook("session_awake", None, hook)

    def presence_changed(self, hook: Callable[[Any, Any, Any], None]) -> None:
        """hook(session, old, new) after a session's own presence changed; each is a Stanza, or None for unavailable."""
        self._hook("presence_changed", None, hook)

    def account_loaded(self, hook: Callable[[Any], None]) -> None:
        """hook(account) when an account becomes resident."""
        self._hook("account_loaded", None, hook)

    def account_removed(self, hook: Callable[[str], None]) -> None:
        """hook(bare) when the account of a bare JID is gone for good, on whichever domain; the stores have forgotten
        it."""
        self._hook("account_removed", None, hook)

    def device_ended(self, hook: Callable[[Any, str], None]) -> None:
        """hook(account, device) when a device (its reference) was revoked; the store has forgotten it, its sessions are
        about to end."""
        self._hook("device_ended", None, hook)

    def iq_get(
        self,
        target: Target,
        space: str,
        name: str,
        handler: Callable[[Any, Any], Any],
        *,
        own_only: bool = False,
        at_once: int = AT_ONCE,
        ordered: bool = True,
    ) -> None:
        """handler(iq, context) -> payload Element | None for an empty result; may be a coroutine function; raises
        StanzaError.

        `context` is routing.iq.IqContext. `own_only`: only the account's own sessions may ask, others get `forbidden`.
        `at_once`: with this many iqs of one sender under way the next one is refused. `ordered`: it waits for earlier
        sets of the sender for this module; False for what changes nothing, or keeps the order of changes by itself.
        """
        self._iq_handler(target, "get", space, name, handler, own_only, at_once, ordered)

    def iq_set(
        self,
        target: Target,
        space: str,
        name: str,
        handler: Callable[[Any, Any], Any],
        *,
        own_only: bool = False,
        at_once: int = AT_ONCE,
        ordered: bool = True,
    ) -> None:
        """As `iq_get`, for type set."""
        self._iq_handler(target, "set", space, name, handler, own_only, at_once, ordered)

    def element(self, space: str, name: str, handler: Callable[[Any, Any], None]) -> None:
        """handler(element, session) for an element that is no stanza, at stream level after bind."""
        if (space, name) in self._element:
            raise RegistrationError(f"{self._owner}: element {{{space}}}{name} is taken")
        self._element[(space, name)] = handler

    def stream_feature(self, feature: Callable[[Any], Any]) -> None:
        """feature(host) -> Element | None, shown in the features after authentication."""
        self._stream_features.append(feature)

    def early_feature(self, feature: Callable[[Any], Any]) -> None:
        """feature(host) -> Element | None, shown beside the SASL mechanisms."""
        self._early_features.append(feature)

    def bind_inline(self, space: str, handler: Callable[[Any, Any], Any]) -> None:
        """handler(element, session) -> Element | None for an inline request of Bind 2 (XEP-0386) in this namespace.

        What it returns stands in `<bound/>`. It must not write to the session's stream."""
        self._bind_inline[space] = handler

    def bound_extra(self, source: Callable[[Any], Any]) -> None:
        """async source(session) -> Element | None, shown in every `<bound/>` (XEP-0386). What is delivered to the
        session meanwhile waits."""
        self._bound_extras.append(source)

    def disco_items(self, source: Callable[[], Any]) -> None:
        """source() -> iterable of (jid, name) shown in the domain's disco items."""
        self._disco_items.append(source)

    def disco_extra(self, source: Callable[[Target], Any]) -> None:
        """source(target) -> Element (a data form, XEP-0128) | None, shown in disco info."""
        self._disco_extras.append(source)

    def service(self, domain: str, service: Any) -> None:
        """Claim a sub-domain; `service.receive(stanza)` gets all that is sent there."""
        if domain in self._services:
            raise RegistrationError(f"{self._owner}: the domain {domain} is taken")
        self._services[domain] = service

    def timer(self, seconds: float, function: Callable[[], Any]) -> None:
        """Call a plain or coroutine function again and again with this pause."""
        self._timers.append((seconds, function, self._owner))

    def compile(self) -> HandlerTable:
        """The table of all that was registered."""
        table = HandlerTable()
        table.entries = tuple(self._entries)
        for kind in PHASED:
            chosen = [entry for entry in self._entries if entry.kind == kind]
            chosen.sort(key=lambda entry: entry.phase or 0)  # stable: module order inside a phase
            setattr(table, kind, tuple(entry.function for entry in chosen))
        for kind in PLAIN:
            setattr(table, kind, tuple(entry.function for entry in self._entries if entry.kind == kind))
        table.iq = dict(self._iq)
        table.element = dict(self._element)
        table.bind_inline = dict(self._bind_inline)
        table.bound_extras = tuple(self._bound_extras)
        table.features = {target: tuple(sorted(set(names))) for target, names in self._features.items()}
        table.identities = {target: tuple(names) for target, names in self._identities.items()}
        table.stream_features = tuple(self._stream_features)
        table.early_features = tuple(self._early_features)
        table.disco_items = tuple(self._disco_items)
        table.disco_extras = tuple(self._disco_extras)
        table.services = dict(self._services)
        table.timers = tuple(self._timers)
        return table

    def _hook(self, kind: str, phase: Phase | None, hook: Any) -> None:
        if inspect.iscoroutinefunction(hook):
            raise RegistrationError(f"{self._owner}: a {kind} hook must be a plain function")
        self._entries.append(Entry(kind, phase, self._owner, hook))

    def _iq_handler(
        self,
        target: Target,
        type: str,
        space: str,
        name: str,
        handler: Any,
        own_only: bool,
        at_once: int,
        ordered: bool,
    ) -> None:
        key = (target, type, space, name)
        if key in self._iq:
            raise RegistrationError(f"{self._owner}: iq {type} {{{space}}}{name} is taken by {self._iq[key].owner}")
        waits = inspect.iscoroutinefunction(handler)
        self._iq[key] = IqHandler(handler, self._owner, waits, own_only, at_once, ordered)
