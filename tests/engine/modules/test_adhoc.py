"""Ad-hoc commands (XEP-0050): discovery, stages, sessions and their bounds, and every error."""

from __future__ import annotations

from typing import Any

import pytest

from tests.story import Client, Story
from xmpp_engine.plugin.module import Module
from xmpp_engine.plugin.registrar import Registrar
from xmpp_engine.plugin.table import Target
from xmpp_engine.routing.commands import Caller, CommandNode, Done, Form, Run, anybody
from xmpp_engine.stanza.forms import Field
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError

NODE = "urn:example:order"


class Kitchen(Module):
    """Commands to try everything with."""

    name = "kitchen"
    requires = ("adhoc",)

    def setup(self, reg: Registrar) -> None:
        adhoc = self.needs("adhoc")
        adhoc.add(CommandNode("urn:example:hello", "Say hello", anybody, self.hello))
        adhoc.add(CommandNode(NODE, "Order", anybody, self.order, (self.dish, self.drink)))
        adhoc.add(CommandNode("urn:example:secret", "Secret", self.is_juliet, self.hello))
        adhoc.add(CommandNode("urn:example:own", "Own", lambda caller: caller.own, self.hello, (), Target.ACCOUNT))

    def is_juliet(self, caller: Caller) -> bool:
        return caller.jid.local == "juliet"

    def hello(self, run: Run) -> Done:
        return Done(f"Hello {run.caller.jid.local}", "warn", (Element("urn:example", "cake"),))

    def dish(self, _run: Run) -> Form:
        options = (("soup", "Soup"), ("fish", "Fish"))
        return Form((Field("dish", "list-single", options=options, required=True),), title="What?", type="urn:example")

    async def drink(self, run: Run) -> Form:
        return Form((Field("drink", label=f"With {run.values['dish']}"),))

    async def order(self, run: Run) -> Done:
        if run.values.get("drink") == "poison":
            raise StanzaError("not-acceptable", "not here")
        return Done(f"{run.values['dish']} and {run.values.get('drink', 'nothing')}")


MODULES = ("xmpp_engine.modules.disco.Disco", "xmpp_engine.modules.adhoc.AdHoc", f"{__name__}.Kitchen")


@pytest.fixture
async def romeo(story: Story) -> Client:
    """Somebody in a world with these commands."""
    await story.begin(modules=MODULES, options={"adhoc": {"sessions": 3}})
    client: Client = await story("romeo")
    return client


async def ask(client: Client, xml: str = "", to: str = "story.example", **attrs: str) -> Element:
    """Send a `<command/>`; returns the answer's."""
    written = " ".join(f"{name}='{value}'" for name, value in attrs.items())
    answer = await client.asks(
        f"<iq type='set' id='c' to='{to}'><command xmlns='{ns.COMMANDS}' {written}>{xml}</command></iq>"
    )
    assert answer.attrs["type"] == "result", answer.find(ns.CLIENT, "error")
    found = answer.find(ns.COMMANDS, "command")
    assert found is not None
    return found


async def refused(client: Client, condition: str, app: str = "", xml: str = "", **attrs: str) -> None:
    """Send a `<command/>` that must be refused like this."""
    written = " ".join(f"{name}='{value}'" for name, value in attrs.items())
    client.send(
        f"<iq type='set' id='e' to='story.example'><command xmlns='{ns.COMMANDS}' {written}>{xml}</command></iq>"
    )
    inner = f"<{condition} xmlns='{ns.STANZA_ERRORS}'/>" + (f"<{app} xmlns='{ns.COMMANDS}'/>" if app else "")
    await client.receives(f"<iq type='error' id='e'><error>{inner}</error></iq>")


def form(**values: str) -> str:
    """A submitted form."""
    fields = "".join(f"<field var='{name}'><value>{value}</value></field>" for name, value in values.items())
    return f"<x xmlns='{ns.DATA_FORMS}' type='submit'>{fields}</x>"


def actions(answer: Element) -> tuple[str | None, list[str]]:
    """The default action and all that are allowed."""
    found = answer.find(ns.COMMANDS, "actions")
    assert found is not None
    return found.get("execute"), [action.name for action in found.elements()]


async def discover(client: Client, kind: str, node: str, to: str = "story.example") -> Element:
    """Ask service discovery about a node."""
    space = ns.DISCO_ITEMS if kind == "items" else ns.DISCO_INFO
    return await client.asks(f"<iq type='get' id='d' to='{to}'><query xmlns='{space}' node='{node}'/></iq>")


def nodes(answer: Element) -> list[str | None]:
    """The nodes of a list of items."""
    query = answer.find(ns.DISCO_ITEMS, "query")
    assert query is not None
    return [item.get("node") for item in query.elements()]


async def test_everybody_sees_only_what_he_may_run(story: Story, romeo: Client) -> None:
    juliet = await story("juliet")
    assert nodes(await discover(romeo, "items", ns.COMMANDS)) == ["urn:example:hello", NODE]
    assert "urn:example:secret" in nodes(await discover(juliet, "items", ns.COMMANDS))
    assert nodes(await discover(romeo, "items", ns.COMMANDS, romeo.bare)) == ["urn:example:own"]
    info = await discover(juliet, "info", "urn:example:secret")
    query = info.find(ns.DISCO_INFO, "query")
    assert query is not None
    assert query.get("node") == "urn:example:secret"
    identity = query.find(ns.DISCO_INFO, "identity")
    assert identity is not None
    assert identity.attrs == {"category": "automation", "type": "command-node", "name": "Secret"}
    hidden = await discover(romeo, "info", "urn:example:secret")
    assert hidden.attrs["type"] == "error"
    await refused(romeo, "forbidden", node="urn:example:secret")
    await refused(romeo, "item-not-found", node="urn:example:nothing")


async def test_a_command_without_stages_runs_at_once(romeo: Client) -> None:
    done = await ask(romeo, node="urn:example:hello", action="execute")
    assert (done.get("status"), done.child_text(ns.COMMANDS, "note")) == ("completed", "Hello romeo")
    assert done.find(ns.COMMANDS, "note").get("type") == "warn"  # type: ignore[union-attr]
    assert done.find("urn:example", "cake") is not None
    assert done.get("sessionid")


async def test_stages_go_forth_and_back(romeo: Client) -> None:
    first = await ask(romeo, node=NODE)
    assert (first.get("status"), actions(first)) == ("executing", ("next", ["next"]))
    id = first.get("sessionid") or ""
    second = await ask(romeo, form(dish="fish"), node=NODE, sessionid=id, action="next")
    assert actions(second) == ("complete", ["prev", "complete"])
    shown = second.find(ns.DATA_FORMS, "x")
    assert shown is not None
    assert shown.find(ns.DATA_FORMS, "field").get("label") == "With fish"  # type: ignore[union-attr]
    back = await ask(romeo, node=NODE, sessionid=id, action="prev")
    again = back.find(ns.DATA_FORMS, "x")
    assert again is not None
    dish = next(field for field in again.find_all(ns.DATA_FORMS, "field") if field.get("var") == "dish")
    assert dish.child_text(ns.DATA_FORMS, "value") == "fish"
    await ask(romeo, form(dish="soup"), node=NODE, sessionid=id)
    done = await ask(romeo, form(drink="wine"), node=NODE, sessionid=id, action="complete")
    assert (done.get("status"), done.child_text(ns.COMMANDS, "note")) == ("completed", "soup and wine")
    await refused(romeo, "bad-request", "bad-sessionid", node=NODE, sessionid=id)


async def test_a_run_can_be_given_up(romeo: Client) -> None:
    first = await ask(romeo, node=NODE)
    gone = await ask(romeo, node=NODE, sessionid=first.get("sessionid") or "", action="cancel")
    assert gone.get("status") == "canceled"
    await refused(romeo, "bad-request", "bad-sessionid", node=NODE, sessionid=first.get("sessionid") or "")


async def test_wrong_steps_are_named(romeo: Client) -> None:
    id = (await ask(romeo, node=NODE)).get("sessionid") or ""
    await refused(romeo, "bad-request", "malformed-action", node=NODE, sessionid=id, action="dance")
    await refused(romeo, "bad-request", "bad-action", node=NODE, sessionid=id, action="prev")
    await refused(romeo, "bad-request", "bad-action", form(dish="fish"), node=NODE, sessionid=id, action="complete")
    await refused(romeo, "bad-request", "bad-payload", form(dish="stone"), node=NODE, sessionid=id)
    await refused(romeo, "bad-request", "bad-payload", form(), node=NODE, sessionid=id)
    await refused(romeo, "bad-request", "bad-payload", form(dish="fish", x="y"), node=NODE, sessionid=id)
    await refused(romeo, "bad-request", "bad-sessionid", node="urn:example:hello", sessionid=id)
    # None of it ended the run.
    assert (await ask(romeo, form(dish="fish"), node=NODE, sessionid=id)).get("status") == "executing"
    await refused(romeo, "not-acceptable", "", form(drink="poison"), node=NODE, sessionid=id)


async def test_a_session_belongs_to_who_began_it(story: Story, romeo: Client) -> None:
    id = (await ask(romeo, node=NODE)).get("sessionid") or ""
    mercutio = await story("mercutio")
    await refused(mercutio, "bad-request", "bad-sessionid", form(dish="fish"), node=NODE, sessionid=id)
    other = await story.world.login("romeo", "r2")
    await refused(other, "bad-request", "bad-sessionid", form(dish="fish"), node=NODE, sessionid=id)


async def test_sessions_end_by_themselves(story: Story, romeo: Client) -> None:
    id = (await ask(romeo, node=NODE)).get("sessionid") or ""
    story.world.clock.advance(901)
    await refused(romeo, "not-allowed", "session-expired", form(dish="fish"), node=NODE, sessionid=id)


async def test_the_oldest_session_of_a_person_makes_room(story: Story, romeo: Client) -> None:
    ids = [(await ask(romeo, node=NODE)).get("sessionid") or "" for _ in range(4)]
    await refused(romeo, "not-allowed", "session-expired", form(dish="fish"), node=NODE, sessionid=ids[0])
    for id in ids[1:]:
        assert (await ask(romeo, form(dish="fish"), node=NODE, sessionid=id)).get("status") == "executing"
    adhoc: Any = story.world.module("adhoc")
    assert len(adhoc._sessions) == 3


async def test_a_form_may_come_with_the_first_request(story: Story, romeo: Client) -> None:
    second = await ask(romeo, form(dish="fish"), node=NODE)
    done = await ask(romeo, form(), node=NODE, sessionid=second.get("sessionid") or "")
    assert done.child_text(ns.COMMANDS, "note") == "fish and nothing"
    await refused(romeo, "bad-request", "bad-payload", form(dish="stone"), node=NODE)
    assert not story.world.module("adhoc")._sessions


async def test_an_account_has_commands_of_its_own(story: Story, romeo: Client) -> None:
    assert (await ask(romeo, node="urn:example:own", to=romeo.bare)).get("status") == "completed"
    mercutio = await story("mercutio")
    answer = await mercutio.asks(
        f"<iq type='set' id='c' to='{romeo.bare}'><command xmlns='{ns.COMMANDS}' node='urn:example:own'/></iq>"
    )
    error = answer.find(ns.CLIENT, "error")
    assert error is not None
    assert error.find(ns.STANZA_ERRORS, "service-unavailable") is not None
