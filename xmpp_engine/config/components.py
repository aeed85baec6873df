"""What a component's configuration must keep: its domain is nobody else's, and what it may do makes sense."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterator
from typing import Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.addressing.prep import domainpart
from xmpp_engine.config.schema import ComponentConfig
from xmpp_engine.xml import ns

#: Characters of a secret; bytes that may wait for one component.
MIN_SECRET: Final = 8
MAX_SECRET: Final = 1_000
MIN_QUEUE: Final = 65_536
MAX_QUEUE: Final = 67_108_864
#: Namespaces that no component serves (XEP-0355, 8, 5), and without which no stream would work.
NEVER_DELEGATED: Final = frozenset({ns.DELEGATION, ns.PRIVILEGE, ns.BIND, ns.SESSION})
#: Permissions by kind (XEP-0356); those of `iq:NAMESPACE` are those of `iq`.
PERMISSIONS: Final = {
    "roster": ("none", "get", "set", "both"),
    "roster-push": ("yes", "no"),
    "message": ("none", "outgoing"),
    "presence": ("none", "managed_entity", "roster"),
    "iq": ("none", "get", "set", "both"),
}
#: Entries of one list of a component, and characters of a namespace or attribute.
MAX_ENTRIES: Final = 100
MAX_TEXT: Final = 500


def problems_of(config: ComponentConfig, hosts: Collection[str]) -> Iterator[str]:
    """A sentence for each rule that is broken; `hosts` are the domains served here."""
    yield from _address(config.domain, hosts)
    if not MIN_SECRET <= len(config.secret) <= MAX_SECRET:
        yield f"a secret has {MIN_SECRET} to {MAX_SECRET:,} characters"
    for network in config.networks:
        try:
            ipaddress.ip_network(network, strict=False)
        except ValueError:
            yield f"{network} is neither an address nor a network"
    if not MIN_QUEUE <= config.queue_bytes <= MAX_QUEUE:
        yield f"between {MIN_QUEUE:,} and {MAX_QUEUE:,} bytes may wait"
    if max(map(len, (config.networks, config.delegated, config.privileges, config.domains))) > MAX_ENTRIES:
        yield f"a list has at most {MAX_ENTRIES} entries"
    for space, attributes in config.delegated.items():
        if not space or len(space) > MAX_TEXT or space in NEVER_DELEGATED:
            yield f"{space or 'an empty namespace'} cannot be delegated"
        if any(not name or len(name) > MAX_TEXT for name in attributes):
            yield f"an attribute of {space} has no name, or a very long one"
    yield from _privileges(config)


def _address(domain: str, hosts: Collection[str]) -> Iterator[str]:
    try:
        canonical = domainpart(domain)
    except ValueError as error:
        yield str(error)
        return
    if canonical != domain:
        yield "a domain is entered under its canonical name"
    # The router finds an address by its whole domain; the parser must see none in an odd place.
    if Jid.parse(domain).full != domain:
        yield "this is not a domain"
    if domain in hosts:
        yield "this domain is served here already"
    below = next((host for host in hosts if host.endswith("." + domain)), None)
    if below is not None:
        yield f"it would speak for {below}, which is served here"


def _privileges(config: ComponentConfig) -> Iterator[str]:
    for kind, permission in config.privileges.items():
        name, colon, space = kind.partition(":")
        allowed = PERMISSIONS.get(name)
        if allowed is None or bool(colon) != (name == "iq") or (colon and not 0 < len(space) <= MAX_TEXT):
            yield f"there is no privilege {kind}"
        elif permission not in allowed:
            yield f"{kind} is one of {', '.join(allowed)}, not {permission}"
    if config.privileges.get("presence") == "roster" and config.privileges.get("roster") not in ("get", "both"):
        yield "the presence of contacts is only for who may get rosters (XEP-0356, 7.4)"
