"""Commands on certificates, as xmppctl runs them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mlink_web.certificates import orders, renewal
from mlink_web.certificates.models import AcmeDomain, Certificate
from mlink_web.conf import certificates as self_made
from tests.kits.authority import Authority
from tests.kits.commands import ctl, refused
from tests.web.certificates.kit import ISSUING, NAMES, ROOT, home, make_domain

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("home")]
__all__ = ["home"]


def test_installing_using_listing(tmp_path: Path) -> None:
    make_domain()
    self_made.ensure_all()
    (row,) = ctl("certificate", "list")
    assert (row["domain"], row["comes"], row["warning"]) == ("chat.example", "made by the node", "")
    server = ISSUING.issue(*NAMES, days=10.5)
    chain, key = server.write(tmp_path)
    assert "no private key" in refused("certificate", "install", "chat.example", str(chain))
    assert "cannot be read" in refused("certificate", "install", "chat.example", str(tmp_path / "none"))
    assert "kept but not in use" in ctl("certificate", "install", "chat.example", str(chain), "--key", str(key))
    assert "from now on" in ctl("certificate", "use", "chat.example")
    (row,) = ctl("certificate", "list")
    assert (row["days"], row["comes"]) == (10, "uploaded")
    assert "ends in 10 days" in row["warning"]
    bundle = tmp_path / "s.p12"
    bundle.write_bytes(ISSUING.issue(*NAMES).pkcs12("word"))
    assert "wrong" in refused("certificate", "install", "chat.example", str(bundle), "--password", "x")
    ctl("certificate", "install", "chat.example", str(bundle), "--password", "word")
    rows = ctl("certificate", "show", "chat.example")
    assert [row["used"] for row in rows] == [True, False]
    assert "has no such certificate" in refused("certificate", "use", "chat.example", "ffffff00")
    assert "no domain other.example" in refused("certificate", "show", "other.example")


def test_requests(tmp_path: Path) -> None:
    make_domain()
    text = ctl("certificate", "request", "chat.example")
    assert "BEGIN CERTIFICATE REQUEST" in text
    other = tmp_path / "other.pem"
    other.write_bytes(Authority("Other").issue(*NAMES).chain_pem + ROOT.pem)
    assert "does not fit" in refused("certificate", "complete", "chat.example", str(other))
    Certificate.objects.all().delete()
    assert "no request that waits" in refused("certificate", "complete", "chat.example", str(other))


def test_acme(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    make_domain()
    assert "on or off" in refused("certificate", "acme", "chat.example", "maybe")
    assert "does not get its certificates by ACME" in refused("certificate", "renew", "chat.example")
    assert "chat.example, conference.chat.example" in ctl("certificate", "acme", "chat.example", "on")
    assert "no account" in refused("certificate", "renew", "chat.example")
    assert "cannot be reached" in refused("certificate", "account", "https://127.0.0.1:9/dir")
    for address in ("http://127.0.0.1:9/dir", "file:///etc/passwd", "https://acme.example/" + "x" * 500):
        assert "begins with https://" in refused("certificate", "account", address)
    wrong = tmp_path / "wrong.pem"
    wrong.write_bytes(b"\xff no certificate")
    said = refused("certificate", "account", "https://127.0.0.1:9/dir", "--trusted", str(wrong))
    assert "no certificate in PEM" in said
    monkeypatch.setattr(orders, "register", lambda _: None)
    renewal.set_account("https://acme.example/directory")
    assert "renewed no more" in ctl("certificate", "acme", "chat.example", "off")
    assert AcmeDomain.objects.count() == 0


def test_no_start_waits_for_the_library_of_acme() -> None:
    code = (
        "import sys, django; django.setup(); import mlink_web.admin_commands.registry;"
        "print(*{'acme', 'asn1crypto', 'josepy', 'requests'} & set(sys.modules))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.split() == []
