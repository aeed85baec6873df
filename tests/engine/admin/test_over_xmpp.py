"""Administrators' commands over XMPP: the registry's, and those of XEP-0133."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from tests.story import MODULES, Client, Story
from xmpp_engine.admin import live
from xmpp_engine.admin.command import Argument, CommandError, Registry
from xmpp_engine.admin.everywhere import Outcome
from xmpp_engine.storage.protocols import AccountExists
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element

DOMAIN = "story.example"
WITH = (*MODULES, "xmpp_engine.modules.announcements.Announcements", "xmpp_engine.admin.over_xmpp.Administration")


class Data:
    """Commands on the data of a story, by the names that the platform's have."""

    def __init__(self) -> None:
        self.stores: Any = None
        self.called: list[tuple[str, dict[str, str]]] = []
        self.registry = Registry()
        self.motd = ""
        jid, password = Argument("jid", "address"), Argument("password", "password", option=True, secret=True)
        admin = Argument("admin", "yes or no", option=True, default="no")
        self._add("user add", jid, password, admin)
        self._add("user disable", jid)
        self._add("user role", jid, Argument("admin", "yes or no"))
        self._add("user password", jid, password)
        self._add("motd set", Argument("domain", "domain"), Argument("text", "text"))
        self.registry.command("user admins", "List.", permission="read")(lambda: [f"boss@{DOMAIN}", "x@far.example"])
        self.registry.command("user list", "List.", Argument("domain", "d", default=""), permission="read")(self.list)
        self.registry.command("user count", "Count.", Argument("domain", "d", default=""), permission="read")(
            lambda domain: {"registered": 7, "disabled": 2, "active": 5}
        )
        self.registry.command("user import", "Import.", Argument("file", "file"), local=True)(lambda file: None)
        self.registry.include(live.registry)

    def _add(self, name: str, *arguments: Argument) -> None:
        def function(**given: str) -> str:
            self.called.append((name, given))
            if given.get("password") == "weak":
                raise CommandError("That password is weak.")
            if given.get("jid", "").startswith("taken"):
                raise AccountExists("There is such an account.")
            return f"{name} is done."

        self.registry.command(name, f"Does {name}.", *arguments)(function)

    def list(self, domain: str) -> list[dict[str, Any]]:
        return [
            {"jid": f"u{n}@{domain}", "state": "disabled" if n % 2 else "active", "last_login": None} for n in range(60)
        ]


@pytest.fixture
def data() -> Data:
    return Data()


@pytest.fixture
async def boss(story: Story, data: Data) -> Client:
    """An administrator, signed in."""
    world = await story.begin(modules=WITH, extras={"commands": data.registry, "run_data": run_data})
    await world.account("boss")
    world.stores.memory_accounts.change(f"boss@{DOMAIN}", is_admin=True)
    client: Client = await story("boss")
    return client


async def run_data(function: Any, arguments: dict[str, str]) -> Any:
    return function(**arguments)


def form(fields: dict[str, str | list[str]], kind: str = ns.ADMIN) -> str:
    """A submitted form."""
    xml = f"<field var='FORM_TYPE'><value>{kind}</value></field>" if kind else ""
    for name, value in fields.items():
        values = "".join(f"<value>{one}</value>" for one in ([value] if isinstance(value, str) else value))
        xml += f"<field var='{name}'>{values}</field>"
    return f"<x xmlns='{ns.DATA_FORMS}' type='submit'>{xml}</x>"


async def run(client: Client, node: str, fields: dict[str, Any] | None = None, kind: str = ns.ADMIN) -> Element:
    """Run a command in one step; returns the whole answer."""
    inner = form(fields, kind) if fields is not None else ""
    client.send(
        f"<iq type='set' id='c' to='{DOMAIN}'><command xmlns='{ns.COMMANDS}' node='{node}'>{inner}</command></iq>"
    )
    return await client.receives("<iq id='c'/>")


def note(answer: Element) -> str:
    """The note of a completed command."""
    command = answer.find(ns.COMMANDS, "command")
    assert command is not None, answer.find(ns.CLIENT, "error")
    assert command.get("status") == "completed"
    return command.child_text(ns.COMMANDS, "note") or ""


def fields(answer: Element) -> dict[str, list[str]]:
    """The form in an answer."""
    command = answer.find(ns.COMMANDS, "command")
    assert command is not None, answer.find(ns.CLIENT, "error").children  # type: ignore[union-attr]
    found = command.find(ns.DATA_FORMS, "x")
    assert found is not None
    return {
        field.get("var") or "": [value.text for value in field.find_all(ns.DATA_FORMS, "value")]
        for field in found.find_all(ns.DATA_FORMS, "field")
    }


def condition(answer: Element) -> str:
    """Why it was refused."""
    error = answer.find(ns.CLIENT, "error")
    assert error is not None
    return next(child.name for child in error.elements() if child.ns == ns.STANZA_ERRORS)


async def test_only_administrators_see_and_run_them(story: Story, boss: Client, data: Data) -> None:
    romeo = await story("romeo")
    listing = f"<iq type='get' id='l' to='{DOMAIN}'><query xmlns='{ns.DISCO_ITEMS}' node='{ns.COMMANDS}'/></iq>"
    query = (await boss.asks(listing)).find(ns.DISCO_ITEMS, "query")
    assert query is not None
    nodes = {item.get("node") for item in query.elements()}
    assert {f"{ns.ADMIN}#add-user", f"{ns.ADMIN}#announce", "mlink:command:user-add", "mlink:command:stats"} <= nodes
    # Not what the registry has nothing for, and nothing that reads files of the machine.
    assert not {f"{ns.ADMIN}#delete-user", f"{ns.ADMIN}#set-welcome", "mlink:command:user-import"} & nodes
    query = (await romeo.asks(listing)).find(ns.DISCO_ITEMS, "query")
    assert query is not None
    assert not list(query.elements())
    assert condition(await run(romeo, f"{ns.ADMIN}#announce", {"announcement": "hi"})) == "forbidden"
    assert condition(await run(romeo, "mlink:command:user-add")) == "forbidden"


async def test_who_loses_the_role_can_do_nothing_more(story: Story, boss: Client, data: Data) -> None:
    answer = await run(boss, f"{ns.ADMIN}#disable-user")
    command = answer.find(ns.COMMANDS, "command")
    assert command is not None
    boss.account.data.is_admin = False
    inner = form({"accountjids": f"boss@{DOMAIN}"})
    again = await boss.asks(
        f"<iq type='set' id='c' to='{DOMAIN}'><command xmlns='{ns.COMMANDS}' node='{ns.ADMIN}#disable-user' "
        f"sessionid='{command.get('sessionid')}'>{inner}</command></iq>"
    )
    assert condition(again) == "forbidden"
    assert data.called == []


async def test_a_user_is_added(boss: Client, data: Data, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    asked = fields(await run(boss, f"{ns.ADMIN}#add-user"))
    assert set(asked) == {"FORM_TYPE", "accountjid", "password", "password-verify"}
    good = {"accountjid": f"New@{DOMAIN}", "password": "s3cret!", "password-verify": "s3cret!"}
    assert note(await run(boss, f"{ns.ADMIN}#add-user", good)) == "user add is done."
    assert data.called == [("user add", {"jid": f"new@{DOMAIN}", "password": "s3cret!", "admin": "no"})]
    line = next(record.getMessage() for record in caplog.records if record.name == "mlink.audit")
    assert boss.full in line
    assert f"new@{DOMAIN}" in line
    assert "s3cret!" not in caplog.text

    refused = await run(boss, f"{ns.ADMIN}#add-user", {**good, "password-verify": "other"})
    assert condition(refused) == "not-acceptable"
    assert (
        condition(await run(boss, f"{ns.ADMIN}#add-user", {**good, "accountjid": "a@far.example"})) == "not-acceptable"
    )
    assert condition(await run(boss, f"{ns.ADMIN}#add-user", {**good, "accountjid": boss.bare})) == "conflict"
    assert condition(await run(boss, f"{ns.ADMIN}#add-user", {**good, "accountjid": f"taken@{DOMAIN}"})) == "conflict"
    weak = {**good, "password": "weak", "password-verify": "weak"}
    assert condition(await run(boss, f"{ns.ADMIN}#add-user", weak)) == "not-acceptable"
    assert condition(await run(boss, f"{ns.ADMIN}#add-user", {**good, "accountjid": "a@b@c"})) == "bad-request"


async def test_the_audit_log_has_no_passwords_of_rooms(
    story: Story, boss: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "mlink.audit")
    await run(
        boss, "mlink:command:room-set", {"room": f"hall@conference.{DOMAIN}", "key": "roomsecret", "value": "s3cret!"}
    )
    line = next(record.getMessage() for record in caplog.records if record.name == "mlink.audit")
    assert "roomsecret" in line
    assert "s3cret!" not in caplog.text


async def test_several_accounts_at_once_and_none_where_one_is_unknown(story: Story, boss: Client, data: Data) -> None:
    romeo, juliet = await story("romeo", "juliet")
    several = {"accountjids": [romeo.bare, f"nobody@{DOMAIN}"]}
    assert condition(await run(boss, f"{ns.ADMIN}#disable-user", several)) == "item-not-found"
    assert data.called == []
    await run(boss, f"{ns.ADMIN}#disable-user", {"accountjids": [romeo.bare, juliet.bare, romeo.bare]})
    assert data.called == [("user disable", {"jid": romeo.bare}), ("user disable", {"jid": juliet.bare})]


async def test_sessions_are_ended(story: Story, boss: Client) -> None:
    one, two, other = await story("romeo:3")
    assert note(await run(boss, f"{ns.ADMIN}#end-user-session", {"accountjids": [one.full]})) == "1 sessions ended."
    assert (one.session.ended, two.session.ended) == (True, False)
    assert note(await run(boss, f"{ns.ADMIN}#end-user-session", {"accountjids": [two.bare]})) == "2 sessions ended."
    assert other.session.ended


async def test_numbers_and_lists(story: Story, boss: Client) -> None:
    romeo, juliet = await story("romeo", "juliet")
    romeo.send("<presence/>")
    juliet.send("<presence><show>xa</show></presence>")
    await juliet.receives_all()
    assert fields(await run(boss, f"{ns.ADMIN}#get-registered-users-num"))["registeredusersnum"] == ["7"]
    assert fields(await run(boss, f"{ns.ADMIN}#get-disabled-users-num"))["disabledusersnum"] == ["2"]
    assert fields(await run(boss, f"{ns.ADMIN}#get-online-users-num"))["onlineusersnum"] == ["2"]
    assert fields(await run(boss, f"{ns.ADMIN}#get-active-users", {}))["activeuserjids"] == [romeo.bare]
    assert fields(await run(boss, f"{ns.ADMIN}#get-idle-users", {}))["idleuserjids"] == [juliet.bare]
    answer = await run(boss, f"{ns.ADMIN}#get-disabled-users-list", {"max_items": "25"})
    assert len(fields(answer)["disableduserjids"]) == 25
    assert note(answer) == "The first 25 of 30."


async def test_what_is_known_of_a_user(story: Story, boss: Client) -> None:
    romeo, juliet = await story("romeo", "juliet")
    await story.world.contacts(romeo, juliet)
    answer = await run(boss, f"{ns.ADMIN}#get-user-roster", {"accountjid": romeo.bare})
    command = answer.find(ns.COMMANDS, "command")
    assert command is not None
    roster = command.find(ns.ROSTER, "query")
    assert roster is not None
    assert [item.attrs for item in roster.elements()] == [{"jid": juliet.bare, "subscription": "both"}]
    stats = fields(await run(boss, f"{ns.ADMIN}#user-stats", {"accountjid": romeo.bare}))
    assert (stats["rostersize"], stats["onlineresources"]) == (["1"], ["r1"])
    nobody = {"accountjid": f"nobody@{DOMAIN}"}
    assert condition(await run(boss, f"{ns.ADMIN}#user-stats", nobody)) == "item-not-found"


async def test_an_announcement_reaches_who_is_online(story: Story, boss: Client) -> None:
    romeo, juliet = await story("romeo", "juliet")
    await romeo.comes_online()
    told = await run(boss, f"{ns.ADMIN}#announce", {"announcement": ["We close", "at ten"]})
    assert note(told) == "1 clients were told."
    message = await romeo.receives(f"<message from='{DOMAIN}' type='headline'/>")
    assert message.child_text(ns.CLIENT, "body") == "We close\nat ten"
    await juliet.receives_nothing()


async def test_the_list_of_administrators(story: Story, boss: Client, data: Data) -> None:
    romeo = await story("romeo")
    assert fields(await run(boss, f"{ns.ADMIN}#edit-admin"))["adminjids"] == [boss.bare]
    assert condition(await run(boss, f"{ns.ADMIN}#edit-admin", {"adminjids": [romeo.bare]})) == "not-allowed"
    await run(boss, f"{ns.ADMIN}#edit-admin", {"adminjids": [boss.bare, romeo.bare]})
    assert data.called == [("user role", {"jid": romeo.bare, "admin": "yes"})]


async def test_a_node_that_nobody_can_stop_says_so(story: Story, boss: Client) -> None:
    assert condition(await run(boss, f"{ns.ADMIN}#shutdown", {"delay": "30"})) == "not-acceptable"
    stopped: list[bool] = []
    story.world.services.extras["shutdown"] = lambda: stopped.append(True)
    assert note(await run(boss, f"{ns.ADMIN}#shutdown", {"delay": "30"})) == "The node stops in 30 s."
    story.world.clock.advance(29)
    assert not stopped
    story.world.clock.advance(2)
    assert stopped


async def test_every_command_of_the_registry_has_a_form(boss: Client, data: Data) -> None:
    for command in data.registry:
        if command.local or not command.arguments:
            continue
        asked = await run(boss, "mlink:command:" + command.name.replace(" ", "-"))
        assert set(fields(asked)) == {argument.name for argument in command.arguments}, command.name
        answer = asked.find(ns.COMMANDS, "command")
        assert answer is not None
        kinds = {f.get("var"): f.get("type") for f in answer.find(ns.DATA_FORMS, "x").elements()}  # type: ignore[union-attr]
        for argument in command.arguments:
            assert (kinds[argument.name] == "text-private") is argument.secret


async def test_results_are_tables_and_forms(boss: Client) -> None:
    answer = await run(boss, "mlink:command:sessions", {"jid": ""}, "")
    command = answer.find(ns.COMMANDS, "command")
    assert command is not None
    table = command.find(ns.DATA_FORMS, "x")
    assert table is not None
    columns = [field.get("var") for field in table.find(ns.DATA_FORMS, "reported").elements()]  # type: ignore[union-attr]
    (row,) = table.find_all(ns.DATA_FORMS, "item")
    assert [field.get("var") for field in row.elements()] == columns
    assert boss.full in [field.child_text(ns.DATA_FORMS, "value") for field in row.elements()]
    answer = await run(boss, "mlink:command:stats")
    assert ["story.example"] in fields(answer).values()


async def test_nodes_that_gave_no_answer_are_named(story: Story, boss: Client) -> None:
    class TwoNodes:
        """As where the other one did not answer."""

        async def run(self, _command: object, _arguments: object) -> Outcome:
            return Outcome([{"jid": boss.full, "node": "n1"}], ("The node n2 did not answer: its part is missing.",))

    story.world.engine.everywhere = TwoNodes()  # type: ignore[assignment]
    command = (await run(boss, "mlink:command:sessions", {"jid": ""}, "")).find(ns.COMMANDS, "command")
    assert command is not None
    note = command.find(ns.COMMANDS, "note")
    assert note is not None
    assert (note.get("type"), note.text) == ("warn", "The node n2 did not answer: its part is missing.")
    table = command.find(ns.DATA_FORMS, "x")
    assert table is not None
    assert len(list(table.find_all(ns.DATA_FORMS, "item"))) == 1


async def test_motd_and_welcome(story: Story, boss: Client) -> None:
    module = story.world.module("announcements")
    romeo, juliet = await story("romeo", "juliet")
    await romeo.comes_online()
    now = story.world.clock.time()
    module.reconfigured(module.Config(motd="Be nice", motd_since=now, welcome="Welcome here"))
    await romeo.receives("<message type='headline'><body>Be nice</body></message>")
    juliet.send("<presence/>")
    await juliet.receives_in_any_order(
        "<presence/>",
        "<message><body>Welcome here</body></message>",
        "<message><body>Be nice</body></message>",
    )
    # Neither comes twice: not to another resource, not after a short or a long absence.
    second = await story.world.login("juliet", "r2")
    second.send("<presence/>")
    await second.receives_all()
    juliet.send("<presence type='unavailable'/>")
    await second.leaves()
    story.world.clock.advance(3600)
    juliet.send("<presence/>")
    assert "message" not in [element.name for element in await juliet.receives_all()]
    story.world.clock.advance(3600)
    module.reconfigured(module.Config(motd="Be nicer", motd_since=now, welcome="Welcome here"))
    await romeo.receives_nothing()


async def test_the_message_of_the_day_is_told_once_even_when_nobody_remembers(story: Story, boss: Client) -> None:
    world = story.world
    module = world.module("announcements")
    juliet = await story("juliet")
    set_at = world.clock.time()
    module.reconfigured(module.Config(motd="Be nice", motd_since=set_at))
    for told in (True, False):
        juliet.send("<presence/>")
        texts = [one.child_text(ns.CLIENT, "body") for one in await juliet.receives_all() if one.name == "message"]
        assert texts == (["Be nice"] if told else [])
        await juliet.leaves(clean=False)
        world.services.accounts.forget(juliet.bare)  # as after a restart
        data = await world.stores.accounts.load(juliet.bare)
        assert data is not None
        assert data.motd_seen == set_at
        # A node that dies has no time to note that people left.
        world.stores.memory.accounts[juliet.bare].data.last_logout = 0.0
        juliet = await world.login("juliet", "r1")
