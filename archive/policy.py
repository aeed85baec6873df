"""What is archived: who decides, in which order. Asked by the hooks for every message, so all is resident and worked
out before.

    kinds            what the domain archives at all (`options.ArchiveOptions`)
    the person       what an administrator has decided for him (`archive/selection`), else
    the domain       where it decides for all, else
    his preferences  (XEP-0441), else the domain's default

    the room         what an administrator has decided for it, else
    the domain       where it decides for all its rooms, else
    its owners       by its configuration

The two halves are independent of each other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from archive.options import ArchiveOptions, RoomArchiveOptions
from xmpp_engine.api import Account, AccountData, Jid, Stanza

_FORCED: Final[Mapping[str, bool | None]] = {"choice": None, "room": None, "always": True, "never": False}


class Decisions(Protocol):
    """What administrators have decided, by bare address: True, False, or not at all. The mappings stay the same objects
    and change in place, in the loop's thread."""

    users: dict[str, bool]
    rooms: dict[str, bool]
    #: Called, by who is told, when rooms have changed: with what was decided for each before.
    watchers: dict[str, Callable[[Mapping[str, bool | None]], object]]


class DomainConfig(Protocol):
    """What is asked of a HostConfig."""

    @property
    def archive(self) -> bool: ...


class Host(Protocol):
    """What is asked of a routing.host.Host: its configuration, which is another object after each change."""

    @property
    def config(self) -> DomainConfig: ...


class NoDecisions:
    """Nobody has decided anything."""

    def __init__(self) -> None:
        self.users: dict[str, bool] = {}
        self.rooms: dict[str, bool] = {}
        self.watchers: dict[str, Callable[[Mapping[str, bool | None]], object]] = {}


class UserPolicy:
    """What the archives of one domain's people take."""

    def __init__(
        self, options: ArchiveOptions, host: Host, decided: Decisions, is_service: Callable[[str], bool]
    ) -> None:
        """`host` has the domain's default; `is_service` says whether a domain is one of rooms."""
        self._host = host
        self._decided = decided.users
        self._is_service = is_service
        self.configure(options)

    def configure(self, options: ArchiveOptions) -> None:
        """Take other options."""
        kinds = self._named = frozenset(options.kinds)
        private = "private" in kinds
        #: Types of messages that may be archived.
        self.types = (kinds - {"private"}) | (frozenset({"chat", "normal"}) if private else frozenset())
        # As a rule a private message of a room is archived where a message between two people is.
        self._split = ("chat" in kinds, "normal" in kinds) != (private, private)
        self._domain = _FORCED[options.users]

    def takes(self, account: Account, peer: Jid, stanza: Stanza) -> bool:
        """Whether this account's archive takes a message with that peer; that it says something is another matter."""
        if self._split and not self._is_named(stanza.type, peer):
            return False
        forced = self._decided.get(account.bare, self._domain)
        if forced is not None:
            return forced
        data = account.data
        if data.archive == "" and not data.archive_never and not data.archive_always:
            return self._host.config.archive
        return self._chosen(data, peer)

    def forced(self, account: Account) -> tuple[bool | None, bool]:
        """What is decided over the account's head, None for nothing, and whether for it alone."""
        own = self._decided.get(account.bare)
        return (self._domain, False) if own is None else (own, True)

    def _chosen(self, data: AccountData, peer: Jid) -> bool:
        """What the account's preferences say of that peer, or the domain's default."""
        if data.archive_never and (peer.bare in data.archive_never or peer.full in data.archive_never):
            return False
        if data.archive_always and (peer.bare in data.archive_always or peer.full in data.archive_always):
            return True
        choice = data.archive
        if choice == "":
            return self._host.config.archive
        if choice == "roster":
            item = data.roster.get(peer.bare)
            return item is not None and item.listed
        return choice == "always"

    def _is_named(self, type: str, peer: Jid) -> bool:
        if type == "headline":
            return True
        private = bool(peer.resource) and self._is_service(peer.domain)
        return ("private" if private else type) in self._named


def room_decision(options: RoomArchiveOptions, decided: bool | None) -> bool | None:
    """Whether a room is archived, None where its own configuration says; `decided` is what an administrator has decided
    for it."""
    return _FORCED[options.rooms] if decided is None else decided
