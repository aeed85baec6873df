"""What to do where the way to another server ends: a sentence or two for each step of `peer test`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_STEPS: Final[Mapping[str, str]] = {
    "peer": "Look at the record of this peer and at the options of federation: one of them lets nothing through.",
    "dns": "Check the spelling first. {domain} needs a service record, _xmpp-server._tcp.{domain}, or an address of "
    "its own. A server that is not in DNS can be reached by an address in its peer's record.",
    "dane": "Ask the name servers of this node by hand (delv, or dig +dnssec). Either DNS of {domain} is broken, which "
    "its administrators must mend, or somebody stands between. The record of this peer can do without DANE.",
    "tcp": "Nothing answers at this address. The other server may be down, a firewall there may close the port, or "
    "one here may let nothing out.",
    "tls": "The other server answers, but no encryption comes about. Its record may name the wrong kind of port: "
    "direct TLS where STARTTLS is spoken, or the other way round. Servers that know nothing newer than "
    "TLS 1.1 are refused.",
    "certificate": "The certificate does not prove that this is {domain}.",
    "revocation": "Its authority does not clear the certificate of {domain}.",
    "authentication": "The other server does not believe that we are {origin}. For a certificate, ours must name "
    "{origin} and come from an authority that it trusts. For dialback, it must reach us under {origin}: the service "
    "record of {origin} and the port for other servers must be right.",
    "end": "Try again. Where it happens each time, a firewall may drop packets without an answer.",
}
_CERTIFICATES: Final[Mapping[str, str]] = {
    "expired": "The administrators of {domain} must renew it. There is nothing to set right here.",
    "not-yet-valid": "Compare the clocks of both machines.",
    "self-signed": "Where you know by another way that the key is theirs, pin it in the record of this peer.",
    "unknown-authority": "The other server may fail to send the certificates in between, which its administrators must "
    "add. Where it uses an authority of its own that you trust, add that one to the record of this peer.",
    "wrong-name": "The certificate is for other names. The administrators of {domain} need one that names {domain}.",
    "revoked": "Its authority has taken the certificate back. Do not talk to this server before it has another one.",
    "no-revocation-list": "Fetch the address of the list by hand from this machine: a firewall may be in the way. "
    "The record of this peer can ask for a list less strictly.",
    "no-ocsp-answer": "Ask the responder by hand from this machine (openssl ocsp): a firewall may be in the way. "
    "The record of this peer can ask for its answer less strictly.",
    "wrong-purpose": "It may not be used for this. The record of this peer can be less strict about purposes.",
    "pin": "The key is another one than you pinned. Ask the administrators of {domain} by another way than this "
    "connection whether they have changed it, before you change the pin.",
    "tlsa": "The server shows another certificate than its owner has put into DNS. Its administrators may have renewed "
    "it and forgotten the record; ask them by another way than this connection before you do without DANE.",
    "weak": "Its key or signature can be forged by now. The administrators of {domain} need a stronger one.",
    "malformed": "The certificate cannot be read. The administrators of {domain} must replace it.",
}


def advice(step: str, details: Mapping[str, Any], domain: str, origin: str) -> str:
    """What somebody can do about a step that failed; "" for one that is not known."""
    text = _CERTIFICATES.get(str(details.get("code", ""))) or _STEPS.get(step, "")
    return text.format(domain=domain, origin=origin)
