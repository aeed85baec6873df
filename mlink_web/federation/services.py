"""What pages and commands do with peers and the options of federation, the only writers. Wrong input raises ValueError
with a sentence for people.

Every change goes through `conf.services.change`: nodes follow within seconds, and close what is not allowed any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.db import IntegrityError, models, transaction

from mlink_web.conf import services as configuration
from mlink_web.conf.models import Domain
from mlink_web.conf.typed import typed
from mlink_web.federation import values
from mlink_web.federation.models import FederationOptions, Peer

#: Peers are resident in every node.
MAX_PEERS: Final = 10_000
MAX_NOTE: Final = 500
#: What `peer set` and the form may change, and what `federation set` may.
PEER_FIELDS: Final = tuple(
    field.name for field in Peer._meta.concrete_fields if field.name not in ("id", "domain", "created", "changed")
)
OPTIONS: Final = tuple(field.name for field in FederationOptions._meta.concrete_fields if field.name != "id")
#: Least and most of the numbers, with their unit.
BOUNDS: Final[Mapping[str, tuple[int, int, str]]] = {
    "idle_seconds": (30, 86_400, "seconds"),
    "connect_seconds": (5, 300, "seconds"),
    "retry_seconds": (5, 86_400, "seconds"),
    "queue_stanzas": (10, 1_000_000, "stanzas"),
    "queue_bytes": (65_536, 1_073_741_824, "bytes"),
    "queue_seconds": (10, 604_800, "seconds"),
    "destinations": (10, 1_000_000, "pairs of domains"),
    "incoming": (10, 1_000_000, "streams"),
}


class UnknownPeer(ValueError):
    """There is no such peer."""


def options() -> FederationOptions:
    """What holds for everybody, the defaults while nobody has set anything."""
    return FederationOptions.objects.filter(pk=1).first() or FederationOptions(pk=1)


def find(domain: str) -> Peer:
    """The peer with this domain; raises UnknownPeer."""
    try:
        return Peer.objects.get(domain=configuration.canonical(domain))
    except Peer.DoesNotExist:
        raise UnknownPeer(f"There is no peer {domain.strip()}.") from None


def matching(domain: str) -> Peer | None:
    """The peer whose record holds for this domain: its own, or that of the nearest domain above that says so."""
    name = configuration.canonical(domain)
    above = [name[place + 1 :] for place, letter in enumerate(name) if letter == "."]
    found = Peer.objects.filter(models.Q(domain=name) | models.Q(domain__in=above, subdomains=True))
    return max(found, key=lambda peer: len(peer.domain), default=None)


def add_peer(domain: str, **given: Any) -> Peer:
    """List a domain."""
    peer = Peer(domain=_foreign(domain))
    _take(peer, given)
    try:
        with transaction.atomic():
            if Peer.objects.count() >= MAX_PEERS:
                raise ValueError(f"There are {MAX_PEERS} peers already; no more can be listed.")
            return configuration.change(lambda: _stored(peer))
    except IntegrityError:
        raise ValueError(f"There is a peer {peer.domain} already.") from None


def change_peer(peer: Peer, **given: Any) -> Peer:
    """Set some fields of a peer; where one does not fit nothing is changed."""
    fresh = Peer.objects.get(pk=peer.pk)
    _take(fresh, given)
    return configuration.change(lambda: _stored(fresh))


def remove_peer(peer: Peer) -> None:
    """From now on the domain is treated as every other one."""
    configuration.change(peer.delete)


def set_options(**given: Any) -> FederationOptions:
    """Set some of what holds for everybody; where one does not fit nothing is changed."""
    row = options()
    for name, value in given.items():
        if name not in OPTIONS:
            raise ValueError(f"Federation has no option {name!r}; there are {', '.join(OPTIONS)}.")
        setattr(row, name, _checked(FederationOptions, name, value))

    def store() -> FederationOptions:
        _valid(row)
        row.save()
        return row

    return configuration.change(store)


def value_of(kind: type[Peer] | type[FederationOptions], name: str, text: str) -> Any:
    """What a person typed for a field, in the type of its column. `default` leaves a choice of a peer open."""
    known = PEER_FIELDS if kind is Peer else OPTIONS
    if name not in known:
        raise ValueError(f"There is no {name!r}; there are {', '.join(known)}.")
    column = kind._meta.get_field(name)
    if kind is Peer and text.strip().lower() == "default" and (column.choices or column.null):
        return None if column.null else ""
    return typed(column, text)


def _foreign(domain: str) -> str:
    name = configuration.canonical(domain)
    if Domain.objects.filter(name=name).exists():
        raise ValueError(f"{name} is a domain of this server; peers are other servers.")
    return name


def _take(peer: Peer, given: Mapping[str, Any]) -> None:
    for name, value in given.items():
        if name not in PEER_FIELDS:
            raise ValueError(f"A peer has no {name!r}; there are {', '.join(PEER_FIELDS)}.")
        setattr(peer, name, _checked(Peer, name, value))
    if peer.direct and not peer.route:
        raise ValueError("Direct TLS belongs to an address: enter one, or leave it to DNS, which says so by itself.")
    if peer.authentication == "dialback-only" and (peer.pins or peer.authorities):
        raise ValueError("With dialback alone no certificate is judged, so it can have neither pins nor authorities.")


def _checked(kind: type[models.Model], name: str, value: Any) -> Any:
    if name == "route":
        return values.route(value)
    if name == "pins":
        return values.pins(value)
    if name == "authorities":
        return values.authorities(value)
    if name == "nameservers":
        return values.nameservers(value)
    if name == "note":
        note = " ".join(str(value).split())
        if len(note) > MAX_NOTE:
            raise ValueError(f"A note has at most {MAX_NOTE} characters.")
        return note
    if name in BOUNDS:
        least, most, unit = BOUNDS[name]
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValueError(f"{name} is {least:,} to {most:,} {unit}.")
        return value
    choices = kind._meta.get_field(name).choices
    if choices and value not in dict(choices) and not (value == "" and kind is Peer):
        raise ValueError(f"{name} is one of {', '.join(dict(choices))}, not {value!r}.")
    return value


def _stored(peer: Peer) -> Peer:
    _valid(peer)
    peer.save()
    return peer


def _valid(row: models.Model) -> None:
    try:
        row.full_clean(validate_unique=False, validate_constraints=False)
    except ValidationError as error:
        raise ValueError(" ".join(f"{name}: {' '.join(texts)}" for name, texts in error.message_dict.items())) from None
