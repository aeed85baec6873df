"""XEP-0050: ad-hoc commands of the domain, of accounts, of services and of rooms. The commands come from other
modules (`routing/commands.py` says how).

A run of several stages is a session: its id is unguessable and good only for the address that began it. Sessions are
bounded per person and altogether, and end after some minutes without a step; for a while their ids are remembered, so
that the answer to a late step is `session-expired` and not `bad-sessionid`.
"""

from __future__ import annotations

import inspect
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final

from xmpp_engine.plugin.module import Module, Xep
from xmpp_engine.plugin.registrar import Registrar, RegistrationError
from xmpp_engine.plugin.table import Target
from xmpp_engine.routing.commands import Caller, CommandNode, Done, Form, Run
from xmpp_engine.routing.iq import IqContext
from xmpp_engine.stanza import forms
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError

_TARGETS: Final = (Target.HOST, Target.ACCOUNT, Target.SERVICE, Target.ROOM, Target.PUBSUB)
_ACTIONS: Final = frozenset({"cancel", "complete", "execute", "next", "prev"})
_REMEMBERED: Final = 1_000
_SWEEP_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class AdHocOptions:
    """`seconds` that a session may rest between two steps, `sessions` of one person and `all_sessions` of everybody at
    a time."""

    seconds: float = 900.0
    sessions: int = 10
    all_sessions: int = 2_000


class Execution:
    """A run under way: which stage the client fills in, and until when it may."""

    __slots__ = ("busy", "command", "form", "id", "run", "stage", "touched")

    def __init__(self, command: CommandNode, run: Run) -> None:
        self.id = secrets.token_urlsafe(15)
        self.command = command
        self.run = run
        self.stage = 0
        self.form: Form | None = None
        self.touched = 0.0
        self.busy = False


class AdHoc(Module):
    """Shows and runs the commands that modules add."""

    name = "adhoc"
    xeps = (Xep("0050", "1.3.0"),)
    requires = ("disco",)
    Config = AdHocOptions
    features = dict.fromkeys(_TARGETS, (ns.COMMANDS,))

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._commands: dict[tuple[Target, str], CommandNode] = {}
        self._sessions: OrderedDict[str, Execution] = OrderedDict()
        self._per_person: dict[str, int] = {}
        self._expired: OrderedDict[str, None] = OrderedDict()

    def setup(self, reg: Registrar) -> None:
        # A reload compiles anew with the same modules: everybody adds again.
        self._commands.clear()
        self.needs("disco").nodes(self.discovered)
        for target in _TARGETS:
            # A command may take long, and says itself what its next stage is.
            reg.iq_set(target, ns.COMMANDS, "command", self.command, ordered=False)
        reg.timer(_SWEEP_SECONDS, self.sweep)

    def add(self, command: CommandNode) -> None:
        """Offer a command; called in `setup` of the module that has it. Raises RegistrationError for a node that is
        taken."""
        key = (command.target, command.node)
        if key in self._commands:
            raise RegistrationError(f"two commands have the node {command.node}")
        self._commands[key] = command

    def offered(self, target: Target, caller: Caller) -> list[CommandNode]:
        """The commands that the caller may run, in the order in which they were added."""
        return [c for (kind, _node), c in self._commands.items() if kind is target and c.allowed(caller)]

    # Service discovery

    def discovered(self, kind: str, target: Target, node: str, iq: Stanza, context: IqContext) -> Element | None:
        """The list of commands, and what a command is (XEP-0050, 2). One that the asker may not run is as if it were
        not there."""
        caller = Caller(iq.sender, context)
        if node == ns.COMMANDS:
            if kind == "info":
                return _info("command-list", "Commands")
            items = Element(ns.DISCO_ITEMS, "query")
            whose = iq.to.full if iq.to is not None else context.account.bare if context.account else self.host.domain
            for command in self.offered(target, caller):
                items.add(ns.DISCO_ITEMS, "item", {"jid": whose, "node": command.node, "name": command.name})
            return items
        found = self._commands.get((target, node))
        if found is None or not found.allowed(caller):
            return None
        return _info("command-node", found.name) if kind == "info" else Element(ns.DISCO_ITEMS, "query")

    # Execution

    async def command(self, iq: Stanza, context: IqContext) -> Element:
        """`<command/>`: begin a run, or take a step of one."""
        request = iq.element.first()
        assert request is not None
        action = request.get("action") or "execute"
        if action not in _ACTIONS:
            raise StanzaError("bad-request", app=Element(ns.COMMANDS, "malformed-action"))
        target = context.target
        caller = Caller(iq.sender, context)
        account = context.account
        if account is not None and not context.own and not account.is_subscribed_to_us(iq.sender.bare):
            raise StanzaError("service-unavailable")  # as if the account did not exist
        command = self._commands.get((target, request.get("node") or ""))
        if command is None:
            raise StanzaError("item-not-found", "there is no such command")
        if not command.allowed(caller):
            raise StanzaError("forbidden")
        id = request.get("sessionid")
        if id is None:
            return await self._begin(command, caller, request, action)
        execution = self._find(id, command, caller)
        if execution.busy:
            raise StanzaError("unexpected-request", "the step before is not done yet")
        execution.busy = True
        try:
            return await self._step(execution, request, action)
        finally:
            execution.busy = False

    async def _begin(self, command: CommandNode, caller: Caller, request: Element, action: str) -> Element:
        if action == "cancel":
            return _answer(command, secrets.token_urlsafe(15), "canceled")
        if action == "prev":
            raise _bad_action()
        execution = Execution(command, Run(caller))
        if not command.stages:
            return await self._finish(execution)
        answer = await self._show(execution)
        if action != "complete" and forms.find(request, "submit") is None:
            return answer
        # A client that knows the form may fill it in at once.
        try:
            return await self._step(execution, request, action)
        except StanzaError:
            self._drop(execution)
            raise

    async def _step(self, execution: Execution, request: Element, action: str) -> Element:
        command = execution.command
        if action == "cancel":
            self._drop(execution)
            return _answer(command, execution.id, "canceled")
        last = execution.stage == len(command.stages) - 1
        if action == "prev":
            if not execution.stage:
                raise _bad_action()
            execution.stage -= 1
            return await self._show(execution)
        if (action == "next" and last) or (action == "complete" and not last):
            raise _bad_action()
        self._take(execution, request)
        if last:
            return await self._finish(execution)
        execution.stage += 1
        return await self._show(execution)

    def _take(self, execution: Execution, request: Element) -> None:
        """Check what was submitted against the form that the client was shown."""
        form = execution.form
        assert form is not None
        submitted = forms.find(request, "submit")
        if submitted is None and request.find(ns.DATA_FORMS, "x") is not None:
            raise StanzaError("bad-request", "the form was not submitted", app=Element(ns.COMMANDS, "bad-payload"))
        try:
            given = {} if submitted is None else forms.read(submitted)
            values = forms.check(given, form.fields)
        except StanzaError as error:
            app = Element(ns.COMMANDS, "bad-payload")
            raise StanzaError(error.condition, error.text, app=app) from None
        run = execution.run
        for field in form.fields:
            run.values.pop(field.var, None)
        run.values.update(values)

    async def _show(self, execution: Execution) -> Element:
        """Ask for the present stage's form; the session begins or goes on."""
        command, run = execution.command, execution.run
        made: Any = command.stages[execution.stage](run)
        form: Form = await made if inspect.isawaitable(made) else made
        execution.form = form
        self._keep(execution)
        answer = _answer(command, execution.id, "executing")
        last = execution.stage == len(command.stages) - 1
        forward = "complete" if last else "next"
        actions = answer.add(ns.COMMANDS, "actions", {"execute": forward})
        if execution.stage:
            actions.add(ns.COMMANDS, "prev")
        actions.add(ns.COMMANDS, forward)
        fields = forms.filled(form.fields, run.values)
        return answer.append(forms.render("form", form.type, fields, title=form.title, instructions=form.instructions))

    async def _finish(self, execution: Execution) -> Element:
        """Do the work. Whatever comes of it, the run is over."""
        self._drop(execution)
        made: Any = execution.command.run(execution.run)
        done: Done = await made if inspect.isawaitable(made) else made
        answer = _answer(execution.command, execution.id, "completed")
        if done.note:
            answer.add(ns.COMMANDS, "note", {"type": done.level}, done.note)
        for payload in done.payloads:
            answer.append(payload)
        return answer

    # Sessions

    def _find(self, id: str, command: CommandNode, caller: Caller) -> Execution:
        self.sweep()
        execution = self._sessions.get(id)
        if execution is None and id in self._expired:
            raise StanzaError("not-allowed", app=Element(ns.COMMANDS, "session-expired"))
        if (
            execution is None
            or execution.run.caller.jid.full != caller.jid.full
            or execution.run.caller.account is not caller.account
            or execution.run.caller.room is not caller.room
            or execution.command.node != command.node
        ):
            raise StanzaError("bad-request", app=Element(ns.COMMANDS, "bad-sessionid"))
        # The address may have signed in anew since.
        execution.run.caller = caller
        return execution

    def _keep(self, execution: Execution) -> None:
        """Enter the session, or note that it was used; the oldest one makes room, of the same person first."""
        execution.touched = self.services.clock.now()
        if execution.id in self._sessions:
            self._sessions.move_to_end(execution.id)
            return
        person = execution.run.caller.jid.bare
        if self._per_person.get(person, 0) >= self.config.sessions:
            oldest = next(other for other in self._sessions.values() if other.run.caller.jid.bare == person)
            self._expire(oldest)
        elif len(self._sessions) >= self.config.all_sessions:
            self._expire(next(iter(self._sessions.values())))
        self._sessions[execution.id] = execution
        self._per_person[person] = self._per_person.get(person, 0) + 1

    def _drop(self, execution: Execution) -> None:
        if self._sessions.pop(execution.id, None) is None:
            return
        person = execution.run.caller.jid.bare
        left = self._per_person[person] - 1
        if left:
            self._per_person[person] = left
        else:
            del self._per_person[person]

    def _expire(self, execution: Execution) -> None:
        self._drop(execution)
        self._expired[execution.id] = None
        if len(self._expired) > _REMEMBERED:
            self._expired.popitem(last=False)

    def sweep(self) -> None:
        """End the sessions that rested too long; they stand in the order of their last step."""
        before = self.services.clock.now() - self.config.seconds
        while self._sessions:
            oldest = next(iter(self._sessions.values()))
            if oldest.touched > before:
                break
            self._expire(oldest)


def _answer(command: CommandNode, id: str, status: str) -> Element:
    return Element(ns.COMMANDS, "command", {"node": command.node, "sessionid": id, "status": status})


def _bad_action() -> StanzaError:
    return StanzaError("bad-request", "this step does not allow that action", app=Element(ns.COMMANDS, "bad-action"))


def _info(type: str, name: str) -> Element:
    query = Element(ns.DISCO_INFO, "query")
    query.add(ns.DISCO_INFO, "identity", {"category": "automation", "type": type, "name": name})
    for feature in (ns.COMMANDS, ns.DATA_FORMS, ns.DISCO_INFO, ns.DISCO_ITEMS):
        query.add(ns.DISCO_INFO, "feature", {"var": feature})
    return query
