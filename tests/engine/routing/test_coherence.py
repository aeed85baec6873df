"""What several nodes have in memory of an account stays the same."""

from __future__ import annotations

import asyncio
from dataclasses import astuple, replace
from typing import Any

import pytest

from tests.cluster_story import ClusterStory, bodies, forget
from tests.story import DOMAIN, MODULES
from xmpp_engine.routing.account import Account
from xmpp_engine.storage.protocols import StoreUnavailable
from xmpp_engine.storage.types import AccountData, RosterItem
from xmpp_engine.xml import ns


async def test_a_contact_who_answers_at_once_on_another_node_is_understood(cluster: ClusterStory) -> None:
    romeo, juliet = await cluster("romeo n1", "juliet n2")
    await romeo.comes_online()
    await juliet.comes_online()
    romeo.send(f"<presence to='{juliet.bare}' type='subscribe'/>")
    await juliet.receives(f"<presence from='{romeo.bare}' type='subscribe'/>")
    juliet.send(f"<presence to='{romeo.bare}' type='subscribed'/>")
    await romeo.receives(
        f"<iq type='set'><query xmlns='{ns.ROSTER}'><item ask='subscribe'/></query></iq>",
        f"<presence from='{juliet.bare}' type='subscribed'/>",
        f"<iq type='set'><query xmlns='{ns.ROSTER}'><item subscription='to'/></query></iq>",
        f"<presence from='{juliet.full}'/>",
    )
    rosters = [
        node.services.accounts.resident[romeo.bare].roster
        for node in cluster.world.nodes.values()
        if romeo.bare in node.services.accounts.resident
    ]
    assert len(rosters) == 2
    assert rosters[0] == rosters[1] == cluster.world.stores.memory.accounts[romeo.bare].data.roster


async def test_two_nodes_that_change_one_roster_take_different_versions(cluster: ClusterStory) -> None:
    one, other = await cluster("romeo n1", "romeo n2")
    await one.comes_online()
    await other.comes_online()
    for client, name in ((one, "a"), (other, "b")):
        client.send(f"<iq type='set' id='{name}'><query xmlns='{ns.ROSTER}'><item jid='{name}@{DOMAIN}'/></query></iq>")
    await cluster.world.settle()
    stored = cluster.world.stores.memory.accounts[one.bare].data
    assert len({item.version for item in stored.roster.values()}) == 2
    for node in cluster.world.nodes.values():
        assert node.services.accounts.resident[one.bare].roster == stored.roster


async def test_who_is_blocked_on_one_node_is_blocked_on_all(cluster: ClusterStory) -> None:
    romeo, phone, tybalt = await cluster("romeo n1", "romeo n2", "tybalt n2")
    await romeo.comes_online()
    await phone.comes_online()
    await phone.asks(f"<iq type='get' id='l'><blocklist xmlns='{ns.BLOCKING}'/></iq>")
    forget(romeo, phone)
    await romeo.asks(f"<iq type='set' id='b'><block xmlns='{ns.BLOCKING}'><item jid='{tybalt.bare}'/></block></iq>")
    await phone.receives(f"<iq type='set'><block xmlns='{ns.BLOCKING}'><item jid='{tybalt.bare}'/></block></iq>")
    forget(romeo, phone, tybalt)
    tybalt.send(f"<message to='{romeo.bare}' type='chat' id='m'><body>villain</body></message>")
    await tybalt.receives("<message type='error' id='m'/>")
    assert bodies(await romeo.receives_all()) == []
    await romeo.asks(f"<iq type='set' id='u'><unblock xmlns='{ns.BLOCKING}'/></iq>")
    tybalt.send(f"<message to='{romeo.bare}' type='chat' id='m'><body>peace</body></message>")
    assert bodies(await phone.receives_all()) == ["peace"]


async def test_events_of_personal_nodes_reach_contacts_on_other_nodes(cluster: ClusterStory) -> None:
    await cluster.begin(nodes=2, modules=(*MODULES, "xmpp_engine.pubsub.pep.Pep"))
    romeo, phone, juliet = await cluster("romeo n1", "romeo n2", "juliet n2")
    for client in (romeo, phone):
        await client.comes_online()
    wanted = f"<feature var='{ns.DISCO_INFO}'/><feature var='urn:tune+notify'/>"
    juliet.send("<presence><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='x' ver='own'/></presence>")
    asked = next(stanza for stanza in await juliet.receives_all() if stanza.name == "iq")
    juliet.send(
        f"<iq type='result' id='{asked.attrs['id']}' to='{asked.attrs['from']}'>"
        f"<query xmlns='{ns.DISCO_INFO}'>{wanted}</query></iq>"
    )
    await cluster.contacts(romeo, juliet)
    forget(romeo, phone, juliet)
    for number, client in enumerate((romeo, phone)):
        item = f"<item id='current'><tune xmlns='urn:tune'>{number}</tune></item>"
        answer = await client.asks(
            f"<iq type='set' id='p{number}'><pubsub xmlns='{ns.PUBSUB}'>"
            f"<publish node='urn:tune'>{item}</publish></pubsub></iq>"
        )
        assert answer.attrs["type"] == "result"
        await juliet.receives(f"<message from='{romeo.bare}' type='headline'/>")
        # The other node reads what it knew of the node of publish-subscribe anew.
        for asker in (romeo, phone):
            forget(romeo, phone)
            got = await asker.asks(
                f"<iq type='get' id='g'><pubsub xmlns='{ns.PUBSUB}'><items node='urn:tune'/></pubsub></iq>"
            )
            (items,) = got.find_all(ns.PUBSUB, "pubsub")[0].find_all(ns.PUBSUB, "items")
            assert [element.text for entry in items.elements() for element in entry.elements()] == [str(number)]


async def test_an_account_that_is_removed_is_gone_from_every_node(cluster: ClusterStory) -> None:
    await cluster.begin(nodes=2, modules=(*MODULES, "xmpp_engine.modules.register.Register"))
    romeo, phone, juliet = await cluster("romeo n1", "romeo n2", "juliet n2")
    for client in (romeo, phone, juliet):
        await client.comes_online()
    await cluster.contacts(romeo, juliet)
    forget(romeo, phone, juliet)
    romeo.send(f"<iq type='set' id='r'><query xmlns='{ns.REGISTER}'><remove/></query></iq>")
    await cluster.world.settle()
    assert romeo.wire.closed
    assert phone.wire.closed
    for node in cluster.world.nodes.values():
        assert romeo.bare not in node.services.accounts.resident
    seen = await juliet.receives_all()
    assert [stanza.attrs.get("type") for stanza in seen if stanza.name == "presence"].count("unsubscribed") == 1


async def test_a_change_that_a_node_took_to_its_grave_is_taken_back(cluster: ClusterStory) -> None:
    romeo, phone = await cluster("romeo n1", "romeo n2")
    await romeo.comes_online()
    await phone.comes_online()
    stores = cluster.world.nodes["n2"].stores

    async def never(*_arguments: object) -> None:
        raise RuntimeError("the database hangs")

    put, stores.rosters.put = stores.rosters.put, never  # type: ignore[method-assign]
    account = phone.account
    cluster.world.nodes["n2"].module("roster").put(account, RosterItem(f"x@{DOMAIN}", subscription="to"))
    await cluster.world.settle()
    assert f"x@{DOMAIN}" in romeo.account.roster
    cluster.world.kill("n2")
    stores.rosters.put = put  # type: ignore[method-assign]
    await cluster.world.notice()
    assert f"x@{DOMAIN}" not in romeo.account.roster


class Reading:
    """A store that reads an account, and says what it has read when it is let go."""

    def __init__(self, cluster: ClusterStory, monkeypatch: pytest.MonkeyPatch) -> None:
        self._go = asyncio.Event()
        accounts = cluster.world.stores.accounts
        load = accounts.load

        async def later(bare: str) -> AccountData | None:
            data = await load(bare)
            await self._go.wait()
            return data

        monkeypatch.setattr(accounts, "load", later)

    def go(self) -> None:
        """What was read arrives."""
        self._go.set()


async def _loads(cluster: ClusterStory, node: str, bare: str) -> asyncio.Task[Account | None]:
    """The account is being read on a node."""
    services = cluster.world.nodes[node].services
    task = asyncio.ensure_future(services.accounts.load(bare, services.router.hosts[DOMAIN]))
    await cluster.world.settle()
    return task


async def test_what_is_told_while_an_account_is_read_counts(
    cluster: ClusterStory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contacts that were added, changed, asked by a request that changes no version, and removed, all of it stored
    before what was read has arrived."""
    await cluster.begin(nodes=2)
    romeo = await cluster("romeo n1")
    roster, account = cluster.world.nodes["n1"].module("roster"), romeo.account
    for name in ("changed", "asks", "removed"):
        roster.put(account, RosterItem(f"{name}@{DOMAIN}"))
    await roster.saved(account)
    await cluster.world.pass_time(31.0)
    reading = Reading(cluster, monkeypatch)
    task = await _loads(cluster, "n2", romeo.bare)
    roster.put(account, RosterItem(f"added@{DOMAIN}", ask=True))
    roster.put(account, replace(account.roster[f"changed@{DOMAIN}"], subscription="both"))
    roster.put(account, replace(account.roster[f"asks@{DOMAIN}"], pending_in=True), shown=False)
    roster.put(account, RosterItem(f"stranger@{DOMAIN}", pending_in=True), shown=False)
    roster.drop(account, f"removed@{DOMAIN}")
    await cluster.world.settle()
    reading.go()
    await cluster.world.settle()
    there = await task
    assert there is not None
    assert there.roster == account.roster == cluster.world.stores.memory.accounts[romeo.bare].data.roster
    assert set(there.roster) == {f"{name}@{DOMAIN}" for name in ("added", "changed", "asks", "stranger")}
    assert there.data.roster_version == account.data.roster_version
    assert there.data.removed == account.data.removed


async def test_what_is_told_while_an_account_is_read_anew_counts(
    cluster: ClusterStory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An administrator has changed something of it; meanwhile contacts change on another node, and are stored there
    before what was read has arrived."""
    await cluster.begin(nodes=2)
    romeo, phone = await cluster("romeo n1", "romeo n2")
    roster, account = cluster.world.nodes["n1"].module("roster"), romeo.account
    roster.put(account, RosterItem(f"changed@{DOMAIN}"))
    await cluster.world.settle()
    reading = Reading(cluster, monkeypatch)
    task = asyncio.ensure_future(cluster.world.nodes["n2"].engine.outside.account_changed(romeo.bare))
    await cluster.world.settle()
    roster.put(account, RosterItem(f"added@{DOMAIN}", subscription="both"))
    roster.put(account, replace(account.roster[f"changed@{DOMAIN}"], subscription="both"))
    await cluster.world.settle()
    reading.go()
    await cluster.world.settle()
    await task
    there = phone.account
    assert there is not account
    assert there.roster == account.roster == cluster.world.stores.memory.accounts[romeo.bare].data.roster
    assert there.data.roster_version == account.data.roster_version


@pytest.mark.parametrize("why", ["changed outside", "told otherwise"])
async def test_what_another_node_has_told_and_not_stored_yet_holds_against_what_is_read(
    cluster: ClusterStory, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    """A contact was added, changed, asks, and was removed; the other node is slow to store it."""
    await cluster.begin(nodes=2)
    romeo, phone = await cluster("romeo n1", "romeo n2")
    n1, n2 = (cluster.world.nodes[name] for name in ("n1", "n2"))
    roster, account = n2.module("roster"), phone.account
    for name in ("changed", "asks", "removed"):
        roster.put(account, RosterItem(f"{name}@{DOMAIN}", subscription="to"))
    await roster.saved(account)
    await cluster.world.settle()
    stored, slow = asyncio.Event(), cluster.world.stores.rosters

    def held(store: Any) -> Any:
        async def later(*arguments: Any) -> None:
            await stored.wait()
            await store(*arguments)

        return later

    monkeypatch.setattr(slow, "put", held(slow.put))
    monkeypatch.setattr(slow, "remove", held(slow.remove))
    roster.put(account, RosterItem(f"added@{DOMAIN}", ask=True))
    roster.put(account, replace(account.roster[f"changed@{DOMAIN}"], subscription="both"))
    roster.put(account, replace(account.roster[f"asks@{DOMAIN}"], pending_in=True), shown=False)
    roster.drop(account, f"removed@{DOMAIN}")
    await cluster.world.settle()
    if why == "changed outside":
        await n1.engine.outside.account_changed(romeo.bare)
    else:
        n1.services.coherence.reread(romeo.bare)
    await cluster.world.settle()
    meanwhile = dict(romeo.account.roster)
    stored.set()
    assert meanwhile == account.roster
    assert set(account.roster) == {f"{name}@{DOMAIN}" for name in ("added", "changed", "asks")}
    await cluster.world.settle()
    assert romeo.account.roster == cluster.world.stores.memory.accounts[romeo.bare].data.roster == account.roster
    assert n1.services.coherence.unstored(romeo.bare) == []


async def test_a_change_that_cannot_be_stored_is_taken_back_everywhere(
    cluster: ClusterStory, monkeypatch: pytest.MonkeyPatch
) -> None:
    await cluster.begin(nodes=2)
    romeo, phone = await cluster("romeo n1", "romeo n2")
    roster = cluster.world.nodes["n2"].module("roster")
    roster.put(phone.account, RosterItem(f"x@{DOMAIN}", name="before"))
    await cluster.world.settle()

    async def never(*_arguments: object) -> None:
        raise StoreUnavailable("the database is away")

    with monkeypatch.context() as patched:
        patched.setattr(cluster.world.stores.rosters, "put", never)
        with pytest.raises(StoreUnavailable):
            await roster.change(phone.account, [replace(phone.account.roster[f"x@{DOMAIN}"], name="after")])
    await cluster.world.settle()
    assert [client.account.roster[f"x@{DOMAIN}"].name for client in (romeo, phone)] == ["before", "before"]


async def test_what_was_over_before_an_account_was_read_does_not_come_back(cluster: ClusterStory) -> None:
    await cluster.begin(nodes=2)
    romeo = await cluster("romeo n1")
    roster, account = cluster.world.nodes["n1"].module("roster"), romeo.account
    roster.put(account, RosterItem(f"short@{DOMAIN}"))
    roster.put(account, RosterItem(f"stranger@{DOMAIN}", pending_in=True), shown=False)
    await cluster.world.settle()
    for name in ("short", "stranger"):
        roster.drop(account, f"{name}@{DOMAIN}")
    await cluster.world.settle()
    there = await cluster("romeo n2")
    await cluster.world.settle()
    assert there.account.roster == {}


async def test_words_of_several_nodes_count_by_their_versions(cluster: ClusterStory) -> None:
    """A slow link: what came last was said first."""
    await cluster.begin(nodes=2)
    romeo = await cluster("romeo n1")
    roster = cluster.world.nodes["n1"].module("roster")
    jid, account = f"x@{DOMAIN}", romeo.account
    newer, older = RosterItem(jid, name="newer", version=512), RosterItem(jid, name="older", version=256)
    words = [[jid, list(astuple(item)), item.version, True] for item in (newer, older)]
    roster.heard_before(account, words)
    assert account.roster[jid] == newer
    roster.heard_before(account, [[jid, None, 768, True], *words])
    assert jid not in account.roster
    roster.heard_before(account, words)
    assert jid not in account.roster


async def test_a_change_that_was_told_before_an_account_was_read_dies_with_its_node(
    cluster: ClusterStory, monkeypatch: pytest.MonkeyPatch
) -> None:
    await cluster.begin(nodes=2)
    phone = await cluster("romeo n2")

    async def never(*_arguments: object) -> None:
        raise RuntimeError("the database hangs")

    with monkeypatch.context() as patched:
        patched.setattr(cluster.world.stores.rosters, "put", never)
        cluster.world.nodes["n2"].module("roster").put(phone.account, RosterItem(f"x@{DOMAIN}", subscription="to"))
        await cluster.world.settle()
        romeo = await cluster("romeo n1")
        assert f"x@{DOMAIN}" in romeo.account.roster
        cluster.world.kill("n2")
    await cluster.world.notice()
    assert romeo.account.roster == {}
