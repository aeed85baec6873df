"""Stream and stanza errors of RFC 6120 (sections 4.9 and 8.3), raised as exceptions and turned into XML in one
place."""

from __future__ import annotations

from typing import Final

from xmpp_engine.xml import ns
from xmpp_engine.xml.element import XML_LANG, Element

#: Default error type of every defined stanza condition (RFC 6120, 8.3.3).
STANZA_CONDITIONS: Final[dict[str, str]] = {
    "bad-request": "modify",
    "conflict": "cancel",
    "feature-not-implemented": "cancel",
    "forbidden": "auth",
    "gone": "cancel",
    "internal-server-error": "cancel",
    "item-not-found": "cancel",
    "jid-malformed": "modify",
    "not-acceptable": "modify",
    "not-allowed": "cancel",
    "not-authorized": "auth",
    "policy-violation": "modify",
    "recipient-unavailable": "wait",
    "redirect": "modify",
    "registration-required": "auth",
    "remote-server-not-found": "cancel",
    "remote-server-timeout": "wait",
    "resource-constraint": "wait",
    "service-unavailable": "cancel",
    "subscription-required": "auth",
    "undefined-condition": "cancel",
    "unexpected-request": "wait",
}

#: The defined stream conditions (RFC 6120, 4.9.3).
STREAM_CONDITIONS: Final[frozenset[str]] = frozenset(
    {
        "bad-format",
        "bad-namespace-prefix",
        "conflict",
        "connection-timeout",
        "host-gone",
        "host-unknown",
        "improper-addressing",
        "internal-server-error",
        "invalid-from",
        "invalid-namespace",
        "invalid-xml",
        "not-authorized",
        "not-well-formed",
        "policy-violation",
        "remote-connection-failed",
        "reset",
        "resource-constraint",
        "restricted-xml",
        "see-other-host",
        "system-shutdown",
        "undefined-condition",
        "unsupported-encoding",
        "unsupported-feature",
        "unsupported-stanza-type",
        "unsupported-version",
    }
)


class StanzaError(Exception):
    """A stanza cannot be served; becomes `<error/>` in the reply.

    `condition` is a name of RFC 6120, 8.3.3; `type` defaults to the type the RFC recommends for it; `app` is an
    optional application-specific child, `payload` what stands in the reply beside the error.
    """

    def __init__(
        self,
        condition: str,
        text: str = "",
        *,
        type: str | None = None,
        app: Element | None = None,
        value: str = "",
        payload: Element | None = None,
    ) -> None:
        if condition not in STANZA_CONDITIONS:
            raise ValueError(f"unknown stanza error condition {condition!r}")
        super().__init__(condition if not text else f"{condition}: {text}")
        self.condition = condition
        self.text = text
        self.type = type or STANZA_CONDITIONS[condition]
        self.app = app
        self.value = value
        self.payload = payload
        #: The number of XEP-0086 for the few clients that look at nothing else, "" for none.
        self.code = ""

    def element(self) -> Element:
        """The `<error/>` child in `jabber:client`."""
        error = Element(ns.CLIENT, "error", {"type": self.type})
        if self.code:
            error.attrs["code"] = self.code
        error.add(ns.STANZA_ERRORS, self.condition, text=self.value or None)
        if self.text:
            error.add(ns.STANZA_ERRORS, "text", {XML_LANG: "en"}, self.text)
        if self.app is not None:
            error.append(self.app)
        return error


class StreamError(Exception):
    """A stream cannot go on; becomes `<stream:error/>` and the stream is closed.

    `value` is the content of the condition element (`see-other-host` carries an address). `told` says that the log has
    a line of it already.
    """

    def __init__(self, condition: str, text: str = "", *, app: Element | None = None, value: str = "") -> None:
        if condition not in STREAM_CONDITIONS:
            raise ValueError(f"unknown stream error condition {condition!r}")
        super().__init__(condition if not text else f"{condition}: {text}")
        self.condition = condition
        self.text = text
        self.app = app
        self.value = value
        self.told = False

    def element(self) -> Element:
        """The `<stream:error/>` element."""
        error = Element(ns.STREAM, "error")
        error.add(ns.STREAM_ERRORS, self.condition, text=self.value or None)
        if self.text:
            error.add(ns.STREAM_ERRORS, "text", {XML_LANG: "en"}, self.text)
        if self.app is not None:
            error.append(self.app)
        return error
