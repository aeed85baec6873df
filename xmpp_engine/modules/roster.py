"""RFC 6121, section 2: the roster; everything that changes a contact goes through here.

A change takes effect on the resident account at once and is written behind it: one writer per account takes all
contacts changed meanwhile, as they are then, in one transaction. So changes cannot overtake each other on the way to
the database, and a burst of them costs few writes. Who must know that a change is durable awaits `saved`: a roster set
answers, and pushes, only then, and takes its change back when the database refuses. Changes of subscriptions cannot be
taken back (the contact's server has them already), so their writer tries again until it succeeds; the session that
caused them waits for the first attempt.

Versions (section 2.6) are a counter per account. An item with version 0 has never been in the roster: it only keeps
a stranger's subscription request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.observe.log import refused
from xmpp_engine.plugin.module import Module, Xep
from xmpp_engine.plugin.registrar import Registrar
from xmpp_engine.plugin.table import Target
from xmpp_engine.routing.account import Account
from xmpp_engine.routing.coherence import DATA, ROSTER
from xmpp_engine.routing.crossing import withdrawn
from xmpp_engine.routing.host import Host
from xmpp_engine.routing.iq import IqContext
from xmpp_engine.routing.session import Session
from xmpp_engine.runtime.clock import Timer
from xmpp_engine.stanza.build import iq as build_iq
from xmpp_engine.stanza.build import presence
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.storage.protocols import StoreUnavailable
from xmpp_engine.storage.types import REMOVED_KEPT, AccountData, RosterItem
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError

#: Changes that are pushed one by one rather than as a whole roster.
_INTERIM: Final = 50
_RETRY_SECONDS: Final = 2.0
#: Times that an account which changes meanwhile is read.
_READS: Final = 5
_TOLD: Final = ROSTER


@dataclass(frozen=True, slots=True)
class RosterOptions:
    """Contacts of one account; characters of a name or group; groups of one contact."""

    items: int = 1_000
    text: int = 1_023
    groups: int = 50


class _Writer:
    """What of one account's roster is not in the database yet."""

    __slots__ = ("account", "base", "dirty", "retry", "running", "waiting", "writing")

    def __init__(self, account: Account, base: int) -> None:
        self.account = account
        #: The version of which this node knows all: if the database has a later one, another node has been there.
        self.base = base
        #: Contacts to write; True where the writer must not give up.
        self.dirty: dict[str, bool] = {}
        #: Those that are on their way into the database.
        self.writing: dict[str, bool] = {}
        self.waiting: list[asyncio.Future[None]] = []
        self.running = False
        self.retry: Timer | None = None


class Roster(Module):
    """Rosters of a host's accounts: retrieval, versions, changes by their owner and by other modules, pushes."""

    name = "roster"
    xeps = (Xep("0237", "1.3"),)
    Config = RosterOptions

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._writers: dict[str, _Writer] = {}
        #: Called, by the name of a module, when a contact has changed in memory: (account, old item, new item), None
        #: for one that was not there before or is not any more.
        self.listeners: dict[str, Callable[[Account, RosterItem | None, RosterItem | None], None]] = {}
        #: The same of what another node of a cluster has changed, with how many changes of what sessions show it had
        #: heard of, by node, None where that is not known.
        self.elsewhere: dict[
            str, Callable[[Account, RosterItem | None, RosterItem | None, dict[str, int] | None], None]
        ] = {}
        #: Called, by the name of a module, with what is pushed: (account, item as clients see it, version).
        self.watchers: dict[str, Callable[[Account, Element, int], None]] = {}

    def setup(self, reg: Registrar) -> None:
        reg.stream_feature(self.feature)
        self.services.hear(self.host.domain, _TOLD, self.heard)
        reg.iq_get(Target.ACCOUNT, ns.ROSTER, "query", self.get, own_only=True)
        # Changes are made in their order before they wait for the store together.
        reg.iq_set(Target.ACCOUNT, ns.ROSTER, "query", self.set, own_only=True, ordered=False)

    async def stopping(self) -> None:
        """Wait for what is on its way to the database."""
        accounts = [writer.account for writer in self._writers.values()]
        ends = await asyncio.gather(*(self.saved(account) for account in accounts), return_exceptions=True)
        for account, error in zip(accounts, ends, strict=True):
            if error is not None:
                refused.error("the last changes of the roster of %s are lost: %s", account.bare, error)

    def feature(self, _host: Host) -> Element:
        """Versioning is supported (section 2.6.1)."""
        return Element(ns.ROSTER_VERSIONING, "ver")

    # What clients ask

    def get(self, iq: Stanza, context: IqContext) -> Element | None:
        """The whole roster, or nothing and then the changes since the client's version (sections 2.1.3 and 2.6.3)."""
        account, session = context.account, context.session
        assert account is not None
        if session is not None:
            session.interested = True
            session.flagged()
        query = iq.element.first()
        known = query.get("ver") if query is not None else None
        data = account.data
        if known is not None and session is not None:
            if known == str(data.roster_version):
                return None
            if self._changes(account, known) is not None:
                # The empty result goes first; handlers answer by returning, so the pushes follow in a task.
                self.services.tasks.spawn(f"roster changes {session.jid}", self._catch_up(session, known))
                return None
        answer = Element(ns.ROSTER, "query")
        if known is not None:
            answer.attrs["ver"] = str(data.roster_version)
        answer.children.extend(render(item) for item in account.roster.values() if item.listed)
        return answer

    async def set(self, iq: Stanza, context: IqContext) -> None:
        """Add, change or remove one contact (sections 2.3 to 2.5); raises StanzaError, or StoreUnavailable."""
        account = context.account
        assert account is not None
        wish = self._parse(iq, account)
        if wish.get("subscription") == "remove":
            await self._remove(account, Jid.parse(wish.attrs["jid"]).bare)
            return
        jid = Jid.parse(wish.attrs["jid"]).bare
        old = account.roster.get(jid)
        if old is None or not old.listed:
            self.check_room(account)
        groups = tuple(group.text for group in wish.find_all(ns.ROSTER, "group"))
        await self.change(account, [replace(old or RosterItem(jid), name=wish.get("name") or "", groups=groups)])

    # What other modules ask

    def check_room(self, account: Account) -> None:
        """Raise StanzaError when the roster takes no further contact."""
        if sum(item.listed for item in account.roster.values()) >= self.config.items:
            raise StanzaError("resource-constraint", f"a roster holds at most {self.config.items} contacts")

    async def change(self, account: Account, items: Iterable[RosterItem]) -> None:
        """Add or replace contacts, then push them; raises what the store raised when nothing has changed."""
        before: list[tuple[RosterItem, RosterItem | None]] = []
        for item in items:
            old = account.roster.get(item.jid)
            before.append((self.put(account, item, insist=False), old))
        try:
            await self.saved(account)
        except Exception:
            for new, old in before:
                # A later change stands on this one and has its own writer: then it is too late to go back.
                if account.roster.get(new.jid) is new:
                    if old is None:
                        del account.roster[new.jid]
                    else:
                        account.roster[new.jid] = old
                    self._changed(account, new, old)
                    self._taken_back(account, new.jid)
            raise
        for new, _old in before:
            current = account.roster.get(new.jid)
            if current is not None:
                self.push(account, current)

    def put(self, account: Account, item: RosterItem, *, shown: bool = True, insist: bool = True) -> RosterItem:
        """Add or replace a contact at once and write it soon; returns the item with its version. `shown` is False for
        what clients do not see. Without `insist` the caller awaits `saved` and takes the change back when that raises.
        """
        base = account.data.roster_version
        if shown or self.services.coherence is not None:
            # Nodes see by the version that something has changed (routing/coherence.py).
            account.data.roster_version = self._next_version(account)
        if shown:
            item = replace(item, version=account.data.roster_version)
        old = account.roster.get(item.jid)
        account.roster[item.jid] = item
        self._change_at(account, item.jid, account.data.roster_version)
        self._write(account, item.jid, insist, base)
        self._changed(account, old, item, base)
        return item

    def drop(self, account: Account, jid: str, *, insist: bool = True) -> None:
        """Delete a contact at once and write that soon; `insist` as for `put`."""
        item = account.roster.pop(jid)
        data = account.data
        base = data.roster_version
        if item.listed or self.services.coherence is not None:
            data.roster_version = self._next_version(account)
        if item.listed:
            _removed(data, jid, data.roster_version)
        self._change_at(account, jid, data.roster_version)
        self._write(account, jid, insist, base)
        self._changed(account, item, None, base)

    async def saved(self, account: Account) -> None:
        """Return when every change made before this call is durable; raises what the store raised."""
        writer = self._writers.get(account.bare)
        if writer is None:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        writer.waiting.append(future)
        self._start(writer)
        await future

    def hold(self, session: Session | None, account: Account) -> None:
        """Let a session wait until what it has changed is written, or was tried once: so nobody floods the database."""
        if session is not None and account.bare in self._writers and session.hold("roster"):
            self.services.tasks.spawn(f"roster {account.bare}", self._release(session, account))

    def push(self, account: Account, item: RosterItem) -> None:
        """Send a contact to the interested resources (section 2.1.6); a mere request is not shown."""
        if item.listed:
            self._push(account, render(item), item.version)

    def push_removed(self, account: Account, jid: str) -> None:
        """Tell the interested resources that a contact is gone."""
        self._push(account, _gone(jid), account.data.roster_version)

    # Inside

    def _next_version(self, account: Account) -> int:
        """The version of a change. Nodes of a cluster that change a roster at the same time take different ones: the
        last eight bits are the node's number."""
        version = account.data.roster_version
        whereabouts = self.services.whereabouts
        return version + 1 if whereabouts is None else (version | 0xFF) + 1 + whereabouts.number

    # What other nodes of a cluster tell

    def heard(self, account: Account | None, _bare: str, values: list[Any]) -> None:
        """A contact was changed, or removed (None) on another node; `committed`: it is in the database."""
        if account is None:
            return
        jid, row, version, committed = values[:4]
        data = account.data
        writer = self._writers.get(account.bare)
        item = _item(row) if row is not None else None
        mine = data.roster.get(jid)
        theirs = item.version if item is not None else version
        # A request changes no version of an item, but that of the roster.
        older = item != mine and version < self._changed_at(account, jid)
        if writer is not None:
            writer.base = max(writer.base, version)
        if len(values) > 5 and values[5] > data.roster_version:
            self._reread(account)
        if writer is not None and (jid in writer.dirty or jid in writer.writing):
            # Ours is written later. But what the other node has made of ours (somebody has answered a request at once)
            # counts, and is written behind it. So does a removal, whatever was changed apart from it: the contact's
            # server has been told of it already.
            if committed or mine is None or (item is not None and older):
                return
            if not older:
                self._write(account, jid, True, writer.base)
        elif committed:
            # Of a newer one than this that was told already, whoever has it says when it is stored. A later version of
            # the roster was not heard of when it was told: the link began after that.
            if version > data.roster_version or (mine != item and (mine is None or theirs >= mine.version)):
                self._reread(account)
            return
        elif older and item is not None:
            # This node knows a later one, which it has read or heard: that had come there another way.
            self._reread(account)
            return
        elif older and version <= _removed_at(data, jid):
            return  # What is there has come after that.
        if older and mine is not None:
            self._remove_later(account, mine)
            return
        self._change_at(account, jid, version)
        data.roster_version = max(data.roster_version, version)
        if item is not None:
            data.roster[jid] = item
        elif mine is not None:
            del data.roster[jid]
            _removed(data, jid, version)
        self._follow(account, mine, item, values[4] if len(values) > 4 else {})
        # Whoever changed it pushes it to the resources of which he knows that they want it.
        told = values[6] if len(values) > 6 else account.sessions
        self._push_what_is(account, jid, mine, told if account.roster.get(jid) is item else ())

    def _remove_later(self, account: Account, mine: RosterItem) -> None:
        """A contact was removed on a node that did not know of a later change. The node that made that change, and did
        not know of the removal either, removes it once more: so all that know the change hear of it. To others the
        store says what counts."""
        assert self.services.whereabouts is not None
        writer = self._writers.get(account.bare)
        dirty = writer is not None and (mine.jid in writer.dirty or mine.jid in writer.writing)
        if dirty or mine.version & 0xFF == self.services.whereabouts.number:
            self.drop(account, mine.jid)
            self._follow(account, mine, None, None)
            if mine.listed:
                self.push_removed(account, mine.jid)
        else:
            self._reread(account)

    def _reread(self, account: Account) -> None:
        assert self.services.coherence is not None
        self.services.coherence.reread(account.bare)

    def _change_at(self, account: Account, jid: str, version: int) -> None:
        """A contact was changed, and that made this version of the roster."""
        if self.services.coherence is not None:
            account.note(self.name, dict)[jid] = version

    def _changed_at(self, account: Account, jid: str) -> int:
        """With which version of the roster a contact was changed, or removed, last, as far as that is known."""
        item = account.roster.get(jid)
        since = item.version if item is not None else _removed_at(account.data, jid)
        known: int = account.note(self.name, dict).get(jid, 0)
        return max(since, known)

    def changed_elsewhere(self, account: Account, old: dict[str, RosterItem]) -> None:
        """See routing/coherence.py."""
        for jid in old.keys() | account.roster.keys():
            was, item = old.get(jid), account.roster.get(jid)
            if was == item:
                continue
            self._follow(account, was, item, None)
            self._push_what_is(account, jid, was)

    def _push_what_is(self, account: Account, jid: str, was: RosterItem | None, told: Container[str] = ()) -> None:
        """Push a contact that another node has changed. What followed from that may have changed it once more, and was
        pushed before this: clients hear last what it is now."""
        item = account.roster.get(jid)
        if item is not None and item.listed:
            self._push_here(account, render(item), told)
        elif was is not None and was.listed:
            self._push_here(account, _gone(jid), told)

    def _push_here(self, account: Account, item: Element, told: Container[str] = ()) -> None:
        """Send a contact to the interested resources of this node, but for those that another one has told."""
        for session in list(account.sessions.values()):
            if session.interested and not session.remote and session.jid.resource not in told:
                session.deliver(_pushed(session, item, account.data.roster_version))

    def _follow(
        self, account: Account, old: RosterItem | None, new: RosterItem | None, heard: dict[str, int] | None
    ) -> None:
        for changed in self.elsewhere.values():
            try:
                changed(account, old, new, heard)
            except Exception:
                refused.exception("a module failed on the roster of %s", account.bare)

    def heard_before(self, account: Account, told: list[list[Any]]) -> None:
        """See routing/coherence.py."""
        self._put_over(account.data, told, account.data.roster_version)

    def _put_over(self, data: AccountData, told: list[list[Any]], read: int) -> None:
        """What was read, with this version, may be older than what other nodes have told."""
        removed = dict(data.removed)
        for jid, (item, version) in _newest(told).items():
            mine = data.roster.get(jid)
            data.roster_version = max(data.roster_version, version)
            # A request has no version: it may have come with that of the roster.
            since = (mine.version or read) if mine is not None else removed.get(jid, 0)
            if item is None:
                if mine is not None and since <= version:
                    del data.roster[jid]
                    _removed(data, jid, version)
            # What clients do not see (a request) changes no version of an item, but that of the roster.
            elif mine is not None and item.version == mine.version:
                if version >= read:
                    data.roster[jid] = item
            elif (item.version or version) > since:
                data.roster[jid] = item

    def keep_unsaved(self, account: Account, data: AccountData) -> None:
        """See routing/coherence.py."""
        writer, coherence = self._writers.get(account.bare), self.services.coherence
        read = data.roster_version
        data.roster_version = max(read, account.data.roster_version)
        own = writer.dirty | writer.writing if writer is not None else {}
        if coherence is not None:
            told = [values for values in coherence.unstored(account.bare) if values[0] not in own]
            self._put_over(data, told, read)
        for jid in own:
            if jid in account.roster:
                data.roster[jid] = account.roster[jid]
            else:
                data.roster.pop(jid, None)

    def _tell(self, account: Account, jid: str, *, committed: bool, base: int = 0) -> None:
        """`base` is the version before: who does not know it has missed something. Along go, of a change, how many
        changes of what sessions show this node has heard of, and which resources want to be told."""
        item = account.roster.get(jid)
        row = _row(item) if item is not None else None
        whereabouts = self.services.whereabouts
        heard = {} if committed or whereabouts is None else whereabouts.sightings.heard
        wanting = [] if committed else [s.jid.resource for s in account.sessions.values() if s.interested]
        version = account.data.roster_version
        self.services.tell(account.bare, _TOLD, jid, row, version, committed, heard, base, wanting)

    def _taken_back(self, account: Account, jid: str) -> None:
        """A change could not be stored that other nodes have taken over, and an older word does not replace a newer
        one: what there is now is what is stored, and they read it."""
        if self.services.coherence is not None:
            self._tell(account, jid, committed=True)
            self.services.tell(account.bare, DATA)

    def _changed(self, account: Account, old: RosterItem | None, new: RosterItem | None, base: int = 0) -> None:
        item = new or old
        if item is not None and self.services.coherence is not None:
            self._tell(account, item.jid, committed=False, base=base)
        for changed in self.listeners.values():
            try:
                changed(account, old, new)
            except Exception:
                refused.exception("a module failed on the roster of %s", account.bare)

    def _parse(self, iq: Stanza, account: Account) -> Element:
        """The one item of a roster set; raises StanzaError as section 2.3.3 names them."""
        query = iq.element.first()
        items = query.find_all(ns.ROSTER, "item") if query is not None else []
        if len(items) != 1:
            raise StanzaError("bad-request", "a roster set has exactly one item")
        (item,) = items
        text = item.get("jid")
        if not text:
            raise StanzaError("bad-request", "an item needs a jid")
        try:
            jid = Jid.parse(text)
        except ValueError as error:
            raise StanzaError("jid-malformed", str(error)) from None
        if jid.bare == account.bare:
            raise StanzaError("not-allowed", "an account is no contact of its own")
        groups = [group.text for group in item.find_all(ns.ROSTER, "group")]
        if not all(groups):
            raise StanzaError("not-acceptable", "a group needs a name")
        if len(set(groups)) != len(groups):
            raise StanzaError("bad-request", "a group is named twice")
        if len(groups) > self.config.groups:
            raise StanzaError("not-acceptable", f"a contact may be in {self.config.groups} groups")
        if any(len(text) > self.config.text for text in (item.get("name") or "", *groups)):
            raise StanzaError("not-acceptable", f"names and groups have at most {self.config.text} characters")
        return item

    async def _remove(self, account: Account, jid: str) -> None:
        """Remove a contact with the subscriptions of both sides (section 2.5)."""
        item = account.roster.get(jid)
        if item is None or not item.listed:
            raise StanzaError("item-not-found", "there is no such contact")
        self.drop(account, jid, insist=False)
        try:
            await self.saved(account)
        except Exception:
            if account.roster.setdefault(jid, item) is item:
                self._changed(account, None, item)
                self._taken_back(account, jid)
            account.data.removed = [entry for entry in account.data.removed if entry[0] != jid]
            raise
        contact = Jid.parse(jid)
        route = self.services.router.route
        if item.subscription in ("to", "both") or item.ask:
            route(presence(account.jid, contact, "unsubscribe"))
        if item.subscription in ("from", "both"):
            for session in account.available():
                route(withdrawn(session, contact))
        if item.subscription in ("from", "both") or item.pending_in:
            route(presence(account.jid, contact, "unsubscribed"))
        self.push_removed(account, jid)

    def _changes(self, account: Account, known: str) -> list[tuple[int, Element]] | None:
        """What has changed since a version, oldest first; None when only the whole roster will do."""
        data = account.data
        if not known.isascii() or not known.isdigit() or int(known) > data.roster_version:
            return None
        since = int(known)
        removed = data.removed
        # The list is bounded: what was removed before its oldest entry is not known any more.
        if len(removed) >= REMOVED_KEPT and since < min(version for _jid, version in removed):
            return None
        changed = [
            (item.version, render(item)) for item in data.roster.values() if item.listed and item.version > since
        ]
        changed += [
            (version, _gone(jid))
            for jid, version in removed
            if version > since and not (jid in data.roster and data.roster[jid].listed)
        ]
        if len(changed) > _INTERIM:
            return None
        return sorted(changed, key=lambda entry: entry[0])

    async def _catch_up(self, session: Session, known: str) -> None:
        for version, item in self._changes(session.account, known) or ():
            session.deliver(_pushed(session, item, version))

    def _push(self, account: Account, item: Element, version: int) -> None:
        for session in list(account.sessions.values()):
            if session.interested:
                session.deliver(_pushed(session, item, version))
        for watcher in self.watchers.values():
            watcher(account, item, version)

    async def _release(self, session: Session, account: Account) -> None:
        try:
            await self.saved(account)
        except Exception as error:
            refused.error("the roster of %s is not written yet: %s", account.bare, error)
        finally:
            session.release()

    # Writing

    def _write(self, account: Account, jid: str, insist: bool, base: int) -> None:
        writer = self._writers.get(account.bare)
        if writer is None:
            writer = self._writers[account.bare] = _Writer(account, base)
        writer.dirty[jid] = insist or writer.dirty.get(jid, False)
        account.changes += 1
        self._start(writer)

    def _start(self, writer: _Writer) -> None:
        """Write now; a pause after a failure is over."""
        if writer.retry is not None:
            writer.retry.cancel()
            writer.retry = None
        if not writer.running:
            writer.running = True
            self.services.tasks.spawn(f"write roster {writer.account.bare}", self._run(writer))

    async def _run(self, writer: _Writer) -> None:
        """Write until nothing is left; a change that nobody can take back is tried again after a pause."""
        account = writer.account
        try:
            while writer.dirty or writer.waiting:
                dirty = writer.writing = writer.dirty
                writer.dirty = {}
                waiting, writer.waiting = writer.waiting, []
                try:
                    await self._store(writer, dirty)
                except Exception as error:
                    for future in waiting:
                        if not future.done():
                            future.set_exception(error)
                    again = {jid: True for jid, insist in dirty.items() if insist}
                    writer.dirty = again | writer.dirty
                    if again and not writer.waiting:
                        writer.retry = self.services.clock.call_later(_RETRY_SECONDS, self._start, writer)
                        return
                else:
                    for future in waiting:
                        if not future.done():
                            future.set_result(None)
        finally:
            writer.running = False
            writer.writing = {}
            if not writer.dirty and not writer.waiting:
                del self._writers[account.bare]

    async def _store(self, writer: _Writer, dirty: dict[str, bool]) -> None:
        store, account = self.services.stores.rosters, writer.account
        version, before = account.data.roster_version, 0
        gone = [jid for jid in dirty if jid not in account.roster]
        kept = [account.roster[jid] for jid in dirty if jid in account.roster]
        if gone:
            before = await store.remove(account.id, gone, version)
        if kept:
            was = await store.put(account.id, kept, version)
            before = before if gone else was
        account.changes += 1
        if self.services.coherence is None:
            return
        for jid in dirty:
            # What has changed once more meanwhile is not stored: that is said when it is.
            if jid not in writer.dirty:
                self._tell(account, jid, committed=True)
        if before > writer.base:
            await self._stand_behind(writer, dirty)
        writer.base = max(writer.base, before, version)

    async def _stand_behind(self, writer: _Writer, dirty: dict[str, bool]) -> None:
        """Another node had written what is not known here, as while the two cannot talk to each other. It is read, and
        our changes become later ones: a client that knows one version must not miss what has an earlier one."""
        account = writer.account
        try:
            for _ in range(_READS):
                changes = account.changes
                data = await self.services.stores.accounts.load(account.bare)
                if account.changes == changes:
                    break
        except StoreUnavailable as error:
            refused.warning("what others have changed in the roster of %s is not read yet: %s", account.bare, error)
            return
        if data is None:
            return
        self.keep_unsaved(account, data)
        old, account.data = account.roster, data
        self.changed_elsewhere(account, old)
        for jid in dirty:
            item = account.roster.get(jid)
            if item is not None:
                self.put(account, item, shown=item.version > 0)
            else:
                data.roster_version = self._next_version(account)
                _removed(data, jid, data.roster_version)
                self._write(account, jid, True, writer.base)
                self._tell(account, jid, committed=False)
        # Others who have heard of ours alone know a later version than that of what they miss.
        self.services.tell(account.bare, DATA)


def _row(item: RosterItem) -> tuple[Any, ...]:
    """A contact between nodes."""
    return (
        item.jid,
        item.name,
        item.subscription,
        item.ask,
        item.approved,
        item.groups,
        item.version,
        item.pending_in,
        item.request,
    )


def _item(row: list[Any]) -> RosterItem:
    jid, name, subscription, ask, approved, groups, version, pending_in, request = row[:9]
    return RosterItem(jid, name, subscription, ask, approved, tuple(groups), version, pending_in, request)


def _newest(told: list[list[Any]]) -> dict[str, tuple[RosterItem | None, int]]:
    """The newest word on each contact: the last one, but nodes may be heard in another order than they spoke in. An
    item of version 0 has only that of the roster to go by."""
    newest: dict[str, tuple[RosterItem | None, int]] = {}
    since: dict[str, int] = {}
    for values in told:
        jid, row, version = values[:3]
        item = _item(row) if row is not None else None
        said = (item.version if item is not None else 0) or version
        if said >= since.get(jid, 0):
            newest[jid], since[jid] = (item, version), said
    return newest


def _removed_at(data: AccountData, jid: str) -> int:
    """The version with which a contact was removed; 0 where that is not known."""
    return next((version for removed, version in data.removed if removed == jid), 0)


def _removed(data: AccountData, jid: str, version: int) -> None:
    """Remember that a contact was removed."""
    data.removed = [entry for entry in data.removed if entry[0] != jid][1 - REMOVED_KEPT :]
    data.removed.append((jid, version))


def render(item: RosterItem) -> Element:
    """An item as clients see it (section 2.1.2)."""
    attrs = {"jid": item.jid}
    if item.name:
        attrs["name"] = item.name
    attrs["subscription"] = item.subscription
    if item.ask:
        attrs["ask"] = "subscribe"
    if item.approved:
        attrs["approved"] = "true"
    element = Element(ns.ROSTER, "item", attrs)
    for group in item.groups:
        element.add(ns.ROSTER, "group", text=group)
    return element


def _gone(jid: str) -> Element:
    """An item that is removed, as clients see it (section 2.5.2)."""
    return Element(ns.ROSTER, "item", {"jid": jid, "subscription": "remove"})


def _pushed(session: Session, item: Element, version: int) -> Stanza:
    query = Element(ns.ROSTER, "query", {"ver": str(version)}, item)
    return build_iq(session.account.jid, session.jid, "set", query)
