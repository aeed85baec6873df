"""XEP-0377: reports of spam and abuse, which come as part of a block list request (`blocking.py`).

A report is stored before the block is: a request with reports is done as a whole or answered with an error. An account
that has used up its reports of the day still blocks, and what it reports beyond that is dropped and logged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.observe.log import refused, sessions
from xmpp_engine.plugin.module import Module, Xep
from xmpp_engine.plugin.registrar import Registrar
from xmpp_engine.plugin.table import Target
from xmpp_engine.routing.account import Account
from xmpp_engine.stanza.build import message
from xmpp_engine.storage.reports import MAX_MESSAGES, MAX_TEXT, Report
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError

DAY: Final = 86_400.0
_REASONS: Final = {"urn:xmpp:reporting:spam": "spam", "urn:xmpp:reporting:abuse": "abuse"}
_REASON: Final = 200
_ID: Final = 200


@dataclass(frozen=True, slots=True)
class ReportingOptions:
    """`per_day`: reports of one account in 24 hours that are kept. `notify`: addresses that get a message for each."""

    per_day: int = 50
    notify: tuple[str, ...] | list[str] = ()

    def __post_init__(self) -> None:
        if isinstance(self.notify, str):
            raise ValueError("reporting.notify is a list of addresses")
        for address in self.notify:
            Jid.parse(address)


class Reporting(Module):
    """Takes the reports out of block requests and keeps them."""

    name = "reporting"
    xeps = (Xep("0377", "0.4.1", "complete", "reports are not forwarded; what the user agreed to is shown"),)
    requires = ("blocking",)
    Config = ReportingOptions
    features = {Target.HOST: (ns.REPORTING,), Target.ACCOUNT: (ns.REPORTING,)}

    def setup(self, _reg: Registrar) -> None:
        self.needs("blocking").reports = self

    async def take(self, account: Account, items: list[tuple[Jid, Element]]) -> None:
        """Keep the reports of a block request, given its addresses and elements. Raises StanzaError where one is
        malformed, and StoreUnavailable; then nothing is kept."""
        now = self.services.clock.time()
        rows = [
            self._read(account, jid, element, now)
            for jid, item in items
            for element in item.find_all(ns.REPORTING, "report")
        ]
        if not rows:
            return
        numbers = await self.services.stores.reports.add(rows, now - DAY, self.config.per_day)
        if len(numbers) < len(rows):
            refused.warning("%s reports too much, %d reports are dropped", account.bare, len(rows) - len(numbers))
        for number, row in zip(numbers, rows, strict=False):
            sessions.info("%s reported %s (%s), report %d", row.reporter, row.reported, row.reason, number)
            self._notify(f"Report {number}: {row.reporter} reported {row.reported} ({row.reason}). {row.text}".strip())

    def _read(self, account: Account, jid: Jid, element: Element, now: float) -> Report:
        reason = element.get("reason") or ""
        if not reason or len(reason) > _REASON:
            raise StanzaError("bad-request", "a report needs a reason")
        named: dict[tuple[str, str], None] = {}
        for found in element.find_all(ns.STANZA_ID, "stanza-id"):
            id, by = found.get("id") or "", found.get("by") or ""
            if id and len(id) <= _ID:
                named[id, _bare(by)] = None
        if len(named) > MAX_MESSAGES:
            raise StanzaError("not-acceptable", f"a report names at most {MAX_MESSAGES} messages")
        return Report(
            domain=self.host.domain,
            reporter=account.bare,
            reported=jid.full,
            reason=_REASONS.get(reason, reason),
            text=(element.child_text(ns.REPORTING, "text") or "").strip()[:MAX_TEXT],
            messages=tuple(named),
            origin=element.find(ns.REPORTING, "report-origin") is not None,
            third_party=element.find(ns.REPORTING, "third-party") is not None,
            created=now,
        )

    def _notify(self, text: str) -> None:
        for address in self.config.notify:
            body = Element(ns.CLIENT, "body", None, text)
            self.services.router.route(message(self.host.jid, Jid.parse(address), "normal", body))


def _bare(text: str) -> str:
    """An address as it is stored; raises StanzaError for what is none."""
    try:
        return Jid.parse(text).bare
    except ValueError as error:
        raise StanzaError("jid-malformed", str(error)) from None
