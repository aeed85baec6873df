"""XEP-0356: what a component may do in the name of a domain and of its accounts, as an administrator has configured it.

`ComponentConfig.privileges` maps a kind to a permission:

    roster        none | get | set | both        rosters of accounts; changes are pushed to who may get, unless
    roster-push   yes | no                        this says no
    message       none | outgoing                 messages from the domain or from a bare JID of it
    presence      none | managed_entity | roster  presence of accounts, and of their contacts
    iq:NAMESPACE  none | get | set | both         iqs in this namespace from a bare JID of the domain

Whatever asks for one comes to `take` before it is routed. Each is checked against the configuration as it is now;
without the permission it is refused with `forbidden` and logged. What is allowed is done as if the account itself had
asked, over its bare JID, and no more than that: the account must exist and be active.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.observe.log import refused
from xmpp_engine.plugin.module import Module, Xep
from xmpp_engine.plugin.phases import Phase
from xmpp_engine.plugin.registrar import Registrar
from xmpp_engine.plugin.table import AT_ONCE, Target
from xmpp_engine.plugin.verdict import Verdict
from xmpp_engine.routing.account import Account
from xmpp_engine.routing.bounce import bounce
from xmpp_engine.routing.session import Session
from xmpp_engine.stanza.build import forwarded, iq_result, message, new_id, presence
from xmpp_engine.stanza.build import iq as build_iq
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError

if TYPE_CHECKING:
    from xmpp_engine.component.external import External
    from xmpp_engine.stream.stream import Stream

_IQ: Final = "iq:"
#: Seconds that an iq sent for an account may take, and how many of one component may be under way.
_SECONDS: Final = 60.0
_AT_ONCE: Final = 50 * AT_ONCE
#: Presences of contacts remembered so that each is sent once, for each component.
_PRESENCES: Final = 50_000
#: How long a component that has much to read is waited for, in seconds at a time.
_PAUSE: Final = 0.05
#: Presences that are sent to one of another node before such a pause.
_SOME: Final = 200


class Privilege(Module):
    """Serves what privileged components ask of one domain, and tells them what they may know."""

    name = "privilege"
    xeps = (
        Xep(
            "0356",
            "0.4.1",
            note="presence of contacts from other servers only while the account is in memory; what a component sends "
            "for an account is not in that account's archive",
        ),
    )
    requires = ("roster",)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        #: Iqs under way by component.
        self._running: dict[str, int] = {}
        #: By component: full JID of a contact to the presence that it was told last.
        self._told: dict[str, dict[str, bytes]] = {}

    def setup(self, reg: Registrar) -> None:
        self.needs("roster").watchers[self.name] = self.roster_pushed
        reg.presence_changed(self.presence_changed)
        reg.presence_in(Phase.OBSERVE, self.presence_received)

    @property
    def _components(self) -> Any:
        return self.services.extras["engine"].components

    # Components come and go (components.Watcher)

    def arrived(self, component: External) -> None:
        """Tell a component what it may do (section 4.2), and then the presences that it may see (section 8, 1)."""
        self._told.pop(component.domain, None)
        granted = self._granted(component)
        privilege = Element(ns.PRIVILEGE, "privilege")
        if "roster" in granted:
            push = "true" if _pushes(granted) else "false"
            privilege.add(ns.PRIVILEGE, "perm", {"access": "roster", "type": granted["roster"], "push": push})
        for kind in ("message", "presence"):
            if kind in granted:
                privilege.add(ns.PRIVILEGE, "perm", {"access": kind, "type": granted[kind]})
        spaces = {kind[len(_IQ) :]: value for kind, value in granted.items() if kind.startswith(_IQ)}
        if spaces:
            perm = privilege.add(ns.PRIVILEGE, "perm", {"access": "iq"})
            for space, value in spaces.items():
                perm.add(ns.PRIVILEGE, "namespace", {"ns": space, "type": value})
        if not privilege.children:
            return
        if component.connected:
            # In a cluster the node that has the connection tells it, and each node shows its own sessions.
            component.receive(message(self.host.jid, component.jid, "normal", privilege, id=new_id()))
        if "presence" in granted:
            self.services.tasks.spawn(f"presences for {component.domain}", self._catch_up(component))

    def departed(self, component: External) -> None:
        """Forget what it was told."""
        self._told.pop(component.domain, None)

    def _granted(self, component: External) -> dict[str, str]:
        """What a component may do here, without what it may not."""
        config = component.config
        here = config.enabled and (not config.domains or self.host.domain in config.domains)
        return {kind: value for kind, value in config.privileges.items() if value != "none"} if here else {}

    # What a component asks

    def take(self, stanza: Stanza, payload: Element, component: External) -> bool:
        """A stanza of a component to this domain that asks for a privilege; False where it asks for none."""
        to = stanza.to
        assert to is not None
        ours = stanza.kind == "iq" and stanza.type in ("get", "set")
        if payload.ns == ns.ROSTER:
            if not ours or not to.local or to.resource:
                return False
            allowed = _covers(self._granted(component).get("roster"), stanza.type)
            self._for_account(stanza, to, component, allowed, "the roster", self._roster)
        elif stanza.kind == "message" and payload.name == "privilege" and not to.local and stanza.type != "error":
            self._message(stanza, payload, component)
        elif ours and payload.name == "privileged_iq":
            self._iq(stanza, payload, component)
        else:
            return False
        return True

    def _roster(self, stanza: Stanza, account: Account) -> None:
        self.services.iq.serve(stanza, self.host, Target.ACCOUNT, account, as_owner=True)

    def _message(self, stanza: Stanza, privilege: Element, component: External) -> None:
        """Section 5.3: the message inside goes out if it is from the domain or from a bare JID of it."""
        wrapper = privilege.find(ns.FORWARD, "forwarded")
        inner = wrapper.find(ns.CLIENT, "message") if wrapper is not None else None
        if inner is None or not inner.get("to"):
            bounce(self.services.router, stanza, StanzaError("bad-request", "there is no message to send"))
            return
        try:
            sender = Jid.parse(inner.get("from") or "")
            sent = Stanza.parse(inner, sender)
        except (StanzaError, ValueError) as error:
            bounce(self.services.router, stanza, StanzaError("jid-malformed", str(error)))
            return
        allowed = self._granted(component).get("message") == "outgoing"
        if sender.domain != self.host.domain or sender.resource:
            allowed = False
        if not sender.local and allowed:
            self.services.router.route(sent)
            return
        self._for_account(
            stanza, sender, component, allowed, "a message", lambda _stanza, _account: self.services.router.route(sent)
        )

    def _iq(self, stanza: Stanza, privileged: Element, component: External) -> None:
        """Section 6.3: the iq inside goes out from the bare JID that this one is addressed to."""
        to = stanza.to
        assert to is not None
        found = list(privileged.elements())
        inner = found[0] if len(found) == 1 else None
        # One payload (RFC 6120, 8.2.3): who gets a second one might look at that, and nobody has judged it.
        payloads = list(inner.elements()) if inner is not None else []
        payload = payloads[0] if len(payloads) == 1 else None
        granted = self._granted(component)
        allowed = (
            bool(to.local)
            and not to.resource
            and inner is not None
            and (inner.ns, inner.name) == (ns.CLIENT, "iq")
            and inner.get("type") == stanza.type
            and (inner.get("from") is None or _bare(inner.get("from")) == to.bare)
            and payload is not None
            and _covers(granted.get(_IQ + payload.ns), stanza.type)
        )

        def send(_stanza: Stanza, account: Account) -> None:
            assert inner is not None
            self._send_for(stanza, inner, account, component)

        what = f"an iq in {payload.ns:.100}" if payload is not None else "an iq"
        self._for_account(stanza, to, component, allowed, what, send)

    def _send_for(self, stanza: Stanza, inner: Element, account: Account, component: External) -> None:
        router = self.services.router
        try:
            to = Jid.parse(inner.get("to") or account.bare)
        except ValueError as error:
            bounce(router, stanza, StanzaError("jid-malformed", str(error)))
            return
        running = self._running.get(component.domain, 0)
        if running >= _AT_ONCE:
            bounce(router, stanza, StanzaError("resource-constraint", "too many requests at a time"))
            return
        self._running[component.domain] = running + 1
        # An id of ours: two components, or a client of the account, may have chosen the same.
        request = build_iq(account.jid, to, stanza.type, *inner.elements())

        def answered(answer: Stanza | None) -> None:
            self._running[component.domain] -= 1
            if not self._running[component.domain]:
                del self._running[component.domain]
            if answer is None:
                bounce(router, stanza, StanzaError("remote-server-timeout", "no answer came"))
                return
            wrapper = forwarded(answer)
            answered_iq = wrapper.first()
            assert answered_iq is not None
            if inner.get("id"):
                answered_iq.attrs["id"] = inner.attrs["id"]
            router.route(iq_result(stanza, account.jid, Element(ns.PRIVILEGE, "privilege", None, wrapper)))

        self.services.iq.request(request, answered, _SECONDS)

    def _for_account(
        self,
        stanza: Stanza,
        jid: Jid,
        component: External,
        allowed: bool,
        what: str,
        then: Callable[[Stanza, Account], Any],
    ) -> None:
        """Do something that is allowed, once the account is there; or refuse it."""
        router = self.services.router
        if not allowed:
            self.services.counters.count("component_privileges_refused_total")
            refused.warning("component %s may not do this for %s: %s", component.domain, jid, what)
            bounce(router, stanza, StanzaError("forbidden", "this component has no such privilege"))
            return

        def loaded(account: Account | None, error: Exception | None) -> None:
            if error is not None:
                problem = StanzaError("internal-server-error", "the database does not answer", type="wait")
                bounce(router, stanza, problem)
            elif account is None or account.data.state != "active":
                bounce(router, stanza, StanzaError("item-not-found", "there is no such account"))
            else:
                then(stanza, account)

        self.services.accounts.fetch(jid.bare, self.host, loaded)

    # What a component may know

    def _privileged(self, kind: str) -> list[tuple[External, dict[str, str]]]:
        """The connected components that have a privilege of this kind here."""
        found = []
        for component in self._components:
            if component.present and kind in component.config.privileges:
                granted = self._granted(component)
                if kind in granted:
                    found.append((component, granted))
        return found

    def roster_pushed(self, account: Account, item: Element, version: int) -> None:
        """A contact has changed (section 4.4)."""
        for component, granted in self._privileged("roster"):
            if _pushes(granted):
                query = Element(ns.ROSTER, "query", {"ver": str(version)}, item)
                component.receive(build_iq(account.jid, component.jid, "set", query))

    def presence_changed(self, session: Session, old: Stanza | None, new: Stanza | None) -> None:
        """A resource has come or gone (section 7.1); what changes in between is not told."""
        if (old is None) == (new is None):
            return
        for component, _granted in self._privileged("presence"):
            if new is not None:
                component.receive(new.addressed(component.jid))
            else:
                component.receive(presence(session.jid, component.jid, "unavailable"))

    def presence_received(self, stanza: Stanza, account: Account) -> Verdict:
        """Presence of a contact of an account (section 7.4), once for all accounts that see it."""
        if stanza.type in ("", "unavailable"):
            for component, granted in self._privileged("presence"):
                if granted["presence"] == "roster" and _reads(granted):
                    self._contact(stanza, account, component)
        return None

    def _contact(self, stanza: Stanza, account: Account, component: External) -> None:
        item = account.roster.get(stanza.sender.bare)
        if item is None or item.subscription not in ("to", "both"):
            return
        told = self._told.setdefault(component.domain, {})
        text = stanza.encode(None)
        if told.get(stanza.sender.full) == text:
            return
        if stanza.type == "unavailable":
            if stanza.sender.domain in self.services.router.hosts and stanza.sender.full not in told:
                return  # a local contact that was told of as an account
            told.pop(stanza.sender.full, None)
        else:
            if len(told) >= _PRESENCES:
                del told[next(iter(told))]
            told[stanza.sender.full] = text
        component.receive(stanza.addressed(component.jid))

    async def _catch_up(self, component: External) -> None:
        """The presences of all resources that are here; as fast as the component reads."""
        where = (component.stream, component.node)
        for index, session in enumerate(list(self.services.registry.full.values())):
            if component.node and index and index % _SOME == 0 and self.services.cluster is not None:
                # How much the component takes only its own node knows; how much the link to that node, this one.
                await self.services.cluster.room(component.node)
                await asyncio.sleep(_PAUSE)
            if not await self._room(component, where):
                return
            shown = session.presence
            if session.host is self.host and shown is not None and not session.ended:
                component.receive(shown.addressed(component.jid))

    async def _room(self, component: External, where: tuple[Stream | None, str]) -> bool:
        """Wait until a component has read half of what waits for it; False when that connection is gone."""
        while component.present and (component.stream, component.node) == where:
            if component.roomy:
                return True
            await asyncio.sleep(_PAUSE)
        return False


def _covers(permission: str | None, type: str) -> bool:
    """Whether a permission of rosters or iqs allows this type."""
    return permission == "both" or (permission is not None and permission == type)


def _reads(granted: dict[str, str]) -> bool:
    return granted.get("roster") in ("get", "both")


def _pushes(granted: dict[str, str]) -> bool:
    return _reads(granted) and granted.get("roster-push") != "no"


def _bare(text: str | None) -> str:
    try:
        return Jid.parse(text or "").full
    except ValueError:
        return ""
