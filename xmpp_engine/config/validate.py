"""Rules that a snapshot must keep; each breach is a dotted path and a sentence for the console."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_network
from typing import Final

from xmpp_engine.addressing.prep import domainpart
from xmpp_engine.config.components import problems_of
from xmpp_engine.config.schema import EngineConfig, HostConfig, StreamLimits

MECHANISMS: Final = ("SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN")


@dataclass(frozen=True, slots=True)
class Problem:
    """One breach: where, and what is wrong."""

    path: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}: {self.text}"


class InvalidConfig(ValueError):
    """The snapshot is refused as a whole; `problems` says why."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems


def check(config: EngineConfig) -> None:
    """Raise InvalidConfig where the snapshot breaks a rule."""
    problems: list[Problem] = []
    for key, host in config.hosts.items():
        problems += _host(f"hosts.{key}", key, host)
        problems += _alias(f"hosts.{key}.moved_to", key, config)
    names: set[str] = set()
    ports: set[tuple[str, int]] = set()
    for listener in config.listeners:
        path = f"listeners.{listener.name}"
        if listener.name in names:
            problems.append(Problem(path, "two listeners have this name"))
        names.add(listener.name)
        if not 0 <= listener.port <= 65_535:
            problems.append(Problem(f"{path}.port", "a port is a number from 0 to 65535"))
        elif listener.port and (listener.address, listener.port) in ports:
            problems.append(Problem(f"{path}.port", "another listener has this address and port"))
        ports.add((listener.address, listener.port))
        if listener.tls != "none" and not any(host.tls for host in config.hosts.values()) and config.hosts:
            problems.append(Problem(f"{path}.tls", "no domain has a certificate"))
        problems += _limits(f"{path}.limits", listener.limits)
        problems += _networks(f"{path}.proxies", listener.proxies)
    problems += _limits("http.limits", config.http.limits)
    problems += _networks("http.trusted_proxies", config.http.trusted_proxies)
    for domain, component in config.components.items():
        problems += [Problem(f"components.{domain}", text) for text in problems_of(component, config.hosts)]
    if not 1 <= config.http.bosh_wait <= 300:
        problems.append(Problem("http.bosh_wait", "a request may be held 1 to 300 seconds"))
    if config.resume_seconds < 0:
        problems.append(Problem("resume_seconds", "a time is not negative"))
    if config.unacked_stanzas < 10:
        problems.append(Problem("unacked_stanzas", "fewer than 10 would end ordinary sessions"))
    if config.ledger_rows < 1 or config.ledger_ms < 1 or config.ledger_backlog < config.ledger_rows:
        problems.append(Problem("ledger", "rows and milliseconds are at least 1, the backlog at least the rows"))
    if problems:
        raise InvalidConfig(problems)


def _host(path: str, key: str, host: HostConfig) -> list[Problem]:
    problems: list[Problem] = []
    try:
        if domainpart(key) != key or host.domain != key:
            problems.append(Problem(path, "a domain is entered under its canonical name"))
    except ValueError as error:
        problems.append(Problem(path, str(error)))
    for mechanism in host.mechanisms:
        if mechanism not in MECHANISMS:
            problems.append(Problem(f"{path}.mechanisms", f"{mechanism} is not known here"))
    if not host.mechanisms:
        problems.append(Problem(f"{path}.mechanisms", "without a mechanism nobody can sign in"))
    if not 1 <= host.max_resources <= 1_000:
        problems.append(Problem(f"{path}.max_resources", "an account has 1 to 1000 resources"))
    return problems


def _alias(path: str, key: str, config: EngineConfig) -> list[Problem]:
    """What is wrong with the domain that one is an alias of; a chain of aliases must end."""
    target = config.hosts[key].moved_to
    if not target:
        return []
    try:
        if domainpart(target) != target:
            return [Problem(path, "a domain is entered under its canonical name")]
    except ValueError as error:
        return [Problem(path, str(error))]
    seen = {key}
    while target:
        if target in seen:
            return [Problem(path, f"an address would be looked for in {target} again and again")]
        seen.add(target)
        target = config.hosts[target].moved_to if target in config.hosts else ""
    return []


def _limits(path: str, limits: StreamLimits) -> list[Problem]:
    problems: list[Problem] = []
    if limits.stanza_bytes < 10_000:
        problems.append(Problem(f"{path}.stanza_bytes", "10,000 bytes is the least that RFC 6120 allows"))
    if limits.depth < 8 or limits.attributes < 8:
        problems.append(Problem(path, "depth and attributes below 8 would refuse ordinary stanzas"))
    if limits.negotiation_seconds <= 0:
        problems.append(Problem(f"{path}.negotiation_seconds", "there must be some time to sign in"))
    if limits.registration_seconds <= 0:
        problems.append(Problem(f"{path}.registration_seconds", "there must be some time to fill in a form"))
    if limits.bytes_per_second and limits.bytes_per_second < 1_000:
        problems.append(Problem(f"{path}.bytes_per_second", "below 1,000 bytes a second nobody can work"))
    return problems


def _networks(path: str, texts: tuple[str, ...]) -> list[Problem]:
    problems: list[Problem] = []
    for text in texts:
        try:
            ip_network(text)
        except ValueError as error:
            problems.append(Problem(path, str(error)))
    return problems
