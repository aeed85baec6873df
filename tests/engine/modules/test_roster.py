"""RFC 6121, section 2, as clients see it."""

from __future__ import annotations

import pytest

from tests.patience import in_time
from tests.story import Client, Story, World
from xmpp_engine.storage.protocols import StoreUnavailable
from xmpp_engine.storage.types import REMOVED_KEPT, RosterItem
from xmpp_engine.xml import ns

PUSH = "<iq type='set'><query xmlns='jabber:iq:roster'>{}</query></iq>"
CAROL = "carol@story.example"


def roster_set(item: str, id: str = "s1") -> str:
    return f"<iq type='set' id='{id}'><query xmlns='jabber:iq:roster'>{item}</query></iq>"


def roster_get(ver: str | None = None, id: str = "g1") -> str:
    attr = "" if ver is None else f" ver='{ver}'"
    return f"<iq type='get' id='{id}'><query xmlns='jabber:iq:roster'{attr}/></iq>"


async def names(client: Client) -> list[str]:
    answer = await client.asks(roster_get(id="names"))
    query = answer.find(ns.ROSTER, "query")
    assert query is not None
    return [item.attrs["jid"] for item in query.elements()]


async def refused(client: Client, xml: str, condition: str, type: str) -> None:
    client.send(xml)
    await client.receives(
        f"<iq type='error'><error type='{type}'><{condition} xmlns='{ns.STANZA_ERRORS}'/></error></iq>"
    )
    await client.receives_nothing()


async def stored(world: World, bare: str) -> dict[str, RosterItem]:
    data = await world.stores.accounts.load(bare)
    assert data is not None
    return data.roster


async def test_a_contact_is_added_changed_and_removed(story: Story) -> None:
    alice = await story("alice")
    await alice.receives_nothing()
    assert await names(alice) == []

    alice.send(
        roster_set(
            f"<item jid='{CAROL}' name='Carol' subscription='both' ask='subscribe' x='y'><group>A</group></item>"
        )
    )
    push = await alice.receives(
        PUSH.format(f"<item jid='{CAROL}' name='Carol' subscription='none'><group>A</group></item>")
    )
    assert push.attrs["to"] == alice.full
    assert push.attrs["from"] == alice.bare
    item = push.find(ns.ROSTER, "query").first()  # type: ignore[union-attr]
    assert item is not None
    assert "ask" not in item.attrs
    await alice.receives("<iq type='result' id='s1'/>")
    assert (await stored(story.world, alice.bare))[CAROL].groups == ("A",)

    alice.send(roster_set(f"<item jid='{CAROL}'><group>B</group><group>C</group></item>"))
    await alice.receives(
        PUSH.format(f"<item jid='{CAROL}'><group>B</group><group>C</group></item>"), "<iq type='result'/>"
    )
    assert alice.account.roster[CAROL].name == ""

    alice.send(roster_set(f"<item jid='{CAROL}' subscription='remove'/>"))
    await alice.receives(PUSH.format(f"<item jid='{CAROL}' subscription='remove'/>"), "<iq type='result'/>")
    assert await names(alice) == []
    assert await stored(story.world, alice.bare) == {}


async def test_pushes_go_to_interested_resources_with_their_address_and_an_id_of_their_own(story: Story) -> None:
    alice1, alice2, alice3 = await story("alice:3")
    for client in (alice1, alice2):
        await client.asks(roster_get())
    alice1.send(roster_set(f"<item jid='{CAROL}'/>"))
    one = await alice1.receives(PUSH.format(""))
    two = await alice2.receives(PUSH.format(""))
    assert (one.attrs["to"], two.attrs["to"]) == (alice1.full, alice2.full)
    assert one.attrs["id"] != two.attrs["id"]
    await alice3.receives_nothing()


@pytest.mark.parametrize(
    ("item", "condition", "type"),
    [
        ("", "bad-request", "modify"),
        ("<item jid='a@x.example'/><item jid='b@x.example'/>", "bad-request", "modify"),
        ("<item name='nobody'/>", "bad-request", "modify"),
        ("<item jid='@x.example'/>", "jid-malformed", "modify"),
        ("<item jid='alice@story.example'/>", "not-allowed", "cancel"),
        ("<item jid='a@x.example'><group>G</group><group>G</group></item>", "bad-request", "modify"),
        ("<item jid='a@x.example'><group/></item>", "not-acceptable", "modify"),
        (f"<item jid='a@x.example' name='{'n' * 1024}'/>", "not-acceptable", "modify"),
        (f"<item jid='a@x.example'><group>{'g' * 1024}</group></item>", "not-acceptable", "modify"),
        ("<item jid='a@x.example' subscription='remove'/>", "item-not-found", "cancel"),
    ],
)
async def test_a_set_that_makes_no_sense_is_refused(story: Story, item: str, condition: str, type: str) -> None:
    alice = await story("alice")
    await alice.asks(roster_get())
    await refused(alice, roster_set(item), condition, type)
    assert alice.account.roster == {}


async def test_a_roster_is_bounded(story: Story) -> None:
    await story.begin(options={"roster": {"items": 2, "groups": 1}})
    alice = await story("alice")
    for name in ("a", "b"):
        await alice.asks(roster_set(f"<item jid='{name}@x.example'/>"))
    await refused(alice, roster_set("<item jid='c@x.example'/>"), "resource-constraint", "wait")
    await refused(
        alice, roster_set("<item jid='a@x.example'><group>1</group><group>2</group></item>"), "not-acceptable", "modify"
    )
    await alice.asks(roster_set("<item jid='a@x.example' name='changed'/>"))
    assert alice.account.roster["a@x.example"].name == "changed"


async def test_nobody_reads_or_writes_the_roster_of_another(story: Story) -> None:
    alice, bob = await story("alice", "bob")
    for xml in (roster_get(), roster_set(f"<item jid='{CAROL}'/>")):
        await refused(bob, xml.replace("<iq", f"<iq to='{alice.bare}'"), "forbidden", "auth")
    assert alice.account.roster == {}
    assert not bob.session.interested


async def test_what_the_database_refuses_is_taken_back(story: Story) -> None:
    alice = await story("alice")
    await alice.asks(roster_get())
    alice.send(roster_set(f"<item jid='{CAROL}' name='first'/>"))
    await alice.receives(PUSH.format(""), "<iq type='result'/>")

    story.world.stores.memory.fail_with = "gone fishing"
    await refused(alice, roster_set(f"<item jid='{CAROL}' name='second'/>"), "internal-server-error", "wait")
    await refused(alice, roster_set("<item jid='dave@x.example'/>"), "internal-server-error", "wait")
    await refused(alice, roster_set(f"<item jid='{CAROL}' subscription='remove'/>"), "internal-server-error", "wait")
    assert {jid: item.name for jid, item in alice.account.roster.items()} == {CAROL: "first"}

    story.world.stores.memory.fail_with = None
    assert await names(alice) == [CAROL]
    alice.send(roster_set(f"<item jid='{CAROL}' name='third'/>"))
    await alice.receives(PUSH.format("<item name='third'/>"), "<iq type='result'/>")
    assert {jid: item.name for jid, item in (await stored(story.world, alice.bare)).items()} == {CAROL: "third"}


async def test_sets_of_one_moment_are_written_as_the_last_of_them_says(story: Story) -> None:
    alice1, alice2 = await story("alice:2")
    for number in range(20):
        client = (alice1, alice2)[number % 2]
        client.send(roster_set(f"<item jid='{CAROL}' name='n{number}'/>", id=f"s{number}"))
    await story.world.settle()
    data = await story.world.stores.accounts.load(alice1.bare)
    assert data is not None
    assert data.roster[CAROL].name == "n19"
    assert data.roster_version == alice1.account.data.roster_version
    assert data.roster[CAROL].version == data.roster_version


async def test_a_change_of_the_server_itself_is_stored_and_pushed(story: Story) -> None:
    alice = await story("alice")
    await alice.asks(roster_get())
    roster = story.world.module("roster")
    await roster.change(alice.account, [RosterItem(CAROL, "Carol", "both"), RosterItem("d@x.example", "Dave", "to")])
    await alice.receives(
        PUSH.format(f"<item jid='{CAROL}' subscription='both'/>"), PUSH.format("<item jid='d@x.example'/>")
    )
    story.world.stores.memory.fail_with = "away"
    with pytest.raises(StoreUnavailable):
        await roster.change(alice.account, [RosterItem(CAROL, "Caroline", "none")])
    assert alice.account.roster[CAROL].subscription == "both"
    await alice.receives_nothing()


async def test_a_change_that_cannot_be_taken_back_is_written_when_the_database_returns(story: Story) -> None:
    alice = await story("alice")
    world = story.world
    roster = world.module("roster")
    world.stores.memory.fail_with = "away"
    roster.put(alice.account, RosterItem(CAROL, "Carol", "to"))
    await world.settle()
    assert alice.account.roster[CAROL].subscription == "to"
    world.stores.memory.fail_with = None
    assert CAROL not in await stored(world, alice.bare)
    world.clock.advance(3)
    await world.settle()
    assert (await stored(world, alice.bare))[CAROL].subscription == "to"
    assert not roster._writers


async def test_the_engine_stops_only_when_rosters_are_written(story: Story) -> None:
    alice = await story("alice")
    story.world.module("roster").put(alice.account, RosterItem(CAROL))
    await in_time(story.world.module("roster").stopping(), 5)
    assert CAROL in await stored(story.world, alice.bare)


# Versions (section 2.6)


async def version(client: Client) -> str:
    query = (await client.asks(roster_get("", id="v"))).find(ns.ROSTER, "query")
    assert query is not None
    return query.attrs["ver"]


async def test_the_stream_features_announce_versions(story: Story) -> None:
    await story("alice")
    shown = [feature(story.world.host) for feature in story.world.host.table.stream_features]
    assert (ns.ROSTER_VERSIONING, "ver") in [(element.ns, element.name) for element in shown if element is not None]


async def test_an_unchanged_roster_is_an_empty_result(story: Story) -> None:
    alice = await story("alice")
    await alice.asks(roster_set(f"<item jid='{CAROL}'/>"))
    known = await version(alice)
    answer = await alice.asks(roster_get(known))
    assert answer.children == []
    await alice.receives_nothing()
    assert alice.session.interested


async def test_a_client_without_versions_gets_none(story: Story) -> None:
    alice = await story("alice")
    query = (await alice.asks(roster_get())).find(ns.ROSTER, "query")
    assert query is not None
    assert "ver" not in query.attrs


async def test_what_has_changed_meanwhile_is_pushed_after_an_empty_result(story: Story) -> None:
    alice1, alice2 = await story("alice:2")
    for name in "abc":
        await alice1.asks(roster_set(f"<item jid='{name}@x.example'/>"))
    known = await version(alice1)
    alice1.session.interested = False
    await alice1.asks(roster_set("<item jid='c@x.example' name='C'/>"))
    await alice1.asks(roster_set("<item jid='a@x.example' subscription='remove'/>"))
    await alice1.asks(roster_set("<item jid='d@x.example'/>"))
    alice2.send(roster_get(known))
    await alice2.receives("<iq type='result' id='g1'/>")
    await alice2.receives(
        PUSH.format("<item jid='c@x.example' name='C'/>"),
        PUSH.format("<item jid='a@x.example' subscription='remove'/>"),
    )
    last = await alice2.receives(PUSH.format("<item jid='d@x.example'/>"))
    await alice2.receives_nothing()
    assert last.find(ns.ROSTER, "query").attrs["ver"] == await version(alice1)  # type: ignore[union-attr]


@pytest.mark.parametrize("known", ["", "nonsense", "-1", "999999", "٣"])
async def test_a_version_that_was_never_given_gets_the_whole_roster(story: Story, known: str) -> None:
    alice = await story("alice")
    await alice.asks(roster_set(f"<item jid='{CAROL}'/>"))
    query = (await alice.asks(roster_get(known))).find(ns.ROSTER, "query")
    assert query is not None
    assert [item.attrs["jid"] for item in query.elements()] == [CAROL]


async def test_many_changes_or_forgotten_removals_get_the_whole_roster(story: Story) -> None:
    alice = await story("alice")
    known = await version(alice)
    roster = story.world.module("roster")
    await roster.change(alice.account, [RosterItem(f"c{n}@x.example") for n in range(60)])
    await alice.receives_all()
    query = (await alice.asks(roster_get(known))).find(ns.ROSTER, "query")
    assert query is not None
    assert len(list(query.elements())) == 60

    known = await version(alice)
    for number in range(REMOVED_KEPT + 5):
        roster.put(alice.account, RosterItem(f"gone{number}@x.example"))
        roster.drop(alice.account, f"gone{number}@x.example")
    assert len(alice.account.data.removed) == REMOVED_KEPT
    query = (await alice.asks(roster_get(known))).find(ns.ROSTER, "query")
    assert query is not None
    assert len(list(query.elements())) == 60


async def test_versions_and_removals_survive_a_restart(story: Story) -> None:
    alice = await story("alice")
    for name in "ab":
        await alice.asks(roster_set(f"<item jid='{name}@x.example'/>"))
    known = await version(alice)
    alice.session.interested = False
    await alice.asks(roster_set("<item jid='a@x.example' subscription='remove'/>"))
    await alice.leaves()
    story.world.services.accounts.forget(alice.bare)
    again = await story("alice")
    again.send(roster_get(known))
    await again.receives("<iq type='result'/>", PUSH.format("<item jid='a@x.example' subscription='remove'/>"))
    await again.receives_nothing()
