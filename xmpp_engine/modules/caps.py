"""XEP-0115: what clients can do, learned once per kind of client and not once per login; and the server's own hash.

A presence names its client's capabilities by a hash. An unknown hash is asked for by disco#info, once for all sessions
that show it; the answer is taken over for everybody only when it hashes to the same value, so a client cannot speak for
others. An answer that does not is good for the session that gave it, and the next session with the hash is asked.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any, ClassVar, Final

from xmpp_engine.plugin.module import Module, Xep
from xmpp_engine.plugin.registrar import Registrar
from xmpp_engine.plugin.table import HandlerTable, Target
from xmpp_engine.routing.host import Host
from xmpp_engine.routing.session import Session
from xmpp_engine.stanza.build import iq as build_iq
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import XML_LANG, Element

#: Hashes that we verify (XEP-0115, 5.3, and XEP-0300), by their name there.
HASHES: Final[dict[str, Callable[[bytes], Any]]] = {
    "sha-1": lambda data: hashlib.sha1(data, usedforsecurity=False),
    "sha-256": hashlib.sha256,
}
#: The URI that names this software; clients ask for `NODE#ver`.
NODE: Final = "urn:xmpp:mlink"
_CACHE: Final = 2_000
#: Apps of other servers that may wait for one hash.
_WAITING: Final = 1_000
_FEATURES: Final = 500
_TEXT: Final = 512
_NOTHING: Final[frozenset[str]] = frozenset()
#: Where a session keeps its features: here they outlive the cache.
_FEATURES_NOTE: Final = "caps features"
#: What a client adds to the name of a node whose events it wants (XEP-0060, 9.2).
_NOTIFY: Final = "+notify"

#: (hash algorithm, value): what stands for one kind of client.
Key = tuple[str, str]
Learned = Callable[[frozenset[str]], Any]


class IllFormed(ValueError):
    """A disco#info answer that has no hash (XEP-0115, 5.4)."""


def verification_string(query: Element) -> str:
    """The text that is hashed for a disco#info query (section 5.1); raises IllFormed."""
    identities = [
        f"{i.get('category') or ''}/{i.get('type') or ''}/{i.get(XML_LANG) or ''}/{i.get('name') or ''}"
        for i in query.find_all(ns.DISCO_INFO, "identity")
    ]
    features = [feature.get("var") or "" for feature in query.find_all(ns.DISCO_INFO, "feature")]
    forms = [form for form in query.find_all(ns.DATA_FORMS, "x") if _form_type(form) is not None]
    kinds = [_form_type(form) for form in forms]
    for names in (identities, features, kinds):
        if len(set(names)) != len(names):
            raise IllFormed("something is named twice")
    parts = sorted(identities) + sorted(features)
    for form in sorted(forms, key=lambda form: _form_type(form) or ""):
        parts.append(_form_type(form) or "")
        fields = [field for field in form.find_all(ns.DATA_FORMS, "field") if field.get("var") != "FORM_TYPE"]
        for field in sorted(fields, key=lambda field: field.get("var") or ""):
            parts.append(field.get("var") or "")
            parts += sorted(value.text for value in field.find_all(ns.DATA_FORMS, "value"))
    return "".join(part + "<" for part in parts)


def ver(query: Element, algorithm: str = "sha-1") -> str:
    """The hash of a disco#info query; raises IllFormed."""
    return base64.b64encode(HASHES[algorithm](verification_string(query).encode()).digest()).decode()


def _form_type(form: Element) -> str | None:
    """The FORM_TYPE of a form that takes part in the hash, None for one that does not (section 5.4, 3.6)."""
    for field in form.find_all(ns.DATA_FORMS, "field"):
        if field.get("var") == "FORM_TYPE":
            values = {value.text for value in field.find_all(ns.DATA_FORMS, "value")}
            if len(values) > 1:
                raise IllFormed("a form of two types")
            return values.pop() if values and field.get("type") == "hidden" else None
    return None


@lru_cache(_CACHE)
def interests(features: frozenset[str]) -> frozenset[str]:
    """The nodes whose events a client with these features wants (XEP-0163, 4.2)."""
    return frozenset(feature[: -len(_NOTIFY)] for feature in features if feature.endswith(_NOTIFY))


class Caps(Module):
    """Features of clients by their presence, and the server's own in its stream features."""

    name = "caps"
    xeps = (Xep("0115", "1.6.0", note="section 8.4 (repeated caps left out of presence) is not done"),)
    requires = ("disco",)
    features: ClassVar = {Target.HOST: (ns.CAPS,)}

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        #: Verified features by hash, the least recently used first.
        self._known: dict[Key, frozenset[str]] = {}
        #: Sessions that wait for a hash, the first is being asked; and those that could not explain it meanwhile.
        self._asking: dict[Key, list[Session]] = {}
        self._silent: dict[Key, list[Session]] = {}
        #: Apps of other servers that wait for a hash, the first is being asked: their presence, and who wants to know.
        self._abroad: dict[Key, list[tuple[Stanza, Learned]]] = {}
        #: Called, by the name of a module, with a session whose features have just become known: with its presence, or
        #: when the client has answered.
        self.learned: dict[str, Callable[[Session], None]] = {}
        self._own = ""
        self._own_for: HandlerTable | None = None

    def setup(self, reg: Registrar) -> None:
        reg.stream_feature(self.feature)
        reg.presence_changed(self.changed)
        self.needs("disco").caps_node = self.own_node

    # Our own

    def feature(self, _host: Host) -> Element:
        """The server's capabilities in the stream features (section 6.3)."""
        return Element(ns.CAPS, "c", {"hash": "sha-1", "node": NODE, "ver": self.own_ver()})

    def own_ver(self) -> str:
        """The hash of the domain's disco#info, once per compiled table."""
        if self._own_for is not self.host.table:
            self._own, self._own_for = ver(self.needs("disco").info(Target.HOST)), self.host.table
        return self._own

    def own_node(self) -> str:
        """The node under which disco#info shows what was hashed."""
        return f"{NODE}#{self.own_ver()}"

    # Those of clients

    def features_of(self, session: Session) -> frozenset[str]:
        """What the client can do, as far as it has said; empty while nothing is known."""
        notes = session.notes
        if notes is None:
            return _NOTHING
        features: frozenset[str] | None = notes.get(_FEATURES_NOTE)
        return features if features is not None else _NOTHING

    def interests_of(self, session: Session) -> frozenset[str]:
        """The nodes whose events the client wants, as far as it has said."""
        return interests(self.features_of(session))

    def interests(self, features: frozenset[str]) -> frozenset[str]:
        """The nodes whose events an app with these features wants."""
        return interests(features)

    def key_of(self, presence: Stanza) -> Key | None:
        """What stands for the kind of app that a presence shows, None without one that we could verify."""
        return _key(presence)

    def explain(self, presence: Stanza, learned: Learned) -> None:
        """What an app of another server can do, by its presence: learned(features), at once where its kind is known,
        else when one of them has answered; never where none does."""
        key = _key(presence)
        if key is None:
            return
        known = self._known.pop(key, None)
        if known is not None:
            self._known[key] = known
            learned(known)
            return
        waiting = self._abroad.get(key)
        if waiting is not None:
            if len(waiting) < _WAITING:
                waiting.append((presence, learned))
        elif len(self._abroad) < _CACHE:
            self._abroad[key] = [(presence, learned)]
            self._ask_abroad(key)

    def _ask_abroad(self, key: Key) -> None:
        presence = self._abroad[key][0][0]
        c = presence.element.find(ns.CAPS, "c")
        query = Element(ns.DISCO_INFO, "query", {"node": f"{(c.get('node') or '') if c is not None else ''}#{key[1]}"})
        request = build_iq(self.host.jid, presence.sender, "get", query)
        self.services.iq.request(request, lambda answer: self._explained(key, answer))

    def _explained(self, key: Key, answer: Stanza | None) -> None:
        query = answer.element.find(ns.DISCO_INFO, "query") if answer is not None and answer.type == "result" else None
        waiting = self._abroad[key]
        _presence, learned = waiting.pop(0)
        if query is not None:
            features = frozenset(f.get("var") or "" for f in query.find_all(ns.DISCO_INFO, "feature"))
            if _verified(query, key) and len(features) <= _FEATURES:
                del self._abroad[key]
                self._keep(key, features)
                for tell in (learned, *(other for _presence, other in waiting)):
                    tell(features)
                return
            # Its own word counts for itself.
            learned(frozenset(sorted(features)[:_FEATURES]))
        if waiting:
            self._ask_abroad(key)
        else:
            del self._abroad[key]

    def changed(self, session: Session, _old: Stanza | None, new: Stanza | None) -> None:
        """A session's own presence: note its hash, and ask when nobody has explained it yet."""
        key = _key(new)
        notes = session.notes
        if notes is None:
            if key is None:
                return
            notes = session.notes = {}
        if notes.get(self.name) == key:
            return
        if notes.pop(_FEATURES_NOTE, None) is not None:
            session.flagged()
        if key is None:
            notes.pop(self.name, None)
            return
        notes[self.name] = key
        known = self._known.pop(key, None)
        if known is not None:
            self._known[key] = known
            self._learn(session, known)
            return
        waiting = self._asking.get(key)
        if waiting is not None:
            waiting.append(session)
        else:
            self._asking[key] = [session]
            self._ask(key, session, new)

    def _ask(self, key: Key, session: Session, presence: Stanza | None) -> None:
        c = presence.element.find(ns.CAPS, "c") if presence is not None else None
        node = (c.get("node") or "") if c is not None else ""
        query = Element(ns.DISCO_INFO, "query", {"node": f"{node}#{key[1]}"})
        request = build_iq(self.host.jid, session.jid, "get", query)
        self.services.iq.request(request, lambda answer: self._answered(key, session, answer))

    def _answered(self, key: Key, session: Session, answer: Stanza | None) -> None:
        query = answer.element.find(ns.DISCO_INFO, "query") if answer is not None and answer.type == "result" else None
        if query is not None:
            features = frozenset(f.get("var") or "" for f in query.find_all(ns.DISCO_INFO, "feature"))
            if _verified(query, key) and len(features) <= _FEATURES:
                waiting = self._asking.pop(key, []) + self._silent.pop(key, [])
                self._keep(key, features)
                for other in waiting:
                    self._learn(other, features, key)
                return
            # Its own word counts for itself.
            self._learn(session, frozenset(sorted(features)[:_FEATURES]), key)
        else:
            self._silent.setdefault(key, []).append(session)
        self._next(key, session)

    def _keep(self, key: Key, features: frozenset[str]) -> None:
        if len(self._known) >= _CACHE:
            del self._known[next(iter(self._known))]
        self._known[key] = features

    def _learn(self, session: Session, features: frozenset[str], key: Key | None = None) -> None:
        """Note the features of a session, unless it shows another hash by now, and tell who waits for them."""
        notes = session.notes
        if notes is None or session.ended or (key is not None and notes.get(self.name) != key):
            return
        notes[_FEATURES_NOTE] = features
        session.flagged()
        for learned in self.learned.values():
            learned(session)

    def _next(self, key: Key, asked: Session) -> None:
        """Ask the next session that shows the hash and is still here."""
        waiting = [session for session in self._asking.pop(key, []) if session is not asked and not session.ended]
        waiting = [session for session in waiting if _key(session.presence) == key]
        if waiting:
            self._asking[key] = waiting
            self._ask(key, waiting[0], waiting[0].presence)
        else:
            self._silent.pop(key, None)


def _verified(query: Element, key: Key) -> bool:
    try:
        return ver(query, key[0]) == key[1]
    except IllFormed:
        return False


def _key(presence: Stanza | None) -> Key | None:
    """The hash that a presence shows, None without one that we could verify."""
    c = presence.element.find(ns.CAPS, "c") if presence is not None else None
    if c is None:
        return None
    algorithm, value, node = c.get("hash") or "", c.get("ver") or "", c.get("node") or ""
    if algorithm not in HASHES or not value or len(value) > _TEXT or len(node) > _TEXT:
        return None
    return algorithm, value
