"""What is stored of one account, in plain words and with numbers: for the page of its owner, and for the preview of an
erasure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from django.db import connections

from archive import tally
from archive.filters import Filter
from fdp.models import Submission
from mlink_web.accounts.models import Account
from mlink_web.devices.models import Device, Token
from mlink_web.groups.models import GroupMember
from mlink_web.invitations.models import Invitation
from mlink_web.jobs.models import Job
from mlink_web.pubsub.models import Node, NodeAffiliation, NodeSubscription
from mlink_web.pushes.models import PushRegistration
from mlink_web.reports.models import Report
from mlink_web.rooms.models import RoomAffiliation
from mlink_web.stores.models import BlockItem, OfflineMessage, PrivateXml, RosterItem, VCard
from mlink_web.uploads import services as uploads


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of data: its name in lists, how many there are, what it is. `at_least` where counting all would take too
    long. `size` are bytes, 0 where that says nothing."""

    name: str
    number: int
    about: str
    at_least: bool = False
    size: int = 0


Counter = Callable[[Account], int]


def _simple(model: type, field: str = "account_id") -> Counter:
    def count(account: Account) -> int:
        alias = account._state.db or "default"
        return int(model.objects.using(alias).filter(**{field: account.pk}).count())  # type: ignore[attr-defined]

    return count


def _by_address(model: type, field: str) -> Counter:
    def count(account: Account) -> int:
        alias = account._state.db or "default"
        return int(model.objects.using(alias).filter(**{field: account.username}).count())  # type: ignore[attr-defined]

    return count


_KINDS: Final[tuple[tuple[str, str, Counter], ...]] = (
    ("contacts", "your contact list, with names and groups", _simple(RosterItem)),
    ("blocked addresses", "who may not write to you", _simple(BlockItem)),
    ("messages that wait", "what came while no app of yours was there", _simple(OfflineMessage)),
    ("profile", "your vCard, which others may see", _simple(VCard)),
    ("private data", "what your apps keep on the server for themselves", _simple(PrivateXml)),
    ("devices", "the apps that you signed in with, and when they were last here", _simple(Device)),
    ("sign-in tokens", "with which apps sign in by themselves", _simple(Token)),
    ("push notifications", "services that wake your apps", _simple(PushRegistration)),
    ("invitations", "that you made", _by_address(Invitation, "inviter")),
    (
        "personal nodes",
        "bookmarks, pictures, keys and what else apps publish for you",
        _by_address(Node, "service__address"),
    ),
    ("rooms", "in which you are a member, own something, or have a nickname", _by_address(RoomAffiliation, "jid")),
    ("groups", "of this server that you are in", _by_address(GroupMember, "jid")),
    ("subscriptions", "to nodes of others", _by_address(NodeSubscription, "bare")),
    ("rights on nodes", "of others", _by_address(NodeAffiliation, "jid")),
    ("forms", "that you submitted", _by_address(Submission, "publisher")),
    ("reports of abuse", "that you made", _by_address(Report, "reporter")),
    ("exports", "that you ordered and that are still kept", _by_address(Job, "owner")),
)


def messages(account: Account) -> tuple[int, bool]:
    """How many messages stand in the account's archive, and whether there may be more."""
    counted = tally.count(connections[account._state.db or "default"], Filter(account.pk))
    return counted.number, not counted.exact


def kinds(account: Account) -> list[Kind]:
    """What is stored, the messages first; kinds of which there is nothing are in it too."""
    number, more = messages(account)
    found = [Kind("messages", number, "your archive: what you wrote and what was written to you", more)]
    files, size = uploads.usage(account.pk)
    found.append(Kind("files", files, "that you shared", size=size))
    found += [Kind(name, count(account), about) for name, about, count in _KINDS]
    return found
