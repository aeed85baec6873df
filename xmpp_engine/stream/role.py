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
from xmpp_engine.storage.devices import DeviceStore
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

    @property
    def bind_inline(self) -> dict[str, Callable[..., Any]]:
        """Namespaces of what can be asked for with a bind (XEP-0386)."""


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
    #: The reference of the client's device and by what it proved who it is (storage/devices.py); what it says of
    #: itself, until that is noted.
    device: str = ""
    method: int = 0
    agent: tuple[str, str] | None = None
    #: Whether the resource is of our making: it says nothing of the client.
    drawn: bool = False


class Bound(Protocol):
    """A resource bound inline (XEP-0386) that sends nothing before `begin`."""

    @property
    def jid(self) -> Jid:
        """Its full JID."""

    @property
    def answer(self) -> Element:
        """The `<bound/>`."""

    def begin(self) -> None:
        """The success is written: the session takes the stream over, and what it had to send goes out."""


class Resumed(Protocol):
    """A session resumed inline (XEP-0198, 9.2)."""

    @property
    def jid(self) -> Jid:
        """Its full JID."""

    def begin(self) -> None:
        """The success is written: what the client has missed goes out."""


class Binder(Protocol):
    """What negotiation asks of the layers above."""

    @property
    def devices(self) -> DeviceStore:
        """The clients of accounts and their tokens."""

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

    async def bind_inline(self, stream: Any, account: Jid, resource: str, request: Element, facts: Any) -> Bound:
        """Bind as XEP-0386 has it; an earlier session of the same device ends. Raises StanzaError."""

    async def resume_inline(
        self, stream: Any, account: Jid, element: Element, facts: Any
    ) -> tuple[Element, Resumed | None]:
        """`<resumed/>` with the session, or `<failed/>` and None; writes nothing."""

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
