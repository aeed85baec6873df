"""XEP-0283 between servers that are each an engine on real sockets: the old address, the new one and the contact are
on three."""

from __future__ import annotations

import pytest

from tests.engine.s2s.servers import Network, Server, got, until
from tests.story import MODULES, Client
from xmpp_engine.storage.types import RosterItem
from xmpp_engine.xml import ns

pytestmark = pytest.mark.net

WITH_PEP = (*MODULES, "xmpp_engine.pubsub.pep.Pep")
OLD, NEW = "juliet@im.example", "juliet@capulet.example"


async def meet(network: Network) -> tuple[Server, Server, Client, Client]:
    """The servers of the old and the new address; Romeo is a contact of the old one, the new one is online."""
    im, capulet, montague = [
        await network.server(f"{name}.example", modules=WITH_PEP) for name in ("im", "capulet", "montague")
    ]
    old, new, romeo = await im.login("juliet"), await capulet.login("juliet"), await montague.login("romeo")
    for client in (old, new, romeo):
        await client.comes_online()
    items = ((im, old, romeo.bare), (montague, romeo, OLD))
    for server, client, contact in items:
        item = RosterItem(contact, name="Mine", subscription="both", groups=("Verona",))
        await server.module("roster").change(client.account, [item])
    return im, capulet, new, romeo


def asks(new: Client, romeo: Client) -> None:
    moved = f"<moved xmlns='{ns.MOVED}'><old-jid>{OLD}</old-jid></moved>"
    new.send(f"<presence type='subscribe' to='{romeo.bare}' id='s1'>{moved}</presence>")


def state(client: Client, jid: str) -> str:
    item = client.account.roster.get(jid)
    return item.subscription if item is not None else "none"


async def test_a_published_statement_is_read_from_the_other_server(network: Network) -> None:
    im, _capulet, new, romeo = await meet(network)
    moved = f"<moved xmlns='{ns.MOVED}'><new-jid>{NEW}</new-jid></moved>"
    publish = f"<publish node='{ns.MOVED}'><item id='current'>{moved}</item></publish>"
    old = await im.login("juliet", "second")
    await old.comes_online()
    old.send(f"<iq type='set' id='p'><pubsub xmlns='{ns.PUBSUB}'>{publish}</pubsub></iq>")
    await got(old, "<iq type='result' id='p'/>")
    asks(new, romeo)
    for type in ("subscribed", "subscribe"):
        await got(new, f"<presence type='{type}' from='{romeo.bare}'/>")
    await until(lambda: state(romeo, OLD) == "to", "the old address is shut out")
    item = romeo.account.roster[NEW]
    assert (item.subscription, item.name, item.groups) == ("from", "Mine", ("Verona",))
    await until(lambda: old.account.roster[romeo.bare].subscription == "from", "the old server has heard")


async def test_an_account_that_has_moved_brings_its_contacts(network: Network) -> None:
    """Moved by an administrator, with both addresses on servers of ours."""
    im, _capulet, new, romeo = await meet(network)
    im.stores.memory.accounts[OLD].data.moved_to = NEW
    await im.engine.outside.account_changed(OLD)
    asks(new, romeo)
    await got(new, f"<presence type='subscribed' from='{romeo.bare}'/>")
    await until(lambda: (state(romeo, NEW), state(romeo, OLD)) == ("from", "to"), "Romeo follows")
    romeo.send(f"<message to='{OLD}' type='chat' id='m'><body>Hi</body></message>")
    gone = f"<error type='cancel'><gone xmlns='{ns.STANZA_ERRORS}'>xmpp:{NEW}</gone></error>"
    await got(romeo, f"<message type='error' id='m' from='{OLD}'>{gone}</message>")


async def test_who_only_claims_it_is_a_stranger(network: Network) -> None:
    _im, _capulet, new, romeo = await meet(network)
    asks(new, romeo)
    moved = f"<moved xmlns='{ns.MOVED}'><old-jid>{OLD}</old-jid></moved>"
    await got(romeo, f"<presence type='subscribe' from='{NEW}' id='s1'>{moved}</presence>")
    assert (state(romeo, NEW), state(romeo, OLD)) == ("none", "both")
