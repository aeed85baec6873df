"""What tests of certificates share: a domain, a data folder of the test's own, and an authority that nobody knows."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.test.utils import override_settings

from mlink_web.certificates import services
from mlink_web.conf import services as conf
from mlink_web.conf.models import Domain
from tests.kits.authority import Authority, Certified

ROOT = Authority("Corporate root")
ISSUING = ROOT.intermediate("Corporate issuing")
NAMES = ("chat.example", "conference.chat.example", "pubsub.chat.example", "forms.chat.example", "upload.chat.example")


def make_domain(name: str = "chat.example") -> Domain:
    """A domain that is served."""
    return conf.add_domain(name)


def pem(certified: Certified, *, root: bool = False) -> list[bytes]:
    """What somebody uploads."""
    return [certified.chain_pem + (ROOT.pem if root else b"") + certified.key_pem]


def take(domain: Domain, certified: Certified | None = None, **options: object) -> services.Certificate:
    """Take a certificate with its root among the files, so that nothing is in doubt."""
    certified = certified or ISSUING.issue(*NAMES)
    row, _ = services.take(domain, pem(certified, root=True), **options)  # type: ignore[arg-type]
    return row


@pytest.fixture
def home(tmp_path: Path) -> object:
    """A data folder of the test's own."""
    with override_settings(MLINK_HOME=tmp_path, MLINK_C2S_PORT=5222, MLINK_C2S_TLS_PORT=0, MLINK_BIND="127.0.0.1"):
        yield tmp_path
