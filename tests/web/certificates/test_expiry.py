"""When certificates end: steps, sentences, the bar, the log once a day."""

from __future__ import annotations

import logging
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from mlink_web.certificates import drawn, expiry
from mlink_web.certificates.models import Certificate, Notice
from mlink_web.conf import certificates as self_made
from mlink_web.conf.models import Domain
from tests.web.certificates.kit import ISSUING, NAMES, home, make_domain, take

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]
__all__ = ["home"]
NOW = timezone.now()


def _shown(days: float) -> expiry.Shown:
    return expiry.Shown(Domain(name="chat.example"), begins=NOW - timedelta(days=60), ends=NOW + timedelta(days=days))


@pytest.mark.parametrize(
    ("days", "step", "words"),
    [
        (31, 0, ""),
        (29.5, 30, "ends in 29 days, on "),
        (13.5, 14, "ends in 13 days"),
        (6.5, 7, "ends in 6 days"),
        (1.5, 7, "ends in 1 day, on"),
        (0.5, 1, "ends today or tomorrow"),
        (-0.5, -1, "ended on"),
    ],
)
def test_steps(days: float, step: int, words: str) -> None:
    shown = _shown(days)
    assert shown.step(NOW) == step
    assert words in shown.sentence(NOW)
    assert bool(shown.sentence(NOW)) is bool(words)


@pytest.mark.parametrize(
    ("days", "state", "words"),
    [
        (100, "well", "100 days left"),
        (20, "soon", "20 days left"),
        (5, "urgent", "5 days left"),
        (0.4, "urgent", "less than a day left"),
        (-1, "ended", "ended on"),
    ],
)
def test_bars(days: float, state: str, words: str) -> None:
    shown = _shown(days + 0.001)
    bar = drawn.bar(shown.begins, shown.ends, shown.step(NOW), NOW)
    assert bar is not None
    assert (bar.state, words in bar.words) == (state, True)
    assert 0 <= bar.over <= drawn.WIDTH
    assert drawn.bar(None, None, 0) is None
    assert drawn.bar(NOW, NOW, 0) is None


def test_where_they_come_from(home: Path) -> None:
    domain = make_domain()
    assert expiry.shown(domain).step() == 0, "the node makes one at its next start"
    self_made.ensure_all()
    assert (expiry.shown(domain).origin, expiry.shown(domain).names[0]) == ("node", "chat.example")
    server = ISSUING.issue(*NAMES, days=10)
    row = take(domain, server)
    shown = expiry.shown(domain)
    assert (shown.origin, shown.row, shown.step()) == ("database", row, 14)
    domain.tls_certificate = "own.pem"
    assert "cannot be read" in expiry.shown(domain).sentence()
    (home / "own.pem").write_bytes(server.chain_pem + server.key_pem)
    assert (expiry.shown(domain).origin, expiry.shown(domain).step()) == ("file", 14)
    (home / "own.pem").write_text("rubbish")
    assert "is no certificate" in expiry.shown(domain).sentence()


def test_the_most_urgent_come_first() -> None:
    for name, days in (("a.example", 80), ("b.example", 3), ("c.example", 20)):
        take(make_domain(name), ISSUING.issue(name, days=days))
    assert [one.domain.name for one in expiry.all_shown(Domain.objects.all())] == [
        "b.example",
        "c.example",
        "a.example",
    ]
    assert [one.domain.name for one in expiry.warnings()] == ["b.example", "c.example"]
    Domain.objects.filter(name="b.example").update(enabled=False)
    assert [one.domain.name for one in expiry.warnings()] == ["c.example"]


def test_the_log_tells_once_a_day(caplog: pytest.LogCaptureFixture) -> None:
    take(make_domain(), ISSUING.issue(*NAMES, days=20))
    take(make_domain("good.example"), ISSUING.issue("good.example"))
    with caplog.at_level(logging.WARNING, "mlink.certificates"):
        assert expiry.tell(NOW) == 1
        assert expiry.tell(NOW + timedelta(seconds=1)) == 0
        assert expiry.tell(NOW + timedelta(days=1)) == 1
    assert caplog.text.count("The certificate of chat.example ends in") == 2
    Certificate.objects.all().delete()
    expiry.tell(NOW + timedelta(days=60))
    assert Notice.objects.count() == 0
