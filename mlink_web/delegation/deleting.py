"""Deleting a domain: what there is to go, what forbids it, and the order. `deletion.py` does the work.

    report      what the domain has, counted; nothing is changed
    check       what forbids it: a legal hold, or that nobody would be left to administer the server
    order       the domain is switched off at once (its streams end with `host-gone`) and a job takes it apart

The archive is kept, as that of a removed account, or exported to a file and then removed; what a legal hold covers is
never touched. What is not the domain's own stays (`STAYS`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Final

from django.core.exceptions import PermissionDenied
from django.db import connection, transaction
from django.db.models import Q, QuerySet, Sum
from django.http import HttpRequest

from archive.export import gathering
from archive.export.sources import NotAllowed, Officer
from archive.oversight.access import may_everywhere
from archive.oversight.criteria import Criteria, Scope
from archive.retention.holds import domains_of
from archive.retention.models import Hold
from fdp.models import Submission, Topic
from mlink_web.accounts.models import Account
from mlink_web.audit import log as audit
from mlink_web.conf import services as configuration
from mlink_web.conf.models import Domain
from mlink_web.delegation.models import DomainAdministrator, DomainDeletion
from mlink_web.delegation.reach import Reach
from mlink_web.groups.models import Group
from mlink_web.invitations.models import Invitation
from mlink_web.jobs import services as jobs
from mlink_web.pubsub.models import Node, Service
from mlink_web.reports.models import Report
from mlink_web.rooms.models import Room
from mlink_web.uploads.models import Upload

log = logging.getLogger("mlink.delegation")

KIND: Final = "domain deletion"
MAX_REASON: Final = 1_000
#: What is not touched, and why; shown before and after.
STAYS: Final = (
    ("messages in the archives of people of other domains", "They are copies that belong to the other side."),
    ("contact list entries and places in rooms of others", "They name an address, and who wrote them keeps them."),
    ("forms that were submitted", "They are records of their topic and are kept as long as that says."),
    ("reports of spam and abuse", "They are needed to tell a repeated abuse."),
    ("rights of archive officers over the domain", "Whoever answers for a kept archive must be able to read it."),
    ("day files, and exports that were made", "They follow their own retention."),
    ("the audit log", "It says who did what on this server, and cannot be changed."),
)


class CannotDelete(ValueError):
    """The domain is not deleted; the text is a sentence."""


def hosts_of(domain: Domain) -> list[str]:
    """The domain and everything below it that is its own and has left something in the database."""
    reach = Reach(frozenset((domain.name,)), frozenset(Domain.objects.values_list("name", flat=True)))
    below = f".{domain.name}"
    found = {domain.name}
    for rows, field in (
        (Room.objects.all(), "service"),
        (Service.objects.exclude(address__contains="@"), "address"),
        (Topic.objects.all(), "service"),
    ):
        found.update(rows.filter(**{f"{field}__endswith": below}).values_list(field, flat=True).distinct())
    for module in ("muc", "pubsub", "forms", "upload"):
        options = domain.modules.get(module, {}) if isinstance(domain.modules, dict) else {}
        labels = options.get("services", {}) if isinstance(options, dict) else {}
        found.update(f"{label}.{domain.name}" for label in labels if isinstance(labels, dict))
    found.update(f"{label}.{domain.name}" for label in ("conference", "pubsub", "forms", "upload"))
    return sorted(name for name in found if reach.covers(name))


def accounts(domain: int) -> QuerySet[Account]:
    """The accounts of a domain, by its number."""
    return Account.objects.filter(domain_id=domain)


def rooms(hosts: list[str]) -> QuerySet[Room]:
    """The stored rooms of its services."""
    return Room.objects.filter(service__in=hosts)


def nodes(hosts: list[str]) -> QuerySet[Node]:
    """The nodes of its publish-subscribe services; those of accounts go with these."""
    return Node.objects.filter(service__address__in=hosts)


def files(domain: int) -> QuerySet[Upload]:
    """The shared files of its accounts."""
    return Upload.objects.filter(state=Upload.State.STORED, account_id__in=accounts(domain).values("pk"))


def criteria_of(hosts: list[str]) -> Criteria:
    """The search that finds its archive: what stands in the archives of its people and rooms."""
    return Criteria(domains=tuple(hosts), scope=Scope(domains=tuple(hosts)))


def report(domain: Domain) -> dict[str, Any]:
    """What there is of a domain: kinds to numbers. `messages` and `message_bytes` are None where counting takes too
    long, and `messages_exact` says whether they are counted or reckoned."""
    hosts = hosts_of(domain)
    found: dict[str, Any] = {
        "users": accounts(domain.pk).count(),
        "administrators": DomainAdministrator.objects.filter(domain=domain).count(),
        "groups": Group.objects.filter(domain=domain).count(),
        "rooms": rooms(hosts).count(),
        "nodes": nodes(hosts).count(),
        "personal_nodes": Node.objects.filter(service__address__endswith=f"@{domain.name}").count(),
        "files": files(domain.pk).count(),
        "file_bytes": files(domain.pk).aggregate(total=Sum("size"))["total"] or 0,
        "invitations": Invitation.objects.filter(domain=domain.name).count(),
        "reports": Report.objects.filter(domain=domain.name).count(),
        "topics": Topic.objects.filter(service__in=hosts, removed=0).count(),
        "submissions": Submission.objects.filter(topic__service__in=hosts).count(),
    }
    try:
        expected = Officer(connection, criteria_of(hosts)).estimate()
    except NotAllowed:
        return {**found, "messages": None, "messages_exact": False, "message_bytes": None}
    return {
        **found,
        "messages": expected.messages,
        "messages_exact": expected.exact,
        "message_bytes": expected.messages * expected.mean,
    }


def hold_on(domain: Domain) -> str:
    """Why a legal hold forbids the deletion, "" where none does. Whatever goes wrong forbids it."""
    try:
        hosts = hosts_of(domain)
        above = {name for host in hosts for name in domains_of(host)}
        for hold in Hold.objects.filter(released=None).order_by("pk"):
            if hold.scope == Hold.Scope.DOMAIN:
                covered = hold.address in above
            elif hold.scope in (Hold.Scope.ACCOUNT, Hold.Scope.ROOM, Hold.Scope.TALK):
                sides = {side.rpartition("@")[2] for side in (hold.address, hold.peer) if side}
                covered = bool(sides & set(hosts))
            else:
                covered = True
            if covered:
                since = time.strftime("%Y-%m-%d", time.gmtime(hold.placed))
                return f"A legal hold since {since} covers what is in this domain: {hold.reason}"
    except Exception:
        log.exception("whether %s is held cannot be found out", domain.name)
        return "Whether a legal hold covers this domain cannot be found out now; nothing is deleted."
    return ""


def check(domain: Domain, by: str) -> None:
    """Raise CannotDelete where the domain must not be deleted."""
    if not Domain.objects.exclude(pk=domain.pk).filter(enabled=True).exists():
        raise CannotDelete(f"No other domain is on: {domain.name} cannot go.")
    if by.rpartition("@")[2] == domain.name:
        raise CannotDelete("Your own account is in this domain. An administrator of another domain deletes it.")
    left = Account.objects.filter(is_superuser=True, state=Account.State.ACTIVE).exclude(domain=domain)
    if not left.exists():
        raise CannotDelete("All administrators of the server are in this domain; make another one elsewhere first.")
    held = hold_on(domain)
    if held:
        raise CannotDelete(held)


def choices(user: Any) -> list[tuple[str, str]]:
    """What somebody may have done with the archive."""
    everything = [(str(value), str(label)) for value, label in DomainDeletion.Archive.choices]
    return everything if may_take_archive(user) else everything[:1]


def may_take_archive(user: Any) -> bool:
    """Whether somebody may have the archive of a domain exported and removed, and fetch the file."""
    return may_everywhere(user, "export") and may_everywhere(user, "retain")


def order(domain: Domain, by: str, archive: str, reason: str, record: Callable[..., object]) -> DomainDeletion:
    """Switch a domain off and have it deleted. `record` writes the audit entry (what, target, details) in the same
    transaction. Raises CannotDelete, jobs.TooMany, or ValueError where the configuration refuses it."""
    reason = " ".join(reason.split())
    if not reason or len(reason) > MAX_REASON:
        raise CannotDelete(f"Say why the domain is deleted, in at most {MAX_REASON:,} characters.")
    if archive not in DomainDeletion.Archive.values:
        raise CannotDelete("Choose what becomes of the archive.")
    found = report(domain)
    if archive == DomainDeletion.Archive.EXPORT and (found["messages"] is None or found["messages"] > gathering.MOST):
        raise CannotDelete(
            f"One file holds at most {gathering.MOST:,} messages. Export the archive in parts, and keep it here."
        )
    with transaction.atomic():
        check(domain, by)
        if DomainDeletion.objects.filter(domain=domain.pk, state=DomainDeletion.State.WAITING).exists():
            raise CannotDelete(f"The deletion of {domain.name} is under way.")
        record("domain deletion ordered", domain.name, archive=archive, reason=reason, found=found)
        row = DomainDeletion.objects.create(
            name=domain.name,
            domain=domain.pk,
            archive=archive,
            ordered_by=by,
            ordered=time.time(),
            reason=reason,
            found=found,
            kept=[{"what": what, "why": why} for what, why in STAYS],
        )
        if domain.enabled:
            configuration.change_domain(domain, enabled=False)
        total = sum(found[kind] for kind in ("users", "rooms", "nodes", "files"))
        if archive == DomainDeletion.Archive.EXPORT:
            total += found["messages"]
        job = jobs.order(KIND, by, f"Deletion of {domain.name}", {"deletion": row.pk}, total=total, unit="things")
        row.job = job.token
        row.save(update_fields=("job",))
    return row


def may_see(user: Any, _job: Any) -> bool:
    """Every administrator of the server sees deletions."""
    from mlink_web.console.access import may_use_console

    return may_use_console(user)


def downloaded(request: HttpRequest, job: Any) -> None:
    """Somebody fetches the archive. To administer the server is not enough where archives have officers of their own:
    the right is judged anew, also that of who ordered it, and the fetch is written down first."""
    if not may_take_archive(request.user):
        audit.of_request(request, "domain archive refused", job.about, job=job.token)
        raise PermissionDenied
    audit.of_request(request, "domain archive downloaded", job.about, job=job.token, sha256=job.sha256)


def listed(limit: int = 50) -> QuerySet[DomainDeletion]:
    """The newest deletions."""
    return DomainDeletion.objects.filter(~Q(name=""))[:limit]
