"""What a hook answers: None to go on, HANDLED when the stanza is done with, or Reject to refuse it with an error."""

from __future__ import annotations

from typing import Final, final

from xmpp_engine.xml.errors import StanzaError


@final
class Handled:
    """The type of HANDLED."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "HANDLED"


#: The hook has taken the stanza: nothing else happens to it.
HANDLED: Final = Handled()


class Reject:
    """Refuse the stanza: the sender gets this error; `silent` drops it without one (blocking of presence)."""

    __slots__ = ("error", "silent")

    def __init__(
        self, condition: str, text: str = "", *, silent: bool = False, error: StanzaError | None = None
    ) -> None:
        self.error = error or StanzaError(condition, text)
        self.silent = silent


Verdict = Handled | Reject | None
