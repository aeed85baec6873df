"""Which error goes back to a sender, and when none may (RFC 6120, 8.3.1; RFC 6121, 8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.addressing.uri import uri_of
from xmpp_engine.observe.log import refused
from xmpp_engine.plugin.phases import FAIL_CLOSED
from xmpp_engine.plugin.verdict import Reject
from xmpp_engine.stanza.build import error_reply
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml.errors import StanzaError

if TYPE_CHECKING:
    from xmpp_engine.plugin.table import HandlerTable, Hook
    from xmpp_engine.routing.router import Router

#: The note of a stanza in which a module leaves a function that is called with the error when the stanza is refused.
BOUNCED: Final = "bounced"


def bounce(router: Router, stanza: Stanza, error: StanzaError, sender: Jid | None = None) -> None:
    """Send the error for a stanza back to where it came from, unless none may be sent. `sender` is who answers, the
    addressee by default."""
    if stanza.kind == "presence" and stanza.type in ("unavailable", "error"):
        return
    reply = error_reply(stanza, error, sender)
    if reply is not None:
        router.counters.count("stanza_errors_total", error.condition)
        router.reply(stanza, reply)
        if stanza.notes is not None and BOUNCED in stanza.notes:
            stanza.notes[BOUNCED](reply)


def gone(now: Jid) -> StanzaError:
    """The error that says where an addressee is now (RFC 6120, 8.3.3.5)."""
    return StanzaError("gone", value=uri_of(now))


def failed(table: HandlerTable, hook: Hook, stanza: Stanza, error: Exception) -> Reject | None:
    """What a hook's exception means: Reject in the phases that fail closed, None (go on) in the others.

    A StanzaError is a hook's way to refuse and no fault; anything else is logged with the hook's owner.
    """
    entry = table.owner_of(hook)
    closed = entry is None or entry.phase is None or entry.phase in FAIL_CLOSED
    if isinstance(error, StanzaError):
        return Reject(error.condition, error=error) if closed else None
    refused.exception(
        "%s of module %s failed on %s from %s: %s",
        entry.kind if entry else "a hook",
        entry.owner if entry else "?",
        stanza.kind,
        stanza.sender,
        "refused" if closed else "going on",
        exc_info=error,
    )
    return Reject("internal-server-error", "the server could not check this stanza") if closed else None


def run(hooks: tuple[Hook, ...], table: HandlerTable, stanza: Stanza, *arguments: Any) -> Any:
    """Run hooks in order until one gives a verdict: HANDLED, Reject or None after the last."""
    for hook in hooks:
        try:
            verdict = hook(stanza, *arguments)
        except Exception as error:
            verdict = failed(table, hook, stanza, error)
        if verdict is not None:
            return verdict
    return None
