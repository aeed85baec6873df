"""Dialback on one stream, in all four roles that a server can have there (XEP-0220).

    we want to speak for a pair        `ask`       sends <db:result>key</db:result>, waits for its answer
    the peer wants to                  `_claimed`  has its key verified elsewhere, then answers
    we have a key verified             `verify`    sends <db:verify>, waits for its answer
    the peer has one of ours verified  `_question` answers at once: a key can be made again from the stream's id

Several pairs may be under way on one stream (multiplexing), and what fails for one of them fails by an error of
dialback and leaves the others alone.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

from xmpp_engine.s2s.failure import Failure
from xmpp_engine.stream import dialback
from xmpp_engine.stream.dialback import Dialback
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StreamError

if TYPE_CHECKING:
    from xmpp_engine.s2s.peer_stream import PeerStream

log = logging.getLogger("mlink.s2s")

#: Claims of one stream that are looked into at a time, claims that may fail until it ends, and pairs of domains that
#: one stream may speak for.
_AT_ONCE: Final = 20
_FAILED: Final = 20
PAIRS: Final = 500
#: Questions about keys that a stream may ask.
_QUESTIONS: Final = 10_000


class Exchange:
    """The dialback of one PeerStream. `answered` says that it has answered a question about a key."""

    def __init__(self, peer: PeerStream) -> None:
        self._peer = peer
        #: What we wait for, by (local, remote) and by (local, remote, id).
        self._asked: dict[tuple[str, str], asyncio.Future[None]] = {}
        self._verifying: dict[tuple[str, str, str], asyncio.Future[bool]] = {}
        #: (remote, local) that the peer claims.
        self._claims: set[tuple[str, str]] = set()
        self._failed = 0
        self._questions = 0

    @property
    def busy(self) -> bool:
        """Whether anything is under way."""
        return bool(self._asked or self._verifying or self._claims)

    @property
    def answered(self) -> bool:
        """Whether the peer had keys of ours verified here."""
        return self._questions > 0

    def fail(self, failure: Failure) -> None:
        """The stream ends: whoever waits learns why."""
        waiting: list[asyncio.Future[Any]] = [*self._asked.values(), *self._verifying.values()]
        self._asked.clear()
        self._verifying.clear()
        self._claims.clear()
        for future in waiting:
            if not future.done():
                future.set_exception(failure)
                future.exception()  # whoever waited may have given up

    # We speak

    async def ask(self, local: str, remote: str) -> None:
        """Prove by dialback that we speak for `local` to `remote`; raises Failure."""
        pair = (local, remote)
        future = self._asked.get(pair)
        if future is None:
            stream = self._peer.stream
            if self._peer.over:
                raise Failure("remote-server-timeout", "the stream has ended")
            future = self._asked[pair] = asyncio.get_running_loop().create_future()
            key = self._peer.federation.keys.make(remote, local, stream.id)
            stream.write(dialback.request("result", local, remote, key))
        await asyncio.shield(future)

    async def verify(self, local: str, remote: str, id: str, key: str) -> bool:
        """Whether the other server, asked as the authority for `remote`, has made a key for a stream with this id to
        `local`; raises Failure."""
        question = (local, remote, id)
        future = self._verifying.get(question)
        if future is None:
            if self._peer.over:
                raise Failure("remote-server-timeout", "the stream has ended")
            future = self._verifying[question] = asyncio.get_running_loop().create_future()
            self._peer.stream.write(dialback.request("verify", local, remote, key, id))
        try:
            return await asyncio.shield(future)
        finally:
            # Whoever never answers does not keep the stream open by that.
            self._verifying.pop(question, None)

    # The peer speaks

    def element(self, element: Element) -> None:
        """An element of dialback; raises StreamError."""
        told = dialback.read(element)
        if told.name == "result":
            if told.type:
                self._answer(told)
            else:
                self._claimed(told)
        elif told.type:
            self._verified(told)
        else:
            self._question(told)

    def _answer(self, told: Dialback) -> None:
        """To our own claim; what was not asked means nothing."""
        future = self._asked.pop((told.to, told.source), None)
        if future is None or future.done():
            return
        if told.type == "valid":
            # At once: what stands behind it in the same read may be a stanza already (XEP-0288).
            self._peer.accepted(told.to, told.source, "dialback")
            future.set_result(None)
            return
        if told.type == "error":
            condition, final = dialback.FAILURES.get(told.condition, ("remote-server-timeout", False))
            text = f"dialback failed: {told.condition}{f' ({told.text})' if told.text else ''}"
            failure = Failure(condition, text, final=final)
        else:
            failure = Failure(
                "remote-server-timeout", "the other server holds our dialback key to be wrong", final=True
            )
        future.set_exception(failure)

    def _verified(self, told: Dialback) -> None:
        future = self._verifying.pop((told.to, told.source, told.id), None)
        if future is None or future.done():
            return
        if told.type == "error":
            future.set_exception(
                Failure("remote-server-timeout", f"the authoritative server answered {told.condition} {told.text}")
            )
        else:
            future.set_result(told.type == "valid")

    def _question(self, told: Dialback) -> None:
        """Somebody, who need not have proved anything, asks whether a key is ours."""
        stream = self._peer.stream
        self._questions += 1
        if self._questions > _QUESTIONS:
            raise self._peer.refuse("policy-violation", "too many questions about dialback keys")
        federation = self._peer.federation
        if not federation.serves(told.to):
            text = f"{told.to} is not served here"
            stream.write(dialback.refuse("verify", told.to, told.source, "item-not-found", text, told.id))
            return
        valid = federation.keys.check(told.key, told.source, told.to, told.id)
        if not valid:
            self._refused(told, "invalid", f"{told.source} was shown a dialback key of {told.to} that is not ours")
        stream.write(dialback.answer("verify", told.to, told.source, valid, told.id))

    def _claimed(self, told: Dialback) -> None:
        """The peer says that it speaks for a domain."""
        peer = self._peer
        pair = told.pair
        if pair in self._claims:
            return
        if pair in peer.receives:
            peer.stream.write(dialback.answer("result", told.to, told.source, True))
            return
        condition, text = peer.federation.judge_claim(told.source, told.to, peer.stream.transport.secure)
        if not condition and len(self._claims) >= _AT_ONCE:
            condition, text = "resource-constraint", "too much is claimed at a time"
        if not condition and len(peer.receives) + len(self._claims) >= PAIRS:
            condition, text = "resource-constraint", "this stream speaks for too many domains"
        if condition:
            self._deny(told, condition, text)
            return
        self._claims.add(pair)
        peer.federation.services.tasks.spawn(f"dialback of {told.source}", self._look_into(told))

    async def _look_into(self, told: Dialback) -> None:
        peer = self._peer
        federation = peer.federation
        method = "dialback"
        try:
            judgement = await federation.judge_claimant(told.source, peer.stream.transport)
            if judgement is not None and judgement.accepted:
                peer.judgement = peer.judgement or judgement
                valid, method = True, "certificate"
            else:
                # Nobody is asked on the stream on which he claims (XEP-0288, 2.2).
                valid = await federation.verify(told.to, told.source, peer.stream.id, told.key, peer)
        except Failure as failure:
            if failure.step in ("tcp", "tls"):
                # What stands at an address that a stranger has named, in our network too, is not for him to know.
                text = f"the server of {told.source} cannot be reached"
                self._conclude(told, "remote-connection-failed", failure.text, text)
            else:
                self._conclude(told, failure.condition, failure.text)
            return
        except Exception:
            self._conclude(told, "internal-server-error", "the key could not be checked")
            raise
        if valid:
            if told.pair in self._claims and not peer.over:
                self._claims.discard(told.pair)
                peer.proven(told.source, told.to, method)
                peer.stream.write(dialback.answer("result", told.to, told.source, True))
                peer.ready()
        else:
            self._conclude(told, "", f"the dialback key of {told.source} is wrong")

    def _conclude(self, told: Dialback, condition: str, text: str, public: str = "") -> None:
        """A claim did not hold: an error where it could not be checked, `invalid` where it was. The peer is told
        `public` instead of the text where that is given."""
        if told.pair not in self._claims or self._peer.over:
            return
        self._claims.discard(told.pair)
        if condition:
            self._deny(told, condition, text, public)
            return
        peer = self._peer
        self._refused(told, "invalid", text)
        peer.stream.write(dialback.answer("result", told.to, told.source, False))
        if not peer.receives and not peer.sends and not self.busy:
            peer.stream.close()  # XEP-0220, 2.1.1: who lied, and has nothing else here, goes
        else:
            self._count_failure()

    def _deny(self, told: Dialback, condition: str, text: str, public: str = "") -> None:
        self._refused(told, condition, text)
        self._peer.stream.write(dialback.refuse("result", told.to, told.source, condition, public or text))
        self._count_failure()

    def _count_failure(self) -> None:
        """Each claim may have us ask somebody else."""
        self._failed += 1
        if self._failed >= _FAILED:
            error = StreamError("policy-violation", "too many claims have failed")
            error.told = True
            self._peer.stream.close(error)

    def _refused(self, told: Dialback, code: str, text: str) -> None:
        peer = self._peer
        peer.federation.refusals.add(peer.direction, told.to, told.source, peer.stream.transport.peer, code, text)
