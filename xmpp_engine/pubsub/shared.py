"""What the publish-subscribe services of one engine share, whatever domain they belong to: the writer of items, which
node of a cluster serves, and the way from an address to its service."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from xmpp_engine.pubsub.leading import Leading
from xmpp_engine.pubsub.writer import Writer

if TYPE_CHECKING:
    from xmpp_engine.pubsub.service import PubSubService
    from xmpp_engine.routing.host import Services

_KEY: Final = "publish-subscribe"


class Shared:
    """One for each engine; `of` finds it."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self.writer = Writer(services.stores, services.tasks)
        self.leading = Leading(services, self)
        #: Functions that know further services by address, by the domain that added them: those of accounts.
        self.finders: dict[str, Callable[[str], PubSubService | None]] = {}
        #: When expired items and subscriptions were looked for last (monotonic).
        self.swept = float("-inf")

    def services(self) -> Iterator[PubSubService]:
        """All services with a domain of their own."""
        from xmpp_engine.pubsub.service import PubSubService

        for service in self._services.router.services.values():
            if isinstance(service, PubSubService):
                yield service

    def find(self, address: str) -> PubSubService | None:
        """The service of a domain, or that of an account if it is in memory."""
        for service in self.services():
            if service.domain == address:
                return service
        for finder in self.finders.values():
            found = finder(address)
            if found is not None:
                return found
        return None


def of(services: Services) -> Shared:
    """What is shared in this engine."""
    extras: dict[str, Any] = services.extras
    found: Shared | None = extras.get(_KEY)
    if found is None:
        found = extras[_KEY] = Shared(services)
    return found
