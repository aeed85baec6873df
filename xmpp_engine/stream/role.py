"""What a stream is for: the Role protocol, and the seam to the layers above (`Binder`).

The stream layer may not import sessions and hosts; it gets a binder at construction and asks it. The one implementation
is `routing/binder.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.config.schema import HostConfig
from xmpp_engine.observe.counters import Counters
from xmpp_engine.storage.types import Credentials
from xmpp_engine.stream.stream import Stream
from xmpp_engine.xml.element import Element


class Features(Protocol):
    """The part of a host's handler table that negotiation reads."""

    @property
    def stream_features(self) -> tuple[Callable[[Any], Any], ...]:
        """Functions of (host) to an Element or None, for the features after authentication. What they return may depend
        on the host's configuration and on nothing else: it is kept until host or table change."""

    @property
    def early_features(self) -> tuple[Callable[[Any], Any], ...]:
        """The same for the features beside the SASL mechanisms."""


class HostLike(Protocol):
    """What negotiation knows of a domain (`routing.host.Host`)."""

    @property
    def domain(self) -> str:
        """Its name, prepared."""

    @property
    def config(self) -> HostConfig:
        """Its configuration at this moment."""

    @property
    def table(self) -> Features:
        """What its modules registered."""


@dataclass(slots=True)
class LoginFacts:
    """How somebody signed in, kept with the session: for lists, logs and decisions of modules."""

    mechanism: str
    account_id: int
    is_admin: bool
    peer: str
    transport: str
    secure: bool
    lang: str


class Binder(Protocol):
    """What negotiation asks of the layers above."""

    def host(self, domain: str) -> HostLike | None:
        """The host of a prepared domain, None where it is not served here."""

    def default_host(self) -> HostLike | None:
        """The host for a header without `to`."""

    async def credentials(self, host: Any, bare: str) -> Credentials | None:
        """What is stored of an account; raises StoreUnavailable."""

    async def spend_token(self, bare: str, stored_key: bytes) -> bool:
        """Use up a one-time token; False when it was spent before. Raises StoreUnavailable."""

    async def run_blocking(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run something slow outside the loop's thread."""

    async def bind(self, stream: Any, account: Jid, resource: str | None, facts: Any) -> Jid:
        """Make the session and point the stream's `on_element` and `on_lost` to it, last and without waiting in
        between.

        Returns the full JID; raises StanzaError (RFC 6120, 7.6.2 and 7.7.2) when it cannot be.
        """

    async def resume(self, stream: Any, account: Jid, element: Element, facts: Any) -> bool:
        """XEP-0198 `<resume/>`: True when the stream was taken over; else `<failed/>` was sent."""

    def spawn(self, name: str, coroutine: Coroutine[Any, Any, Any]) -> object:
        """Run a supervised task."""


class Role(Protocol):
    """What is negotiated on a stream, and what becomes of it. One object for each stream."""

    @property
    def counters(self) -> Counters:
        """Where errors are counted."""

    def attach(self, stream: Stream) -> None:
        """The stream this role is for; called while it is made."""

    @property
    def domain(self) -> str:
        """The name for our header while the peer has not said whom it wants, "" for none."""

    def opened(self, root: Element) -> None:
        """The peer's header; raises StreamError."""

    def handle(self, element: Element) -> None:
        """An element during negotiation; raises StreamError."""

    def secured(self) -> None:
        """TLS is established."""

    def lost(self) -> None:
        """The connection is gone."""
