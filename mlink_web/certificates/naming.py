"""Which names the certificate of a domain needs: its own, and those of its services."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Any, Final

from django.conf import settings

from fdp.domains import services_of as forms_of
from mlink_web.conf.models import Domain
from xmpp_engine.muc.options import MucOptions
from xmpp_engine.pubsub.options import PubSubOptions
from xmpp_engine.s2s.names import ascii_domain

#: Modules that serve sub-domains, with what they serve unless told otherwise.
_DEFAULTS: Final[dict[str, Any]] = {"muc": MucOptions, "pubsub": PubSubOptions}


def services_of(domain: Domain) -> list[str]:
    """The domains of the services below a domain, as they are configured."""
    labels: list[str] = []
    for module, options in _DEFAULTS.items():
        if module not in domain.disabled_modules:
            given = domain.modules.get(module, {}).get("services")
            labels += map(str, options().services if given is None else given)
    labels += forms_of(domain)
    if "upload" not in domain.disabled_modules and (
        settings.MLINK_HTTP_BASE or domain.public_url or domain.modules.get("upload", {}).get("url")
    ):
        labels.append("upload")
    return [f"{label}.{domain.name}" for label in dict.fromkeys(labels)]


def wanted(domain: Domain) -> list[str]:
    """The domain and its services."""
    return [domain.name, *services_of(domain)]


def in_a_labels(names: Iterable[str]) -> list[str]:
    """Names as certificates hold them, each once; raises ValueError with a sentence for what is none."""
    found = []
    for name in names:
        try:
            found.append(ascii_domain(name))
        except ValueError:
            raise ValueError(f"{name} is no domain name.") from None
    return list(dict.fromkeys(found))


def is_address(name: str) -> bool:
    """Whether a domain is an IP literal, for which no authority on the Internet gives a certificate."""
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
