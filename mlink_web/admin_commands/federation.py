"""Commands on peers and on what holds for all other servers."""

from __future__ import annotations

from typing import Any, Final

from mlink_web.federation import services, values
from mlink_web.federation.models import Authentication, FederationOptions, Peer
from xmpp_engine.admin.command import Argument, Registry

registry: Final = Registry()
DOMAIN: Final = Argument("domain", "domain of the other server")
#: Peers that are listed.
SHOWN: Final = 10_000
#: Fields that a peer may leave as they are for everybody.
CHOICES: Final = ("authentication", "tls", "revocation", "ocsp", "dane")


@registry.command("peer list", "List the peers: what holds for single domains.", permission="read")
def peer_list() -> list[dict[str, Any]]:
    """By domain; `default` is as for everybody."""
    return [
        {
            "domain": f"{peer.domain} and below" if peer.subdomains else peer.domain,
            "enabled": peer.enabled,
            "route": f"{peer.route} (TLS)" if peer.direct else peer.route,
            "authentication": peer.authentication or "default",
            "tls": peer.tls or "default",
            "revocation": peer.revocation or "default",
            "ocsp": peer.ocsp or "default",
            "dane": peer.dane or "default",
            "pins": len(peer.pins),
            "own_authorities": bool(peer.authorities),
            "note": peer.note,
        }
        for peer in Peer.objects.all()[:SHOWN]
    ]


@registry.command("peer show", "Show a peer.", DOMAIN, permission="read")
def peer_show(domain: str) -> dict[str, Any]:
    """Every field, as `peer set` takes it."""
    peer = services.find(domain)
    shown = {name: getattr(peer, name) for name in services.PEER_FIELDS}
    shown["authorities"] = [f"{one.subject}, until {one.expires:%Y-%m-%d}" for one in values.listed(peer.authorities)]
    for name in CHOICES:
        shown[name] = shown[name] or "default"
    strict = peer.strict_purpose
    return {"domain": peer.domain, **shown, "strict_purpose": "default" if strict is None else strict}


@registry.command(
    "peer add",
    "List a domain: where it is and how it must prove who it is.",
    DOMAIN,
    Argument("route", "host, host:port or [v6]:port; DNS is asked by default", option=True, default=""),
    Argument("authentication", f"{', '.join(Authentication.values)} or default", option=True, default="default"),
    Argument("subdomains", "whether it holds for all domains below it too", option=True, default="no"),
    Argument("note", "what it is for", option=True, default=""),
)
def peer_add(domain: str, route: str, authentication: str, subdomains: str, note: str) -> str:
    """Everything else by `peer set`."""
    peer = services.add_peer(
        domain,
        route=route,
        authentication=services.value_of(Peer, "authentication", authentication),
        subdomains=services.value_of(Peer, "subdomains", subdomains),
        note=note,
    )
    return f"{peer.domain} is a peer now."


@registry.command(
    "peer set",
    "Change a field of a peer.",
    DOMAIN,
    Argument("key", f"one of {', '.join(services.PEER_FIELDS)}"),
    Argument("value", "the new value; default for a choice that is to be as for everybody"),
)
def peer_set(domain: str, key: str, value: str) -> str:
    """Streams that it does not allow any more are closed."""
    peer = services.find(domain)
    changed = services.change_peer(peer, **{key: services.value_of(Peer, key, value)})
    return f"{changed.domain}: {key} is {_told(key, getattr(changed, key))} now."


@registry.command("peer remove", "Forget a peer; its domain is treated as every other one then.", DOMAIN)
def peer_remove(domain: str) -> str:
    """Streams that are open go on where everybody may have them."""
    peer = services.find(domain)
    services.remove_peer(peer)
    return f"{peer.domain} is no peer any more."


@registry.command("federation show", "Show what holds for all other servers.", permission="read")
def federation_show() -> dict[str, Any]:
    """Every option by its name."""
    row = services.options()
    shown = {name: getattr(row, name) for name in services.OPTIONS}
    shown["authorities"] = f"{len(values.listed(row.authorities))} of our own" if row.authorities else "of the system"
    return shown


@registry.command(
    "federation set",
    "Change an option of what holds for all other servers.",
    Argument("key", f"one of {', '.join(services.OPTIONS)}"),
    Argument("value", "the new value"),
)
def federation_set(key: str, value: str) -> str:
    """Running nodes follow within seconds."""
    row = services.set_options(**{key: services.value_of(FederationOptions, key, value)})
    return f"{key} is {_told(key, getattr(row, key))} now."


def _told(key: str, value: Any) -> str:
    if key == "authorities":
        return f"a list of {len(values.listed(value))}" if value else "empty"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list):
        return ", ".join(value) or "empty"
    return (
        "default"
        if value in ("", None) and key in (*CHOICES, "strict_purpose")
        else (repr(value) if isinstance(value, str) else str(value))
    )
