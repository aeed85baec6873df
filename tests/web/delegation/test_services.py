"""Who administers a domain: appointed and dismissed, seen by nodes, gone with account and domain; and how far it
reaches."""

from __future__ import annotations

import pytest

from archive.oversight.models import Officer
from mlink_web.accounts import services as accounts
from mlink_web.accounts.models import Account
from mlink_web.conf import snapshot
from mlink_web.conf.models import ConfigVersion, Domain
from mlink_web.delegation import services
from mlink_web.delegation.reach import EVERYTHING, NOTHING, Reach, may_change, reach_of
from tests.kits.commands import ctl, refused

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def domains() -> dict[str, Domain]:
    """Two domains, one below the other, and a third."""
    return {name: Domain.objects.create(name=name) for name in ("a.example", "lab.a.example", "b.example")}


def account(bare: str, *, admin: bool = False) -> Account:
    return accounts.create_account(bare, "correct horse", is_staff=admin, is_superuser=admin)


def version() -> int:
    return ConfigVersion.objects.get(pk=1).version


def administrators(name: str) -> frozenset[str]:
    """Those of a domain as nodes know them."""
    return snapshot.build(0, with_certificates=False).hosts[name].administrators


def test_nodes_know_who_administers(domains: dict[str, Domain]) -> None:
    account("ann@b.example")
    services.appoint("Ann@b.example", domains["a.example"], "boss")
    assert administrators("a.example") == {"ann@b.example"}
    assert administrators("b.example") == frozenset()
    before = version()
    services.dismiss("ann@b.example", domains["a.example"])
    assert administrators("a.example") == frozenset()
    assert version() > before


def test_who_is_removed_administers_nothing_and_nodes_hear_of_it(domains: dict[str, Domain]) -> None:
    services.appoint(account("ann@b.example").username, domains["a.example"], "boss")
    before = version()
    accounts.remove(accounts.find("ann@b.example"))
    assert version() > before
    # The address is given anew.
    assert not reach_of(account("ann@b.example"))
    assert administrators("a.example") == frozenset()


def test_wrong_appointments(domains: dict[str, Domain]) -> None:
    account("boss@a.example", admin=True)
    services.appoint(account("ann@a.example").username, domains["a.example"], "boss")
    for bare, why in (
        ("nobody@a.example", "no account"),
        ("boss@a.example", "whole server"),
        ("ann@a.example", "already"),
        ("@", "not an XMPP address"),
    ):
        with pytest.raises(ValueError, match=why):
            services.appoint(bare, domains["a.example"], "boss")
    with pytest.raises(ValueError, match="does not administer"):
        services.dismiss("ann@a.example", domains["b.example"])


def test_commands() -> None:
    account("ann@b.example")
    assert "administers a.example now" in ctl("domain", "admin", "add", "ann@b.example", "a.example")
    (row,) = ctl("domain", "admin", "list")
    assert (row["domain"], row["jid"], row["state"]) == ("a.example", "ann@b.example", "active")
    assert ctl("domain", "admin", "list", "b.example") == []
    assert "no domain" in refused("domain", "admin", "add", "ann@b.example", "c.example")
    assert "not administer a.example any more" in ctl("domain", "admin", "remove", "ann@b.example", "a.example")
    assert ctl("domain", "admin", "list") == []


def test_a_reach_ends_where_another_domain_begins(domains: dict[str, Domain]) -> None:
    ann = account("ann@b.example")
    services.appoint(ann.username, domains["a.example"], "boss")
    reach = reach_of(ann)
    for inside in ("a.example", "rooms.a.example", "x@a.example/r", "hall@deep.rooms.a.example"):
        assert reach.covers(inside), inside
    for outside in (
        "lab.a.example",
        "x@rooms.lab.a.example",
        "b.example",
        "xa.example",
        "a.example.evil",
        "example",
        "",
    ):
        assert not reach.covers(outside), outside
    assert not reach.everything
    assert reach.told("a.example is fine.") == "a.example is fine."
    assert "b.example" not in reach.told("hosts.b.example: broken.")


def test_nothing_for_others(domains: dict[str, Domain]) -> None:
    assert reach_of(None) == NOTHING
    assert not NOTHING.covers("a.example")
    assert not reach_of(account("ann@b.example"))
    keeper = account("keeper@b.example")
    services.appoint(keeper.username, domains["a.example"], "boss")
    accounts.disable(keeper)
    assert not reach_of(accounts.find(keeper.username))
    assert reach_of(account("boss@b.example", admin=True)) == EVERYTHING


def test_nobody_is_changed_who_may_do_more(domains: dict[str, Domain]) -> None:
    own = Reach(frozenset(("a.example",)), frozenset(domains))
    account("plain@a.example")
    root = account("root@a.example", admin=True)
    officer, other, peer = (account(f"{name}@a.example") for name in ("officer", "other", "peer"))
    Officer.objects.create(account=officer, rights=["search"], everywhere=True, appointed=1.0, appointed_by="boss")
    services.appoint(other.username, domains["b.example"], "boss")
    services.appoint(peer.username, domains["a.example"], "boss")
    found = {one.local: one for one in Account.objects.all()}
    assert [name for name, one in found.items() if may_change(own, one)] == ["peer", "plain"]
    assert not may_change(own, account("foreign@b.example"))
    assert may_change(EVERYTHING, root)
