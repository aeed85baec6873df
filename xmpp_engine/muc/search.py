"""Search for rooms (XEP-0433) at the address of the chat service: by words in name, description or address."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.plugin.module import Module, Xep
from xmpp_engine.plugin.registrar import Registrar
from xmpp_engine.plugin.table import Target
from xmpp_engine.routing.iq import IqContext
from xmpp_engine.runtime.buckets import Buckets
from xmpp_engine.stanza import forms, paging, rsm
from xmpp_engine.stanza.forms import Field
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError

if TYPE_CHECKING:
    from xmpp_engine.muc.service import Listing, RoomService

_BY_ADDRESS: Final = f"{{{ns.CHANNEL_SEARCH_ORDER}}}address"
_BY_USERS: Final = f"{{{ns.CHANNEL_SEARCH_ORDER}}}nusers"
_MUC: Final = "xep-0045"
_FORM: Final = (
    Field("q", "text-single", "Search for"),
    Field("all", "boolean", "All rooms, whatever is searched for", ("0",)),
    Field("sinname", "boolean", "Search in names", ("1",)),
    Field("sindescription", "boolean", "Search in descriptions", ("1",)),
    Field("sinaddress", "boolean", "Search in addresses", ("1",)),
    Field("min_users", "text-single", "Occupants at least", ("0",)),
    Field("types", "list-multi", "Kinds of rooms", (_MUC,), ((_MUC, "Multi-user chat"),), open=True),
    Field(
        "key",
        "list-single",
        "Sort by",
        (_BY_USERS,),
        ((_BY_USERS, "Occupants"), (_BY_ADDRESS, "Address")),
        open=True,
    ),
)
_DEFAULTS: Final = {"all": False, "sinname": True, "sindescription": True, "sinaddress": True, "key": _BY_USERS}
_WORDS: Final = 10
_LONGEST: Final = 200


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """`page`: rooms in one answer. `shortest`: letters of a word. `per_minute` and `burst`: searches of one account."""

    page: int = 100
    shortest: int = 2
    per_minute: float = 60.0
    burst: int = 30

    def __post_init__(self) -> None:
        if not self.per_minute > 0 or self.burst < 1 or self.page < 1:
            raise ValueError("page, per_minute and burst of a search are more than 0")


@dataclass(frozen=True, slots=True)
class Found:
    """One room that was found."""

    listing: Listing
    occupants: int


class RoomSearch(Module):
    """Answers searches."""

    name = "muc-search"
    xeps = (Xep("0433", "0.1.0"),)
    requires = ("muc",)
    Config = SearchOptions
    features = {Target.SERVICE: (ns.CHANNEL_SEARCH,)}

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._rate = Buckets(self.config.per_minute / 60, self.config.burst)

    def reconfigured(self, config: SearchOptions) -> None:
        """Other limits: count anew."""
        super().reconfigured(config)
        self._rate = Buckets(config.per_minute / 60, config.burst)

    def setup(self, reg: Registrar) -> None:
        reg.iq_get(Target.SERVICE, ns.CHANNEL_SEARCH, "search", self.answer)

    def answer(self, iq: Stanza, context: IqContext) -> Element:
        """The form, or the rooms that a submitted one asks for."""
        request = iq.element.first()
        assert request is not None
        form = forms.find(request, "submit")
        if form is None:
            if request.first() is not None:
                raise _error("bad-request", "no-search-conditions", "the form of the search is expected")
            shown = forms.render("form", ns.CHANNEL_SEARCH_PARAMS, _FORM, title="Search for rooms")
            return Element(ns.CHANNEL_SEARCH, "search", None, shown)
        self._count(iq.sender)
        submitted = forms.read(form, ns.CHANNEL_SEARCH_PARAMS)
        known = {field.var for field in _FORM}
        values = {**_DEFAULTS, **forms.check({v: t for v, t in submitted.items() if v in known}, _FORM)}
        found = self.search(context.room, iq.sender, values)
        return _result(context.room, found, str(values["key"]), rsm.parse(request), self.config.page)

    def search(self, service: RoomService, asker: Jid, values: Mapping[str, Any]) -> list[Found]:
        """The rooms that match, in no order. `values` are fields of the form. Raises StanzaError."""
        words = self._words(str(values.get("q", "")), bool(values["all"]), "q" in values)
        if values["key"] not in (_BY_ADDRESS, _BY_USERS):
            raise _error("feature-not-implemented", "invalid-sort-key", "rooms are not sorted by that", type="modify")
        least = str(values.get("min_users", "0")).strip() or "0"
        if not (least.isascii() and least.isdigit() and len(least) <= 9):
            raise StanzaError("bad-request", "the field min_users needs a number")
        types = values.get("types")
        if types and _MUC not in types:
            return []
        if words and not (values["sinname"] or values["sindescription"] or values["sinaddress"]):
            raise _error("bad-request", "conflicting-fields", "nothing is to be searched in")
        found = []
        for listing in service.directory.values():
            if not listing.public or service.hidden(listing):
                continue
            occupants = service.occupants_of(listing.local)
            if occupants >= int(least) and _matches(listing, words, values):
                found.append(Found(listing, occupants))
        return found

    def _words(self, text: str, everything: bool, given: bool) -> list[str]:
        if everything:
            if text.strip():
                raise _error(
                    "bad-request", "conflicting-fields", "either all rooms or those with some words", "all", "q"
                )
            return []
        if not given:
            raise _error("bad-request", "no-search-conditions", "say what to search for", type="cancel")
        if len(text) > _LONGEST:
            raise _error("bad-request", "invalid-search-terms", f"at most {_LONGEST} characters are searched for")
        words = [word for word in text.casefold().split() if len(word) >= self.config.shortest][:_WORDS]
        if not words:
            text = f"a word to search for has at least {self.config.shortest} letters"
            raise _error("bad-request", "invalid-search-terms", text)
        return words

    def _count(self, asker: Jid) -> None:
        if not self._rate.take(asker.bare, self.services.clock.now()):
            error = _error("resource-constraint", "rate-limit", "you search too often", type="wait")
            assert error.app is not None
            error.app.attrs["retry-after"] = str(max(1, round(60 / self.config.per_minute)))
            raise error


def _matches(listing: Listing, words: list[str], values: Mapping[str, Any]) -> bool:
    """Whether every word stands somewhere in what is searched."""
    if not words:
        return True
    parts = []
    if values["sinname"]:
        parts.append(listing.name)
    if values["sindescription"]:
        parts.append(listing.description)
    if values["sinaddress"]:
        parts.append(listing.local)
    text = "\n".join(parts).casefold()
    return all(word in text for word in words)


def _result(service: RoomService, found: list[Found], key: str, page: rsm.PageRequest, most: int) -> Element:
    """A page of what was found. Sorted by occupants, a row's key is their number counted down and the address."""
    by_users = key == _BY_USERS
    rows = []
    for one in found:
        address = f"{one.listing.local}@{service.domain}"
        rows.append((f"{10**9 - one.occupants:010d} {address}" if by_users else address, _item(address, one)))
    rows.sort(key=lambda row: row[0])
    return paging.answer(Element(ns.CHANNEL_SEARCH, "result"), rows, page, most)


def _item(address: str, one: Found) -> Element:
    listing = one.listing
    item = Element(ns.CHANNEL_SEARCH, "item", {"address": address})
    item.add(ns.CHANNEL_SEARCH, "name", text=listing.name or listing.local)
    if listing.description:
        item.add(ns.CHANNEL_SEARCH, "description", text=listing.description)
    item.add(ns.CHANNEL_SEARCH, "nusers", text=str(one.occupants))
    item.add(ns.CHANNEL_SEARCH, "service-type", text=_MUC)
    if listing.lang:
        item.add(ns.CHANNEL_SEARCH, "language", text=listing.lang)
    item.add(ns.CHANNEL_SEARCH, "is-open", text="true" if listing.open else "false")
    anonymity = "muc_semianonymous" if listing.anonymous else f"{{{ns.CHANNEL_SEARCH_ANONYMITY}}}none"
    item.add(ns.CHANNEL_SEARCH, "anonymity-mode", text=anonymity)
    return item


def _error(condition: str, app: str, text: str, *fields: str, type: str = "modify") -> StanzaError:
    element = Element(ns.CHANNEL_SEARCH_ERRORS, app)
    for var in fields:
        element.add(ns.CHANNEL_SEARCH_ERRORS, "var", text=var)
    return StanzaError(condition, text, type=type, app=element)
