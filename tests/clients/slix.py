"""slixmpp clients for the tests: signed in over STARTTLS or direct TLS, with everything they receive in one list."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import slixmpp

from tests.durability.client import unverified_tls
from tests.live import LiveNode, User
from tests.patience import in_time

STEP_SECONDS = 20.0
PLUGINS = (
    "xep_0004",
    "xep_0012",
    "xep_0030",
    "xep_0045",
    "xep_0049",
    "xep_0050",
    "xep_0054",
    "xep_0059",
    "xep_0060",
    "xep_0092",
    "xep_0191",
    "xep_0198",
    "xep_0199",
    "xep_0202",
    "xep_0203",
    "xep_0280",
    "xep_0297",
    "xep_0313",
    "xep_0352",
    "xep_0359",
    "xep_0410",
    "xep_0421",
)


class Slix(slixmpp.ClientXMPP):
    """One resource. `messages` are all message stanzas in the order in which they came."""

    def __init__(self, user: User, resource: str, *, mechanism: str = "", password: str = "") -> None:
        super().__init__(f"{user.jid}/{resource}", password or user.password, sasl_mech=mechanism or None)
        self.messages: list[Any] = []
        self.events: list[str] = []
        self.auto_authorize = None
        self.auto_subscribe = False
        for kind in ("message", "message_error", "groupchat_subject", "groupchat_invite", "message_xform"):
            self.add_event_handler(kind, self.messages.append)
        for name in ("session_start", "session_resumed", "failed_auth", "disconnected", "changed_subscription"):
            self.add_event_handler(name, lambda _event, name=name: self.events.append(name))
        for plugin in PLUGINS:
            self.register_plugin(plugin)

    async def come(self, node: LiveNode, *, direct_tls: bool = False, presence: bool = True) -> Slix:
        """Sign in, ask for the roster, become available."""
        self.ssl_context = unverified_tls()
        self.enable_direct_tls, self.enable_starttls, self.enable_plaintext = direct_tls, not direct_tls, False
        started = self.event_future("session_start")
        self.connect("127.0.0.1", node.c2s_tls_port if direct_tls else node.c2s_port)
        await in_time(started, STEP_SECONDS)
        if presence:
            await self.get_roster()
            self.send_presence()
        return self

    def event_future(self, name: str) -> asyncio.Future[Any]:
        """The next event of this name."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def take(data: Any) -> None:
            if not future.done():
                future.set_result(data)

        self.add_event_handler(name, take, disposable=True)
        return future

    async def until(self, condition: Callable[[], object], what: str) -> None:
        """Look until it is so; raises TimeoutError that says what was awaited."""
        deadline = asyncio.get_running_loop().time() + STEP_SECONDS
        while not condition():
            if asyncio.get_running_loop().time() > deadline:
                heard = "\n".join(str(message) for message in self.messages[-5:])
                raise TimeoutError(f"{self.boundjid}: {what}; heard last:\n{heard}")
            await asyncio.sleep(0.01)

    async def hears(self, body: str) -> Any:
        """The message with this body, once it is there."""
        await self.until(lambda: any(m["body"] == body for m in self.messages), f"message {body!r}")
        return next(m for m in self.messages if m["body"] == body)

    async def go(self) -> None:
        """Leave properly: what is not acknowledged at the end would count as not received."""
        if self.plugin["xep_0198"].enabled_in:
            self.plugin["xep_0198"].send_ack()
        gone = self.event_future("disconnected")
        self.disconnect()
        await in_time(gone, STEP_SECONDS)
