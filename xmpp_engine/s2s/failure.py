"""Why another server cannot be talked to."""

from __future__ import annotations

from typing import Final

#: What a stream error of the other side means: (condition for the stanzas that wait, whether trying again soon is of
#: no use). Everything else is a matter of time.
_FINAL: Final[dict[str, str]] = {
    "host-gone": "remote-server-not-found",
    "host-unknown": "remote-server-not-found",
    "invalid-from": "remote-server-timeout",
    "invalid-namespace": "remote-server-timeout",
    "not-authorized": "remote-server-timeout",
    "policy-violation": "remote-server-timeout",
    "unsupported-version": "remote-server-timeout",
}


class Failure(Exception):
    """A stream did not come about, or did not last.

    `condition` is what the senders of waiting stanzas are told (RFC 6120, 8.3.3: what fails in the negotiation of TLS,
    SASL or dialback is a `remote-server-timeout`), `text` a sentence for people. `final` says that trying again soon is
    of no use, so that nothing has to wait. `step` is where it failed: dns, dane, tcp, tls, certificate, revocation,
    authentication. `external` says that SASL EXTERNAL was refused: dialback may still do, over a new connection.
    """

    def __init__(
        self, condition: str, text: str, *, final: bool = False, step: str = "authentication", external: bool = False
    ) -> None:
        super().__init__(text)
        self.condition = condition
        self.text = text
        self.final = final
        self.step = step
        self.external = external

    @classmethod
    def of_stream_error(cls, condition: str, text: str) -> Failure:
        """The other side has ended the stream with an error."""
        told = f"the other server ended the stream: {condition}{f' ({text})' if text else ''}"
        return cls(_FINAL.get(condition, "remote-server-timeout"), told, final=condition in _FINAL)


def refused(text: str, step: str = "authentication") -> Failure:
    """Our own policy for the peer does not allow it."""
    return Failure("policy-violation", text, final=True, step=step)
