"""A push service (XEP-0357) for tests: it checks what is published, keeps it, and answers as it is told.

`PushService` does the work. It stands behind a sub-domain of the server under test where `PushDomain` is in the list
of modules (`push.<domain>`), and behind any connection that hands it stanzas.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from xmpp_engine.plugin.module import Module
from xmpp_engine.plugin.registrar import Registrar
from xmpp_engine.stanza import forms
from xmpp_engine.stanza.build import error_reply, iq_result
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError


@dataclass(frozen=True, slots=True)
class Notification:
    """One push as its receiver reads it."""

    sender: str
    node: str
    summary: dict[str, str]
    options: dict[str, str] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many messages it speaks of."""
        return int(self.summary["message-count"])


def values(form: Element | None, expected: str) -> dict[str, str]:
    """The single values of a form with this FORM_TYPE, nothing where there is no form."""
    if form is None:
        return {}
    return {name: given[0] for name, given in forms.read(form, expected).items()}


def read(iq: Element, sender: str) -> Notification:
    """The notification in an iq; an assertion fails for what a push service could not work with."""
    assert (iq.name, iq.get("type")) == ("iq", "set")
    assert iq.get("id")
    pubsub = iq.find(ns.PUBSUB, "pubsub")
    assert pubsub is not None
    publish = pubsub.find(ns.PUBSUB, "publish")
    assert publish is not None
    items = publish.find_all(ns.PUBSUB, "item")
    assert len(items) == 1
    notification = items[0].find(ns.PUSH, "notification")
    assert notification is not None
    options = pubsub.find(ns.PUBSUB, "publish-options")
    return Notification(
        sender,
        publish.get("node") or "",
        values(notification.find(ns.DATA_FORMS, "x"), ns.PUSH_SUMMARY),
        values(options.find(ns.DATA_FORMS, "x") if options is not None else None, ns.PUBLISH_OPTIONS),
    )


class PushService:
    """What was published, in order. `failing` is the condition of its answers, "" for results; a `silent` one does not
    answer at all; `held` requests are answered by `release`."""

    def __init__(self) -> None:
        self.received: list[Notification] = []
        self.failing = ""
        self.silent = False
        self.holding = False
        self.held: list[Stanza] = []

    def take(self, stanza: Stanza) -> Stanza | None:
        """Read a stanza; returns the answer to send."""
        if stanza.kind != "iq" or stanza.type not in ("get", "set"):
            return None
        self.received.append(read(stanza.element, stanza.sender.full))
        if self.holding:
            self.held.append(stanza)
            return None
        return None if self.silent else self.answer(stanza)

    def answer(self, stanza: Stanza) -> Stanza | None:
        """The answer to a request."""
        if self.failing:
            return error_reply(stanza, StanzaError(self.failing))
        assert stanza.to is not None
        return iq_result(stanza, stanza.to)


class PushDomain(Module):
    """The push service as a sub-domain."""

    name = "push_domain"

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.service = PushService()

    def setup(self, reg: Registrar) -> None:
        reg.service(f"push.{self.host.domain}", self)

    def receive(self, stanza: Stanza) -> None:
        """A stanza to the sub-domain."""
        self._send(self.service.take(stanza))

    def release(self) -> None:
        """Answer what was held."""
        self.service.holding = False
        held, self.service.held = self.service.held, []
        for stanza in held:
            self._send(self.service.answer(stanza))

    def _send(self, answer: Stanza | None) -> None:
        if answer is not None:
            self.services.router.route(answer)
