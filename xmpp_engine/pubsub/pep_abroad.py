"""Contacts on other servers hear of events too (XEP-0163, 4.3.2): their apps say in presence what they want.

A presence of a contact who may see an account tells which of his apps are there and, by capabilities, of which nodes
they want to hear. `pep.elsewhere` asks here when an event goes out. An app that shows itself to an account for the
first time, or wants more than before, gets the last items (4.3.4).

An app is known by its full JID, with the accounts to which it has shown itself: to others it is not there. What is
known goes with its unavailable presence. In a cluster the other nodes are told, for an event may begin on any of them;
one that joins is told by each of what has shown itself there.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Any, ClassVar, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.observe.log import refused
from xmpp_engine.plugin.module import Module, Xep
from xmpp_engine.plugin.phases import Phase
from xmpp_engine.plugin.registrar import Registrar
from xmpp_engine.plugin.verdict import Verdict
from xmpp_engine.pubsub import notify
from xmpp_engine.routing.account import Account
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.storage.types import RosterItem

_SEEING: Final = frozenset({"from", "both"})
#: People of other servers whose apps are known, apps of one of them, accounts that one app has shown itself to.
_PEOPLE: Final = 50_000
_APPS: Final = 20
_ACCOUNTS: Final = 1_000
#: Accounts in one record to a node that has joined.
_AT_ONCE: Final = 1_000
#: Apps that wait for last items.
_WAITING: Final = 10_000
_NOTHING: Final[frozenset[str]] = frozenset()
#: What nodes of a cluster tell each other: an app of somebody elsewhere wants this, or is gone.
_WANTS: Final = "apps abroad"


class _App:
    """One resource of somebody on another server."""

    __slots__ = ("accounts", "gone", "jid", "key", "wanted")

    def __init__(self, jid: Jid) -> None:
        self.jid = jid
        self.key: Any = None
        self.wanted = _NOTHING
        self.accounts: set[str] = set()
        self.gone = False


class Abroad(Module):
    """Interests of contacts on other servers, for the accounts of one domain."""

    name = "pep-abroad"
    xeps: ClassVar[tuple[Xep, ...]] = (Xep("0163", "1.2.2"),)
    requires = ("pep", "caps", "roster")

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        #: Bare JID to apps by full JID; who has not been heard of for longest comes first.
        self._people: OrderedDict[str, dict[str, _App]] = OrderedDict()
        self._waiting: deque[tuple[_App, str, frozenset[str]]] = deque()
        self._working = False

    def setup(self, reg: Registrar) -> None:
        self.needs("pep").elsewhere = self.resources
        self.needs("roster").listeners[self.name] = self.contact_changed
        self.services.hear(self.host.domain, _WANTS, self.heard, self.tell_all)
        # Before errors of presence end with the module that sends it.
        reg.presence_in(Phase.COPY, self.seen)

    def resources(self, account: Account, contact: Jid, node: str) -> Iterator[Jid]:
        """The apps of a contact that want to hear of a node of an account; see `pep.elsewhere`."""
        apps = self._people.get(contact.bare)
        if apps is not None:
            for app in apps.values():
                if node in app.wanted and account.bare in app.accounts:
                    yield app.jid

    # Presence

    def seen(self, stanza: Stanza, account: Account) -> Verdict:
        """A presence has come to an account."""
        sender = stanza.sender
        if sender.resource and sender.domain not in self.services.router.hosts:
            if stanza.type == "":
                item = account.roster.get(sender.bare)
                if item is not None and item.subscription in _SEEING:
                    self._came(stanza, account.bare)
            elif stanza.type in ("unavailable", "error"):
                self._left(sender, account.bare)
        return None

    def _came(self, stanza: Stanza, bare: str) -> None:
        app = self._app(stanza.sender)
        if app is None:
            return
        fresh = bare not in app.accounts
        if fresh and len(app.accounts) < _ACCOUNTS:
            app.accounts.add(bare)
        caps = self.needs("caps")
        key = caps.key_of(stanza)
        if key == app.key:
            if fresh and app.wanted:
                self._tell(app, bare)
                self._owe(app, bare, app.wanted)
            return
        app.key = key
        if key is None:
            self._learned(app, key, _NOTHING)
        else:
            caps.explain(stanza, lambda features: self._learned(app, key, caps.interests(features)))

    def _learned(self, app: _App, key: Any, wanted: frozenset[str]) -> None:
        """An app has explained itself, unless it is gone or another one by now."""
        if app.gone or app.key != key:
            return
        before, app.wanted = app.wanted, wanted
        for bare in app.accounts:
            self._tell(app, bare)
            if wanted - before:
                self._owe(app, bare, wanted - before)

    def _left(self, jid: Jid, bare: str) -> None:
        """An app is not there any more, for one account at least."""
        apps = self._people.get(jid.bare)
        app = apps.get(jid.full) if apps is not None else None
        if app is None or apps is None:
            return
        app.accounts.discard(bare)
        self.services.tell(bare, _WANTS, jid.full, None)
        if not app.accounts:
            app.gone = True
            del apps[jid.full]
            if not apps:
                del self._people[jid.bare]

    def _app(self, jid: Jid) -> _App | None:
        """The app with this full JID, made where it is new; None where somebody has too many."""
        apps = self._people.get(jid.bare)
        if apps is None:
            if len(self._people) >= _PEOPLE:
                for old in self._people.popitem(last=False)[1].values():
                    old.gone = True
            apps = self._people[jid.bare] = {}
        else:
            self._people.move_to_end(jid.bare)
        app = apps.get(jid.full)
        if app is None and len(apps) < _APPS:
            app = apps[jid.full] = _App(jid)
        return app

    # Other nodes

    def _tell(self, app: _App, bare: str) -> None:
        self.services.tell(bare, _WANTS, app.jid.full, sorted(app.wanted))

    def tell_all(self, node: str) -> None:
        """A node has joined: it learns of the apps that have shown themselves here."""
        self.services.tasks.spawn(f"apps of other servers for {node}", self._tell_all(node))

    async def _tell_all(self, node: str) -> None:
        coherence, cluster = self.services.coherence, self.services.cluster
        assert coherence is not None
        assert cluster is not None
        rows: list[tuple[str, list[str], list[str]]] = []
        count = 0
        for apps in list(self._people.values()):
            for app in apps.values():
                if app.key is not None and app.wanted and not app.gone:
                    rows.append((app.jid.full, sorted(app.wanted), sorted(app.accounts)))
                    count += len(app.accounts)
            if count >= _AT_ONCE:
                coherence.tell_one(node, self.host.domain, _WANTS, rows)
                rows, count = [], 0
                await cluster.room(node)
        if rows:
            coherence.tell_one(node, self.host.domain, _WANTS, rows)

    def heard(self, _account: Account | None, bare: str, values: list[Any]) -> None:
        """An app has shown itself to an account, or has left it, says the node that its server talks to; or all that
        have shown themselves there."""
        if bare == self.host.domain:
            for full, wanted, accounts in values[0]:
                for shown_to in accounts:
                    self.heard(None, shown_to, [full, wanted])
            return
        jid = Jid.parse(values[0])
        if values[1] is None:
            apps = self._people.get(jid.bare, {})
            app = apps.get(jid.full)
            if app is not None:
                app.accounts.discard(bare)
                if not app.accounts:
                    del apps[jid.full]
                    if not apps:
                        del self._people[jid.bare]
            return
        app = self._app(jid)
        if app is not None:
            app.wanted = frozenset(values[1])
            if len(app.accounts) < _ACCOUNTS:
                app.accounts.add(bare)

    # Last items

    def contact_changed(self, account: Account, old: RosterItem | None, new: RosterItem | None) -> None:
        """A contact may hear of an account no more: his apps are not there for it. Those who may from now on show
        themselves again."""
        if old is not None and old.subscription in _SEEING and (new is None or new.subscription not in _SEEING):
            for app in list(self._people.get(Jid.parse(old.jid).bare, {}).values()):
                self._left(app.jid, account.bare)

    def _owe(self, app: _App, bare: str, wanted: frozenset[str]) -> None:
        """An app is to get the last items of an account's nodes."""
        if len(self._waiting) >= _WAITING:
            refused.warning("%s does not get the last items of %s: too many wait for some", app.jid, bare)
            return
        self._waiting.append((app, bare, wanted))
        if not self._working:
            self._working = True
            self.services.tasks.spawn("last items for other servers", self._work())

    async def _work(self) -> None:
        try:
            while self._waiting:
                app, bare, wanted = self._waiting.popleft()
                try:
                    await self._serve(app, bare, wanted)
                except Exception as error:
                    refused.error("%s does not get the last items of %s: %s", app.jid, bare, error)
        finally:
            self._working = False

    async def _serve(self, app: _App, bare: str, wanted: frozenset[str]) -> None:
        account = self.services.accounts.get(bare)
        item = account.roster.get(app.jid.bare) if account is not None else None
        for service in await self.needs("pep").accounts.known([bare]):
            for node in service.last_items(wanted):
                if app.gone or bare not in app.accounts:
                    return
                if service.hears(node, app.jid, item):
                    await notify.last_item(node, app.jid)
