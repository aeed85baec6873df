"""XEP-0355: namespaces that a component serves for a domain, as the administrator has configured it (admin mode).

    somebody -- iq in a delegated namespace, to the domain or a bare JID --> IqDispatch.serve -> Delegation.take
    domain   -- <delegation><forwarded>iq</forwarded></delegation> -------> component
    component - the answer, wrapped likewise ------------------------------> checked, unwrapped -> who asked

Nothing waits meanwhile: answers of a component may overtake, and be overtaken by, those of the server (section 8, 3).
What a component answers is only taken when addresses and id are those of the request; anything else, and silence,
becomes `service-unavailable`. An answer of type error is passed on where it is well formed: who asks for an item wants
to know that there is none, and section 5.3 would hide it.

Disco of the domain and of its accounts shows what the component says of each namespace instead of what the server's own
modules say (section 7.2); that is asked for when the component connects and kept until it leaves. The two special
namespaces at the end of `SPECIAL` delegate what the server does not know of an account's nodes.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.observe.log import refused
from xmpp_engine.plugin.module import Module, Xep
from xmpp_engine.plugin.registrar import Registrar
from xmpp_engine.plugin.table import AT_ONCE, Target
from xmpp_engine.routing.account import Account
from xmpp_engine.routing.bounce import bounce
from xmpp_engine.routing.iq import IqContext
from xmpp_engine.stanza.build import forwarded, iq_result, message, new_id
from xmpp_engine.stanza.build import iq as build_iq
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.storage.protocols import StoreUnavailable
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import XML_LANG, Element
from xmpp_engine.xml.errors import STANZA_CONDITIONS, StanzaError

if TYPE_CHECKING:
    from xmpp_engine.component.external import External

#: "What the server does not know itself": nodes of accounts, and what accounts have (section 7.2.4 and 7.2.5).
_INFO: Final = f"{ns.DELEGATION}:bare:disco#info:*"
_ITEMS: Final = f"{ns.DELEGATION}:bare:disco#items:*"
SPECIAL: Final = {_INFO: ns.DISCO_INFO, _ITEMS: ns.DISCO_ITEMS}
#: Seconds that a component has for an answer, iqs that may wait for all components of a domain, and how much a
#: component may show.
_SECONDS: Final = 60.0
_WAITING: Final = 10_000
_SHOWN: Final = 500
_ORDER: Final = {"identity": 0, "feature": 1}


def looked_at(spaces: Iterable[str]) -> set[str]:
    """The namespaces of payloads that have to be looked at for these delegated namespaces."""
    return {SPECIAL.get(space, space) for space in spaces}


class Delegation(Module):
    """Passes iqs to the components that serve their namespaces, and shows what these offer."""

    name = "delegation"
    xeps = (Xep("0355", "0.5", note="by the administrator (admin mode); clients cannot delegate"),)
    requires = ("disco",)
    features: ClassVar = {Target.HOST: (ns.DELEGATION,)}

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        #: What a component shows: (component, namespace, target) to the children of its disco#info.
        self._shown: dict[tuple[str, str, Target], list[Element]] = {}
        #: Iqs under way by sender.
        self._running: dict[str, int] = {}
        self._waiting = 0

    def setup(self, reg: Registrar) -> None:
        self.needs("disco").amend = self.amend
        reg.disco_items(self.items)

    def items(self) -> list[tuple[str, str]]:
        """The components that the domain shows (XEP-0030)."""
        return [(component.domain, "") for component in self._components.of(self.host.domain)]

    @property
    def _components(self) -> Any:
        return self.services.extras["engine"].components

    # Components come and go (components.Watcher)

    def arrived(self, component: External) -> None:
        """Tell a component what it serves (section 5.2), and ask what it shows for that (section 7.2)."""
        self._forget(component)
        spaces = self._of(component)
        if not spaces:
            return
        delegation = Element(ns.DELEGATION, "delegation")
        for space, names in spaces.items():
            delegated = delegation.add(ns.DELEGATION, "delegated", {"namespace": space})
            for name in names:
                delegated.add(ns.DELEGATION, "attribute", {"name": name})
        if component.connected:
            # In a cluster the node that has the connection tells it.
            component.receive(message(self.host.jid, component.jid, "normal", delegation, id=new_id()))
        for space in spaces:
            if space not in SPECIAL:
                self._ask(component, space, Target.HOST, f"{ns.DELEGATION}::{space}")
                self._ask(component, space, Target.ACCOUNT, f"{ns.DELEGATION}:bare:{space}")
        self._renew()

    def departed(self, component: External) -> None:
        """What it showed is not there any more."""
        if self._forget(component):
            self._renew()

    def _of(self, component: External) -> dict[str, tuple[str, ...]]:
        """The namespaces that a component serves for this domain, with the attributes by which iqs are chosen."""
        config = component.config
        here = config.enabled and (not config.domains or self.host.domain in config.domains)
        return dict(config.delegated) if here else {}

    def _ask(self, component: External, space: str, target: Target, node: str) -> None:
        query = Element(ns.DISCO_INFO, "query", {"node": node})
        request = build_iq(self.host.jid, component.jid, "get", query)

        def answered(answer: Stanza | None) -> None:
            if not component.present or space not in self._of(component):
                return
            found = answer.element.find(ns.DISCO_INFO, "query") if answer is not None else None
            if answer is not None and answer.type == "result" and found is not None:
                shown = [_shown(child) for child in list(found.elements())[:_SHOWN]]
                self._shown[(component.domain, space, target)] = [child for child in shown if child is not None]
                self._renew()

        self.services.iq.request(request, answered)

    def _forget(self, component: External) -> bool:
        gone = [key for key in self._shown if key[0] == component.domain]
        for key in gone:
            del self._shown[key]
        return bool(gone) or bool(self._of(component))

    def _renew(self) -> None:
        """Everything that is kept of a table (disco, capabilities, stream features) is made anew for another one."""
        table = self.host.table = copy.copy(self.host.table)
        for session in self.services.registry.full.values():
            if session.host is self.host:
                session.table = table

    # What the domain shows

    def amend(self, target: Target, query: Element) -> None:
        """Replace, in a disco#info answer of the domain or of an account, what belongs to delegated namespaces."""
        if target not in (Target.HOST, Target.ACCOUNT):
            return
        parts = list(query.elements())
        for component in self._components.for_host(self.host.domain):
            for space in component.config.delegated:
                if space in SPECIAL:
                    continue
                parts = [part for part in parts if not _belongs(part, space)]
                if not component.present:
                    continue
                shown = self._shown.get((component.domain, space, target), [])
                if target is Target.HOST and not shown:
                    # It said nothing: the namespace itself is served all the same.
                    shown = [Element(ns.DISCO_INFO, "feature", {"var": space})]
                # Nothing twice: the whole has a hash (XEP-0115, 5.4).
                for part in shown:
                    if all(_key(part) != _key(other) for other in parts):
                        parts.append(part.copy())
        query.children = [*sorted(parts, key=lambda part: _ORDER.get(part.name, 2))]

    # Iqs

    def take(self, iq: Stanza, target: Target, account: Account | None, payload: Element) -> bool:
        """Pass an iq for the domain or an account to the component that serves its namespace; False where the server
        answers it itself."""
        if target not in (Target.HOST, Target.ACCOUNT):
            return False
        component = self._managing(iq, payload.ns, payload)
        if component is not None:
            self._forward(iq, component)
            return True
        if target is not Target.ACCOUNT or iq.type != "get" or payload.name != "query":
            return False
        special = next((space for space, own in SPECIAL.items() if own == payload.ns), None)
        component = self._managing(iq, special, payload) if special is not None else None
        if component is None or account is None:
            return False
        if not payload.get("node"):
            if special != _ITEMS:
                return False
            self._forward(iq, component)
            return True
        if self._enter(iq):
            self.services.tasks.spawn("delegated disco", self._own_first(iq, account, payload, component))
        return True

    def _managing(self, iq: Stanza, space: str | None, payload: Element) -> External | None:
        """The component that serves a namespace here, unless it asks itself (section 5.3.1)."""
        for component in self._components.for_host(self.host.domain):
            names = component.config.delegated.get(space)
            if names is None or any(name not in payload.attrs for name in names):
                continue
            found: External = component
            return None if iq.sender.domain == found.domain or iq.sender.domain in found.names else found
        return None

    def _forward(self, iq: Stanza, component: External) -> None:
        if not self._enter(iq):
            return
        if not component.present:
            self._leave(iq)
            self._refuse(iq, StanzaError("service-unavailable"))
            return
        wrapper = Element(ns.DELEGATION, "delegation", None, forwarded(iq))
        request = build_iq(self.host.jid, component.jid, "set", wrapper)
        self.services.iq.request(request, lambda answer: self._answered(iq, component, answer), _SECONDS)

    def _answered(self, iq: Stanza, component: External, answer: Stanza | None) -> None:
        self._leave(iq)
        try:
            inner = _unwrapped(iq, answer)
        except StanzaError as error:
            if error.text:
                refused.warning("component %s answered a delegated iq badly: %s", component.domain, error.text)
            self._refuse(iq, StanzaError("service-unavailable"))
            return
        if inner.attrs.get("type") == "error":
            self._refuse(iq, _error_of(inner))
            return
        sender = iq.to if iq.to is not None else iq.sender.to_bare()
        self.services.router.reply(iq, iq_result(iq, sender, *inner.elements()))

    async def _own_first(self, iq: Stanza, account: Account, payload: Element, component: External) -> None:
        """A node of an account: the server's own answer, and where it knows none the component's."""
        disco = self.needs("disco")
        own = iq.sender.bare == account.bare
        context = IqContext(self.host, account, iq.origin, own, None, Target.ACCOUNT)
        sender = iq.to if iq.to is not None else account.jid
        try:
            ask = disco.account_info if payload.ns == ns.DISCO_INFO else disco.account_items
            answer = await ask(iq, context)
        except StanzaError as error:
            self._leave(iq)
            if error.condition == "item-not-found":
                self._forward(iq, component)
            else:
                self._refuse(iq, error)
        except StoreUnavailable:
            self._leave(iq)
            self._refuse(iq, StanzaError("internal-server-error", "the database does not answer", type="wait"))
        else:
            self._leave(iq)
            self.services.router.reply(iq, iq_result(iq, sender, answer))

    def _enter(self, iq: Stanza) -> bool:
        """Whether one more iq of this sender may be under way; where not, it is refused."""
        running = self._running.get(iq.sender.full, 0)
        if running >= AT_ONCE or self._waiting >= _WAITING:
            self._refuse(iq, StanzaError("resource-constraint", "too many requests at a time"))
            return False
        self._running[iq.sender.full] = running + 1
        self._waiting += 1
        return True

    def _leave(self, iq: Stanza) -> None:
        self._waiting -= 1
        left = self._running[iq.sender.full] - 1
        if left:
            self._running[iq.sender.full] = left
        else:
            del self._running[iq.sender.full]

    def _refuse(self, iq: Stanza, error: StanzaError) -> None:
        bounce(self.services.router, iq, error, None if iq.to is not None else iq.sender.to_bare())


def _unwrapped(iq: Stanza, answer: Stanza | None) -> Element:
    """The answer inside an answer, where it is one to this iq (section 5.3). Raises StanzaError, with a text where the
    component is to blame."""
    if answer is None or answer.type != "result":
        raise StanzaError("service-unavailable", "" if answer is not None else "none came in time")
    wrapper = answer.element.find(ns.DELEGATION, "delegation")
    inner = wrapper.find(ns.FORWARD, "forwarded") if wrapper is not None else None
    found = inner.find(ns.CLIENT, "iq") if inner is not None else None
    if found is None:
        raise StanzaError("service-unavailable", "it holds no iq")
    attrs = found.attrs
    if attrs.get("type") not in ("result", "error") or attrs.get("id") != iq.id:
        raise StanzaError("service-unavailable", "it has another type or id than the answer would")
    if _full(attrs.get("to")) != iq.sender.full:
        raise StanzaError("service-unavailable", "it is for somebody else")
    allowed = {iq.to.full} if iq.to is not None else {iq.sender.bare, iq.sender.domain}
    if "from" in attrs and _full(attrs["from"]) not in allowed:
        raise StanzaError("service-unavailable", "it is from somebody else")
    return found


def _full(text: str | None) -> str:
    try:
        return Jid.parse(text).full if text else ""
    except ValueError:
        return ""


def _error_of(answer: Element) -> StanzaError:
    """The error that a component answers, as one of ours."""
    error = answer.find(ns.CLIENT, "error")
    for child in error.elements() if error is not None else ():
        if child.ns == ns.STANZA_ERRORS and child.name in STANZA_CONDITIONS:
            assert error is not None
            app = next((other for other in error.elements() if other.ns not in (ns.STANZA_ERRORS, ns.CLIENT)), None)
            text = error.child_text(ns.STANZA_ERRORS, "text") or ""
            return StanzaError(child.name, text[:1_000], app=app)
    return StanzaError("service-unavailable")


def _belongs(part: Element, space: str) -> bool:
    """Whether a part of a disco#info answer is the server's own word on a namespace."""
    if part.name == "identity":
        return space == ns.PUBSUB and part.get("category") == "pubsub"
    subject = part.get("var") if part.name == "feature" else form_type(part)
    return subject is not None and (subject == space or subject.startswith(space + "#"))


def _shown(child: Element) -> Element | None:
    """What a component says of itself as it may stand in a disco#info answer, None where it may not."""
    attrs = child.attrs
    if child.ns == ns.DISCO_INFO and child.name == "feature" and attrs.get("var"):
        return Element(ns.DISCO_INFO, "feature", {"var": attrs["var"]})
    if child.ns == ns.DISCO_INFO and child.name == "identity" and attrs.get("category") and attrs.get("type"):
        kept = {name: attrs[name] for name in ("category", "type", "name", XML_LANG) if name in attrs}
        return Element(ns.DISCO_INFO, "identity", kept)
    if child.ns == ns.DATA_FORMS and child.name == "x" and form_type(child) is not None:
        return child
    return None


def form_type(form: Element) -> str | None:
    """The FORM_TYPE of a form that has exactly one, None otherwise."""
    fields = [field for field in form.find_all(ns.DATA_FORMS, "field") if field.get("var") == "FORM_TYPE"]
    values = [value.text for field in fields for value in field.find_all(ns.DATA_FORMS, "value")]
    return values[0] if len(fields) == 1 and len(values) == 1 else None


def _key(part: Element) -> tuple[str, ...]:
    """By what two parts of a disco#info answer are the same."""
    attrs = part.attrs
    if part.name == "feature":
        return ("feature", attrs.get("var", ""))
    if part.name == "identity":
        return ("identity", *(attrs.get(name, "") for name in ("category", "type", "name", XML_LANG)))
    return ("form", form_type(part) or "")
