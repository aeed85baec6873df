"""Outside: the web platform has changed something about an account in the database, or orders something of it, and the
engine follows: sessions end, what is in memory is read anew, modules are told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.modules.devices import Devices
from xmpp_engine.modules.moved import Moved
from xmpp_engine.modules.push import Push
from xmpp_engine.modules.register import Register
from xmpp_engine.pubsub.pep import Pep
from xmpp_engine.routing.account import Account
from xmpp_engine.routing.host import Services
from xmpp_engine.xml.errors import StanzaError, StreamError


class Outside:
    """What comes from outside for one engine's accounts."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def account_changed(self, bare: str) -> int:
        """Something about an account changed outside (password, state, removal): read it anew, and end its sessions
        unless it is still active. Returns how many sessions ended."""
        host = self._services.router.hosts.get(Jid.parse(bare).domain)
        removing = host.modules.get("register") if host is not None else None
        if isinstance(removing, Register):
            await removing.removed(bare)
        account = await self._services.accounts.refresh(bare)
        self._renew_nodes(bare)
        if account is not None and account.data.state == "active":
            return 0
        resident = self._services.accounts.get(bare)
        # One that is not resident may be there all the same.
        if account is None and (resident is not None or await self._services.stores.accounts.load(bare) is None):
            self._services.router.account_removed(bare)
            if resident is None and self._leads():
                self._farewell_of(bare)
        if resident is None:
            return 0
        sessions = [session for session in resident.sessions.values() if not session.remote]
        for session in sessions:
            session.kick(StreamError("not-authorized", "the account is not active any more"))
        self._services.accounts.forget(bare)
        register = resident.host.modules.get("register")
        if account is None and isinstance(register, Register) and self._leads():
            register.farewells.of(resident)
        return len(sessions)

    def _leads(self) -> bool:
        """Whether this node does what one of the cluster does for all."""
        cluster = self._services.cluster
        return cluster is None or cluster.leader == cluster.name

    def _renew_nodes(self, bare: str) -> None:
        """An import may have changed the nodes of an account as well."""
        host = self._services.router.hosts.get(bare.partition("@")[2])
        pep = host.modules.get("pep") if host is not None else None
        if isinstance(pep, Pep):
            pep.accounts.renew(bare)

    def _farewell_of(self, bare: str) -> None:
        """An account was removed that was not resident."""
        jid = Jid.parse(bare)
        host = self._services.router.hosts.get(jid.domain)
        register = host.modules.get("register") if host is not None else None
        if isinstance(register, Register):
            register.farewells.of_absent(jid)

    async def end_device(self, bare: str, device: str) -> int:
        """A device of an account was revoked outside: its sessions end, and a sign-in that is under way. Returns how
        many sessions ended; raises StoreUnavailable."""
        host = self._services.router.hosts.get(bare.partition("@")[2])
        devices = host.modules.get("devices") if host is not None else None
        if host is None or not isinstance(devices, Devices):
            return 0
        # Loaded, for who is about to sign in may not be resident yet.
        account = await self._services.accounts.load(bare, host)
        return devices.end(account, device) if account is not None else 0

    async def pushes_changed(self, bare: str) -> None:
        """Push registrations of an account were removed outside: nothing is sent for them any more. Raises
        StoreUnavailable."""
        host = self._services.router.hosts.get(bare.partition("@")[2])
        push = host.modules.get("push") if host is not None else None
        if isinstance(push, Push):
            # Devices are told while nobody of the account is here, so it need not be resident.
            data = await self._services.stores.accounts.load(bare)
            if data is not None:
                push.reread(data.account_id)

    async def tell_of_move(self, bare: str, report: Callable[[Any], None] = lambda _step: None) -> dict[str, Any]:
        """Have the contacts of an account that has moved asked to follow it, on behalf of the account where it is now;
        returns `Told` and where that is. `report` gets a sentence now and then. Raises ValueError with a sentence where
        that cannot be, and StoreUnavailable."""
        old = await self._resident(bare)
        if old is None:
            raise ValueError(f"There is no account {bare}.")
        if not old.data.moved_to:
            raise ValueError(f"{bare} has not moved.")
        now = Jid.parse(old.data.moved_to)
        host = self._services.router.hosts.get(now.domain)
        if host is None:
            raise ValueError(f"{now} is not here: its own client tells the contacts.")
        moved = host.modules.get("moved")
        if not isinstance(moved, Moved):
            raise ValueError(f"The module moved is off in {host.domain}: the client of {now} tells the contacts.")
        return {"moved_to": now.bare, **asdict(await moved.tell(old, now.bare, report))}

    async def _resident(self, bare: str) -> Account | None:
        host = self._services.router.hosts.get(bare.partition("@")[2])
        return await self._services.accounts.load(bare, host) if host is not None else None

    async def redeem(self, domain: str, token: str, name: str, password: str, address: str) -> str:
        """Make an account with the token of an invitation; returns its bare JID. Raises StanzaError or
        StoreUnavailable."""
        host = self._services.router.hosts.get(domain)
        register = host.modules.get("register") if host is not None else None
        if not isinstance(register, Register):
            raise StanzaError("item-not-found", f"no accounts are made in {domain}")
        return await register.redeem(token, name, password, address)
