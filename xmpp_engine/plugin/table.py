"""HandlerTable: everything the modules of one host registered, compiled to tuples and dictionaries (hot data).

A table is immutable once compiled: a reload makes a new one and sessions switch by reference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from xmpp_engine.plugin.phases import Phase

Hook = Callable[..., Any]

#: Iqs of one sender that are served at a time, unless their handler takes more.
AT_ONCE = 32
#: Kinds of hook that run in phases.
PHASED = ("message_out", "presence_out", "iq_out", "message_in", "presence_in", "iq_in", "room_message") + (
    "s2s_in",
    "s2s_out",
)
#: Kinds of hook that run in module order.
PLAIN = (
    "offline",
    "presend",
    "session_bound",
    "session_closed",
    "session_asleep",
    "session_awake",
    "presence_changed",
    "account_loaded",
    "account_removed",
    "device_ended",
)


class Target(Enum):
    """Who an iq or a disco query is addressed to."""

    #: The domain itself.
    HOST = "host"
    #: A bare JID of this domain, or no address at all: the server answers for the account.
    ACCOUNT = "account"
    #: A room of a service of this domain (the bare JID of the room); `IqContext.room` is set.
    ROOM = "room"
    #: The domain of a chat service; `IqContext.room` is its muc.service.RoomService.
    SERVICE = "service"
    #: The domain of a publish-subscribe service; `IqContext.room` is its pubsub.service.PubSubService.
    PUBSUB = "pubsub"


@dataclass(frozen=True, slots=True)
class Entry:
    """One registration, with its owner for people and error logs."""

    kind: str
    phase: Phase | None
    owner: str
    function: Hook


@dataclass(frozen=True, slots=True)
class IqHandler:
    """One iq handler; `waits` when it is a coroutine function, decided at registration. `own_only` limits a handler of
    Target.ACCOUNT to the account's own sessions: others get `forbidden`. `at_once` is how many iqs of one sender may be
    under way when another one comes. `ordered`: it is called when earlier sets of the sender for the same module are
    dealt with."""

    function: Hook
    owner: str
    waits: bool
    own_only: bool
    at_once: int = AT_ONCE
    ordered: bool = True


class HandlerTable:
    """The compiled registrations of one host."""

    __slots__ = (
        "account_loaded",
        "account_removed",
        "bind_inline",
        "bound_extras",
        "device_ended",
        "disco_extras",
        "disco_items",
        "early_features",
        "element",
        "entries",
        "features",
        "identities",
        "iq",
        "iq_in",
        "iq_out",
        "message_in",
        "message_out",
        "offline",
        "presence_changed",
        "presence_in",
        "presence_out",
        "presend",
        "room_message",
        "s2s_in",
        "s2s_out",
        "services",
        "session_asleep",
        "session_awake",
        "session_bound",
        "session_closed",
        "stream_features",
        "timers",
    )

    def __init__(self) -> None:
        self.entries: tuple[Entry, ...] = ()
        self.message_out: tuple[Hook, ...] = ()
        self.presence_out: tuple[Hook, ...] = ()
        self.iq_out: tuple[Hook, ...] = ()
        self.message_in: tuple[Hook, ...] = ()
        self.presence_in: tuple[Hook, ...] = ()
        self.iq_in: tuple[Hook, ...] = ()
        self.room_message: tuple[Hook, ...] = ()
        self.s2s_in: tuple[Hook, ...] = ()
        self.s2s_out: tuple[Hook, ...] = ()
        self.offline: tuple[Hook, ...] = ()
        self.presend: tuple[Hook, ...] = ()
        self.session_bound: tuple[Hook, ...] = ()
        self.session_closed: tuple[Hook, ...] = ()
        self.session_asleep: tuple[Hook, ...] = ()
        self.session_awake: tuple[Hook, ...] = ()
        self.presence_changed: tuple[Hook, ...] = ()
        self.account_loaded: tuple[Hook, ...] = ()
        self.account_removed: tuple[Hook, ...] = ()
        self.device_ended: tuple[Hook, ...] = ()
        #: (target, type, namespace, name) -> handler
        self.iq: dict[tuple[Target, str, str, str], IqHandler] = {}
        #: (namespace, name) of an element at stream level after bind -> function(element, session)
        self.element: dict[tuple[str, str], Hook] = {}
        #: element(s) for <stream:features/> after authentication: functions of (stream facts) -> Element | None
        self.stream_features: tuple[Hook, ...] = ()
        #: the same before authentication
        self.early_features: tuple[Hook, ...] = ()
        #: What Bind 2 can enable, by namespace, and what it always tells.
        self.bind_inline: dict[str, Hook] = {}
        self.bound_extras: tuple[Hook, ...] = ()
        self.features: dict[Target, tuple[str, ...]] = {}
        #: (category, type, name) per target
        self.identities: dict[Target, tuple[tuple[str, str, str], ...]] = {}
        self.disco_items: tuple[Hook, ...] = ()
        self.disco_extras: tuple[Hook, ...] = ()
        #: sub-domain -> object with receive(stanza)
        self.services: dict[str, Any] = {}
        self.timers: tuple[tuple[float, Hook, str], ...] = ()

    def owner_of(self, function: Hook) -> Entry | None:
        """The registration of a hook: asked only when it has raised."""
        return next((entry for entry in self.entries if entry.function == function), None)

    def dump(self) -> str:
        """The whole order as text for people, one registration a line."""
        lines = []
        for kind in (*PHASED, *PLAIN):
            for function in getattr(self, kind):
                entry = self.owner_of(function)
                if entry is not None:
                    phase = entry.phase.name if entry.phase else "-"
                    lines.append(f"{kind:18} {phase:9} {entry.owner:14} {function.__name__}")
        for key, handler in sorted(self.iq.items(), key=lambda item: (item[0][0].value, item[0][1:])):
            lines.append(f"iq {key[1]:15} {key[0].value:9} {handler.owner:14} {{{key[2]}}}{key[3]}")
        for (space, name), function in sorted(self.element.items()):
            lines.append(f"{'element':18} {'-':9} {getattr(function, '__name__', '?'):14} {{{space}}}{name}")
        return "\n".join(lines) + "\n"
