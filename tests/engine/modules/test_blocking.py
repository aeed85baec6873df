"""XEP-0191: who is blocked, and what each side sees of it."""

from __future__ import annotations

from typing import Any

import pytest

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.modules.blocking import blocks

BLOCK = "<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='{}'/></block></iq>"
UNBLOCK = "<iq type='set' id='u'><unblock xmlns='urn:xmpp:blocking'>{}</unblock></iq>"


@pytest.mark.parametrize(
    ("entry", "covered"),
    [
        ("bob@x/r", ["bob@x/r"]),
        ("bob@x", ["bob@x", "bob@x/r"]),
        ("x/r", ["x/r", "bob@x/r"]),
        ("x", ["x", "bob@x", "bob@x/r", "x/r"]),
    ],
)
def test_the_four_forms_of_an_entry(entry: str, covered: list[str]) -> None:
    for text in ("bob@x/r", "bob@x", "x", "x/r", "eve@y/r", "bob@y"):
        assert blocks({entry}, Jid.parse(text)) == (text in covered), text


async def test_a_blocked_contact_meets_nobody(story: Any) -> None:
    alice, bob = await story("alice", "bob")
    await story.world.contacts(alice, bob)
    await alice.comes_online()
    await bob.comes_online()
    await alice.receives_all()
    alice.send("<iq type='get' id='l'><blocklist xmlns='urn:xmpp:blocking'/></iq>")
    await alice.receives("<iq type='result' id='l'><blocklist xmlns='urn:xmpp:blocking'/></iq>")
    alice.send(BLOCK.format(bob.bare))
    await alice.receives_in_any_order(
        "<iq type='result' id='b'/>",
        f"<iq type='set' to='{alice.full}'><block xmlns='urn:xmpp:blocking'><item jid='{bob.bare}'/></block></iq>",
    )
    await bob.receives(f"<presence type='unavailable' from='{alice.full}'/>")

    bob.send(f"<message to='{alice.bare}' type='chat' id='m'><body>hi</body></message>")
    await bob.receives("<message type='error' id='m'><error type='cancel'/></message>")
    bob.send(f"<iq to='{alice.full}' type='get' id='i'><ping xmlns='urn:xmpp:ping'/></iq>")
    await bob.receives("<iq type='error' id='i'/>")
    bob.send("<presence><status>back</status></presence>")
    await bob.receives_all()
    await alice.receives_nothing()

    error = await _sends(alice, f"<message to='{bob.bare}' type='chat' id='o'><body>hi</body></message>")
    assert error.find("urn:ietf:params:xml:ns:xmpp-stanzas", "not-acceptable") is not None
    assert error.find("urn:xmpp:blocking:errors", "blocked") is not None

    alice.send(UNBLOCK.format(""))
    await alice.receives_in_any_order("<iq type='result' id='u'/>", f"<iq type='set' to='{alice.full}'/>")
    await bob.receives(f"<presence from='{alice.full}'/>")
    await alice.receives(f"<presence from='{bob.full}'><status>back</status></presence>")
    bob.send(f"<message to='{alice.bare}' type='chat'><body>again</body></message>")
    await alice.receives("<message><body>again</body></message>")


async def test_a_bad_address_changes_nothing(story: Any) -> None:
    alice = await story("alice")
    alice.send(BLOCK.format("a@@b"))
    await alice.receives("<iq type='error' id='b'/>")
    alice.send("<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'/></iq>")
    await alice.receives("<iq type='error' id='b'/>")
    assert alice.account.data.blocked == set()


async def test_the_list_has_a_limit(story: Any) -> None:
    await story.begin(options={"blocking": {"limit": 1}})
    alice = await story("alice")
    alice.send(BLOCK.format("a@x"))
    await alice.receives("<iq type='result'/>")
    alice.send(BLOCK.format("b@x"))
    await alice.receives("<iq type='error'/>")


async def test_nobody_reads_the_list_of_another(story: Any) -> None:
    alice, bob = await story("alice", "bob")
    bob.send(f"<iq type='get' id='l' to='{alice.bare}'><blocklist xmlns='urn:xmpp:blocking'/></iq>")
    await bob.receives("<iq type='error' id='l'/>")


async def _sends(client: Any, xml: str) -> Any:
    client.send(xml)
    answer = await client.receives("<message type='error'/>")
    return answer.find("jabber:client", "error")


async def test_who_left_while_blocked_is_seen_gone_afterwards(story: Any) -> None:
    alice, alice2, bob = await story("alice:2", "bob")
    await story.world.contacts(alice, bob)
    for client in (alice, alice2, bob):
        await client.comes_online()
    await alice.receives_all()
    await alice2.receives_all()
    alice.send(BLOCK.format(bob.bare))
    await bob.leaves()
    alice.send("<presence><show>away</show></presence>")
    await alice.receives_all()
    await alice2.receives_all()
    alice.send(UNBLOCK.format(f"<item jid='{bob.bare}'/>"))
    await alice.receives("<iq type='result' id='u'/>", f"<presence type='unavailable' from='{bob.bare}'/>")
    await alice2.receives(f"<presence type='unavailable' from='{bob.bare}'/>")


async def test_an_entry_that_still_covers_the_contact_keeps_it_away(story: Any) -> None:
    alice, bob = await story("alice", "bob")
    await story.world.contacts(alice, bob)
    await alice.comes_online()
    await bob.comes_online()
    alice.send(BLOCK.format(bob.bare) + BLOCK.format("story.example"))
    await alice.receives_all()
    await bob.receives_all()
    alice.send(UNBLOCK.format(f"<item jid='{bob.bare}'/>"))
    await alice.receives("<iq type='result' id='u'/>")
    await alice.receives_nothing()
    await bob.receives_nothing()
