"""EXTERNAL with client certificates (RFC 4422, A; RFC 6120, 6.3.8 and 13.7.1.4; XEP-0178).

TLS has verified the chain. Whom a certificate speaks for is said by its XmppAddr names (id-on-xmppAddr) and by nothing
else: no common name, no mail address. A client that wants one of several says which as its authorization identity.
"""

from __future__ import annotations

from typing import Final

from cryptography import x509

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.sasl.mechanism import Failure, Mechanism, Outcome, Success, Wait, refused_state
from xmpp_engine.storage.devices import CERTIFICATE
from xmpp_engine.storage.types import Credentials

NAME: Final = "EXTERNAL"
_XMPP_ADDR: Final = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.5")
_UTF8_STRING: Final = 0x0C
#: Names looked at in one certificate.
_MOST: Final = 20


def addresses(certificate: bytes, domain: str) -> tuple[str, ...]:
    """The accounts of a domain that a certificate (DER) speaks for, as bare JIDs without repetition."""
    try:
        names = (
            x509.load_der_x509_certificate(certificate)
            .extensions.get_extension_for_class(x509.SubjectAlternativeName)
            .value.get_values_for_type(x509.OtherName)
        )
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return ()
    found: dict[str, None] = {}
    for name in list(names)[:_MOST]:
        if name.type_id != _XMPP_ADDR:
            continue
        try:
            jid = Jid.parse(_utf8(name.value))
        except ValueError:
            continue
        if jid.local and not jid.resource and jid.domain == domain:
            found[jid.bare] = None
    return tuple(found)


def _utf8(value: bytes) -> str:
    """The text of a DER UTF8String; raises ValueError."""
    if len(value) < 2 or value[0] != _UTF8_STRING:
        raise ValueError("not a UTF8String")
    size, start = value[1], 2
    if size & 0x80:
        start += size & 0x7F
        size = int.from_bytes(value[2:start], "big")
    if len(value) != start + size:
        raise ValueError("not a whole UTF8String")
    return value[start:].decode()


class External(Mechanism):
    """One attempt: the certificate has said who it is, the client says at most which of its addresses it wants."""

    __slots__ = ()

    def respond(self, data: bytes) -> Outcome:
        """See `Mechanism.respond`."""
        allowed = self.context.certificate
        if not allowed:
            return Failure("not-authorized", "there is no client certificate for this domain")
        try:
            authzid = data.decode()
        except ValueError:
            return Failure("malformed-request", "the authorization identity is not text")
        if authzid:
            try:
                wanted = Jid.parse(authzid)
            except ValueError:
                return Failure("invalid-authzid", "the authorization identity is not an address")
            if wanted.full not in allowed:
                return Failure("invalid-authzid", "the certificate does not speak for this account")
            self.account = wanted
        elif len(allowed) > 1:
            return Failure("invalid-authzid", "the certificate speaks for several accounts; say which")
        else:
            self.account = Jid.parse(allowed[0])
        return Wait(self.context.credentials(self.account), self._check)

    def _check(self, credentials: Credentials | None) -> Outcome:
        if credentials is None or self.account is None:
            return Failure("not-authorized", "unknown account")
        wrong = refused_state(credentials)
        return wrong if wrong is not None else Success(self.account, credentials, method=CERTIFICATE)
