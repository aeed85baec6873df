"""What the web page of an invitation asks of the running node: only the node may make the account, since it puts the
new contact into rosters that are in its memory."""

from __future__ import annotations

from typing import Any, Final, Protocol

from xmpp_engine.admin.command import Argument, CommandError, Registry
from xmpp_engine.storage.protocols import StoreUnavailable
from xmpp_engine.xml.errors import StanzaError

registry: Final = Registry()


class Redeeming(Protocol):
    """What the command uses of `Outside`."""

    async def redeem(self, domain: str, token: str, name: str, password: str, address: str) -> str:
        """Make an account with an invitation; returns its bare JID."""


class Registering(Protocol):
    """What the command uses of the engine."""

    @property
    def outside(self) -> Redeeming:
        """What follows orders of the web platform."""


@registry.command(
    "invite redeem",
    "Make an account with the token of an invitation.",
    Argument("domain", "domain of the account"),
    Argument("name", "user name"),
    Argument("token", "token of the invitation", option=True, secret=True),
    Argument("password", "the password", option=True, secret=True),
    Argument("address", "where the request came from", option=True, default=""),
    where="node",
)
async def redeem(
    engine: Registering, domain: str, name: str, token: str, password: str, address: str
) -> dict[str, Any]:
    """The account can sign in at once."""
    try:
        return {"jid": await engine.outside.redeem(domain, token, name, password, address)}
    except StanzaError as error:
        raise CommandError(error.text or error.condition) from None
    except StoreUnavailable:
        raise CommandError("the database does not answer, try again later") from None
