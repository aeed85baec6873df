"""Commands on the people of a running node: who is there, their figures, announcements; and the end of the node."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, Protocol

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.admin.command import Argument, CommandError, Registry
from xmpp_engine.routing.account import Account
from xmpp_engine.routing.host import Services
from xmpp_engine.routing.session import Session
from xmpp_engine.stanza.build import message
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element

registry: Final = Registry()

MAX_TEXT: Final = 10_000
MAX_DELAY: Final = 3_600
_AT_ONCE: Final = 200
_JID: Final = Argument("jid", "address of the account")
_DOMAIN: Final = Argument("domain", "only this domain", default="")
_AWAY: Final = frozenset({"away", "xa"})


class Peopled(Protocol):
    """What the commands use of the engine."""

    services: Services


async def _account(engine: Peopled, text: str) -> Account:
    try:
        jid = Jid.parse(text.strip())
    except ValueError as error:
        raise CommandError(f"{text.strip()!r} is not an address: {error}.") from None
    host = engine.services.router.hosts.get(jid.domain)
    account = await engine.services.accounts.load(jid.bare, host) if host is not None and jid.local else None
    if account is None:
        raise CommandError(f"There is no account {jid.bare}.")
    return account


def _sessions(engine: Peopled, domain: str) -> list[Session]:
    sessions = engine.services.registry.full.values()
    return [s for s in sessions if s.presence is not None and domain in ("", s.host.domain)]


def is_idle(session: Session) -> bool:
    """Whether nobody seems to sit before this client: it says away, is inactive (XEP-0352) or waits to be resumed."""
    presence = session.presence
    show = presence.element.child_text(ns.CLIENT, "show") if presence is not None else None
    return session.inactive or session.stream is None or show in _AWAY


@registry.command("online", "List who is online, and who of them is idle.", _DOMAIN, permission="read", where="node")
async def online(engine: Peopled, domain: str) -> list[dict[str, Any]]:
    """One row per account: an account is idle when all its clients are."""
    people: dict[str, list[Session]] = {}
    for session in _sessions(engine, domain):
        people.setdefault(session.account.bare, []).append(session)
    return [
        {"jid": bare, "resources": len(sessions), "idle": all(map(is_idle, sessions))}
        for bare, sessions in sorted(people.items())
    ]


@registry.command("user roster", "List the contacts of an account.", _JID, permission="read", where="node")
async def user_roster(engine: Peopled, jid: str) -> list[dict[str, Any]]:
    """As the account's own clients see them."""
    account = await _account(engine, jid)
    return [
        {"jid": item.jid, "name": item.name, "subscription": item.subscription, "groups": list(item.groups)}
        for item in sorted(account.roster.values(), key=lambda item: item.jid)
        if item.listed
    ]


@registry.command("user stats", "Show the figures of an account.", _JID, permission="read", where="node")
async def user_stats(engine: Peopled, jid: str) -> dict[str, Any]:
    """Addresses, contacts, clients and stored messages."""
    account = await _account(engine, jid)
    # Those of other nodes are told there (`everywhere.py`).
    sessions = [session for session in account.sessions.values() if not session.remote]
    peers = sorted({s.stream.transport.peer for s in sessions if s.stream is not None})
    return {
        "jid": account.bare,
        "addresses": peers,
        "contacts": sum(item.listed for item in account.roster.values()),
        "resources": sorted(s.jid.resource for s in sessions),
        "offline_messages": account.data.offline_count,
        "blocked": len(account.data.blocked),
    }


@registry.command(
    "announce", "Send a text to everybody who is online.", Argument("text", "what to say"), _DOMAIN, where="node"
)
async def announce(engine: Peopled, text: str, domain: str) -> dict[str, Any]:
    """From the domain itself; nobody else gets it later."""
    text = text.strip()
    if not text or len(text) > MAX_TEXT:
        raise CommandError(f"An announcement has 1 to {MAX_TEXT} characters.")
    if domain and domain not in engine.services.router.hosts:
        raise CommandError(f"There is no domain {domain}.")
    sessions = _sessions(engine, domain)
    for index, session in enumerate(sessions):
        if index % _AT_ONCE == _AT_ONCE - 1:
            await asyncio.sleep(0)
        body = Element(ns.CLIENT, "body", None, text)
        session.deliver(message(session.host.jid, session.jid, "headline", body))
    return {"told": len(sessions)}


@registry.command(
    "shutdown",
    "Stop the node; whoever supervises it may start it again.",
    Argument("delay", "seconds until then", option=True, default="0"),
    where="node",
)
async def shutdown(engine: Peopled, delay: str) -> str:
    """As after SIGTERM: nothing is lost."""
    stop: Callable[[], None] | None = engine.services.extras.get("shutdown")
    if stop is None:
        raise CommandError("This node cannot be stopped by a command.")
    if not (delay.isascii() and delay.isdigit() and int(delay) <= MAX_DELAY):
        raise CommandError(f"The delay is a number of seconds up to {MAX_DELAY}.")
    # The answer has to reach who asked.
    engine.services.clock.call_later(max(1, int(delay)), stop)
    return f"The node stops in {max(1, int(delay))} s."
