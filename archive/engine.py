"""XEP-0313: the engine module that archives messages and answers queries (the hooks are hot). Rooms' archives are the
matter of `rooms.py`.

A message between local accounts is one row. The sender's hook makes it as the message goes out; the recipient's hook,
usually in the same turn of the loop, only enters its own account into the row, which is then still in the open batch
of the ledger. If the batch has left meanwhile (the recipient had to be loaded first) the ledger takes the addition as
a share. Each side decides for itself, by the domain's setting and the account's preferences, so either may be
missing.

    message_out   REWRITE  ids that the sender forged in its own name go
                  STORE    the row; ack waits for it (stanza.commit). Strict domains: the sender is held until it is
                  durable DELIVER  the sender's own id, put in for carbons, goes again
    message_in    REWRITE  ids forged in the recipient's name go
                  STORE    the recipient's side, and <stanza-id/> for the recipient

After a crash clients send again what was not acknowledged, some of which is stored. For some minutes after a start
the id of each message is looked up among the ids of what was stored just before, by this node or, where it joins a
cluster, by the others. Only where it is known, which is rare, is the message compared with what was stored: to fold its
words for that costs nearly as much as the rest of its way.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from archive import ids, protocol
from archive.answering import Answering
from archive.filters import Reader, Sent, Stored, text_key
from archive.options import ArchiveOptions
from archive.policy import Decisions, NoDecisions, UserPolicy
from archive.text import index_text
from archive.weigh import Weight, own_id, strip_ids, weigh
from xmpp_engine.api import (
    HANDLED,
    Account,
    ArchiveRow,
    ArchiveShare,
    Buckets,
    Element,
    IqContext,
    Jid,
    Module,
    Phase,
    Registrar,
    Session,
    Stanza,
    StanzaError,
    Target,
    Verdict,
    Xep,
    build,
    ns,
)

#: Seconds after a start for which messages are compared with what was stored before, and how far back that looks.
RESEND_SECONDS: Final = 600.0
_RESEND_LIMIT: Final = 100_000
#: Seconds between two lines of the log about one account and one condition, and characters of a line's end.
_QUIET_SECONDS: Final = 60.0
_SHOWN: Final = 200
_TEND_SECONDS: Final = 10.0
_SID: Final = ns.STANZA_ID
log: Final = logging.getLogger("mlink.archive")


class Archive(Module):
    """The archive of a domain's accounts."""

    name = "archive"
    Config = ArchiveOptions
    xeps = (
        Xep("0313", "1.1.3", "complete", "what a user's archive shows of rooms goes by the ids of the rooms"),
        Xep("0308", "1.2.1"),
        Xep("0359", "0.7.0"),
        Xep("0424", "0.4.2"),
        Xep("0431", "0.3.0"),
        Xep("0441", "0.2.0"),
        Xep("0444", "0.2.1"),
        Xep("0461", "0.2.1"),
        Xep("0059", "1.0.1", "partial", "pages by number are refused, as the specification allows"),
    )
    features: ClassVar[Mapping[Target, tuple[str, ...]]] = {
        # COMPAT(profanity 0.13, 2026-11): it looks for archives at the domain, not at its account.
        Target.HOST: (ns.MAM, ns.STANZA_ID),
        Target.ACCOUNT: (
            ns.MAM,
            ns.MAM_EXTENDED,
            ns.MAM_GROUPCHAT_FIELD,
            ns.MAM_GROUPCHAT_AVAILABLE,
            ns.FULLTEXT,
            ns.STANZA_ID,
            ns.RETRACT_TOMBSTONE,
        ),
    }

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        extras = self.services.extras
        self._reader: Reader = extras["archive"]
        if "archive ids" not in extras:
            # One maker of ids for all domains of the process.
            extras["archive ids"] = ids.Ids(extras.get("node number", 0), self.services.clock.time)
        self._next_id = extras["archive ids"].next
        self._ledger = self.services.ledger
        counters = self.services.counters
        self.answering = Answering(
            self._reader, self._ledger, self.services.router.reply, lambda: counters.count("archive_damaged_total")
        )
        decided: Decisions = extras.get("archive decisions") or NoDecisions()
        router = self.services.router
        self._policy = UserPolicy(self.config, self.host, decided, lambda domain: domain in router.services)
        self._quiet = Buckets(1 / _QUIET_SECONDS, 1)
        #: What was stored shortly before this start; None when that is long ago or nothing was.
        self._stored: Stored | None = None
        #: The ids of all that, as their senders gave them.
        self._stored_ids: frozenset[str] = frozenset()

    def setup(self, reg: Registrar) -> None:
        reg.message_out(Phase.REWRITE, self.strip_sent)
        reg.message_out(Phase.STORE, self.store_sent)
        reg.message_out(Phase.DELIVER, self.hide_own_id)
        reg.message_in(Phase.REWRITE, self.strip_received)
        reg.message_in(Phase.STORE, self.store_received)
        reg.iq_get(Target.ACCOUNT, ns.MAM, "query", self.show_form, own_only=True)
        reg.iq_set(Target.ACCOUNT, ns.MAM, "query", self.query, own_only=True, ordered=False)
        reg.iq_get(Target.ACCOUNT, ns.MAM, "metadata", self.metadata, own_only=True)
        reg.iq_get(Target.ACCOUNT, ns.MAM, "prefs", self.get_preferences, own_only=True)
        reg.iq_set(Target.ACCOUNT, ns.MAM, "prefs", self.set_preferences, own_only=True)
        reg.timer(_TEND_SECONDS, self._reader.tend)
        reg.bound_extra(self.metadata_at_bind)

    def reconfigured(self, config: ArchiveOptions) -> None:
        """Other kinds, or others decide."""
        super().reconfigured(config)
        self._policy.configure(config)

    async def started(self) -> None:
        """Learn what was stored just before this start."""
        stored = await self._reader.stored_since(self.services.clock.time() - RESEND_SECONDS, _RESEND_LIMIT)
        if stored.archived or stored.offline:
            self._remember_stored(stored)
            self.services.clock.call_later(RESEND_SECONDS, self._forget_stored)

    # Messages on their way out

    def strip_sent(self, stanza: Stanza, session: Session) -> None:
        """Nobody but the server gives ids in the name of an account (XEP-0359, 6)."""
        for child in stanza.element.children:
            if type(child) is Element and child.name == "stanza-id":
                strip_ids(stanza, session.account.bare)
                if stanza.to is not None:
                    strip_ids(stanza, stanza.to.bare)
                return

    def store_sent(self, stanza: Stanza, session: Session) -> Verdict:
        """The row of a message, on the sender's side."""
        account = session.account
        to: Jid = stanza.to  # type: ignore[assignment]
        policy = self._policy
        if stanza.type not in policy.types:
            return None
        wanted = policy.takes(account, to, stanza)
        known = self._stored is not None and own_id(stanza) in self._stored_ids
        if not wanted and not known:
            return None
        weight = weigh(stanza)
        if weight is None or (known and self._is_stored(stanza, weight)) or not wanted:
            return None
        self._store(stanza, weight, account, to)
        if self.host.config.archive_strict and session.hold("strict archive"):
            self.services.tasks.spawn(f"strict archive {session.jid}", self._hold(stanza, session))
            return HANDLED
        return None

    def hide_own_id(self, stanza: Stanza, session: Session) -> None:
        """Carbons are made: the sender's id is none of the recipient's business."""
        notes = stanza.notes
        if notes is not None and "archive own" in notes:
            stanza.element.remove(notes["archive own"])
            stanza.changed()

    # Messages on their way in

    def strip_received(self, stanza: Stanza, account: Account, _targets: list[Session]) -> None:
        """See `strip_sent`, which has done it for what stands in a local sender's archive."""
        if stanza.notes is not None and "archive" in stanza.notes:
            return
        for child in stanza.element.children:
            if type(child) is Element and child.name == "stanza-id":
                strip_ids(stanza, account.bare)
                return

    def store_received(self, stanza: Stanza, account: Account, _targets: list[Session]) -> None:
        """The recipient's side."""
        notes = stanza.notes
        policy = self._policy
        if stanza.type not in policy.types or (notes is not None and "archive in" in notes):
            return
        id = notes.get("archive") if notes is not None else None
        if id is None:
            weight = weigh(stanza) if policy.takes(account, stanza.sender, stanza) else None
            if weight is None:
                return
            id = self._next_id()
            row = self._row(id, stanza, weight, account.jid)
            row.recipient_account = account.id
            stanza.commit = self._ledger.archive(row)
            if notes is not None and "copies" in notes:
                # Other clients of the same occupant get the same message.
                notes["archive"] = id
                notes["archive in"] = True
        else:
            if not policy.takes(account, stanza.sender, stanza):
                return
            pending = self._ledger.pending(id)
            if pending is not None:
                pending.recipient_account = account.id
            elif stanza.sender.bare != account.bare:
                stanza.commit = self._ledger.share(ArchiveShare(id, account.id))
        jid = account.jid
        stanza.extend(
            Element(_SID, "stanza-id", {"id": "%016x" % id, "by": jid.full}),  # noqa: UP031
            b"<stanza-id xmlns='urn:xmpp:sid:0' id='%016x' by='%b'/>" % (id, jid.encoded),
        )

    # Queries

    def show_form(self, _iq: Stanza, _context: IqContext) -> Element:
        """Which fields a query may have."""
        return protocol.form()

    async def query(self, iq: Stanza, context: IqContext) -> Element:
        """One page: its messages to the session that asks, then where they stand."""
        account = _own(context)
        try:
            query = protocol.parse_query(_payload(iq), account.id, account.bare)
            return await self.answering.answer(iq, account.jid, query)
        except StanzaError as error:
            # One line in a minute for each account and condition; the others are for debugging.
            first = self._quiet.take(f"{account.bare} {error.condition}", self.services.clock.now())
            log.log(
                logging.INFO if first else logging.DEBUG,
                "%s may not ask the archive of %s this: %s",
                iq.sender,
                account.jid,
                str(error)[:_SHOWN],
            )
            raise

    async def metadata(self, _iq: Stanza, context: IqContext) -> Element:
        """Where the archive begins and ends."""
        return await self.answering.metadata(_own(context).id)

    async def metadata_at_bind(self, session: Session) -> Element:
        """The same for a client that binds with XEP-0386, which spares it the question."""
        return await self.answering.metadata(session.account.id)

    def get_preferences(self, _iq: Stanza, context: IqContext) -> Element:
        """What of the account is archived: its own wish, or what is decided for it."""
        account = _own(context)
        forced, _alone = self._policy.forced(account)
        if forced is not None:
            return protocol.preferences(protocol.Preferences("always" if forced else "never", (), ()))
        data = account.data
        default = data.archive or ("always" if self.host.config.archive else "never")
        return protocol.preferences(
            protocol.Preferences(default, tuple(sorted(data.archive_always)), tuple(sorted(data.archive_never)))
        )

    async def set_preferences(self, iq: Stanza, context: IqContext) -> Element:
        """Take new preferences; they count from the next message."""
        account = _own(context)
        wanted = protocol.parse_preferences(_payload(iq))
        forced, alone = self._policy.forced(account)
        if forced is not None:
            raise StanzaError("forbidden" if alone else "not-allowed", "an administrator decides what is archived")
        await self._reader.set_preferences(account.id, wanted.default, list(wanted.always), list(wanted.never))
        data = account.data
        data.archive = wanted.default
        data.archive_always = frozenset(wanted.always)
        data.archive_never = frozenset(wanted.never)
        self.services.tell(account.bare, "data")
        return protocol.preferences(wanted)

    def _row(self, id: int, stanza: Stanza, weight: Weight, to: Jid) -> ArchiveRow:
        return ArchiveRow(
            id,
            ids.time_of(id),
            stanza.sender.bare,
            to.bare,
            0,
            0,
            stanza.type,
            weight[0],
            weight[1],
            # As inside a stream: these bytes are made once and used for delivery too.
            stanza.encode(stanza.to.encoded).decode(),  # type: ignore[union-attr]
            0,
            weight[2],
        )

    def _store(self, stanza: Stanza, weight: Weight, account: Account, to: Jid) -> None:
        """Add the row, and leave its id for the recipient's side and for carbons."""
        id = self._next_id()
        row = self._row(id, stanza, weight, to)
        row.sender_account = account.id
        stanza.commit = self._ledger.archive(row)
        notes = stanza.notes
        if notes is None:
            notes = stanza.notes = {}
        notes["archive"] = id
        sessions = account.sessions
        if len(sessions) > 1 and any(session.carbons for session in sessions.values()):
            own = notes["archive own"] = build.stanza_id(ids.text_of(id), account.jid)
            stanza.element.append(own)
            stanza.changed()

    async def _hold(self, stanza: Stanza, session: Session) -> None:
        """A strict archive: the message goes on when its row is durable."""
        await self._ledger.sync()
        session.proceed(stanza, self.store_sent)
        session.release()

    # What clients send again after a crash

    def _remember_stored(self, stored: Stored) -> None:
        self._stored = stored
        self._stored_ids = frozenset(sent[2] for found in (stored.archived, stored.offline) for sent in found)

    def _forget_stored(self) -> None:
        self._stored = None
        self._stored_ids = frozenset()

    def _is_stored(self, stanza: Stanza, weight: Weight) -> bool:
        """Whether the archive has the message; the recipient's side and the offline storage learn what there is."""
        stored = self._stored
        assert stored is not None
        sent = _sent(stanza.sender.bare, stanza.to.bare, weight)  # type: ignore[union-attr]
        if sent in stored.offline:
            stanza.note("offline kept", True)
        id = stored.archived.get(sent)
        if id is None:
            return False
        stanza.note("archive", id)
        return True

    def stored_before(self, sender: str, room: str, weight: Weight) -> int | None:
        """The id of a message of a room (both bare addresses) that was stored shortly before this start and is sent
        again, else None."""
        stored = self._stored
        if stored is None or weight[1] not in self._stored_ids:
            return None
        return stored.archived.get(_sent(sender, room, weight))


def _sent(sender: str, recipient: str, weight: Weight) -> Sent:
    return sender, recipient, weight[1], text_key(index_text(weight[0]))


def _own(context: IqContext) -> Account:
    """The account that asks; handlers with `own_only` have one."""
    assert context.account is not None
    return context.account


def _payload(iq: Stanza) -> Element:
    found = iq.element.first()
    assert found is not None
    return found
