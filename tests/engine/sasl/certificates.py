"""An authority and certificates for tests of EXTERNAL."""

from __future__ import annotations

import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

XMPP_ADDR = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.5")
_PEM = serialization.Encoding.PEM


def utf8(text: str) -> bytes:
    """A DER UTF8String."""
    data = text.encode()
    size = bytes((len(data),)) if len(data) < 128 else bytes((0x81, len(data)))
    return b"\x0c" + size + data


class Authority:
    """Signs certificates; `path` is its own one."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        constraint = x509.BasicConstraints(ca=True, path_length=None)
        made = self._builder(self._name, self._key, 30).add_extension(constraint, True)
        self.path = folder / f"{name}.crt"
        self.path.write_bytes(made.sign(self._key, hashes.SHA256()).public_bytes(_PEM))

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, days: int) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=20))
            .not_valid_after(now + datetime.timedelta(days=days))
        )

    def sign(
        self,
        file: str,
        *names: x509.GeneralName | bytes | str,
        common: str = "somebody",
        days: int = 5,
        names_as: x509.UnrecognizedExtension | None = None,
        usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.CLIENT_AUTH,
    ) -> Path:
        """A certificate with its key in one PEM file; text is an XmppAddr, bytes the raw value of one. `names_as` is an
        extension for names as it is to be written."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)]), key, days)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), False)
        values = [utf8(name) if isinstance(name, str) else name for name in names]
        if values:
            general = [x509.OtherName(XMPP_ADDR, name) if isinstance(name, bytes) else name for name in values]
            builder = builder.add_extension(x509.SubjectAlternativeName(general), False)
        if names_as is not None:
            builder = builder.add_extension(names_as, False)
        path = self._folder / f"{file}.pem"
        plain = serialization.NoEncryption()
        path.write_bytes(
            builder.sign(self._key, hashes.SHA256()).public_bytes(_PEM)
            + key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, plain)
        )
        return path


def der(path: Path) -> bytes:
    """The first certificate of a PEM file in DER."""
    return x509.load_pem_x509_certificates(path.read_bytes())[0].public_bytes(serialization.Encoding.DER)
