"""A responder of an authority (OCSP, RFC 6960): the openssl command answers, an HTTP server of the test passes on.

with CrlServer() as web:
    responder = Responder(root, folder, web)      # before `issue`, so that certificates name its address
    server = root.issue("example.org")
    responder.know(server)                        # others are unknown to it
    root.revoke(server)                           # from now on it says so
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from cryptography.x509 import ocsp

from tests.kits.authority import DER, PEM, Authority, Certified
from tests.kits.crl_server import CrlServer


class Responder:
    """Answers for one authority; signs as `signer`, the authority itself without one."""

    def __init__(
        self, authority: Authority, folder: Path, web: CrlServer, *, name: str = "ocsp", signer: Certified | None = None
    ) -> None:
        self.authority = authority
        self.folder = folder / name
        self.folder.mkdir()
        self.known: dict[int, Certified | Authority] = {}
        self.signer = signer
        #: Minutes that an answer holds, 0 where it does not say.
        self.minutes = 60
        #: Whether it puts the nonce of the question into the answer.
        self.echoes = True
        #: Says this again to whatever is asked.
        self.recorded: bytes | None = None
        #: Further arguments of the command.
        self.options: list[str] = []
        #: What it was asked and what it said, in order.
        self.questions: list[ocsp.OCSPRequest] = []
        self.said: list[bytes] = []
        self.url = web.url(name)
        web.answers[f"/{name}"] = self.answer
        authority.respond(self.url)

    def know(self, *certified: Certified | Authority) -> None:
        """Have these in its books."""
        self.known.update({one.certificate.serial_number: one for one in certified})

    def answer(self, question: bytes) -> bytes:
        """The answer to a question, both DER."""
        asked = ocsp.load_der_ocsp_request(question)
        self.questions.append(asked)
        if self.recorded is None:
            self.said.append(self._made(question))
        return self.recorded if self.recorded is not None else self.said[-1]

    def _made(self, question: bytes) -> bytes:
        folder = self.folder
        (folder / "index.txt").write_text("".join(map(self._line, self.known.values())))
        (folder / "index.txt.attr").write_text("unique_subject = no\n")
        (folder / "question.der").write_bytes(question)
        (folder / "authority.pem").write_bytes(self.authority.pem)
        signer = self.signer
        key = signer.key_pem if signer else _key_of(self.authority)
        (folder / "signer.pem").write_bytes(signer.certificate.public_bytes(PEM) if signer else self.authority.pem)
        (folder / "signer.key").write_bytes(key)
        if not self.echoes:
            (folder / "question.der").write_bytes(_without_nonce(question))
        limit = ["-nmin", str(self.minutes)] if self.minutes else []
        command = "openssl ocsp -index index.txt -CA authority.pem -rsigner signer.pem -rkey signer.key"
        files = ["-reqin", "question.der", "-respout", "answer.der"]
        subprocess.run(
            [*command.split(), *files, *limit, *self.options], cwd=folder, check=True, capture_output=True, timeout=60
        )
        return (folder / "answer.der").read_bytes()

    def _line(self, one: Certified | Authority) -> str:
        """As in the database of `openssl ca`."""
        serial = one.certificate.serial_number
        digits = f"{serial:X}"
        ends = f"{one.certificate.not_valid_after_utc:%y%m%d%H%M%SZ}"
        when = self.authority.revoked.get(serial)
        state, revoked = ("R", f"{when:%y%m%d%H%M%SZ}") if when else ("V", "")
        return f"{state}\t{ends}\t{revoked}\t{'0' * (len(digits) % 2)}{digits}\tunknown\t/CN=server\n"


def _key_of(authority: Authority) -> bytes:
    return Certified(authority.certificate, authority.key, [], b"").key_pem


def _without_nonce(question: bytes) -> bytes:
    asked = ocsp.load_der_ocsp_request(question)
    builder = ocsp.OCSPRequestBuilder().add_certificate_by_hash(
        asked.issuer_name_hash, asked.issuer_key_hash, asked.serial_number, asked.hash_algorithm
    )
    return builder.build().public_bytes(DER)
