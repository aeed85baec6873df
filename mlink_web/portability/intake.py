"""What an import says of one account, checked and as plain values: the parts of a `<user/>` without its archive and its
items, which are too many to hold. Nothing here knows of a database.

What does not fit is left out with a sentence in `troubles`; the rest of the account goes on.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from typing import Any, Final

from archive.protocol import Preferences, parse_preferences
from mlink_web.portability import names
from mlink_web.portability.addressing import readdress, rename_bookmarks
from mlink_web.portability.mapping import Addresses
from mlink_web.portability.names import shown
from xmpp_engine.api import (
    Element,
    JidError,
    ScramKeys,
    StanzaError,
    avatar_forms,
    build,
    forms,
    ns,
    subscription_form,
    write,
)

MAX_CONTACTS: Final = 50_000
MAX_REQUESTS: Final = 5_000
MAX_BLOCKED: Final = 50_000
MAX_OFFLINE: Final = 20_000
MAX_NODES: Final = 2_000
MAX_LISTED: Final = 20_000
MAX_TEXT: Final = 1_023
MAX_GROUPS: Final = 100
MAX_ITERATIONS: Final = 1_000_000
MAX_SALT: Final = 1_024
#: Sentences kept of one account; more are only counted.
MAX_TROUBLES: Final = 50
#: Bytes of the keys, by mechanism.
KEY_BYTES: Final = {"SCRAM-SHA-256": 32, "SCRAM-SHA-1": 20}
_SUBSCRIPTIONS: Final = frozenset({"none", "to", "from", "both"})
_STATES: Final = frozenset({"active", "disabled", "locked", "expired"})
_AFFILIATIONS: Final = frozenset({"owner", "publisher", "publish-only", "member", "outcast"})


@dataclass(slots=True)
class Contact:
    """One entry of the roster."""

    jid: str
    name: str = ""
    subscription: str = "none"
    ask: bool = False
    approved: bool = False
    groups: tuple[str, ...] = ()


@dataclass(slots=True)
class Kept:
    """One offline message; times are seconds since the epoch, `expires` 0 for never, `stamp` 0 where none is told."""

    stamp: float
    expires: float
    xml: str


@dataclass(slots=True)
class NodePlan:
    """A node of the account: the submitted form, None for no word of it."""

    name: str
    form: dict[str, tuple[str, ...]] | None = None
    creator: str = ""
    created: float = 0.0
    affiliations: dict[str, str] = field(default_factory=dict)
    #: (jid, subid, state, options, expire)
    subscriptions: list[tuple[str, str, str, dict[str, Any], float]] = field(default_factory=list)


@dataclass(slots=True)
class Intake:
    """See the module. Parts that the import has no word of are None."""

    addresses: Addresses
    bare: str
    where: str
    password: str | None = None
    keys: dict[str, ScramKeys] = field(default_factory=dict)
    state: str = ""
    created: float = 0.0
    last_logout: float = 0.0
    last_status: str = ""
    moved_to: str = ""
    contacts: dict[str, Contact] | None = None
    roster_version: int = 0
    requests: dict[str, str] = field(default_factory=dict)
    blocked: dict[str, None] | None = None
    private: dict[tuple[str, str], str] | None = None
    vcard: str | None = None
    picture: avatar_forms.Picture | None = None
    preferences: Preferences | None = None
    offline: list[Kept] = field(default_factory=list)
    nodes: dict[str, NodePlan] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)
    _has_blocklist: bool = False

    def trouble(self, sentence: str) -> None:
        """Note what is left out, and why."""
        if len(self.troubles) < MAX_TROUBLES:
            if sentence not in self.troubles:
                self.troubles.append(sentence)
        elif len(self.troubles) == MAX_TROUBLES:
            self.troubles.append("There is more of this kind.")

    def part(self, element: Element) -> None:
        """Take a child of `<user/>`."""
        taker = _PARTS.get((element.ns, element.name))
        if taker is None:
            self.trouble(f"<{shown(element.name)[1:-1]}/> in the namespace {shown(element.ns)} is not known here.")
            return
        try:
            taker(self, element)
        except (ValueError, OverflowError, StanzaError) as error:
            self.trouble(f"{_PART_NAMES.get(element.ns, element.name)}: {error}")

    # Signing in

    def _credentials(self, element: Element) -> None:
        mechanism = (element.get("mechanism") or "").upper().removesuffix("-PLUS")
        size = KEY_BYTES.get(mechanism)
        if size is None:
            self.trouble(f"Keys for {shown(mechanism)} are of no use here.")
            return
        if mechanism in self.keys:
            self.trouble(f"There is more than one set of keys for {mechanism}; the first one counts.")
            return
        rounds = (element.child_text(names.SCRAM, "iter-count") or "").strip()
        if not (rounds.isascii() and rounds.isdigit() and len(rounds) <= 8 and 1 <= int(rounds) <= MAX_ITERATIONS):
            raise ValueError(f"the count of iterations of {mechanism} is not one from 1 to {MAX_ITERATIONS:,}")
        salt, server, stored = (_base64(element, name) for name in ("salt", "server-key", "stored-key"))
        if len(server) != size and len(stored) != size:
            # COMPAT(ejabberd 23.01, 2026-11): it writes the base64 of the base64.
            salt, server, stored = (_decoded(value) for value in (salt, server, stored))
        if len(server) != size or len(stored) != size or not 1 <= len(salt) <= MAX_SALT:
            raise ValueError(f"the keys or the salt of {mechanism} have a length that they cannot have")
        self.keys[mechanism] = ScramKeys(mechanism, salt, int(rounds), stored, server)

    def _about(self, element: Element) -> None:
        state = element.get("state") or ""
        self.state = state if state in _STATES else ""
        self.created = _time(element.get("created"))
        moved_to = self.addresses.jid(element.get("moved-to") or self.bare)
        if moved_to.local and moved_to.full != self.bare:
            self.moved_to = moved_to.bare
        last = element.find(names.MLINK, "last")
        if last is not None:
            self.last_logout, self.last_status = _time(last.get("stamp")), last.text[:4_096]

    # Contacts

    def _roster(self, element: Element) -> None:
        contacts = self.contacts = self.contacts or {}
        version = element.get("ver") or element.get("version") or ""
        if version.isascii() and version.isdigit() and len(version) <= 15:
            self.roster_version = int(version)
        for item in element.find_all(ns.ROSTER, "item"):
            if len(contacts) >= MAX_CONTACTS:
                self.trouble(f"The roster has more than {MAX_CONTACTS:,} contacts; the rest is left out.")
                return
            contact = self._contact(item)
            if contact is not None:
                contacts[contact.jid] = contact

    def _contact(self, item: Element) -> Contact | None:
        jid = self._bare(item.get("jid") or "", "A contact")
        if jid is None or jid == self.bare:
            return None
        subscription = item.get("subscription") or "none"
        if subscription == "remove":
            return None
        if subscription not in _SUBSCRIPTIONS:
            self.trouble(f"The contact {jid} has the subscription {shown(subscription)}, which counts as none.")
            subscription = "none"
        groups = dict.fromkeys(_line(group.text) for group in item.find_all(ns.ROSTER, "group"))
        groups.pop("", None)
        return Contact(
            jid,
            _line(item.get("name") or ""),
            subscription,
            item.get("ask") == "subscribe" and subscription in ("none", "from"),
            item.get("approved") in ("true", "1"),
            tuple(groups)[:MAX_GROUPS],
        )

    def _request(self, element: Element) -> None:
        if element.get("type") != "subscribe":
            self.trouble("A presence that is no request for a subscription is passed over.")
            return
        jid = self._bare(element.get("from") or "", "A request for a subscription")
        if jid is None or jid == self.bare or len(self.requests) >= MAX_REQUESTS:
            return
        kept = element.copy()
        kept.attrs["from"], kept.attrs["to"] = jid, self.bare
        self.requests[jid] = write(kept, ns.CLIENT)

    def _blocklist(self, element: Element) -> None:
        self._has_blocklist = True
        self.blocked = {}
        for item in element.find_all(ns.BLOCKING, "item"):
            self._block(item.get("jid") or "")

    def _privacy(self, element: Element) -> None:
        """Of privacy lists only what a block list can say: of the default one, addresses that are denied all."""
        if self._has_blocklist:
            return
        default = element.find(names.PRIVACY, "default")
        name = default.get("name") if default is not None else None
        lists = element.find_all(names.PRIVACY, "list")
        others = 0
        for one in lists:
            if one.get("name") != name:
                others += 1
                continue
            self.blocked = self.blocked or {}
            for item in one.find_all(names.PRIVACY, "item"):
                limited = any(child.ns == names.PRIVACY for child in item.elements())
                if item.get("type") == "jid" and item.get("action") == "deny" and not limited:
                    self._block(item.get("value") or "")
                elif not (item.get("action") == "allow" and item.get("type") is None):
                    others += 1
        if others:
            self.trouble(
                f"{others} rule(s) or list(s) of privacy lists say what a block list cannot; they are left out."
            )

    def _block(self, text: str) -> None:
        blocked = self.blocked = self.blocked if self.blocked is not None else {}
        if len(blocked) < MAX_BLOCKED:
            try:
                blocked[self.addresses.jid(text).full] = None
            except JidError as error:
                self.trouble(f"An entry of the block list, {shown(text)}, is no address: {error}.")

    # Data

    def _private(self, element: Element) -> None:
        private = self.private = self.private or {}
        for child in element.elements():
            if len(child.ns.encode()) > 1_000 or len(child.name.encode()) > 200:
                self.trouble("A private element has a name or namespace that is too long.")
                continue
            rename_bookmarks(child, self.addresses)
            private[child.ns, child.name] = write(child)

    def _vcard(self, element: Element) -> None:
        self.picture = avatar_forms.photo(element)
        self.vcard = write(avatar_forms.without_photo(element))

    def _preferences(self, element: Element) -> None:
        parsed = parse_preferences(element)
        text = self.addresses.text
        self.preferences = Preferences(
            parsed.default, tuple(sorted(map(text, parsed.always))), tuple(sorted(map(text, parsed.never)))
        )

    def message(self, element: Element) -> None:
        """Take an offline message."""
        if (element.ns, element.name) != (ns.CLIENT, "message"):
            self.trouble("Something among the offline messages is no message.")
            return
        if len(self.offline) >= MAX_OFFLINE:
            self.trouble(f"There are more than {MAX_OFFLINE:,} offline messages; the rest is left out.")
            return
        stamp, expires = (_time(element.attrs.pop(f"{names.MLINK} {name}", None)) for name in ("stamp", "expires"))
        if not readdress(element, self.addresses, to=self.bare):
            self.trouble("An offline message has no sender that is an address.")
            return
        domain = self.bare.partition("@")[2]
        for delay in element.find_all(ns.DELAY, "delay"):
            if stamp and delay.get("from") == domain:
                element.remove(delay)
            elif not stamp:
                stamp = _time(delay.get("stamp"))
        self.offline.append(Kept(stamp, expires, write(element, ns.CLIENT)))

    def owner(self, element: Element) -> None:
        """Take what a node of the account is configured to, or one of its lists."""
        name = element.get("node") or ""
        if not name or len(name.encode()) > MAX_TEXT:
            self.trouble("A node has no name, or one that is too long.")
            return
        if name not in self.nodes and len(self.nodes) >= MAX_NODES:
            self.trouble(f"There are more than {MAX_NODES:,} nodes; the rest is left out.")
            return
        plan = self.nodes.setdefault(name, NodePlan(name))
        if element.name == "configure":
            self._configure(plan, element)
        elif element.name == "affiliations":
            for child in element.find_all(ns.PUBSUB_OWNER, "affiliation")[:MAX_LISTED]:
                jid, kind = self._bare(child.get("jid") or "", "An affiliation"), child.get("affiliation") or ""
                if jid is not None and kind in _AFFILIATIONS:
                    plan.affiliations[jid] = kind
        elif element.name == "subscriptions":
            for child in element.find_all(ns.PUBSUB_OWNER, "subscription")[:MAX_LISTED]:
                self._subscription(plan, child)

    def _configure(self, plan: NodePlan, element: Element) -> None:
        plan.created = _time(element.get(f"{names.MLINK} created"))
        creator = element.get(f"{names.MLINK} creator")
        plan.creator = self.addresses.text(creator)[:MAX_TEXT] if creator else ""
        form = element.find(ns.DATA_FORMS, "x")
        if form is not None:
            try:
                plan.form = dict(forms.read(form))
            except StanzaError as error:
                self.trouble(f"The configuration of the node {shown(plan.name)} is not understood: {error}.")

    def _subscription(self, plan: NodePlan, child: Element) -> None:
        # COMPAT(prosody 0.12, 2026-08): it writes the state as the attribute "subscribed".
        state = child.get("subscription") or child.get("subscribed") or ""
        if state not in ("subscribed", "pending", "unconfigured"):
            return
        try:
            jid = self.addresses.jid(child.get("jid") or "").full
        except JidError:
            self.trouble(f"A subscription to the node {shown(plan.name)} has no address.")
            return
        values: dict[str, Any] = {}
        options = child.find(ns.PUBSUB_OWNER, "options")
        form = options.find(ns.DATA_FORMS, "x") if options is not None else None
        expire = 0.0
        if form is not None:
            try:
                values, expire = subscription_form.settled(subscription_form.read(form), 0.0, 0.0, temporary=False)
            except StanzaError as error:
                self.trouble(f"Options of a subscription to the node {shown(plan.name)} are left out: {error}.")
        plan.subscriptions.append((jid, (child.get("subid") or "")[:MAX_TEXT], state, values, expire))

    def _bare(self, text: str, what: str) -> str | None:
        try:
            bare = self.addresses.bare(text)
        except JidError as error:
            self.trouble(f"{what}, {shown(text)}, is no address: {error}.")
            return None
        if len(bare.encode()) > 2_047:
            self.trouble(f"{what} has an address that is too long.")
            return None
        return bare


def _base64(element: Element, name: str) -> bytes:
    try:
        return base64.b64decode("".join((element.child_text(names.SCRAM, name) or "").split()), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"<{name}/> is not in base64") from None


def _decoded(value: bytes) -> bytes:
    """What is in base64 once more; b"" where it is not."""
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _time(text: str | None) -> float:
    """Seconds since the epoch of a time that may be missing or wrong: 0 then."""
    try:
        return max(build.parse_timestamp(text), 0.0) if text else 0.0
    except (ValueError, OverflowError):
        return 0.0


def _line(text: str) -> str:
    """A text of one line that fits into its column."""
    line = " ".join(text.split())
    while len(line.encode()) > MAX_TEXT:
        line = line[:-1]
    return line


_PARTS: Final = {
    (names.SCRAM, "scram-credentials"): Intake._credentials,
    (names.MLINK, "account"): Intake._about,
    (ns.ROSTER, "query"): Intake._roster,
    (ns.CLIENT, "presence"): Intake._request,
    (ns.BLOCKING, "blocklist"): Intake._blocklist,
    (names.PRIVACY, "query"): Intake._privacy,
    (ns.PRIVATE, "query"): Intake._private,
    (ns.VCARD, "vCard"): Intake._vcard,
    (ns.MAM, "prefs"): Intake._preferences,
}
_PART_NAMES: Final = {
    names.SCRAM: "Credentials",
    ns.MAM: "Preferences of the archive",
    ns.ROSTER: "Roster",
}
