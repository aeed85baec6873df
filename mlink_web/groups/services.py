"""What pages and commands do with groups, the only writers. Wrong input raises ValueError with a sentence for people.

Each change bumps the version of all groups in its transaction, whose row makes changes follow each other, and then
tells the nodes.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Final

from django.db import DEFAULT_DB_ALIAS, IntegrityError, transaction

from mlink_web.conf import notify
from mlink_web.conf.models import Domain
from mlink_web.groups.models import MAX_NAME, Group, GroupMember, GroupsVersion
from xmpp_engine.api import Jid

#: Groups are resident in every node, so all together are bounded.
MAX_GROUPS: Final = 1_000
MAX_MEMBERS: Final = 200_000
#: Addresses of one change.
MAX_ADDED: Final = 5_000
MAX_DESCRIPTION: Final = 500


class UnknownGroup(ValueError):
    """There is no such group."""


class GroupExists(ValueError):
    """There is a group with this name already, of whatever domain."""


def find(name: str) -> Group:
    """The group with this name; raises UnknownGroup."""
    try:
        return Group.objects.select_related("domain").get(name=_folded(name))
    except Group.DoesNotExist:
        raise UnknownGroup(f"There is no group {name.strip()}.") from None


def canonical_name(name: str) -> str:
    """A name as it is stored; raises ValueError with a sentence. Names differ by more than capitals."""
    folded = _folded(name)
    if not folded:
        raise ValueError("A group needs a name.")
    if len(folded) > MAX_NAME:
        raise ValueError(f"The name of a group has at most {MAX_NAME} characters.")
    if any(unicodedata.category(letter).startswith("C") for letter in folded):
        raise ValueError("The name of a group has characters that cannot be seen.")
    if set("=,;@/") & set(folded):
        raise ValueError("The name of a group has none of = , ; @ / in it.")
    return folded


def _folded(name: str) -> str:
    return " ".join(unicodedata.normalize("NFC", name).lower().split())


def canonical_member(text: str) -> str:
    """A bare JID or domain as it is stored; raises ValueError with a sentence."""
    try:
        jid = Jid.parse(text.strip())
    except ValueError as error:
        raise ValueError(f"{text.strip()!r} is not an XMPP address: {error}.") from None
    if jid.resource:
        raise ValueError(f"{text.strip()!r} has a part after the slash; members are people or whole domains.")
    return jid.bare


def add_group(domain: Domain, name: str, description: str = "") -> Group:
    """Make a group without members."""
    description = _described(description)
    try:
        with transaction.atomic():
            version = _bump()
            if Group.objects.count() >= MAX_GROUPS:
                raise ValueError(f"There are {MAX_GROUPS} groups already; no more can be made.")
            made = Group.objects.create(
                domain=domain, name=canonical_name(name), description=description, version=version
            )
    except IntegrityError:
        raise GroupExists(f"There is a group {canonical_name(name)} already.") from None
    return made


def describe(group: Group, description: str) -> None:
    """Change what is said of a group."""
    group.description = _described(description)
    group.save(update_fields=("description",))


def _described(text: str) -> str:
    text = " ".join(text.split())
    if len(text) > MAX_DESCRIPTION:
        raise ValueError(f"A description has at most {MAX_DESCRIPTION} characters.")
    return text


def remove_group(group: Group) -> None:
    """Delete a group; whoever had something by it has it no more."""
    with transaction.atomic():
        _bump()
        group.delete()


def add_members(group: Group, addresses: Iterable[str]) -> list[str]:
    """Add people and domains; returns those that were not in it yet. One that is no address adds none of them."""
    wanted = list(dict.fromkeys(canonical_member(text) for text in addresses if text.strip()))
    if not wanted:
        raise ValueError("Enter at least one address or domain.")
    if len(wanted) > MAX_ADDED:
        raise ValueError(f"At most {MAX_ADDED} members are added at a time.")
    with transaction.atomic():
        version = _bump()
        present = set(GroupMember.objects.filter(group=group).values_list("jid", flat=True))
        fresh = [jid for jid in wanted if jid not in present]
        if GroupMember.objects.count() + len(fresh) > MAX_MEMBERS:
            raise ValueError(f"All groups together have at most {MAX_MEMBERS} members.")
        GroupMember.objects.bulk_create([GroupMember(group=group, jid=jid) for jid in fresh], batch_size=500)
        Group.objects.filter(pk=group.pk).update(version=version)
    return fresh


def remove_member(group: Group, address: str) -> str:
    """Take somebody out; raises ValueError where they are not in it."""
    jid = canonical_member(address)
    with transaction.atomic():
        version = _bump()
        if not GroupMember.objects.filter(group=group, jid=jid).delete()[0]:
            raise ValueError(f"{jid} is not in the group {group.name}.")
        Group.objects.filter(pk=group.pk).update(version=version)
    return jid


def forget_person(bare: str, using: str = DEFAULT_DB_ALIAS) -> None:
    """The account was removed: it is in no group any more. Joins a transaction that is open."""
    entries = GroupMember.objects.using(using).filter(jid=bare)
    groups = list(entries.values_list("group_id", flat=True))
    if groups:
        with transaction.atomic(using=using):
            version = _bump(using)
            entries.delete()
            Group.objects.using(using).filter(pk__in=groups).update(version=version)


def forget_domain(domain: Domain, using: str = DEFAULT_DB_ALIAS) -> None:
    """A domain is being deleted: its groups go with it, and it is a member of none."""
    if Group.objects.using(using).filter(domain=domain).exists():
        with transaction.atomic(using=using):
            _bump(using)
    forget_person(domain.name, using)


def _bump(using: str = DEFAULT_DB_ALIAS) -> int:
    """The next version, and notice to the nodes once it is committed."""
    row, _ = GroupsVersion.objects.using(using).select_for_update().get_or_create(pk=1)
    row.version += 1
    row.save(using=using, update_fields=("version",))
    transaction.on_commit(notify.groups_changed, using=using)
    return row.version
