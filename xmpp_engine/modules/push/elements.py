"""The elements of XEP-0357: what a client asks for, and what a push service is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.stanza import forms
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import STANZA_CONDITIONS, StanzaError
from xmpp_engine.xml.parser import parse_document
from xmpp_engine.xml.writer import write

if TYPE_CHECKING:
    from xmpp_engine.stanza.stanza import Stanza


def service_of(request: Element) -> Jid:
    """The push service that an `<enable/>` or `<disable/>` names; raises StanzaError."""
    text = request.get("jid")
    if not text:
        raise StanzaError("bad-request", "a push service has an address")
    try:
        return Jid.parse(text)
    except ValueError as error:
        raise StanzaError("jid-malformed", str(error)) from None


def options_of(request: Element) -> str:
    """The publish options of a request as text, "" for none; raises StanzaError for a form that is for something
    else."""
    form = request.find(ns.DATA_FORMS, "x")
    if form is None:
        return ""
    if form.get("type", "submit") != "submit":
        raise StanzaError("bad-request", "the publish options are a submitted form")
    values = forms.read(form, ns.PUBLISH_OPTIONS)
    return write(forms.submit(ns.PUBLISH_OPTIONS, values))


def publish_request(node: str, options: str, *, count: int, requests: int, sender: str, body: str) -> Element:
    """The publish request for a notification (section 7): so many messages and so many subscription requests. `options`
    is the text that `options_of` gave; "" leaves out node, options, sender or body."""
    values: dict[str, forms.Value] = {}
    if count or not requests:
        values["message-count"] = str(count)
    if requests:
        values["pending-subscription-count"] = str(requests)
    if sender:
        values["last-message-sender"] = sender
    if body:
        values["last-message-body"] = body
    pubsub = Element(ns.PUBSUB, "pubsub")
    publish = pubsub.add(ns.PUBSUB, "publish", {"node": node} if node else None)
    notification = publish.add(ns.PUBSUB, "item").add(ns.PUSH, "notification")
    notification.append(forms.submit(ns.PUSH_SUMMARY, values))
    if options:
        pubsub.add(ns.PUBSUB, "publish-options").append(parse_document(options.encode()))
    return pubsub


def condition_of(answer: Stanza | None) -> str:
    """The condition of an error, "" where there is none."""
    error = answer.element.find(ns.CLIENT, "error") if answer is not None else None
    names = [child.name for child in error.elements()] if error is not None else []
    return next((name for name in names if name in STANZA_CONDITIONS), "")
