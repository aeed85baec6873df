"""Administrators of one domain over XMPP: what they see and run, and that nothing of another domain gets to them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.engine.admin.test_over_xmpp import WITH, condition, fields, form, run_data
from tests.story import Client, Story
from xmpp_engine.admin import live
from xmpp_engine.admin.command import Argument, CommandError, Registry
from xmpp_engine.admin.within import RULES, Domain, Rule
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.writer import write

OWN, OTHER = "own.example", "zebra.example"


class Table:
    """The registry of a story: commands on data that note how they were called."""

    def __init__(self) -> None:
        self.called: list[tuple[str, dict[str, str]]] = []
        self.registry = Registry()
        jid = Argument("jid", "address")
        self.add("user add", jid, Argument("password", "p", secret=True), Argument("admin", "yes or no", default="no"))
        self.add("user disable", jid)
        self.add("user role", jid, Argument("admin", "yes or no"))
        self.add("user admins")
        self.add("user count", Argument("domain", "d", default=""))
        self.add("domain set", Argument("name", "d"), Argument("key", "k"), Argument("value", "v"))
        self.add("thing show", Argument("number", "n"))
        self.registry.include(live.registry)
        self.rules = {
            **RULES,
            "user add": Rule(places=("jid",), only={"admin": ("no",)}),
            "user disable": Rule(accounts=("jid",)),
            "user count": Rule(domain="domain"),
            "domain set": Rule(domain="name", only={"key": ("contacts",)}),
            "thing show": Rule(judge=self.judge),
        }
        self.unchangeable = ""

    def add(self, name: str, *arguments: Argument) -> None:
        def function(**given: str) -> dict[str, int]:
            self.called.append((name, given))
            if given.get("value") == "bad":
                raise CommandError(f"hosts.{OTHER}.contacts: this is wrong.")
            return {"registered": 1, "disabled": 0}

        self.registry.command(name, f"Does {name}.", *arguments)(function)

    def judge(self, domain: str, /, number: str) -> None:
        assert domain == OWN
        if number != "1":
            raise CommandError(f"There is no thing {number}.")

    def may_change(self, domain: str, jid: str) -> None:
        assert domain == OWN
        if jid == self.unchangeable:
            raise CommandError(f"{jid} may do more than you.")


@pytest.fixture
def table() -> Table:
    return Table()


@pytest.fixture
async def keeper(story: Story, table: Table) -> Client:
    """Administers own.example; his account is one of a third domain."""
    world = await story.begin(
        modules=WITH,
        domains=(OWN, OTHER, "third.example"),
        extras={
            "commands": table.registry,
            "run_data": run_data,
            "within": table.rules,
            "may change": table.may_change,
        },
    )
    host = world.router.hosts[OWN]
    host.config = replace(host.config, administrators=frozenset({"keeper@third.example"}))
    client: Client = await story("keeper@third.example")
    return client


async def listed(client: Client, domain: str) -> set[str]:
    """The nodes of the commands that somebody is shown."""
    query = f"<query xmlns='{ns.DISCO_ITEMS}' node='{ns.COMMANDS}'/>"
    answer = await client.asks(f"<iq type='get' id='l' to='{domain}'>{query}</iq>")
    found = answer.find(ns.DISCO_ITEMS, "query")
    assert found is not None
    return {str(item.get("node")) for item in found.elements()}


async def test_he_sees_and_runs_what_has_a_rule_of_his_domain_only(keeper: Client, table: Table) -> None:
    own = await listed(keeper, OWN)
    assert {f"{ns.ADMIN}#add-user", f"{ns.ADMIN}#announce", "mlink:command:user-add", "mlink:command:room-show"} <= own
    shut = ("edit-admin", "shutdown", "get-user-roster")
    assert not {f"{ns.ADMIN}#{node}" for node in shut} & own
    assert not {f"mlink:command:{name}" for name in ("stats", "user-role", "user-admins", "shutdown", "hooks")} & own
    # The other domain is asked for nothing that administrators do, nor is the one of his account.
    assert not {node for node in await listed(keeper, OTHER) if "admin" in node or node.startswith("mlink:")}
    assert not {node for node in await listed(keeper, "third.example") if node.startswith("mlink:")}
    for domain in (OTHER, "third.example"):
        keeper.send(
            f"<iq type='set' id='c' to='{domain}'><command xmlns='{ns.COMMANDS}' node='mlink:command:sessions'/></iq>"
        )
        assert condition(await keeper.receives("<iq id='c'/>")) == "forbidden"


async def at(client: Client, name: str, given: dict[str, Any] | None = None) -> Element:
    """Run a command of own.example."""
    inner = form(given, "") if given is not None else ""
    node = name if "#" in name else f"mlink:command:{name.replace(' ', '-')}"
    client.send(f"<iq type='set' id='c' to='{OWN}'><command xmlns='{ns.COMMANDS}' node='{node}'>{inner}</command></iq>")
    return await client.receives("<iq id='c'/>")


async def test_lists_and_counts_have_his_domain_only(story: Story, keeper: Client, table: Table) -> None:
    ann, zoe = await story(f"ann@{OWN}", f"zoe@{OTHER}")
    for client in (ann, zoe):
        await client.comes_online()
    for name in ("sessions", "online"):
        text = write(await at(keeper, name, {}), ns.CLIENT)
        assert ann.bare in text
        assert OTHER not in text
    text = write(await at(keeper, "sessions", {"jid": zoe.bare}), ns.CLIENT)
    assert "nothing to show" in text
    assert condition(await at(keeper, "online", {"domain": OTHER})) == "not-acceptable"
    assert fields(await at(keeper, f"{ns.ADMIN}#get-online-users-num"))["onlineusersnum"] == ["1"]
    await at(keeper, "user count", {})
    assert table.called == [("user count", {"domain": OWN})]


async def test_only_his_people_are_told_and_put_out(story: Story, keeper: Client, table: Table) -> None:
    ann, zoe = await story(f"ann@{OWN}", f"zoe@{OTHER}")
    for client in (ann, zoe):
        await client.comes_online()
    await at(keeper, "announce", {"text": ["Fire drill"]})
    assert await ann.receives("<message type='headline'/>")
    await zoe.receives_nothing()
    assert condition(await at(keeper, "announce", {"text": ["x"], "domain": OTHER})) == "not-acceptable"
    assert condition(await at(keeper, "kick", {"jid": zoe.full})) == "not-acceptable"
    assert not zoe.session.ended
    table.unchangeable = ann.bare
    assert condition(await at(keeper, "kick", {"jid": ann.full})) == "not-acceptable"
    table.unchangeable = ""
    await at(keeper, "kick", {"jid": ann.full})
    assert ann.session.ended


async def test_accounts_and_values(keeper: Client, table: Table) -> None:
    good = {"jid": f"new@{OWN}", "password": "s3cret!"}
    assert condition(await at(keeper, "user add", {**good, "jid": f"new@{OTHER}"})) == "not-acceptable"
    assert condition(await at(keeper, "user add", {**good, "admin": "yes"})) == "not-acceptable"
    assert condition(await at(keeper, "domain set", {"name": OWN, "key": "enabled", "value": "no"})) == "not-acceptable"
    assert (
        condition(await at(keeper, "domain set", {"name": OTHER, "key": "contacts", "value": "{}"})) == "not-acceptable"
    )
    assert condition(await at(keeper, "thing show", {"number": "2"})) == "not-acceptable"
    assert table.called == []
    await at(keeper, "user add", good)
    await at(keeper, "thing show", {"number": "1"})
    assert [name for name, _given in table.called] == ["user add", "thing show"]
    # What a refusal says of others is kept back.
    answer = await at(keeper, "domain set", {"name": OWN, "key": "contacts", "value": "bad"})
    assert condition(answer) == "not-acceptable"
    assert OTHER not in write(answer, ns.CLIENT)


async def test_rooms_of_his_services_only(story: Story, keeper: Client) -> None:
    zoe = await story(f"zoe@{OTHER}")
    zoe.send(f"<presence to='den@conference.{OTHER}/z'><x xmlns='{ns.MUC}'/></presence>")
    await story.world.settle()
    for name in ("room show", "room config", "room occupants", "room destroy"):
        answer = await at(keeper, name, {"room": f"den@conference.{OTHER}"})
        gone = await at(keeper, name, {"room": "den@conference.nowhere.example"})
        assert condition(answer) == condition(gone) == "not-acceptable"
        assert write(answer, ns.CLIENT).replace(OTHER, "nowhere.example") == write(gone, ns.CLIENT)
    assert condition(await at(keeper, "room list", {})) == "not-acceptable"
    assert condition(await at(keeper, "room list", {"service": f"conference.{OTHER}"})) == "not-acceptable"
    made = await at(keeper, "room create", {"room": f"hall@conference.{OWN}", "owner": f"ann@{OWN}"})
    assert "completed" in write(made, ns.CLIENT)
    assert f"hall@conference.{OWN}" in write(await at(keeper, "room list", {"service": f"conference.{OWN}"}), ns.CLIENT)


async def test_who_is_dismissed_can_do_nothing_more(story: Story, keeper: Client, table: Table) -> None:
    shown = (await at(keeper, "user add")).find(ns.COMMANDS, "command")
    assert shown is not None
    host = story.world.router.hosts[OWN]
    host.config = replace(host.config, administrators=frozenset())
    inner = form({"jid": f"new@{OWN}", "password": "s3cret!"}, "")
    answer = await keeper.asks(
        f"<iq type='set' id='c' to='{OWN}'><command xmlns='{ns.COMMANDS}' node='mlink:command:user-add' "
        f"sessionid='{shown.get('sessionid')}'>{inner}</command></iq>"
    )
    assert condition(answer) == "forbidden"
    assert table.called == []


async def test_the_server_s_administrators_have_everything(story: Story, keeper: Client, table: Table) -> None:
    story.world.stores.memory_accounts.change(keeper.bare, is_admin=True)
    keeper.account.data.is_admin = True
    assert {"mlink:command:stats", f"{ns.ADMIN}#shutdown"} <= await listed(keeper, OWN)
    await at(keeper, "user count", {"domain": OTHER})
    assert table.called == [("user count", {"domain": OTHER})]


def test_rules_fit_the_commands() -> None:
    commands = {command.name: {one.name for one in command.arguments} for command in live.registry}
    for name, rule in RULES.items():
        named = {*rule.places, *rule.accounts, *rule.only, *([rule.domain] if rule.domain else [])}
        assert named <= commands[name], name


@pytest.mark.parametrize(
    ("address", "is_own"),
    [
        (OWN, True),
        (f"a@{OWN}/r", True),
        (f"hall@conference.{OWN}", True),
        (f"lab.{OWN}", False),
        (f"a@lab.{OWN}", False),
        (f"x{OWN}", False),
        (f"{OWN}.evil.example", False),
        ("", False),
        ("@", False),
    ],
)
def test_what_belongs_to_a_domain(address: str, is_own: bool) -> None:
    domain = Domain(OWN, {f"conference.{OWN}"}, {OWN, f"lab.{OWN}"})
    assert domain.has(address) is is_own
