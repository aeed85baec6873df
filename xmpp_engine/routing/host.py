"""Host: one domain with its configuration, modules and compiled table; Services: what every module may use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.config.schema import HostConfig
from xmpp_engine.plugin.module import Module
from xmpp_engine.plugin.table import HandlerTable

if TYPE_CHECKING:
    from collections.abc import Callable

    from xmpp_engine.observe.counters import Counters
    from xmpp_engine.routing.account import Account, AccountTable
    from xmpp_engine.routing.coherence import Coherence
    from xmpp_engine.routing.iq import IqDispatch
    from xmpp_engine.routing.ports import Peers
    from xmpp_engine.routing.registry import Registry
    from xmpp_engine.routing.router import Router
    from xmpp_engine.routing.whereabouts import Whereabouts
    from xmpp_engine.runtime.clock import Clock
    from xmpp_engine.runtime.ledger import Ledger
    from xmpp_engine.runtime.tasks import Tasks
    from xmpp_engine.storage.protocols import Stores


class Host:
    """A domain that this engine serves. `table` and `config` are swapped by reference on a reload."""

    __slots__ = ("config", "domain", "jid", "modules", "table")

    def __init__(self, config: HostConfig) -> None:
        self.domain = config.domain
        self.jid = Jid("", config.domain)
        self.config = config
        self.modules: dict[str, Module] = {}
        self.table = HandlerTable()


class Services:
    """The shared objects of one engine, handed to every module. `extras` carries what the embedding application adds
    (the archive's reader, the administrators' commands), by name. `cluster` is None for a node that is alone."""

    __slots__ = (
        "accounts",
        "clock",
        "cluster",
        "coherence",
        "counters",
        "extras",
        "iq",
        "ledger",
        "registry",
        "router",
        "stores",
        "tasks",
        "whereabouts",
    )

    def __init__(
        self,
        stores: Stores,
        clock: Clock,
        tasks: Tasks,
        ledger: Ledger,
        counters: Counters,
        registry: Registry,
        accounts: AccountTable,
        router: Router,
        iq: IqDispatch,
        extras: dict[str, Any],
        cluster: Peers | None = None,
    ) -> None:
        self.cluster = cluster
        #: Sessions on other nodes, and what they have of accounts; None for a node that is alone.
        self.whereabouts: Whereabouts | None = None
        self.coherence: Coherence | None = None
        self.stores = stores
        self.clock = clock
        self.tasks = tasks
        self.ledger = ledger
        self.counters = counters
        self.registry = registry
        self.accounts = accounts
        self.router = router
        self.iq = iq
        self.extras = extras

    def tell(self, bare: str, what: str, *values: Any) -> None:
        """Something of an account has changed here: other nodes of a cluster are told (`coherence.py`)."""
        self.accounts.changed(bare)
        if self.coherence is not None:
            self.coherence.tell(bare, what, *values)

    def hear(
        self,
        domain: str,
        what: str,
        function: Callable[[Account | None, str, list[Any]], Any],
        whole: Callable[[str], Any] | None = None,
    ) -> None:
        """Call function(account or None, bare JID, values) when another node has told so, and whole(node) when a node
        has joined and knows nothing yet."""
        if self.coherence is not None:
            self.coherence.hear(domain, what, function, whole)
