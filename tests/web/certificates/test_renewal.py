"""Certificates by ACME: when they are due, what failures do, who is at it; the authority is a function here."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from mlink_web.certificates import orders, renewal, tasks
from mlink_web.certificates.authorities import Failed
from mlink_web.certificates.bundle import Bundle, read
from mlink_web.certificates.models import AcmeAccount, AcmeDomain, Certificate, Challenge
from mlink_web.conf.models import Domain
from tests.web.certificates.kit import ISSUING, home, make_domain, pem

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]
__all__ = ["home"]


class FakeAuthority:
    """What `orders.obtain` does, without a network."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.failing = ""
        self.days = 90.0

    def obtain(self, account: AcmeAccount, names: list[str], note: Callable[[str], None]) -> Bundle:
        self.asked.append(list(names))
        if self.failing:
            raise Failed(self.failing)
        note("made")
        return read(pem(ISSUING.issue(*names, days=self.days)))


@pytest.fixture
def authority(monkeypatch: pytest.MonkeyPatch) -> FakeAuthority:
    made = FakeAuthority()
    monkeypatch.setattr(orders, "obtain", made.obtain)
    monkeypatch.setattr(orders, "register", lambda _: None)
    renewal.set_account("https://acme.example/directory", contact="a@chat.example", agreed_by="admin@chat.example")
    return made


def _follow(*names: str) -> AcmeDomain:
    return renewal.follow(make_domain(), names or ("chat.example", "conference.chat.example"))


def test_getting_one(authority: FakeAuthority) -> None:
    row = _follow()
    notes: list[str] = []
    certificate = renewal.obtain(row, by="admin@chat.example", note=notes.append)
    assert (certificate.used, certificate.source) == (True, "acme")
    assert notes == ["made"]
    assert authority.asked == [["chat.example", "conference.chat.example"]]
    row.refresh_from_db()
    assert (row.failures, row.last_error, row.busy_until) == (0, "", None)


def test_when_it_is_due(authority: FakeAuthority) -> None:
    row = _follow()
    now = timezone.now()
    assert renewal.due(now) == [row]
    certificate = renewal.obtain(row)
    assert renewal.due() == []
    assert certificate.ends is not None
    assert renewal.due(certificate.ends - timedelta(days=31)) == []
    assert renewal.due(certificate.ends - timedelta(days=29)) == [row]
    assert renewal.renews_on(certificate) == certificate.ends - timedelta(days=30)
    renewal.follow(row.domain, ["chat.example", "pubsub.chat.example"])
    assert renewal.due() == [row], "other names are asked for"
    Domain.objects.update(enabled=False)
    assert renewal.due() == []


def test_short_lives_are_renewed_in_their_last_third(authority: FakeAuthority) -> None:
    authority.days = 6
    row = _follow()
    certificate = renewal.obtain(row)
    assert certificate.ends is not None
    assert renewal.due(certificate.ends - timedelta(days=3)) == []
    assert renewal.due(certificate.ends - timedelta(days=2)) == [row]


def test_failures_wait_longer_each_time(authority: FakeAuthority, caplog: pytest.LogCaptureFixture) -> None:
    row = _follow()
    authority.failing = "The authority could not see the proof."
    pauses = []
    for _ in range(7):
        before = timezone.now()
        AcmeDomain.objects.update(next_try=before)
        with caplog.at_level(logging.WARNING):
            assert renewal.run() == {"renewed": 0, "failed": 1}
        row.refresh_from_db()
        pauses.append(round((row.next_try - before).total_seconds() / 3600))
    assert pauses == [1, 2, 4, 8, 16, 24, 24]
    assert row.last_error == authority.failing
    assert "no certificate for chat.example by ACME: The authority could not see" in caplog.text
    assert renewal.due() == []
    authority.failing = ""
    AcmeDomain.objects.update(next_try=timezone.now())
    assert renewal.run() == {"renewed": 1, "failed": 0}
    row.refresh_from_db()
    assert (row.failures, row.last_error) == (0, "")


def test_one_at_a_time(authority: FakeAuthority) -> None:
    row = _follow()
    AcmeDomain.objects.update(busy_until=timezone.now() + timedelta(minutes=1))
    with pytest.raises(Failed, match="being got already"):
        renewal.obtain(row)
    row.refresh_from_db()
    assert row.busy_until is not None, "it is still the other one's"
    assert renewal.due() == []
    # Whoever died with it is given up.
    assert renewal.due(timezone.now() + timedelta(minutes=2)) == [row]
    AcmeDomain.objects.update(busy_until=timezone.now() - timedelta(seconds=1))
    assert renewal.obtain(row).used


def test_what_breaks_inside_leaves_it_free(authority: FakeAuthority, monkeypatch: pytest.MonkeyPatch) -> None:
    row = _follow()

    def fail(*_: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(orders, "obtain", fail)
    with pytest.raises(RuntimeError):
        renewal.obtain(row)
    row.refresh_from_db()
    assert row.busy_until is None


def test_a_certificate_that_does_not_fit(authority: FakeAuthority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orders, "obtain", lambda *_: read(pem(ISSUING.issue("other.example"))))
    row = _follow()
    with pytest.raises(Failed, match="It is not for"):
        renewal.obtain(row)
    assert Certificate.objects.count() == 0


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["other.example"], "not below it"),
        (["chat.example", "evilchat.example"], "not below it"),
        (["chat.example", "*.chat.example"], "no certificates with"),
        (["\u2488.example"], "no domain name"),
        ([f"n{number}.chat.example" for number in range(51)], "names is too much"),
    ],
)
def test_names_that_cannot_be(names: list[str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        renewal.follow(make_domain(), names)
    assert AcmeDomain.objects.count() == 0


def test_addresses_get_none() -> None:
    with pytest.raises(ValueError, match="is an address"):
        renewal.follow(make_domain("127.0.0.1"))


def test_without_an_account() -> None:
    row = _follow()
    assert renewal.run() == {"renewed": 0, "failed": 0}
    with pytest.raises(Failed, match="no account"):
        renewal.obtain(row)


def test_stopping_leaves_the_certificate(authority: FakeAuthority) -> None:
    row = _follow()
    renewal.obtain(row)
    renewal.stop(row.domain)
    assert renewal.due() == []
    assert Certificate.objects.get().used


def test_the_hourly_look(authority: FakeAuthority) -> None:
    authority.days = 20
    _follow()
    assert tasks.look() == {"renewed": 1, "failed": 0, "warnings": 1}


def test_an_account_that_is_refused_changes_nothing(authority: FakeAuthority, monkeypatch: pytest.MonkeyPatch) -> None:
    before = AcmeAccount.objects.get()

    def refuse(_: Any) -> None:
        raise Failed("The authority refused: no.")

    monkeypatch.setattr(orders, "register", refuse)
    with pytest.raises(Failed):
        renewal.set_account("https://other.example/directory")
    after = AcmeAccount.objects.get()
    assert (after.directory, after.key) == (before.directory, before.key)
    assert after.key.startswith("sealed:1:")


def test_proofs_are_answered_to_everybody(client: Client) -> None:
    now = timezone.now()
    Challenge.objects.create(token="abc_-1", answer="abc_-1.thumb", ends=now + timedelta(minutes=5))
    Challenge.objects.create(token="old", answer="old.thumb", ends=now - timedelta(seconds=1))
    answer = client.get("/.well-known/acme-challenge/abc_-1")
    assert (answer.status_code, answer.content) == (200, b"abc_-1.thumb")
    for token in ("old", "unknown", "x" * 500):
        assert client.get(f"/.well-known/acme-challenge/{token}").status_code == 404


@pytest.mark.parametrize("url", ["https://127.0.0.1:9/dir", "https://localhost:9/dir"])
def test_nobody_there(url: str) -> None:
    with pytest.raises(Failed, match="cannot be reached"):
        orders.look(url)
