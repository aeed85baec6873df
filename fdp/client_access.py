"""Whose browser may have a form rendered: who reads the topic, and not without end."""

from __future__ import annotations

from typing import Final

from django.core.cache import cache

from fdp.models import Topic
from fdp.rules import Policy, read
from mlink_web.accounts.models import Account
from mlink_web.groups.models import GroupMember
from xmpp_engine.api import Jid

#: Forms that one person may have rendered in a minute: each is a process of its own for a moment.
PER_MINUTE: Final = 60
WINDOW: Final = 60


class StoredGroups:
    """Who is in which group, as the database has it."""

    def contains(self, group: str, bare: str) -> bool:
        """Whether somebody is a member, by address or by domain."""
        members = GroupMember.objects.filter(group__name=group.lower())
        return members.filter(jid__in=(bare, bare.partition("@")[2])).exists()


def may_read(topic: Topic, account: Account) -> bool:
    """Whether the topic's rules let this account read what was submitted; administrators may."""
    if account.is_staff:
        return True
    policy = Policy.of(read("read_rules", topic.read_rules))
    return policy.allows(Jid.parse(account.get_username()), is_local=True, groups=StoredGroups())


def count_rendering(account: Account) -> bool:
    """Count one more; False where it is one too many in this minute."""
    key = f"fdp-rendering:{account.pk}"
    if cache.add(key, 1, WINDOW):
        return True
    try:
        return bool(cache.incr(key) <= PER_MINUTE)
    except ValueError:  # the minute ended between the two calls
        return True
