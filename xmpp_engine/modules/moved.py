"""XEP-0283: contacts who have moved to another address are followed (section 4.4), and those of an account that has
moved are told.

A request to see the user's presence may say which address it replaces. Anybody can claim that, so the old address is
asked, on the user's behalf:

    subscribe + <moved/> --> stored as a request, not shown yet --> iq to the old address --> what it says

    names the new address    the new address may see the user, under the old one's name and in its groups; the old one
                             may not any more; where the user saw the old one he asks to see the new one
    anything else            an ordinary request, which the user's clients get as it came

`<gone/>` with the new address says as much as the published statement does. The request is stored before the question
goes out: an account that is not here when the answer comes, or a node that stops meanwhile, makes it an ordinary one
that waits. An old address is followed once, for after that it may not see the user any more.

What is not asked about is an ordinary request from the start: where the old address may not see the user (section 4.3)
or is blocked, where a request of the same contact is being examined already or was too often, and where too many are.
What follows of an answer is done by `subscription.py`, as if the user's client had sent it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.addressing.uri import jid_of
from xmpp_engine.observe.log import refused, sessions
from xmpp_engine.plugin.module import Module, Xep
from xmpp_engine.plugin.registrar import Registrar
from xmpp_engine.routing.account import Account
from xmpp_engine.runtime.buckets import Buckets
from xmpp_engine.stanza.build import iq, presence
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.storage.types import RosterItem
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError

#: The item that an account which has moved publishes in the node `urn:xmpp:moved:1`.
ITEM: Final = "current"
_SEEING: Final = frozenset({"from", "both"})
_SEEN: Final = frozenset({"to", "both"})
#: Where the number of questions that are open on this node stands in `Services.extras`: it is one for all domains.
_OPEN: Final = "moved contacts asked"
#: Questions about one contact that may follow each other at once, and seconds for each further one.
_AGAIN: Final = 3
_AGAIN_SECONDS: Final = 60.0
#: Seconds between two lines of the log about one account.
_QUIET_SECONDS: Final = 60.0
#: Contacts that are told between two waits for the database.
_AT_ONCE: Final = 20


@dataclass(frozen=True, slots=True)
class MovedOptions:
    """`seconds` is how long an old address may take to answer; `account` and `node` are how many questions may be open
    for one account and on the node."""

    seconds: float = 30.0
    account: int = 10
    node: int = 1_000

    def __post_init__(self) -> None:
        if not 1 <= self.seconds <= 600:
            raise ValueError("moved.seconds is 1 to 600")
        if self.account < 0 or self.node < 0:
            raise ValueError("moved.account and moved.node are not negative")


@dataclass(frozen=True, slots=True)
class Told:
    """What came of telling the contacts of an account that has moved: contacts of the old address, those that the new
    one sees already, those that were asked now, those for whom the new one's list had no place, those that one of the
    two blocks; and how many of all the new one sees afterwards, for those of this server need no time."""

    contacts: int = 0
    already: int = 0
    asked: int = 0
    refused: int = 0
    blocked: int = 0
    following: int = 0


class Moved(Module):
    """Follows contacts of one domain's accounts who have moved, and has contacts follow accounts that move to it."""

    name = "moved"
    xeps = (Xep("0283", "0.2.0"),)
    requires = ("blocking", "roster", "subscription")
    Config = MovedOptions

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        #: Requests that are examined: bare JID of the account, bare JID of the contact, whether it is yet to be shown.
        self._open: dict[str, dict[str, bool]] = {}
        #: Questions about one contact of an account: who is not confirmed and comes again costs others nothing.
        self._asked = Buckets(1 / _AGAIN_SECONDS, _AGAIN)
        self._logged = Buckets(1 / _QUIET_SECONDS, 1)
        self._on_node: list[int] = self.services.extras.setdefault(_OPEN, [0])

    def setup(self, reg: Registrar) -> None:
        self.needs("subscription").examiner = self

    # What subscription.py asks

    def wants(self, request: Stanza, account: Account) -> bool:
        """Whether a request names an old address that is worth asking."""
        old = _named(request.element, "old-jid")
        contact = request.sender.bare
        if old is None or old.bare == contact or not account.is_subscribed_to_us(old.bare):
            return False
        # Who is blocked does not come back under another address.
        if self._blocks(account, old):
            return False
        mine = self._open.get(account.bare, {})
        if contact in mine:
            return False
        now = self.services.clock.now()
        if len(mine) >= self.config.account or self._on_node[0] >= self.config.node:
            if self._logged.take(account.bare, now):
                refused.warning("whether %s was %s is not asked for %s: too much is", contact, old, account.bare)
            return False
        return self._asked.take(f"{account.bare} {contact}", now)

    def examine(self, request: Stanza, account: Account, *, fresh: bool) -> None:
        """Ask the old address."""
        old, new = _named(request.element, "old-jid"), request.sender.to_bare()
        assert old is not None
        self._open.setdefault(account.bare, {})[new.bare] = fresh
        self._on_node[0] += 1
        item = Element(ns.PUBSUB, "item", {"id": ITEM})
        asked = Element(ns.PUBSUB, "pubsub", None, Element(ns.PUBSUB, "items", {"node": ns.MOVED}, item))
        answered = partial(self._answered, account.bare, old, new)
        # Only what comes from exactly this address is an answer.
        self.services.iq.request(iq(account.jid, old, "get", asked), answered, self.config.seconds)

    def withholds(self, account: Account, contact: str) -> bool:
        """Whether a request is examined that nobody has been shown."""
        return self._open.get(account.bare, {}).get(contact, False)

    def _blocks(self, account: Account, who: Jid) -> bool:
        blocked: bool = self.needs("blocking").blocks(account.data.blocked, who)
        return blocked

    # What the old address says

    def _answered(self, bare: str, old: Jid, new: Jid, answer: Stanza | None) -> None:
        says: Jid | None = None
        try:
            says = _statement(answer) if answer is not None else None
        except Exception:
            refused.exception("what %s says of its new address cannot be understood", old)
        confirmed = says is not None and says.full == new.bare

        def here(account: Account | None, _error: Exception | None) -> None:
            fresh = self._done(bare, new.bare)
            if account is None:
                return  # It waits in the database.
            if confirmed and self.host.modules.get(self.name) is self:
                self._follow(account, old, new)
            # Where other modules were loaded meanwhile these have it now.
            subscription: Any = self.host.modules.get("subscription")
            if fresh and subscription is not None:
                subscription.show(account, new.bare)

        if self.services.router.hosts.get(self.host.domain) is self.host:
            self.services.accounts.fetch(bare, self.host, here)
        else:
            self._done(bare, new.bare)

    def _done(self, bare: str, contact: str) -> bool:
        """The question is not open any more; returns whether the request is yet to be shown."""
        mine = self._open[bare]
        fresh = mine.pop(contact)
        if not mine:
            del self._open[bare]
        self._on_node[0] -= 1
        return fresh

    def _follow(self, account: Account, old: Jid, new: Jid) -> None:
        """Let the new address stand for the old one, unless one of them has changed since the question: the request is
        answered or withdrawn, or the old address may not see the user any more."""
        roster, subscription = self.needs("roster"), self.needs("subscription")
        item, before = account.roster.get(new.bare), account.roster.get(old.bare)
        if item is None or not item.pending_in or before is None or before.subscription not in _SEEING:
            return
        mutual = before.subscription == "both"
        try:
            if not item.listed:
                roster.check_room(account)
            roster.put(account, _inherited(item, before), shown=False)
            subscription.say(account, presence(account.jid, new, "subscribed"))
            subscription.say(account, presence(account.jid, old, "unsubscribed"))
            if mutual and account.roster[new.bare].subscription not in _SEEN:
                subscription.say(account, presence(account.jid, new, "subscribe"))
            sessions.info("%s follows %s to %s", account.bare, old, new)
        except StanzaError as error:
            refused.warning("%s does not follow %s to %s: %s", account.bare, old, new, error)
        except Exception:
            refused.exception("%s does not follow %s to %s", account.bare, old, new)

    # What an account that has moved here asks of its contacts (section 4.2)

    async def tell(self, old: Account, bare: str, report: Callable[[Any], None]) -> Told:
        """Ask the contacts of a moved account, on behalf of the account of this domain with the address `bare`, to let
        it see them, and approve in advance those that could see the old one. Doing it again asks those that have not
        answered. `report` gets a sentence now and then. Raises StoreUnavailable, or ValueError where there is no such
        account."""
        told = {"contacts": 0, "already": 0, "asked": 0, "refused": 0, "blocked": 0}
        contacts = [item for item in old.roster.values() if item.subscription != "none" and item.jid != bare]
        for number, item in enumerate(contacts, 1):
            new = await self._account(bare)
            told["contacts"] += 1
            told[await self._ask(old, new, item)] += 1
            if number % _AT_ONCE == 0:
                report(f"{number} of {len(contacts)} contacts")
                await self.needs("roster").saved(new)
                await asyncio.sleep(0)
        new = await self._account(bare)
        seen = [mine for item in contacts if (mine := new.roster.get(item.jid)) and mine.subscription in _SEEN]
        return Told(**told, following=len(seen))

    async def _account(self, bare: str) -> Account:
        account: Account | None = await self.services.accounts.load(bare, self.host)
        if account is None:
            raise ValueError(f"There is no account {bare}.")
        return account

    async def _ask(self, old: Account, new: Account, item: RosterItem) -> str:
        """Ask one contact; returns what it counts as."""
        contact = Jid.parse(item.jid)
        if self._blocks(old, contact) or self._blocks(new, contact):
            return "blocked"
        roster, subscription = self.needs("roster"), self.needs("subscription")
        host = self.services.router.hosts.get(contact.domain)
        if host is not None and contact.local:
            # One after the other: a long roster must not become as many queries at once.
            await self.services.accounts.load(contact.bare, host)
        mine = new.roster.get(item.jid)
        try:
            if mine is None or not mine.listed:
                roster.check_room(new)
            kept = _inherited(mine or RosterItem(item.jid), item)
            if kept != mine:
                roster.push(new, roster.put(new, kept))
            if item.subscription in _SEEING and not (kept.approved or kept.subscription in _SEEING):
                subscription.say(new, presence(new.jid, contact, "subscribed"))
            if new.roster[item.jid].subscription in _SEEN:
                return "already"
            moved = Element(ns.MOVED, "moved", None, Element(ns.MOVED, "old-jid", None, old.bare))
            subscription.say(new, presence(new.jid, contact, "subscribe", moved))
        except StanzaError as error:
            refused.warning("%s is not asked to follow %s to %s: %s", contact, old.bare, new.bare, error)
            return "refused"
        return "asked"


def _named(parent: Element, name: str) -> Jid | None:
    """The bare JID in the one `<moved/>` below an element, None where there is none or more than one."""
    moved = parent.find_all(ns.MOVED, "moved")
    jids = moved[0].find_all(ns.MOVED, name) if len(moved) == 1 else []
    if len(jids) != 1:
        return None
    try:
        jid = Jid.parse(jids[0].text.strip())
    except ValueError:
        return None
    return jid if not jid.resource else None


def _statement(answer: Stanza) -> Jid | None:
    """Where an old address says that it is now, by what it has published or by `<gone/>`; None where it says
    nothing. Raises JidError for a URI that is none."""
    if answer.type == "error":
        error = answer.element.find(ns.CLIENT, "error")
        gone = error.find(ns.STANZA_ERRORS, "gone") if error is not None else None
        return jid_of(gone.text) if gone is not None and gone.text.strip() else None
    pubsub = answer.element.find(ns.PUBSUB, "pubsub")
    items = pubsub.find(ns.PUBSUB, "items") if pubsub is not None else None
    if items is None or items.get("node") != ns.MOVED:
        return None
    current = [item for item in items.find_all(ns.PUBSUB, "item") if item.get("id") == ITEM]
    return _named(current[0], "new-jid") if len(current) == 1 else None


def _inherited(item: RosterItem, before: RosterItem) -> RosterItem:
    """A contact under the name and in the groups that he had with another address, unless he has some of his own."""
    return replace(item, name=item.name or before.name, groups=item.groups or before.groups)
