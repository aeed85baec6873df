"""What is said of a certificate before it is taken."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mlink_web.certificates.bundle import Bundle, read
from mlink_web.certificates.checks import Finding, examine, worst
from tests.kits.authority import Authority, Certified, self_signed

NOW = datetime.now(UTC)
ROOT = Authority("Root")
ISSUING = ROOT.intermediate("Issuing")
SERVICES = ["conference.chat.example", "pubsub.chat.example"]
ALL = ("chat.example", *SERVICES)


def _examine(certified: Certified, *more: bytes, known: bool = True) -> list[Finding]:
    found = read([certified.chain_pem, certified.key_pem, *more])
    return examine(found, "chat.example", SERVICES, NOW, [ROOT.certificate] if known else [])


def _texts(findings: list[Finding], level: str) -> str:
    return " ".join(finding.text for finding in findings if finding.level == level)


def test_all_is_well() -> None:
    findings = _examine(ISSUING.issue(*ALL))
    assert worst(findings) == "good"
    for words in ("key fits", "valid until", "and its services", "complete, up to Root"):
        assert words in _texts(findings, "good")


@pytest.mark.parametrize(
    ("certified", "level", "words"),
    [
        (ISSUING.issue(*ALL, since=90, days=-1), "bad", "ended on"),
        (ISSUING.issue(*ALL, since=-1), "bad", "valid from"),
        (ISSUING.issue(*ALL, days=5.5), "hint", "ends in 5 days"),
        (ISSUING.issue("other.example"), "bad", "not for chat.example: it names other.example"),
        (ISSUING.issue(common_name="chat.example"), "bad", "no name at all"),
        (ISSUING.issue("chat.example", SERVICES[0]), "hint", "does not name pubsub.chat.example"),
        (ISSUING.issue(*ALL, kind="rsa1024"), "bad", "1024 bits"),
        (ISSUING.issue(*ALL, purposes=["server"]), "hint", "for servers only"),
        (ISSUING.issue(*ALL, purposes=["client"]), "bad", "must not be used for a server"),
        (ISSUING.issue(*ALL, authority=True), "bad", "certificate of an authority"),
        (ROOT.intermediate("Old", days=-1).issue(*ALL), "bad", "Old in the chain is not valid"),
        (self_signed(*ALL), "doubt", "self-signed"),
    ],
)
def test_findings(certified: Certified, level: str, words: str) -> None:
    findings = _examine(certified)
    assert worst(findings) == level
    assert words in _texts(findings, level)


def test_wildcards_and_xmpp_names_cover_services() -> None:
    assert worst(_examine(ISSUING.issue("chat.example", "*.chat.example"))) == "good"
    assert worst(_examine(ISSUING.issue(xmpp=ALL))) == "good"


def test_chains() -> None:
    server = ISSUING.issue(*ALL)
    alone = Certified(server.certificate, server.key, server.chain[:1], server.root)
    assert "issuer Issuing is not known here" in _texts(_examine(alone), "doubt")
    assert "issuer Root is not known here" in _texts(_examine(server, known=False), "doubt")
    with_root = _examine(server, ROOT.pem, known=False)
    assert worst(with_root) == "hint"
    assert "only devices that know the authority Root" in _texts(with_root, "hint")
    assert worst(_examine(server, ROOT.pem)) == "good"
    assert "did not belong" in _texts(_examine(server, Authority("Stranger").pem), "hint")


def test_a_key_of_somebody_else() -> None:
    server, other = ISSUING.issue(*ALL), ISSUING.issue(*ALL)
    assert worst(examine(Bundle(other.key, (server.certificate,)), "chat.example", [], NOW)) == "bad"
