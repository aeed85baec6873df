"""Session: one bound resource (hot file).

Everything a client sends after it is bound comes to `receive`; everything for it goes through `deliver`. Between the
two stand the hooks of the host's table and the router, all plain calls.

Whoever must wait (an account that is not resident, a strict archive, a full ledger) calls `hold(why)`: what the client
sends meanwhile collects in a bounded backlog and reading stops, so its own connection is slowed and its order holds.
`release()` goes on where it stopped. A stanza counts as handled (XEP-0198) only when nothing holds it any more.

A session outlives its connection when its stream can be resumed: `stream` is None then, and what is delivered waits
in the queue of stream management until the client comes back or the time is over.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, ClassVar, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.observe.log import refused, sessions
from xmpp_engine.plugin.table import Hook, Target
from xmpp_engine.plugin.verdict import Reject
from xmpp_engine.routing.bounce import bounce, failed, run
from xmpp_engine.routing.rescue import Rescue, note_end
from xmpp_engine.stanza.build import iq as build_iq
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.stream.feature_sm import ASK_EVERY, REQUEST, StreamManagement
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError, StreamError

if TYPE_CHECKING:
    from xmpp_engine.routing.account import Account
    from xmpp_engine.routing.host import Host, Services
    from xmpp_engine.runtime.clock import Timer

#: Elements that may wait behind a held stanza. Reading stops at once, so only what one read held gets here.
_BACKLOG: Final = 2_000
_CLIENT: Final = ns.CLIENT


class Session:
    """One bound resource of an account.

    `presence` is its last available presence or None; `priority` belongs to it. `interested` is whether it asked for
    the roster, `carbons` whether it enabled them, `inactive` its client state. `notes` is for modules, by name.
    """

    __slots__ = (
        "_backlog",
        "_holding",
        "_services",
        "_taken",
        "account",
        "carbons",
        "directed",
        "ended",
        "facts",
        "flavour",
        "held",
        "host",
        "inactive",
        "interested",
        "jid",
        "leaving",
        "notes",
        "presence",
        "priority",
        "resume_seconds",
        "resume_timer",
        "since",
        "sm",
        "stream",
        "table",
    )

    #: `RemoteSession` says True: it has the same face, and is on another node.
    remote: ClassVar[bool] = False

    def __init__(self, services: Services, account: Account, jid: Jid, stream: Any, facts: Any) -> None:
        """`stream` is a bound stream.Stream, `facts` its stream.role.LoginFacts."""
        self._services = services
        self.account = account
        self.host: Host = account.host
        self.table = account.host.table
        self.jid = jid
        self.stream = stream
        self.flavour: int = stream.flavour
        self.facts = facts
        self.since = services.clock.time()
        self.presence: Stanza | None = None
        self.priority = 0
        self.interested = False
        self.carbons = False
        self.inactive = False
        #: Addresses that got directed presence and must learn of the end (RFC 6121, 4.6.3), None until one did.
        self.directed: dict[str, Jid] | None = None
        self.sm: StreamManagement | None = None
        self.resume_seconds = 0.0
        self.resume_timer: Timer | None = None
        #: Why the session waits, "" when it does not.
        self.held = ""
        self.ended = False
        #: Why the session is to end once nothing holds it.
        self.leaving = ""
        self.notes: dict[str, Any] | None = None
        self._holding = 0
        self._backlog: deque[Element] | None = None
        self._taken: Stanza | None = None

    # From the client

    def receive(self, element: Element) -> None:
        """One element from the client, after bind. Raises StreamError for what ends the stream."""
        if self._holding:
            if self._backlog is None:
                self._backlog = deque()
            if len(self._backlog) >= _BACKLOG:
                raise StreamError("resource-constraint", "too much was sent while the server is waiting")
            self._backlog.append(element)
        else:
            self._take(element)

    def _take(self, element: Element) -> None:
        if element.ns != _CLIENT or element.name not in ("message", "presence", "iq"):
            handler = self.table.element.get((element.ns, element.name))
            if handler is None:
                raise StreamError("unsupported-stanza-type", f"{element.name} is not understood here")
            handler(element, self)
            return
        source = element.attrs.get("from")
        if source is not None and source != self.jid.full:
            self._check_from(source)
        try:
            stanza = Stanza.parse(element, self.jid, self)
        except StanzaError as error:
            self._refuse_malformed(element, error)
            if self.sm is not None:
                self.sm.handled(0)
            return
        kind = stanza.kind
        if kind == "message":
            self._services.counters.messages += 1
            if stanza.to is None:
                stanza.to = self.account.jid
            hooks = self.table.message_out
        elif kind == "presence":
            self._services.counters.presences += 1
            hooks = self.table.presence_out
        else:
            hooks = self.table.iq_out
        for hook in hooks:
            try:
                verdict = hook(stanza, self)
            except Exception as error:
                verdict = failed(self.table, hook, stanza, error)
            if verdict is not None:
                if isinstance(verdict, Reject) and not verdict.silent:
                    bounce(self._services.router, stanza, verdict.error)
                break
        else:
            self._route(stanza)
        if self._holding:
            self._taken = stanza
        else:
            self._done(stanza)

    def _route(self, stanza: Stanza) -> None:
        to = stanza.to
        if to is None or (stanza.kind == "iq" and to.full == self.account.bare):
            if stanza.kind == "iq":
                self._services.iq.serve(stanza, self.host, Target.ACCOUNT, self.account)
            return
        self._services.router.route(stanza)

    def _done(self, stanza: Stanza) -> None:
        """The stanza is dealt with: count it for XEP-0198, and slow down when the ledger is full."""
        sm = self.sm
        if sm is not None:
            sm.handled(stanza.commit)
        if stanza.commit and self._services.ledger.full and self.hold("ledger"):
            self._services.ledger.on_room(self.release)

    def _check_from(self, source: str) -> None:
        """RFC 6120, 8.1.2.1: a client may only speak as itself. Whichever of its own resources it names, the server
        writes the address of the one that speaks.

        COMPAT(Converse 14, 2026-11): after a reload it resumes its stream and names a resource that it never bound."""
        try:
            jid = Jid.parse(source)
        except ValueError:
            jid = None
        if jid is None or jid.bare != self.jid.bare:
            refused.info("%s sent a stanza as %.200s", self.jid, source)
            raise StreamError("invalid-from", "a stanza came with the address of somebody else")

    def _refuse_malformed(self, element: Element, error: StanzaError) -> None:
        """Answer a stanza that is none: addresses, type or id are wrong."""
        refused.info("%s sent a malformed %s: %s", self.jid, element.name, error)
        self._services.counters.count("stanza_errors_total", error.condition)
        if element.attrs.get("type") in ("error", "result"):
            return
        attrs = {"type": "error"}
        if "id" in element.attrs:
            attrs["id"] = element.attrs["id"]
        reply = Element(_CLIENT, element.name, attrs, error.element())
        self.deliver(Stanza(reply, self.jid, self.account.jid, "error"))

    # Waiting

    def hold(self, why: str) -> bool:
        """Stop taking stanzas until `release` was called as often as `hold`; False when the session has ended (do not
        release then)."""
        if self.ended:
            return False
        self._holding += 1
        self.held = why
        if self._holding == 1 and self.stream is not None:
            self.stream.transport.pause()
        return True

    def proceed(self, stanza: Stanza, after: Hook) -> None:
        """Go on with a message behind the hook that held it and answered HANDLED; `release` comes next."""
        hooks = self.table.message_out
        # A reload may have put other hooks in place meanwhile: what had to check the message has done so.
        rest = hooks[hooks.index(after) + 1 :] if after in hooks else ()
        verdict = run(rest, self.table, stanza, self)
        if verdict is None:
            self._route(stanza)
        elif isinstance(verdict, Reject) and not verdict.silent:
            bounce(self._services.router, stanza, verdict.error)

    def release(self) -> None:
        """Go on: the held stanza is done, then the backlog in order."""
        self._holding -= 1
        if self._holding:
            return
        self.held = ""
        taken, self._taken = self._taken, None
        if taken is not None:
            self._done(taken)
        backlog = self._backlog
        try:
            while backlog and not self._holding:
                self._take(backlog.popleft())
        except StreamError as error:
            if self.stream is not None:
                self.stream.close(error)
        if self._holding:
            return
        if self.stream is not None:
            self.stream.transport.resume()
        if self.leaving and not self.ended:
            self._end(self.leaving)

    # To the client

    def deliver(self, stanza: Stanza) -> None:
        """Send a stanza to this resource; after the end a no-op."""
        if self.ended:
            return
        for hook in self.table.presend:
            try:
                if hook(stanza, self) is not None:
                    return
            except Exception as error:
                failed(self.table, hook, stanza, error)
        self.transmit(stanza)

    def transmit(self, stanza: Stanza) -> None:
        """The last step of delivery: count for XEP-0198, then write."""
        stream = self.stream
        sm = self.sm
        to = stanza.to
        if sm is None:
            if stream is not None:
                stream.write(stanza.encode(to.encoded if to is not None else None, self.flavour))
            return
        if not sm.push(stanza, self._services.clock.time()):
            self._overflow(stanza)
            return
        if stream is not None:
            stream.write(stanza.encode(to.encoded if to is not None else None, self.flavour))
            if not sm.asked:
                if len(sm.queue) >= ASK_EVERY:
                    sm.asked = True
                    stream.write(REQUEST)
                else:
                    self._services.registry.unasked.add(self)

    def ask(self) -> None:
        """Ask for an acknowledgement when something waits for one; called by the sweep."""
        sm = self.sm
        if sm is not None and self.stream is not None and sm.queue and not sm.asked:
            sm.asked = True
            self.stream.write(REQUEST)

    def idle(self) -> None:
        """Nothing was read for long: see whether the client is there (FEATURES, CORE-09). Any answer counts."""
        if self.stream is None:
            return
        if self.sm is not None:
            self.stream.write(REQUEST)
        else:
            self.transmit(build_iq(self.host.jid, self.jid, "get", Element(ns.PING, "ping")))

    def committed(self, _seq: int) -> None:
        """The ledger moved on: answer what waited for it."""
        sm = self.sm
        if sm is None or self.ended:
            return
        answers = sm.due()
        if answers and self.stream is not None:
            self.stream.write(answers)
        if sm.waiting:
            self._services.ledger.on_commit(self.committed)

    def _overflow(self, stanza: Stanza) -> None:
        """The client acknowledges nothing: the session ends, and what waits goes where it can (offline, or back)."""
        sessions.warning("%s: %d stanzas unacknowledged, ending the session", self.jid, len(self.sm.queue))  # type: ignore[union-attr]
        self.sm.queue.append((stanza, self._services.clock.time()))  # type: ignore[union-attr]
        self.kick(StreamError("resource-constraint", "too many stanzas are not acknowledged"))

    # Life

    def lost(self, reason: str, clean: bool) -> None:
        """The connection is gone; `clean` when the client closed its stream. A resumable session waits, unless a
        stream error ended it; others end."""
        stream, self.stream = self.stream, None
        sm = self.sm
        if self.ended:
            return
        failed_stream = stream is not None and stream.error is not None
        if sm is not None and sm.resumable and not clean and not failed_stream:
            sm.forget_connection()
            self.wait_for_client()
            sessions.info(
                "%s lost its connection (%s), can be resumed for %.0f s", self.jid, reason, self.resume_seconds
            )
            self._tell(self.table.session_asleep)
            return
        if self._holding:
            self.leaving = reason
            return
        self._end(reason, clean)

    def wait_for_client(self) -> None:
        """The session has no connection: it ends unless it is resumed in time."""
        self.resume_timer = self._services.clock.call_later(self.resume_seconds, self._expired)

    def awake(self) -> None:
        """The client is back, over a new connection that has what waited, or because somebody looks at it again."""
        self._tell(self.table.session_awake)

    def _tell(self, hooks: tuple[Hook, ...]) -> None:
        for hook in hooks:
            try:
                hook(self)
            except Exception:
                refused.exception("a module failed on the session %s", self.jid)

    def attach(self, stream: Any, facts: Any) -> None:
        """Go on over a new connection (XEP-0198, 5); the caller has dealt with the queue."""
        if self.resume_timer is not None:
            self.resume_timer.cancel()
            self.resume_timer = None
        old, self.stream = self.stream, stream
        self.flavour = stream.flavour
        self.facts = facts
        if old is not None:
            old.on_lost = None
            old.close(StreamError("conflict", "the stream was resumed elsewhere"))
        if self._holding:
            stream.transport.pause()

    def flagged(self) -> None:
        """Something has changed that other nodes of a cluster know of it."""
        whereabouts = self._services.registry.whereabouts
        if whereabouts is not None:
            whereabouts.flagged(self)

    def hush(self) -> None:
        """Another session has its place: contacts are not to learn that this one ends."""
        self.presence = None
        self.priority = 0

    def move(self, error: StreamError) -> None:
        """Have the client go on elsewhere: its stream ends with this error, but where the session can be resumed it
        waits, as after a lost connection."""
        stream = self.stream
        if stream is None or self.ended:
            return
        stream.on_lost = None
        self.lost("sent elsewhere", clean=False)
        stream.close(error)

    def leave(self, reason: str) -> None:
        """Another node goes on with this session: it ends here, and nobody is told. Its stream is no matter of it any
        more, nor are its queue and where its presence went."""
        shown, directed = self.presence, self.directed
        self.hush()
        self.directed = None
        self.sm, sm = None, self.sm
        if sm is not None:
            self._services.registry.resumable.pop(sm.id, None)
        self._end(reason, moved=True)
        self.presence, self.directed = shown, directed

    def kick(self, error: StreamError) -> None:
        """End the session and its stream with this error."""
        if self.ended:
            return
        stream, self.stream = self.stream, None
        if stream is not None:
            stream.on_lost = None
        self._end(str(error))
        if stream is not None:
            stream.close(error)

    def _expired(self) -> None:
        self.resume_timer = None
        self._end("was not resumed in time")

    def _end(self, reason: str, clean: bool = False, *, moved: bool = False) -> None:
        """The session is over: out of the registry, the modules learn of it, unacknowledged messages find another
        way."""
        if self.ended:
            return
        if self.resume_timer is not None:
            self.resume_timer.cancel()
        services = self._services
        services.registry.remove(self)
        self.account.used = services.clock.now()
        for hook in self.table.session_closed:
            try:
                hook(self, reason)
            except Exception:
                refused.exception("a module failed at the end of %s", self.jid)
        self.ended = True
        sessions.info("%s ended: %s", self.jid, reason)
        sm = self.sm
        if sm is not None:
            if sm.resumable:
                # A client that comes back too late still learns what it need not send again.
                services.ledger.mark(sm.id, self.account.id, -1 if clean else sm.handled_count % 2**32)
            if sm.queue:
                rescue = self.account.rescue or Rescue(services.router, self.account)
                rescue.add(sm.queue, self.jid.resource)
                sm.queue.clear()
                rescue.begin(services.tasks)
        if not moved:
            note_end(self.account, self.jid.resource, self.since, services.clock.time())
            if services.registry.whereabouts is not None:
                services.registry.whereabouts.seen_to(self)

    def describe(self) -> dict[str, Any]:
        """What lists and the console show of the session."""
        stream = self.stream
        facts = stream.transport.tls_facts() if stream is not None else {}
        return {
            "jid": self.jid.full,
            "address": stream.transport.peer if stream is not None else "",
            "transport": stream.transport.name if stream is not None else "waiting to be resumed",
            "secure": bool(stream is not None and stream.transport.secure),
            "tls": " ".join(filter(None, (facts.get("version", ""), facts.get("cipher", "")))),
            "mechanism": getattr(self.facts, "mechanism", ""),
            "device": getattr(self.facts, "device", ""),
            "since": self.since,
            "available": self.presence is not None,
            "show": (self.presence.element.child_text(_CLIENT, "show") or "") if self.presence is not None else "",
            "priority": self.priority,
            "unacked": len(self.sm.queue) if self.sm is not None else 0,
            "resumable": self.sm is not None and self.sm.resumable,
            "queued_bytes": stream.transport.idle_bytes() if stream is not None else 0,
            "held": self.held,
            "inactive": self.inactive,
            "bytes_in": stream.bytes_in if stream is not None else 0,
            "bytes_out": stream.bytes_out if stream is not None else 0,
        }
