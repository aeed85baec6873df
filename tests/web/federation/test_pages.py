"""The pages of federation by requests."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from mlink_web.accounts import services as accounts
from mlink_web.audit.models import Entry
from mlink_web.conf.models import Domain
from mlink_web.console import commands
from mlink_web.federation import services
from mlink_web.federation.models import Peer
from tests.kits.authority import Authority
from tests.kits.console import console, home, text
from tests.web.federation.node import Streams, running

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]
__all__ = ["console", "home"]
PAGES = ["", "refused/", "peers/", "peers/add/", "options/", "test/"]


@pytest.fixture
def streams(home: Path) -> Iterator[Streams]:
    """A node that answers."""
    with running(Streams()) as made:
        yield made


def peer_form(**given: Any) -> dict[str, Any]:
    """What the form of a peer sends."""
    return {
        "enabled": "on",
        "route": "",
        "authentication": "",
        "tls": "",
        "revocation": "",
        "ocsp": "",
        "dane": "",
        "strict_purpose": "",
        **given,
    }


def entry() -> Entry:
    """What was recorded last."""
    return Entry.objects.order_by("-seq")[0]


@pytest.mark.parametrize("path", PAGES)
def test_only_administrators_see_the_pages(client: Client, path: str) -> None:
    where = f"/admin/federation/{path}"
    assert client.get(where).status_code == 302
    client.force_login(accounts.create_account("ada@localhost", None))
    logging.getLogger("django.request").disabled = True
    try:
        assert client.get(where).status_code == 403
    finally:
        logging.getLogger("django.request").disabled = False


@pytest.mark.parametrize("path", PAGES)
def test_every_page_opens_without_a_node(console: Client, path: str) -> None:
    response = console.get(f"/admin/federation/{path}")
    assert response.status_code == 200
    assert 'aria-current="page">Federation' in text(response)


def test_streams_and_queues(console: Client, streams: Streams) -> None:
    page = text(console.get("/admin/federation/"))
    for part in ("peer.example", "both ways", "certificate", "until 2030-01-01", "TLSv1.3", "3 / 4", "2 kB / 10 B"):
        assert part in page
    for part in ("&lt;dead&gt;.example", "waits for the next try", "connection refused", "7 stanzas for 1 pair"):
        assert part in page
    assert "<dead>" not in page


@pytest.mark.parametrize("path", ["", "refused/"])
def test_nodes_that_gave_no_answer_are_named(console: Client, streams: Streams, path: str) -> None:
    line = '<p class="note warn" id="node-part" role="status"'
    assert f"{line} hidden></p>" in text(console.get(f"/admin/federation/{path}"))
    streams.silent = ("The node <n2> did not answer: its part is missing.",)
    page = text(console.get(f"/admin/federation/{path}"))
    assert f"{line}>The node &lt;n2&gt; did not answer: its part is missing.</p>" in page
    # What did answer is there all the same, and the others have less time than the page waits.
    assert ("peer.example" if not path else "evil.example") in page
    assert 0 < streams.patience < commands.READ_SECONDS


@pytest.mark.parametrize(
    ("path", "given"),
    [("close", {"id": "x" * 2_000, "about": "peer.example"}), ("drop", {"remote": "a.example", "node": "n" * 2_000})],
)
def test_what_is_too_long_is_not_asked_for(console: Client, streams: Streams, path: str, given: dict[str, str]) -> None:
    answer = console.post(f"/admin/federation/{path}", given, headers={"Accept": "application/json"})
    assert answer.status_code == 400
    assert streams.done == []


def test_in_a_cluster_each_row_has_its_node(console: Client, streams: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    streams.listed = [{**row, "node": node} for row in streams.listed for node in ("n2", "n1")]
    page = text(console.get("/admin/federation/"))
    assert page.count("on node n1") == page.count("on node n2") == 2
    assert page.index("on node n1") < page.index("on node n2")
    assert page.count('name="node" value="n2"') == 2
    asked: list[tuple[str, str]] = []
    monkeypatch.setattr(commands, "change", lambda command, on="", **_given: asked.append((command, on)) or {})
    row = {"local": "localhost", "remote": "dead.example", "node": "n2"}
    console.post("/admin/federation/drop", row)
    assert asked == [("s2s drop", "n2")]
    assert '"node": "n2"' in entry().details


def test_without_streams_the_page_says_what_opens_one(console: Client, streams: Streams) -> None:
    streams.listed = []
    page = text(console.get("/admin/federation/"))
    assert "One opens as soon as" in page
    assert "0 streams" in page


def test_a_stream_is_closed(console: Client, streams: Streams) -> None:
    response = console.post("/admin/federation/close", {"id": "s1", "about": "peer.example"}, follow=True)
    assert "The stream is closed." in text(response)
    assert streams.done == [("close", "s1")]
    assert (entry().did, entry().target, entry().who) == ("closed stream", "peer.example", "admin@localhost")


def test_a_stream_that_is_gone(console: Client, streams: Streams) -> None:
    response = console.post("/admin/federation/close", {"id": "s9"}, headers={"accept": "application/json"})
    assert response.status_code == 404
    assert "no stream" in response.json()["error"]
    assert entry().did == "closed stream: failed"


def test_a_queue_is_tried_and_dropped(console: Client, streams: Streams) -> None:
    streams.listed = [dict(streams.listed[1], remote="dead.example")]
    pair = {"local": "localhost", "remote": "dead.example"}
    answer = console.post("/admin/federation/retry", pair, headers={"accept": "application/json"})
    assert answer.json() == {"done": "dead.example is tried now."}
    answer = console.post("/admin/federation/drop", pair, follow=True)
    assert "goes back to its senders" in text(answer)
    assert streams.done == [("retry", "localhost", "dead.example"), ("drop", "localhost", "dead.example")]
    assert entry().did == "dropped queue"
    assert '"dropped": 7' in entry().details


def test_actions_that_say_nothing_or_find_no_node(console: Client) -> None:
    assert console.post("/admin/federation/drop", {}, headers={"accept": "application/json"}).status_code == 400
    answer = console.post("/admin/federation/retry", {"remote": "x.example"}, headers={"accept": "application/json"})
    assert answer.status_code == 503
    assert console.get("/admin/federation/drop").status_code == 405


def test_what_was_refused(console: Client, streams: Streams) -> None:
    page = text(console.get("/admin/federation/refused/"))
    for part in ("evil.example", "192.0.2.66", "not-authorized", "The certificate is for other.example."):
        assert part in page


def test_a_peer_is_added_changed_and_removed(console: Client) -> None:
    form = peer_form(domain="Partner.Example", route="192.0.2.7:5270", direct="on", note="Ada")
    response = console.post("/admin/federation/peers/add/", form, follow=True)
    assert "partner.example is a peer now" in text(response)
    assert "192.0.2.7:5270" in text(response)
    assert entry().did == "added peer"
    peer = services.find("partner.example")
    assert peer.direct
    where = f"/admin/federation/peers/{peer.pk}/"
    assert "As for everybody: certificate, else dialback" in text(console.get(where))
    root = Authority("Their root")
    form = peer_form(route="", authentication="certificate", strict_purpose="yes", authorities=root.pem.decode())
    assert console.post(where, form).status_code == 302
    peer.refresh_from_db()
    assert (peer.route, peer.direct, peer.authentication, peer.strict_purpose) == ("", False, "certificate", True)
    assert "Their root" in text(console.get(where))
    assert "Their root" in entry().details
    assert "BEGIN" not in entry().details
    remove = f"{where}remove/"
    assert "found by DNS" in text(console.get(remove))
    assert console.post(remove, {"name": "partner"}).status_code == 400
    assert console.post(remove, {"name": "partner.example"}).status_code == 302
    assert not Peer.objects.exists()
    assert entry().did == "removed peer"


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"domain": ""}, "Enter a domain."),
        ({"domain": "localhost"}, "a domain of this server"),
        ({"domain": "a b"}, "not a domain name"),
        ({"domain": "x.example", "route": "2001:db8::1"}, "stands in brackets"),
        ({"domain": "x.example", "direct": "on"}, "Enter an address"),
        ({"domain": "x.example", "pins": "zz"}, "is no pin"),
        ({"domain": "x.example", "authorities": "zz"}, "no certificates in PEM"),
        ({"domain": "x.example", "authentication": "dialback-only", "pins": "ab" * 32}, "neither pins nor authorities"),
    ],
)
def test_mistakes_in_a_peer(console: Client, given: dict[str, Any], why: str) -> None:
    response = console.post("/admin/federation/peers/add/", peer_form(**given))
    assert response.status_code == 400
    assert why in text(response)
    assert not Peer.objects.exists()


def test_peers_are_found(console: Client) -> None:
    for name in ("a.example", "b.example"):
        services.add_peer(name, note=f"Note of {name}")
    page = text(console.get("/admin/federation/peers/", {"q": "of b"}))
    assert "b.example" in page
    assert "a.example" not in page


def options_form(**given: Any) -> dict[str, Any]:
    """What the form of options sends."""
    row = services.options()
    shown = {name: getattr(row, name) for name in services.OPTIONS}
    shown.update(enabled="on", open="yes", strict_purpose="no", nameservers="")
    return {**shown, **given}


def test_options_are_changed(console: Client) -> None:
    form = options_form(
        open="no",
        nameservers="192.0.2.53",
        idle_seconds="120",
        revocation="hard",
        ocsp="soft",
        dnssec="on",
        dane="require",
    )
    assert console.post("/admin/federation/options/", form).status_code == 302
    row = services.options()
    assert (row.open, row.nameservers, row.idle_seconds, row.revocation) == (False, ["192.0.2.53"], 120, "hard")
    assert (row.ocsp, row.dane, row.dnssec) == ("soft", "require", True)
    assert console.post("/admin/federation/options/", options_form(open="no", dnssec="")).status_code == 302
    assert not services.options().dnssec
    assert "As for everybody: refused where its responder says revoked" in text(
        console.get("/admin/federation/peers/add/")
    )
    assert entry().did == "changed federation"
    assert "Only the peers in this list" in text(console.get("/admin/federation/peers/"))


def test_mistakes_in_options(console: Client) -> None:
    response = console.post("/admin/federation/options/", options_form(idle_seconds="1", nameservers="ns"))
    assert response.status_code == 400
    assert "30 to 86,400 seconds" in text(response)
    assert "not an IP address" in text(response)


def test_a_test_without_a_script(console: Client, streams: Streams) -> None:
    response = console.post("/admin/federation/test/", {"domain": "ada@peer.example", "sender": "localhost"})
    page = text(response)
    assert streams.done == [("probe", "peer.example", "localhost")]
    for part in (
        "What holds for everybody holds.",
        "192.0.2.1:5269",
        "It expired.",
        "must renew it",
        "2023-11-14 22:13",
    ):
        assert part in page
    assert "the way ends at “Certificate”" in page
    assert "Add it as a peer" in page
    assert (entry().did, entry().target) == ("tested peer", "peer.example")
    assert '"reached": false' in entry().details


def test_a_test_that_cannot_be_made(console: Client) -> None:
    response = console.post("/admin/federation/test/", {"domain": "peer.example", "sender": "localhost"})
    assert response.status_code == 400
    assert "No node is running" in text(response)
    assert console.post("/admin/federation/test/", {"domain": "a b", "sender": "localhost"}).status_code == 400


def test_domains_talk_to_others_or_not(console: Client) -> None:
    domain = Domain.objects.get(name="localhost")
    page = text(console.get(f"/admin/domains/{domain.pk}/"))
    assert "Talks to other servers" in page
    form = {"enabled": "on", "archive": "on", "max_resources": "10", "resource_conflict": "replace", "contacts": ""}
    assert console.post(f"/admin/domains/{domain.pk}/", {**form, "federation_durable": "on"}).status_code == 302
    domain.refresh_from_db()
    assert (domain.federation, domain.federation_durable) == (False, True)
