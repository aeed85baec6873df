"""Rows that cross the store protocols: small dataclasses, never model instances. Times are seconds since the epoch
(UTC)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from xmpp_engine.storage.outbox import OutboxRow

Subscription = Literal["none", "to", "from", "both"]
#: Removed contacts that a store remembers per account, the newest. An account that has this many has lost older ones: a
#: roster version before the oldest of them is answered with the whole roster.
REMOVED_KEPT: Final = 1_000


@dataclass(slots=True)
class ScramKeys:
    """What is stored of a password for one hash (RFC 5802, 3): never the password. `mechanism` is SCRAM-SHA-1 or
    SCRAM-SHA-256."""

    mechanism: str
    salt: bytes
    iterations: int
    stored_key: bytes
    server_key: bytes


@dataclass(slots=True)
class Credentials:
    """What authentication needs of an account.

    `state` is active, disabled, locked or expired. `keys` maps a mechanism's name to the keys of the password.
    `tokens` are the keys of one-time sign-in tokens that are still valid, derived with the same salt and iteration
    count as `keys` so that one SCRAM challenge serves them all.
    """

    account_id: int
    bare: str
    state: str
    keys: dict[str, ScramKeys]
    tokens: list[ScramKeys] = field(default_factory=list)
    is_admin: bool = False


@dataclass(slots=True)
class RosterItem:
    """One contact (RFC 6121, 2.1). `ask` is whether a subscription request is pending out; `approved` the
    pre-approval; `pending_in` whether the contact's own request waits for an answer (`request` is then its stored
    stanza). `version` is the roster's version at which the item last changed, 0 for one that was never in the roster:
    only a request."""

    jid: str
    name: str = ""
    subscription: Subscription = "none"
    ask: bool = False
    approved: bool = False
    groups: tuple[str, ...] = ()
    version: int = 0
    pending_in: bool = False
    request: str = ""

    @property
    def listed(self) -> bool:
        """Whether the item shows in the user's roster; a mere request from a stranger does not (RFC 6121, A.2.1)."""
        return (
            self.version > 0
            or self.subscription != "none"
            or self.ask
            or self.approved
            or bool(self.name)
            or bool(self.groups)
            or not self.pending_in
        )


@dataclass(slots=True)
class AccountData:
    """All that becomes resident when an account is first needed.

    `roster_version` is a counter that grows with each change; `removed` are (jid, version) of removed contacts kept for
    roster versioning. `last_logout` is 0.0 where there was none, `last_status` the text of the last unavailable
    presence; `motd_seen` is when the message of the day was set that the account was told last. `archive` is the user's
    preference: "always", "never", "roster" or "" for the domain's. `avatar` is the payload of the newest item of the
    account's node `urn:xmpp:avatar:metadata` and the node's stored configuration as JSON, None without one: presence
    shows it (XEP-0398), and presence does not wait. `moved_to` is the bare JID where the account's owner is now, "" for
    one that has not moved.
    """

    account_id: int
    bare: str
    state: str
    roster: dict[str, RosterItem]
    roster_version: int
    removed: list[tuple[str, int]] = field(default_factory=list)
    blocked: set[str] = field(default_factory=set)
    is_admin: bool = False
    archive: str = ""
    archive_always: frozenset[str] = frozenset()
    archive_never: frozenset[str] = frozenset()
    offline_count: int = 0
    offline_bytes: int = 0
    last_logout: float = 0.0
    last_status: str = ""
    created: float = 0.0
    motd_seen: float = 0.0
    avatar: tuple[str, str] | None = None
    moved_to: str = ""


@dataclass(slots=True)
class OfflineRow:
    """A message kept for an account that was not there. `id` is 0 until stored; `expires` 0.0 for never."""

    account_id: int
    stamp: float
    xml: str
    size: int
    id: int = 0
    expires: float = 0.0


@dataclass(slots=True)
class ArchiveRow:
    """One archived message; one row serves both sides of a message between local accounts.

    `id` is made before the row exists (`archive/ids.py`). `sender_account` and `recipient_account` are the local
    accounts in whose archives it stands, 0 for none. `peer` addresses are bare. `body` is the plain text for search,
    "" for none. `origin_id` is the sender's own id (XEP-0359 or the stanza's), "" for none.
    """

    id: int
    stamp: float
    sender: str
    recipient: str
    sender_account: int
    recipient_account: int
    kind: str
    body: str
    origin_id: str
    xml: str
    #: The number of the room (storage/rooms.py) in whose archive it stands, 0 for none; then `recipient` is the room.
    room: int = 0
    #: What it does to another message (`archive/events.py`) and the id by which it names that one, None for nothing.
    event: tuple[int, str] | None = None


@dataclass(slots=True)
class ArchiveShare:
    """A later addition to a row that is already stored: the recipient's archive has the message too."""

    id: int
    recipient_account: int


@dataclass(frozen=True, slots=True)
class TakenBack:
    """A message that the archive has taken back: its archive id, the room (a bare JID) in which it was said or "", and
    what is left of it, as `Stanza.restore` reads it. Of a `silent` one nobody is told."""

    id: str
    room: str
    xml: str
    silent: bool = False


@dataclass(slots=True)
class StreamMark:
    """How many stanzas of a resumable stream are durable (XEP-0198): survives a crash, so a client that comes back
    learns what it need not send again. `handled` is -1 when the stream has ended and the mark goes."""

    sm_id: str
    account_id: int
    handled: int


@dataclass(slots=True)
class Batch:
    """What one transaction of the ledger makes durable, all or nothing."""

    archive: list[ArchiveRow] = field(default_factory=list)
    shares: list[ArchiveShare] = field(default_factory=list)
    offline: list[OfflineRow] = field(default_factory=list)
    marks: dict[str, StreamMark] = field(default_factory=dict)
    #: Stanzas that wait for other servers, and ids of those that wait no more.
    outgoing: list[OutboxRow] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.archive or self.shares or self.offline or self.marks or self.outgoing or self.sent)
