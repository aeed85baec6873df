"""How far an officer's right goes when he decides how long messages are kept: only over his own domains."""

from __future__ import annotations

from typing import Any

from archive.oversight import access
from archive.oversight.criteria import domain_of
from archive.oversight.scopes import hosts_of
from archive.retention.models import Hold, Policy

#: The right that all of this needs.
RIGHT = "retain"


def over(user: Any, *addresses: str) -> bool:
    """Whether the right reaches all of these addresses or domains."""
    domains = access.rights_of(user).get(RIGHT, ())
    if domains is None:
        return True
    own = {each for name in domains for each in hosts_of(name)}
    return bool(addresses) and all(domain_of(address) in own for address in addresses)


def over_hold(user: Any, hold: Hold) -> bool:
    """Whether somebody may place or release this hold: of a conversation, one side is enough to hold it."""
    if hold.scope == Hold.Scope.ALL:
        return access.may_everywhere(user, RIGHT)
    if hold.scope == Hold.Scope.TALK:
        return over(user, hold.address) or over(user, hold.peer)
    return over(user, hold.address)


def over_policy(user: Any, policy: Policy) -> bool:
    """Whether somebody may make or change this policy: labels and everything are for who has the right everywhere."""
    if policy.subject in (Policy.Subject.LABEL, Policy.Subject.EVERYTHING):
        return access.may_everywhere(user, RIGHT)
    return over(user, policy.value)
