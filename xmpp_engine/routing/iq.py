"""Iqs that the server answers itself, and the requests it sends.

Handlers are found by (target, type, namespace, name) in the host's table. A plain function is called at once; a
coroutine
function runs as a supervised task, at most `IqHandler.at_once` of them at a time for one sender, so that nobody fills
the store's queue. A plain function may do its work at once and return a coroutine for what the answer waits for.

What one sender says to one module is dealt with in the order in which it was said (RFC 6120, 10.1): while a set of his
waits for the store, his next requests to the same module wait for it. Modules that keep this order themselves, or whose
requests change nothing, are registered as not `ordered`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final

from xmpp_engine.observe.log import refused
from xmpp_engine.plugin.table import IqHandler, Target
from xmpp_engine.routing.bounce import bounce
from xmpp_engine.stanza.build import iq_result
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.storage.protocols import QuotaExceeded, StoreUnavailable
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError

if TYPE_CHECKING:
    from xmpp_engine.routing.account import Account
    from xmpp_engine.routing.host import Host
    from xmpp_engine.routing.router import Router
    from xmpp_engine.runtime.clock import Clock, Timer
    from xmpp_engine.runtime.tasks import Tasks

_MAX_PENDING: Final = 100_000


class IqContext:
    """What a handler knows beside the iq: the host, the account it answers for (Target.ACCOUNT) and the asking
    session where it is local. `own` is whether the account itself asks. `target` is whom the iq was sent to, `room` the
    muc.room.Room (Target.ROOM) or the service (Target.SERVICE, Target.PUBSUB) that this is."""

    __slots__ = ("account", "host", "own", "room", "session", "target")

    def __init__(
        self,
        host: Host,
        account: Account | None,
        session: Any,
        own: bool,
        room: Any = None,
        target: Target = Target.HOST,
    ) -> None:
        self.host = host
        self.account = account
        self.session = session
        self.own = own
        self.room = room
        self.target = target


class IqDispatch:
    """Serves iqs and matches answers with the server's own requests."""

    def __init__(self, router: Router, clock: Clock, tasks: Tasks) -> None:
        self._router = router
        self._clock = clock
        self._tasks = tasks
        #: Iqs under way by sender and by how many of their handler's kind there may be.
        self._running: dict[tuple[str, int], int] = {}
        #: The last set under way by sender and module.
        self._sets: dict[tuple[str, str], asyncio.Future[None]] = {}
        #: Ends the ids of our requests in a cluster: an answer may come to any node.
        self.tag = ""
        self._pending: dict[tuple[str, str], tuple[Callable[[Stanza | None], Any], Timer]] = {}
        #: Namespaces that a component may serve (XEP-0355): function(iq, host, target, account, payload) -> whether it
        #: is dealt with.
        self.delegates: dict[str, Callable[..., bool]] = {}

    def serve(
        self,
        stanza: Stanza,
        host: Host,
        target: Target,
        account: Account | None,
        room: Any = None,
        as_owner: bool = False,
    ) -> None:
        """Answer an iq for the host, an account or a room; results and errors go to who waits for them. `as_owner` says
        that the sender may do what the account itself may."""
        if stanza.type in ("result", "error"):
            # What came to another node than the one that asked is known by the tag in its id.
            if not self.answered(stanza) and self._router.crossing is not None:
                self._router.crossing.answer(stanza)
            return
        self._router.counters.iqs += 1
        payload = stanza.element.first()
        if payload is None:
            self._refuse(stanza, StanzaError("bad-request", "an iq of this type needs one payload"))
            return
        delegate = self.delegates.get(payload.ns)
        if delegate is not None and not as_owner and delegate(stanza, host, target, account, payload):
            return
        handler = host.table.iq.get((target, stanza.type, payload.ns, payload.name))
        if handler is None:
            self._refuse(stanza, StanzaError("service-unavailable"))
            return
        own = as_owner or (account is not None and stanza.sender.bare == account.bare)
        if handler.own_only and not own:
            self._refuse(stanza, StanzaError("forbidden"))
            return
        context = IqContext(host, account, stanza.origin, own, room, target)
        before = self._sets.get((stanza.sender.full, handler.owner)) if handler.ordered else None
        if handler.waits or before is not None:
            key = (stanza.sender.full, handler.at_once)
            running = self._running.get(key, 0)
            if running >= handler.at_once:
                self._refuse(stanza, StanzaError("resource-constraint", "too many requests at a time"))
                return
            self._running[key] = running + 1
            self._spawn(stanza, handler, _called(stanza, handler, context, before), self._turn(stanza, handler))
            return
        try:
            result = handler.function(stanza, context)
        except Exception as error:
            self._failed(stanza, handler, error)
            return
        if type(result) is CoroutineType:
            self._reply_later(stanza, handler, result)
            return
        self._reply(stanza, result)

    def _reply_later(self, stanza: Stanza, handler: IqHandler, answer: Coroutine[Any, Any, Any]) -> None:
        """What was asked is done in its place among all stanzas; the answer waits, as a rule until it is stored. Who
        asks faster than that is answered at once, without that promise."""
        key = (stanza.sender.full, handler.at_once)
        running = self._running.get(key, 0)
        if running >= handler.at_once:
            answer.close()
            self._reply(stanza, None)
            return
        self._running[key] = running + 1
        self._spawn(stanza, handler, answer)

    def _spawn(
        self,
        stanza: Stanza,
        handler: IqHandler,
        answer: Coroutine[Any, Any, Any],
        turn: asyncio.Future[None] | None = None,
    ) -> None:
        task = self._tasks.spawn(f"iq {handler.owner}", self._serve_later(stanza, handler, answer, turn))
        # A task that is cancelled before it has begun, as when the engine stops, awaits nothing.
        task.add_done_callback(lambda _task: answer.close())

    def request(self, stanza: Stanza, answered: Callable[[Stanza | None], Any], seconds: float = 60.0) -> None:
        """Send a request of the server's own; `answered` gets the result or error, or None after `seconds`."""
        assert stanza.to is not None
        assert stanza.id is not None
        if len(self._pending) >= _MAX_PENDING:
            answered(None)
            return
        if self.tag:
            stanza.id = stanza.element.attrs["id"] = f"{stanza.id}.{self.tag}"
            stanza.changed()
        key = (stanza.to.full, stanza.id)
        self._pending[key] = (answered, self._clock.call_later(seconds, self._timed_out, key))
        self._router.route(stanza)

    def _turn(self, stanza: Stanza, handler: IqHandler) -> asyncio.Future[None] | None:
        """What later requests of this sender to this module wait for, None where they need not."""
        if not handler.ordered or stanza.type != "set":
            return None
        turn = asyncio.get_running_loop().create_future()
        self._sets[stanza.sender.full, handler.owner] = turn
        return turn

    async def _serve_later(
        self,
        stanza: Stanza,
        handler: IqHandler,
        answer: Coroutine[Any, Any, Any],
        turn: asyncio.Future[None] | None = None,
    ) -> None:
        try:
            result = await answer
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self._failed(stanza, handler, error)
        else:
            self._reply(stanza, result)
        finally:
            key = (stanza.sender.full, handler.at_once)
            left = self._running[key] - 1
            if left:
                self._running[key] = left
            else:
                del self._running[key]
            if turn is not None:
                turn.set_result(None)
                if self._sets.get((stanza.sender.full, handler.owner)) is turn:
                    del self._sets[stanza.sender.full, handler.owner]

    def _reply(self, stanza: Stanza, payload: Element | None) -> None:
        assert stanza.to is not None or stanza.origin is not None
        sender = stanza.to if stanza.to is not None else stanza.sender.to_bare()
        children = () if payload is None else (payload,)
        self._router.reply(stanza, iq_result(stanza, sender, *children))

    def _failed(self, stanza: Stanza, handler: IqHandler, error: Exception) -> None:
        if isinstance(error, StanzaError):
            self._refuse(stanza, error)
        elif isinstance(error, StoreUnavailable):
            refused.error("module %s cannot answer %s: %s", handler.owner, stanza.sender, error)
            self._refuse(stanza, StanzaError("internal-server-error", "the database does not answer", type="wait"))
        elif isinstance(error, QuotaExceeded):
            self._refuse(stanza, StanzaError("resource-constraint", str(error)))
        else:
            refused.exception("module %s failed on an iq of %s", handler.owner, stanza.sender, exc_info=error)
            self._refuse(stanza, StanzaError("internal-server-error"))

    def _refuse(self, stanza: Stanza, error: StanzaError) -> None:
        bounce(self._router, stanza, error, None if stanza.to is not None else stanza.sender.to_bare())

    def answered(self, stanza: Stanza) -> bool:
        """Somebody has answered; False where this node has not asked."""
        waiting = self._pending.pop((stanza.sender.full, stanza.id or ""), None)
        if waiting is None:
            return False
        waiting[1].cancel()
        waiting[0](stanza)
        return True

    def _timed_out(self, key: tuple[str, str]) -> None:
        waiting = self._pending.pop(key, None)
        if waiting is not None:
            waiting[0](None)


async def _called(stanza: Stanza, handler: IqHandler, context: IqContext, before: asyncio.Future[None] | None) -> Any:
    """The result of a handler that is called when an earlier set is dealt with."""
    if before is not None and not before.done():
        await asyncio.wait((before,))  # unlike an await of its own this does not cancel it
    result = handler.function(stanza, context)
    return await result if handler.waits or type(result) is CoroutineType else result
