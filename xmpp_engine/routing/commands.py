"""What a module says of an ad-hoc command (XEP-0050): the module `adhoc` shows and runs it.

    def setup(self, reg):
        self.needs("adhoc").add(CommandNode("urn:example#greet", "Greet", anybody, self.greet, (self.ask_name,)))

    def ask_name(self, run: Run) -> Form:
        return Form((Field("name", required=True),), title="Whom?")

    async def greet(self, run: Run) -> Done:
        return Done(note=f"Hello {run.values['name']}")

A command with no stages runs at once. Each stage gives the form to be filled in; what was submitted is checked against
it and stands in `run.values` (values of all stages by field name) before the next stage or the function is called.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.plugin.table import Target
from xmpp_engine.stanza.forms import Field, Value
from xmpp_engine.xml.element import Element

if TYPE_CHECKING:
    from xmpp_engine.routing.account import Account
    from xmpp_engine.routing.host import Host
    from xmpp_engine.routing.iq import IqContext
    from xmpp_engine.routing.session import Session

Level = Literal["info", "warn", "error"]


class Caller:
    """Who asks, and whom: `jid` is the full address of the sender, `session` its session where it is local. `account`
    is whose commands were asked for (Target.ACCOUNT), `room` whose (Target.ROOM)."""

    __slots__ = ("account", "host", "jid", "own", "room", "session")

    def __init__(self, jid: Jid, context: IqContext) -> None:
        self.jid = jid
        self.host: Host = context.host
        self.account: Account | None = context.account
        self.session: Session | None = context.session
        self.own: bool = context.own
        self.room: Any = context.room

    @property
    def administrator(self) -> bool:
        """Whether a local session of an active administrator asks."""
        session = self.session
        if session is None or session.ended:
            return False
        data = session.account.data
        return data.is_admin and data.state == "active"

    @property
    def domain_administrator(self) -> bool:
        """Whether a local session of an active administrator of the very domain asks that is asked."""
        session = self.session
        if session is None or session.ended or session.account.data.state != "active":
            return False
        return session.account.bare in self.host.config.administrators


def anybody(_caller: Caller) -> bool:
    """For a command that is open to everybody who can send it."""
    return True


def administrators(caller: Caller) -> bool:
    """For a command that only administrators of this server may see and run."""
    return caller.administrator


def domain_administrators(caller: Caller) -> bool:
    """For a command that those of the asked domain may see and run as well."""
    return caller.administrator or caller.domain_administrator


@dataclass(frozen=True, slots=True)
class Form:
    """A form to be filled in. `type` is its FORM_TYPE, "" for none."""

    fields: tuple[Field, ...]
    title: str = ""
    instructions: str = ""
    type: str = ""


@dataclass(frozen=True, slots=True)
class Done:
    """The end of a command: a note for people, and payloads: a form of type result, or elements of other
    namespaces."""

    note: str = ""
    level: Level = "info"
    payloads: tuple[Element, ...] = ()


@dataclass(slots=True)
class Run:
    """One execution. `values` are those of the stages so far, by field; `notes` belongs to the command."""

    caller: Caller
    values: dict[str, Value] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)


Stage = Callable[[Run], "Form | Awaitable[Form]"]


@dataclass(frozen=True, slots=True)
class CommandNode:
    """One command. `allowed` decides whether it is shown and run, `run` does the work after the last stage and raises
    StanzaError to refuse. `target` is whose command it is."""

    node: str
    name: str
    allowed: Callable[[Caller], bool]
    run: Callable[[Run], Done | Awaitable[Done]]
    stages: tuple[Stage, ...] = ()
    target: Target = Target.HOST
