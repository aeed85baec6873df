"""Commands on groups."""

from __future__ import annotations

from typing import Any, Final

from django.db.models import Count

from mlink_web.conf.services import find_domain, first_domain
from mlink_web.groups import services
from mlink_web.groups.models import Group
from xmpp_engine.admin.command import Argument, Registry

registry: Final = Registry()
NAME: Final = Argument("name", "name of the group")
MEMBERS: Final = Argument("members", "bare addresses or whole domains, separated by commas or spaces")
#: Members that are listed.
SHOWN: Final = 10_000


@registry.command("group list", "List the groups.", permission="read")
def group_list() -> list[dict[str, Any]]:
    """By name."""
    found = Group.objects.select_related("domain").annotate(size=Count("members"))
    return [
        {"name": group.name, "domain": group.domain.name, "members": group.size, "description": group.description}
        for group in found
    ]


@registry.command("group members", "List who is in a group.", NAME, permission="read")
def group_members(name: str) -> list[dict[str, Any]]:
    """People and whole domains."""
    members = services.find(name).members.values_list("jid", flat=True)[:SHOWN]
    return [{"member": jid, "kind": "person" if "@" in jid else "domain"} for jid in members]


@registry.command(
    "group add",
    "Make a group.",
    NAME,
    Argument("description", "what it is for", default=""),
    Argument("domain", "domain that it belongs to; the first one by default", option=True, default=""),
)
def group_add(name: str, description: str, domain: str) -> str:
    """Rooms name it in their configuration, as in `name=member`."""
    made = services.add_group(find_domain(domain or first_domain()), name, description)
    return f"The group {made.name} is made."


@registry.command("group remove", "Delete a group.", NAME)
def group_remove(name: str) -> str:
    """Whoever had something by it has it no more."""
    group = services.find(name)
    services.remove_group(group)
    return f"The group {group.name} is deleted."


@registry.command("group member-add", "Put people or domains into a group.", NAME, MEMBERS)
def group_member_add(name: str, members: str) -> str:
    """Running nodes follow at once."""
    group = services.find(name)
    added = services.add_members(group, members.replace(",", " ").split())
    return f"{len(added)} added to {group.name}." if added else f"They are in {group.name} already."


@registry.command("group member-remove", "Take somebody out of a group.", NAME, Argument("member", "address or domain"))
def group_member_remove(name: str, member: str) -> str:
    """Running nodes follow at once."""
    group = services.find(name)
    return f"{services.remove_member(group, member)} is not in {group.name} any more."
