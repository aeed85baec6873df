"""XEP-0401 and XEP-0445: links are made by who may, and open what they say once."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engine.modules.test_register import REGISTER, Stranger, outcome
from tests.story import MODULES, Client, Story
from xmpp_engine.modules.invitations import InvitationOptions, invite, uri_of
from xmpp_engine.storage.invitations import Invitation, digest_of
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError

INVITATIONS = "xmpp_engine.modules.invitations.Invitations"
WITH = (*(name for name in MODULES if name not in (REGISTER, INVITATIONS)), REGISTER, INVITATIONS)
PREAUTH = "<iq type='set' id='t'><preauth xmlns='urn:xmpp:pars:0' token='{}'/></iq>"
ERROR = "<iq type='error'><error><{} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"


async def begin(story: Story, *, admin: bool = True, **options: Any) -> Client:
    """A world with Alice, who is an administrator unless told otherwise."""
    await story.begin(modules=WITH, options={"invitations": options}, public_url="https://story.example/")
    alice: Client = await story("alice")
    alice.account.data.is_admin = admin
    await alice.comes_online()
    return alice


async def link(client: Client, command: str = "invite", **fields: str) -> dict[str, str]:
    """Run a command; the fields of its result."""
    form = "".join(
        f"<field var='{var.replace('_', '-')}'><value>{value}</value></field>" for var, value in fields.items()
    )
    submit = f"<x xmlns='jabber:x:data' type='submit'>{form}</x>" if fields else ""
    client.send(
        f"<iq type='set' id='c' to='story.example'><command xmlns='{ns.COMMANDS}' node='{ns.INVITE}#{command}' "
        f"action='execute'>{submit}</command></iq>"
    )
    answer = await client.receives("<iq id='c'/>")
    if answer.get("type") == "error":
        raise StanzaError(outcome(answer))
    command_element = answer.find(ns.COMMANDS, "command")
    assert command_element is not None
    assert command_element.get("status") == "completed"
    result = command_element.find(ns.DATA_FORMS, "x")
    assert result is not None
    # Psi+ and Pidgin show the form as it is.
    shown = [field for field in result.find_all(ns.DATA_FORMS, "field") if field.get("type") != "hidden"]
    assert all(field.get("label") for field in shown)
    return {
        field.attrs["var"]: field.child_text(ns.DATA_FORMS, "value") or ""
        for field in result.find_all(ns.DATA_FORMS, "field")
    }


def token_of(values: dict[str, str]) -> str:
    """The token in a link."""
    return values["uri"].partition("preauth=")[2].partition(";")[0]


async def test_a_link_has_what_the_specification_names(story: Story) -> None:
    alice = await begin(story)
    values = await link(alice)
    token = token_of(values)
    assert values == {
        "FORM_TYPE": "urn:xmpp:invite#invitation",
        "uri": f"xmpp:alice@story.example?roster;preauth={token};ibr=y",
        "landing-url": f"https://story.example/invite/{token}",
        "expire": values["expire"],
    }
    assert len(token) >= 20
    row = await story.world.stores.invitations.find(digest_of(token))
    assert row is not None
    assert row.expires == pytest.approx(story.world.clock.time() + 7 * 86_400, abs=5)
    assert token not in repr(row)


async def test_who_may_invite_is_an_option(story: Story) -> None:
    alice = await begin(story, admin=False)
    values = await link(alice)
    assert "ibr=y" not in values["uri"]
    with pytest.raises(StanzaError, match="forbidden"):
        await link(alice, "create-account", username="bob")
    stranger = Stranger(story)
    assert outcome(await stranger.asks(PREAUTH.format(token_of(values)))) == "item-not-found"


async def test_everybody_may_where_the_domain_says_so(story: Story) -> None:
    alice = await begin(story, admin=False, accounts="everybody", per_day=2)
    assert "ibr=y" in (await link(alice))["uri"]
    await link(alice, "create-account", username="bob")
    with pytest.raises(StanzaError, match="resource-constraint"):
        await link(alice)
    story.world.clock.advance(86_401)
    await link(alice)


async def test_nobody_may(story: Story) -> None:
    alice = await begin(story, accounts="nobody", contacts=False)
    with pytest.raises(StanzaError, match="forbidden"):
        await link(alice)
    assert story.world.module("register").offer(story.world.host) is None
    assert outcome(await Stranger(story).asks(PREAUTH.format("x"))) == "service-unavailable"


@pytest.mark.parametrize("given", [{"accounts": "some"}, {"days": 0}, {"days": 1e9}])
def test_options_that_make_no_sense(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(given))):
        InvitationOptions(**given)


async def test_an_invited_stranger_registers_once_and_both_are_contacts(story: Story) -> None:
    alice = await begin(story)
    token = token_of(await link(alice))
    stranger, late = Stranger(story), Stranger(story, "203.0.113.5:1")
    assert await stranger.registers("bob") == "not-allowed"
    assert outcome(await stranger.asks(PREAUTH.format("guess"))) == "item-not-found"
    for one in (stranger, late):
        assert outcome(await one.asks(PREAUTH.format(token))) == "result"
    form = await stranger.asks(f"<iq type='get' id='g'><query xmlns='{ns.REGISTER}'/></iq>")
    assert outcome(form) == "result"
    assert await stranger.registers("bob") == "result"
    await alice.receives(
        "<iq type='set'><query xmlns='jabber:iq:roster'>"
        "<item jid='bob@story.example' subscription='both'/></query></iq>"
    )
    data = await story.world.stores.accounts.load("bob@story.example")
    assert data is not None
    assert data.roster["alice@story.example"].subscription == "both"
    assert await late.registers("carol") == "item-not-found"
    assert await story.world.stores.accounts.credentials("carol@story.example") is None


async def test_who_was_put_out_lets_nobody_in(story: Story) -> None:
    alice = await begin(story)
    token = token_of(await link(alice))
    story.world.stores.memory_accounts.change(alice.bare, state="disabled")
    assert outcome(await Stranger(story).asks(PREAUTH.format(token))) == "item-not-found"
    story.world.stores.memory_accounts.change(alice.bare, state="active")
    assert outcome(await Stranger(story).asks(PREAUTH.format(token))) == "result"


async def test_a_failed_registration_leaves_the_invitation(story: Story) -> None:
    alice = await begin(story)
    token = token_of(await link(alice))
    stranger = Stranger(story)
    await stranger.asks(PREAUTH.format(token))
    assert await stranger.registers("alice") == "conflict"
    assert await stranger.registers("bob", "short") == "not-acceptable"
    assert await stranger.registers("bob") == "result"


async def test_expiry_counts_when_the_token_is_shown_and_not_later(story: Story) -> None:
    alice = await begin(story)
    token = token_of(await link(alice))
    stranger = Stranger(story)
    assert outcome(await stranger.asks(PREAUTH.format(token))) == "result"
    story.world.clock.advance(8 * 86_400)
    assert outcome(await Stranger(story, "x:1").asks(PREAUTH.format(token))) == "item-not-found"
    assert await stranger.registers("bob") == "result"


async def test_a_chosen_name_is_reserved_and_the_only_one(story: Story) -> None:
    alice = await begin(story)
    values = await link(alice, "create-account", username="Bob")
    token = token_of(values)
    assert values["uri"] == f"xmpp:bob@story.example?register;preauth={token}"
    with pytest.raises(StanzaError, match="not-acceptable"):
        await link(alice, "create-account", username="bob")
    with pytest.raises(StanzaError, match="conflict"):
        await link(alice, "create-account", username="alice")
    other = token_of(await link(alice, "create-account", username=""))
    taker, bob = Stranger(story), Stranger(story, "203.0.113.9:1")
    await taker.asks(PREAUTH.format(other))
    assert await taker.registers("bob") == "conflict"
    await bob.asks(PREAUTH.format(token))
    assert await bob.registers("robert") == "not-acceptable"
    form = await bob.asks(f"<iq type='get' id='g'><query xmlns='{ns.REGISTER}'/></iq>")
    query = form.find(ns.REGISTER, "query")
    assert query is not None
    assert query.child_text(ns.REGISTER, "username") == "bob"
    assert await bob.registers("bob") == "result"
    assert alice.account.roster == {}, "nobody asked to be contacts"


async def test_a_subscription_request_with_a_token_is_approved(story: Story) -> None:
    alice = await begin(story, admin=False)
    token = token_of(await link(alice))
    bob = await story("bob")
    await bob.comes_online()
    bob.send(f"<presence to='{alice.bare}' type='subscribed'/>")
    bob.send(
        f"<presence to='{alice.bare}' type='subscribe'><preauth xmlns='urn:xmpp:pars:0' token='{token}'/></presence>"
    )
    await story.world.settle()
    assert alice.account.roster[bob.bare].subscription == "both"
    assert bob.account.roster[alice.bare].subscription == "both"
    seen = await alice.receives_all()
    assert not any(stanza.get("type") == "subscribe" for stanza in seen)
    assert any(s.name == "presence" and s.get("from") == alice.full for s in await bob.receives_all())

    carol = await story("carol")
    carol.send(
        f"<presence to='{alice.bare}' type='subscribe'><preauth xmlns='urn:xmpp:pars:0' token='{token}'/></presence>"
    )
    request = await alice.receives(f"<presence type='subscribe' from='{carol.bare}'/>")
    assert request.find(ns.PARS, "preauth") is None
    assert carol.account.roster[alice.bare].subscription == "none"


async def test_a_token_of_somebody_else_asks_as_usual(story: Story) -> None:
    alice = await begin(story)
    token = token_of(await link(alice))
    bob, carol = await story("bob", "carol")
    await bob.comes_online()
    carol.send(
        f"<presence to='{bob.bare}' type='subscribe'><preauth xmlns='urn:xmpp:pars:0' token='{token}'/></presence>"
    )
    await bob.receives(f"<presence type='subscribe' from='{carol.bare}'/>")
    found = await story.world.stores.invitations.find(digest_of(token))
    assert found is not None
    assert found.uses == 0


async def test_order_holds_while_the_store_is_asked(story: Story) -> None:
    alice = await begin(story)
    token = token_of(await link(alice))
    bob = await story("bob")
    bob.send(
        f"<presence to='{alice.bare}' type='subscribe'><preauth xmlns='urn:xmpp:pars:0' token='{token}'/></presence>"
        f"<message to='{alice.full}' type='chat'><body>hi</body></message>"
    )
    names = [stanza.name for stanza in await alice.receives_all()]
    assert names.index("message") > 0


async def test_a_database_that_is_away_asks_as_usual(story: Story) -> None:
    alice = await begin(story)
    token = token_of(await link(alice))
    bob = await story("bob")
    story.world.stores.memory.fail_with = "away"
    bob.send(
        f"<presence to='{alice.bare}' type='subscribe'><preauth xmlns='urn:xmpp:pars:0' token='{token}'/></presence>"
    )
    await story.world.settle()
    story.world.stores.memory.fail_with = None
    await alice.receives(f"<presence type='subscribe' from='{bob.bare}'/>")


async def test_links_are_offered_only_to_who_may(story: Story) -> None:
    alice = await begin(story, admin=False)
    ask = f"<iq type='get' id='d' to='story.example'><query xmlns='{ns.DISCO_ITEMS}' node='{ns.COMMANDS}'/></iq>"

    def nodes(answer: Element) -> set[str]:
        query = answer.find(ns.DISCO_ITEMS, "query")
        assert query is not None
        return {item.attrs["node"] for item in query.elements()}

    assert nodes(await alice.asks(ask)) == {f"{ns.INVITE}#invite"}
    alice.account.data.is_admin = True
    assert nodes(await alice.asks(ask)) == {f"{ns.INVITE}#invite", f"{ns.INVITE}#create-account"}


async def test_old_invitations_are_forgotten(story: Story) -> None:
    alice = await begin(story)
    await link(alice)
    story.world.clock.advance(38 * 86_400)
    await story.world.module("invitations").sweep()
    assert await story.world.stores.invitations.made("story.example", None, 10) == []


def test_addresses_in_uris_are_escaped() -> None:
    _token, row = invite(InvitationOptions(), "story.example", 0.0, "account", local="a#b?c%d")
    assert uri_of(row, "T") == "xmpp:a%23b%3Fc%25d@story.example?register;preauth=T"
    assert uri_of(Invitation("", "story.example", "account"), "T") == "xmpp:story.example?register;preauth=T"
    assert uri_of(Invitation("", "story.example", "reset", local="x"), "T") == ""
    with pytest.raises(ValueError, match="localpart"):
        invite(InvitationOptions(), "story.example", 0.0, "account", local="a b@")
