"""Takes accounts into the database, or says what would be taken (`dry`).

    skip       an account that is there stays as it is
    merge      what is there stays, what is missing is added
    replace    each kind of data that the import has takes the place of what is there; what it has no word of stays

An account is one transaction. Running nodes read it anew once that is committed. Archived messages and items of nodes
come afterwards (`messages.py`, `published.py`), for they may be many; those are only ever added.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final, Literal

from django.db import IntegrityError, connections, transaction

from mlink_web.accounts import scram, services
from mlink_web.accounts.models import Account, Credential
from mlink_web.conf import services as configuration
from mlink_web.conf.models import Domain
from mlink_web.portability import taking_nodes as nodes
from mlink_web.portability.intake import Contact, Intake
from mlink_web.portability.names import shown
from mlink_web.portability.taken import CHANGED, MADE, REFUSED, SAME, SKIPPED, Taken
from mlink_web.stores.models import BlockItem, OfflineMessage, PrivateXml, RosterItem, RosterRemoved, VCard
from xmpp_engine.api import JidError, ScramKeys, build

Policy = Literal["skip", "merge", "replace"]
POLICIES: Final[tuple[Policy, ...]] = ("skip", "merge", "replace")
_ROWS: Final = 200


class Refusal(Exception):
    """The account is not taken; the text is a sentence."""


class Taker:
    """Takes accounts of one import. `make_domains`: a domain that is not served is added."""

    def __init__(self, alias: str, policy: Policy, *, dry: bool, make_domains: bool = False) -> None:
        self.alias = alias
        self.policy = policy
        self.dry = dry
        self._make_domains = make_domains
        #: Domains that are served, or would be.
        self._domains: set[str] = set(Domain.objects.using(alias).values_list("name", flat=True))
        self.made_domains: list[str] = []

    def take(self, intake: Intake, *, ours: bool = False) -> Taken:
        """Take an account. `ours`: this import has made it before it was cut off, so it does not count as there
        already."""
        taken = Taken(intake.bare, REFUSED, troubles=intake.troubles)
        try:
            self._check(intake)
            with transaction.atomic(using=self.alias):
                account = (
                    Account.objects.using(self.alias)
                    .select_for_update(of=("self",))
                    .select_related("domain")
                    .filter(username=intake.bare)
                    .first()
                )
                if account is not None and self.policy == "skip" and not ours:
                    taken.outcome, taken.number = SKIPPED, account.pk
                    return taken
                self._into(account, intake, taken, fresh=account is None or ours)
        except Refusal as refusal:
            taken.outcome = REFUSED
            taken.counts.clear()
            taken.troubles.insert(0, str(refusal))
        return taken

    def _check(self, intake: Intake) -> None:
        try:
            jid = services.address(intake.bare)
        except ValueError as error:
            raise Refusal(str(error)) from None
        if jid.domain not in self._domains:
            if not self._make_domains:
                raise Refusal(f"The domain {jid.domain} is not served here.")
            if not self.dry:
                try:
                    configuration.add_domain(jid.domain)
                except ValueError as error:
                    raise Refusal(str(error)) from None
            self._domains.add(jid.domain)
            self.made_domains.append(jid.domain)

    def _into(self, account: Account | None, intake: Intake, taken: Taken, *, fresh: bool) -> None:
        replace = fresh or self.policy == "replace"
        made = account is None
        if account is None:
            account = self._make(intake, taken)
        elif replace:
            self._sign_in(account, intake, taken)
        taken.number = account.pk or 0
        self._about(account, intake, taken, fresh=fresh)
        self._roster(account, intake, taken, replace=replace)
        self._blocked(account, intake, taken, replace=replace)
        self._private(account, intake, taken, replace=replace)
        self._vcard(account, intake, taken, replace=replace)
        self._preferences(account, intake, taken, replace=replace)
        self._offline(account, intake, taken)
        nodes.take(connections[self.alias], account, intake, taken, replace=replace, dry=self.dry)
        taken.outcome = MADE if made else CHANGED if taken.counts else SAME
        if taken.counts and not self.dry:
            services.changed([account.username], using=self.alias)

    # The account itself

    def _keys(self, intake: Intake, taken: Taken) -> list[ScramKeys]:
        """The keys to sign in with: those of the password where the import tells it, for it serves every mechanism."""
        if intake.password:
            try:
                return [] if self.dry else scram.derive(intake.password)
            except ValueError as error:
                taken.troubles.append(f"The password cannot be one here: {error}")
        return list(intake.keys.values())

    def _make(self, intake: Intake, taken: Taken) -> Account:
        jid = services.address(intake.bare)
        try:
            services.check_reserved(jid, self.alias)
        except ValueError as error:
            raise Refusal(str(error)) from None
        keys = self._keys(intake, taken)
        if not keys and not intake.password:
            taken.troubles.append("There is nothing to sign in with: the account needs a new password.")
        taken.add("account", 1)
        if self.dry:
            return Account(username=intake.bare, local=jid.local)
        try:
            return services.insert(intake.bare, keys, state=intake.state or "active", using=self.alias)
        except IntegrityError:
            raise Refusal(f"{intake.bare} was made by somebody else in this moment.") from None
        except ValueError as error:
            raise Refusal(str(error)) from None

    def _sign_in(self, account: Account, intake: Intake, taken: Taken) -> None:
        if not intake.password and not intake.keys:
            return
        present = {row.mechanism: row.as_keys() for row in Credential.objects.using(self.alias).filter(account=account)}
        if intake.keys and present == intake.keys:
            return
        if intake.password and account.check_password(intake.password):
            return
        keys = self._keys(intake, taken)
        if keys or self.dry:
            taken.add("password", 1)
            if not self.dry:
                services.replace_keys(account.username, keys, using=self.alias)

    def _about(self, account: Account, intake: Intake, taken: Taken, *, fresh: bool) -> None:
        """When it was made, and when it was last there; an account that is there knows that better."""
        if not fresh or self.dry:
            return
        fields: list[str] = []
        if intake.created:
            account.created = datetime.fromtimestamp(intake.created, UTC)
            fields.append("created")
        if intake.last_logout:
            account.last_logout = datetime.fromtimestamp(intake.last_logout, UTC)
            account.last_status = intake.last_status
            fields += ["last_logout", "last_status"]
        if intake.moved_to:
            account.moved_to = intake.moved_to
            fields.append("moved_to")
        if fields:
            account.save(using=self.alias, update_fields=fields)

    # Contacts

    def _roster(self, account: Account, intake: Intake, taken: Taken, *, replace: bool) -> None:
        if intake.contacts is None and not intake.requests:
            return
        rows = RosterItem.objects.using(self.alias).filter(account_id=account.pk) if account.pk else []
        present = {row.jid: row for row in rows}
        version = max(intake.roster_version if not present else 0, account.roster_version + 1)
        put: dict[str, RosterItem] = {}
        for jid, contact in (intake.contacts or {}).items():
            row = present.get(jid)
            if row is None or (replace and not _is(row, contact)) or (not replace and row.version == 0):
                put[jid] = _row(account, contact, version, row)
        gone = []
        if replace and intake.contacts is not None:
            gone = [row for jid, row in present.items() if jid not in intake.contacts and row.version > 0]
        requests = self._requests(account, intake, present, put)
        if not put and not gone:
            if intake.roster_version > account.roster_version and not present and not self.dry:
                Account.objects.using(self.alias).filter(pk=account.pk).update(roster_version=intake.roster_version)
            return
        taken.add("contacts", len(put) - requests)
        taken.add("requests", requests)
        taken.add("contacts removed", len(gone))
        if self.dry:
            return
        self._store_roster(account, list(put.values()), gone, version)

    def _requests(
        self, account: Account, intake: Intake, present: dict[str, RosterItem], put: dict[str, RosterItem]
    ) -> int:
        """Requests for subscriptions that wait; returns how many of them are no contacts."""
        strangers = 0
        for jid, xml in intake.requests.items():
            row = put.get(jid) or present.get(jid)
            if row is None:
                row = put[jid] = RosterItem(account=account, jid=jid)
                strangers += 1
            elif row.pending_in or row.subscription in ("from", "both"):
                continue
            else:
                put[jid] = row
            row.pending_in, row.request = True, xml
        return strangers

    def _store_roster(self, account: Account, put: list[RosterItem], gone: list[RosterItem], version: int) -> None:
        Account.objects.using(self.alias).filter(pk=account.pk).update(roster_version=version)
        for row in put:
            row.pk = None
        RosterItem.objects.using(self.alias).bulk_create(
            put,
            update_conflicts=True,
            update_fields=("name", "subscription", "ask", "approved", "groups", "version", "pending_in", "request"),
            unique_fields=("account", "jid"),
            batch_size=_ROWS,
        )
        for start in range(0, len(gone), _ROWS):
            jids = [row.jid for row in gone[start : start + _ROWS]]
            RosterItem.objects.using(self.alias).filter(account_id=account.pk, jid__in=jids).delete()
            RosterRemoved.objects.using(self.alias).bulk_create(
                [RosterRemoved(account=account, jid=jid, version=version) for jid in jids],
                update_conflicts=True,
                update_fields=("version",),
                unique_fields=("account", "jid"),
            )

    def _blocked(self, account: Account, intake: Intake, taken: Taken, *, replace: bool) -> None:
        if intake.blocked is None:
            return
        rows = BlockItem.objects.using(self.alias).filter(account_id=account.pk or 0)
        present = set(rows.values_list("jid", flat=True))
        fresh = [jid for jid in intake.blocked if jid not in present and len(jid.encode()) <= 2_600]
        gone = [jid for jid in present if jid not in intake.blocked] if replace else []
        taken.add("blocked", len(fresh) + len(gone))
        if not self.dry:
            BlockItem.objects.using(self.alias).bulk_create(
                [BlockItem(account=account, jid=jid) for jid in fresh], ignore_conflicts=True, batch_size=_ROWS
            )
            for start in range(0, len(gone), _ROWS):
                rows.filter(jid__in=gone[start : start + _ROWS]).delete()

    # Data

    def _private(self, account: Account, intake: Intake, taken: Taken, *, replace: bool) -> None:
        if intake.private is None:
            return
        rows = PrivateXml.objects.using(self.alias).filter(account_id=account.pk or 0)
        present = {(row.ns, row.name): row.xml for row in rows}
        put = {
            key: xml for key, xml in intake.private.items() if key not in present or (replace and present[key] != xml)
        }
        taken.add("private data", len(put))
        if not self.dry:
            PrivateXml.objects.using(self.alias).bulk_create(
                [
                    PrivateXml(account=account, ns=space, name=name, xml=xml, size=len(xml.encode()))
                    for (space, name), xml in put.items()
                ],
                update_conflicts=True,
                update_fields=("xml", "size"),
                unique_fields=("account", "ns", "name"),
                batch_size=_ROWS,
            )

    def _vcard(self, account: Account, intake: Intake, taken: Taken, *, replace: bool) -> None:
        if intake.vcard is None:
            return
        present = (
            VCard.objects.using(self.alias).filter(account_id=account.pk or 0).values_list("xml", flat=True).first()
        )
        if present == intake.vcard or (present is not None and not replace):
            return
        taken.add("vCard", 1)
        if not self.dry:
            VCard.objects.using(self.alias).bulk_create(
                [VCard(account=account, xml=intake.vcard)],
                update_conflicts=True,
                update_fields=("xml",),
                unique_fields=("account",),
            )

    def _preferences(self, account: Account, intake: Intake, taken: Taken, *, replace: bool) -> None:
        wanted = intake.preferences
        if wanted is None or (account.archive and not replace):
            return
        always, never = list(wanted.always), list(wanted.never)
        if (account.archive, account.archive_always, account.archive_never) == (wanted.default, always, never):
            return
        taken.add("preferences", 1)
        if not self.dry:
            account.archive, account.archive_always, account.archive_never = wanted.default, always, never
            account.save(using=self.alias, update_fields=("archive", "archive_always", "archive_never"))

    def _offline(self, account: Account, intake: Intake, taken: Taken) -> None:
        """Messages that wait are added; one that waits already is known by its text and time."""
        if not intake.offline:
            return
        rows = OfflineMessage.objects.using(self.alias).filter(account_id=account.pk or 0)
        present = {(build.timestamp(stamp), xml) for stamp, xml in rows.values_list("stamp", "xml")}
        fresh = [kept for kept in intake.offline if (build.timestamp(kept.stamp), kept.xml) not in present]
        taken.add("offline messages", len(fresh))
        if not self.dry:
            OfflineMessage.objects.using(self.alias).bulk_create(
                [
                    OfflineMessage(
                        account=account,
                        stamp=kept.stamp,
                        xml=kept.xml,
                        size=len(kept.xml.encode()),
                        expires=kept.expires,
                    )
                    for kept in fresh
                ],
                batch_size=_ROWS,
            )


def _is(row: RosterItem, contact: Contact) -> bool:
    return (row.name, row.subscription, row.ask, row.approved, tuple(row.groups)) == (
        contact.name,
        contact.subscription,
        contact.ask,
        contact.approved,
        contact.groups,
    ) and row.version > 0


def _row(account: Account, contact: Contact, version: int, before: RosterItem | None) -> RosterItem:
    row = RosterItem(
        account=account,
        jid=contact.jid,
        name=contact.name,
        subscription=contact.subscription,
        ask=contact.ask,
        approved=contact.approved,
        groups=list(contact.groups),
        version=version,
    )
    if before is not None and before.pending_in and contact.subscription not in ("from", "both"):
        row.pending_in, row.request = True, before.request
    return row


def address_of(intake_name: str, host: str, addresses: Any) -> str:
    """The bare address of a user of an import as it is here; raises ValueError with a sentence."""
    if not intake_name or "@" in intake_name or "/" in intake_name:
        raise ValueError(f"{shown(intake_name)} is no name of an account.")
    try:
        bare: str = addresses.bare(f"{intake_name}@{host}")
    except JidError as error:
        raise ValueError(f"{shown(intake_name)} at {shown(host)} is no address: {error}.") from None
    return bare
