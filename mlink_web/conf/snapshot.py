"""Models and environment into one EngineConfig.

`read` is what nodes run by; `check` tells before a change is committed whether nodes will accept it, so that an error
reaches the person who made it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from django.conf import settings
from django.db.models import QuerySet

from mlink_web.certificates import installed
from mlink_web.clusters import snapshot as clusters
from mlink_web.components import snapshot as components
from mlink_web.conf import node_options, sealing
from mlink_web.conf.models import ConfigVersion, Domain
from mlink_web.federation import snapshot as federation
from xmpp_engine.config.schema import (
    SERVER_LIMITS,
    ComponentConfig,
    EngineConfig,
    HostConfig,
    HttpConfig,
    ListenerConfig,
    S2sConfig,
    StreamLimits,
    TlsConfig,
)
from xmpp_engine.config.validate import check as check_config
from xmpp_engine.plugin.loader import import_modules, options_of

T = TypeVar("T")
#: Fields that the snapshot makes itself.
OF_THE_NODE: Final = frozenset(("number", "address", "secret"))
FIXED: Final = frozenset(("version", "node", "hosts", "listeners", "http", "s2s", "components", "cluster"))


def read() -> EngineConfig:
    """The configuration as it stands in the database, with the certificates that are there; raises ValueError."""
    return build(version=current_version())


def check(version: int) -> None:
    """Raise ValueError where the configuration as it stands would be refused by a node; looks at no files."""
    config = build(version=version, with_certificates=False)
    check_config(config)
    for node in node_options.nodes():
        _fits(config, node)
    kinds = {kind.name: kind for kind in import_modules(settings.XMPP_MODULES)}
    for host in config.hosts.values():
        for name, options in host.modules.items():
            if name not in kinds:
                raise ValueError(f"hosts.{host.domain}.modules: there is no module {name!r}.")
            options_of(kinds[name], options)
        unknown = host.disabled_modules - kinds.keys()
        if unknown:
            raise ValueError(f"hosts.{host.domain}.disabled_modules: there is no module {sorted(unknown)[0]!r}.")
        for kind in kinds.values():
            missing = host.disabled_modules & set(kind.requires)
            if missing and kind.name not in host.disabled_modules:
                needed = sorted(missing)[0]
                raise ValueError(f"hosts.{host.domain}.disabled_modules: {kind.name!r}, which is on, needs {needed!r}.")
    components.check(config, kinds)


def current_version() -> int:
    """The version number of the configuration: one cheap query."""
    return ConfigVersion.objects.filter(pk=1).values_list("version", flat=True).first() or 0


def build(version: int, *, with_certificates: bool = True) -> EngineConfig:
    """The snapshot; raises ValueError with the dotted path of what does not fit."""
    hosts = {
        domain.name: host_of(domain, with_certificates=with_certificates)
        for domain in sorted(_enabled(), key=_configured_first)
    }
    if with_certificates:
        installed.sweep()
    base = EngineConfig(
        version=version,
        node=settings.MLINK_NODE_NAME,
        hosts=hosts,
        s2s=federation.read(with_files=with_certificates),
        components=components.read(),
        cluster=_with("MLINK_CLUSTER_OPTIONS", clusters.read(), settings.MLINK_CLUSTER_OPTIONS, OF_THE_NODE),
    )
    return _optioned(base, settings.MLINK_NODE_NAME)


def _optioned(base: EngineConfig, node: str) -> EngineConfig:
    """The snapshot with the options of a node."""
    options = node_options.in_force(node)
    http_limits = _with("http.limits", StreamLimits(), options.listeners.get("http", {}))
    http = _with("http", HttpConfig(limits=http_limits), options.http)
    made = dataclasses.replace(
        base,
        # Without a certificate nothing listens, rather than nothing starts: the web pages are needed to mend it.
        listeners=(
            (*_listeners(options.listeners, base.s2s), *_for_components(options.listeners, base.components))
            if any(host.tls for host in base.hosts.values())
            else ()
        ),
        http=dataclasses.replace(http, trusted_proxies=(*http.trusted_proxies, *settings.MLINK_PROXIES)),
    )
    return _with("node", made, options.engine, FIXED)


def _fits(config: EngineConfig, node: str) -> None:
    """Raise ValueError where another node would refuse the configuration, for what it has of its own."""
    try:
        check_config(_optioned(config, node))
    except ValueError as error:
        raise ValueError(f"The node {node} would refuse it: {error}") from None


def _enabled() -> QuerySet[Domain]:
    return Domain.objects.filter(enabled=True).order_by("pk").prefetch_related("administrators__account")


def _configured_first(domain: Domain) -> bool:
    """The domain of the environment comes first: it is what a stream without `to` gets."""
    return domain.name != settings.MLINK_DOMAIN


def host_of(domain: Domain, *, with_certificates: bool = True) -> HostConfig:
    """One domain as the engine's value."""
    path = f"hosts.{domain.name}"
    modules = {
        name: dict(_mapping(f"{path}.modules.{name}", sealing.opened(options, domain.name)))
        for name, options in _mapping(f"{path}.modules", domain.modules).items()
    }
    modules["register"] = {**modules.get("register", {}), "open": domain.registration}
    contacts = _mapping(f"{path}.contacts", domain.contacts)
    return HostConfig(
        domain=domain.name,
        tls=certificate_of(domain) if with_certificates else TlsConfig("unread", "unread"),
        mechanisms=tuple(_texts(f"{path}.mechanisms", domain.mechanisms)),
        max_resources=domain.max_resources,
        resource_conflict=domain.resource_conflict,  # type: ignore[arg-type]
        archive=domain.archive,
        archive_strict=domain.archive_strict,
        modules=modules,
        disabled_modules=frozenset(_texts(f"{path}.disabled_modules", domain.disabled_modules)),
        contacts={kind: tuple(_texts(f"{path}.contacts.{kind}", uris)) for kind, uris in contacts.items()},
        public_url=domain.public_url,
        federation=domain.federation,
        federation_durable=domain.federation_durable,
        moved_to=domain.moved_to,
        administrators=frozenset(row.account.username for row in domain.administrators.all()),
    )


def certificate_paths(domain: Domain) -> tuple[Path, Path]:
    """Where the certificate and the key of a domain are; those that the node makes itself are in MLINK_HOME/tls."""
    if domain.tls_certificate:
        home = Path(settings.MLINK_HOME)
        return home / domain.tls_certificate, home / (domain.tls_key or domain.tls_certificate)
    folder = Path(settings.MLINK_HOME) / "tls"
    # ":" and "[" of IP literals are no characters for file names.
    name = "".join(character if character.isalnum() or character in ".-_" else "_" for character in domain.name)
    return folder / f"{name}.crt", folder / f"{name}.key"


def certificate_of(domain: Domain) -> TlsConfig | None:
    """The certificate with the time it was last changed; None while there is none."""
    certificate, key = installed.paths(domain) or certificate_paths(domain)
    try:
        stamp = max(certificate.stat().st_mtime, key.stat().st_mtime)
        authorities = str(settings.MLINK_C2S_CLIENT_CA)
        if authorities:
            stamp = max(stamp, Path(authorities).stat().st_mtime)
    except OSError:
        return None
    return TlsConfig(str(certificate), str(key), stamp, authorities)


def _listeners(limits: Mapping[str, Any], s2s: S2sConfig) -> tuple[ListenerConfig, ...]:
    """The sockets that the environment asks for, with the limits of the database."""
    found = []
    # A stream tells who it is only once it stands: where one peer may go without TLS, the stream judges each.
    clear = any(peer.tls == "optional" for peer in (s2s.default, *s2s.peers.values()))
    for name, kind, port, tls in (
        ("c2s", "c2s", settings.MLINK_C2S_PORT, settings.MLINK_C2S_TLS),
        ("c2s_tls", "c2s", settings.MLINK_C2S_TLS_PORT, "direct"),
        ("s2s", "s2s", settings.MLINK_S2S_PORT, "optional" if clear else "required"),
        ("s2s_tls", "s2s", settings.MLINK_S2S_TLS_PORT, "direct"),
    ):
        if port and (s2s.enabled or kind != "s2s"):
            base = SERVER_LIMITS if kind == "s2s" else StreamLimits()
            own = _with(f"listeners.{name}.limits", base, limits.get(name, {}))
            found.append(
                ListenerConfig(
                    name=name,
                    kind=kind,
                    address=settings.MLINK_BIND,
                    port=port,
                    tls=tls,
                    limits=own,
                    reuse_port=settings.MLINK_REUSE_PORT,
                    proxies=settings.MLINK_PROXIES,
                )
            )
    return tuple(found)


def _for_components(limits: Mapping[str, Any], external: Mapping[str, ComponentConfig]) -> tuple[ListenerConfig, ...]:
    """The socket of components, where there are any: nobody else has to keep the port free."""
    if not settings.MLINK_COMPONENT_PORT or not any(component.enabled for component in external.values()):
        return ()
    return (
        ListenerConfig(
            name="component",
            kind="component",
            address=settings.MLINK_COMPONENT_BIND,
            port=settings.MLINK_COMPONENT_PORT,
            tls=settings.MLINK_COMPONENT_TLS,
            limits=_with("listeners.component.limits", components.LIMITS, limits.get("component", {})),
            reuse_port=settings.MLINK_REUSE_PORT,
        ),
    )


def _with(path: str, value: T, overrides: Any, fixed: frozenset[str] = frozenset(("limits",))) -> T:
    """A frozen dataclass with some fields replaced; raises ValueError for a field or type that does not fit."""
    changes = {}
    fields = {field.name: field for field in dataclasses.fields(value) if field.name not in fixed}  # type: ignore[arg-type]
    for name, wanted in _mapping(path, overrides).items():
        if name not in fields:
            raise ValueError(f"{path}.{name}: there is no such option; there are {', '.join(fields)}.")
        current = getattr(value, name)
        if isinstance(current, bool):
            fits = isinstance(wanted, bool)
        elif isinstance(current, int):
            fits = isinstance(wanted, int) and not isinstance(wanted, bool)
        elif isinstance(current, float):
            fits = isinstance(wanted, int | float) and not isinstance(wanted, bool)
        elif isinstance(current, tuple):
            fits, wanted = True, tuple(_texts(f"{path}.{name}", wanted))
        else:
            fits = isinstance(wanted, type(current))
        if not fits:
            raise ValueError(f"{path}.{name}: {wanted!r} is no {type(current).__name__}.")
        changes[name] = float(wanted) if isinstance(current, float) else wanted
    return dataclasses.replace(value, **changes)  # type: ignore[type-var]


def _mapping(path: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{path}: a mapping from names to values is needed, not {value!r}.")
    return value


def _texts(path: str, value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise ValueError(f"{path}: a list of texts is needed, not {value!r}.")
    return value
