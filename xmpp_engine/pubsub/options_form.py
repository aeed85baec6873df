"""Options of a subscription (XEP-0060, 6.3; XEP-0248, 6.1), as values and as the form `pubsub#subscribe_options`.

Values are those that differ from the defaults, by the name of the field without its prefix: `deliver`, `include_body`,
`show-values` (a list), `expire` ("presence", else the time stands in the subscription), `subscription_type` and
`subscription_depth` (a number or "all"). Digests are not made: who asks for one is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from xmpp_engine.pubsub.bodies import understood
from xmpp_engine.pubsub.errors import refusal
from xmpp_engine.pubsub.recipients import ANY_SHOW
from xmpp_engine.stanza import forms
from xmpp_engine.stanza.build import parse_timestamp, timestamp
from xmpp_engine.stanza.forms import Field
from xmpp_engine.storage.pubsub import NodeKind, Subscription
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError

_PREFIX: Final = "pubsub#"
_SHOWS: Final = (
    ("online", "Available"),
    ("chat", "Free to chat"),
    ("away", "Away"),
    ("xa", "Away for long"),
    ("dnd", "Not to be disturbed"),
)
_TYPES: Final = (("items", "Items"), ("nodes", "Nodes"), ("all", "Items and nodes"))
_TRUE: Final = frozenset({"1", "true"})
_FALSE: Final = frozenset({"0", "false"})
_DEPTH: Final = 1_000


def fields(kind: NodeKind, options: Mapping[str, Any], expire: float, payload: str = "") -> tuple[Field, ...]:
    """The form with the present values. `payload` is the namespace of the node's payloads, "" for any: a text is not
    offered where there can be none (12.8)."""
    ends = "presence" if options.get("expire") == "presence" else timestamp(expire) if expire else ""
    shown = [
        Field(_PREFIX + "deliver", "boolean", "Notifications are wanted", _flag(options.get("deliver", True))),
        Field(_PREFIX + "expire", "text-single", "When the subscription ends", (ends,) if ends else ()),
        *(
            [Field(_PREFIX + "include_body", "boolean", "A text is added", _flag(options.get("include_body", False)))]
            if understood(payload)
            else []
        ),
        Field(
            _PREFIX + "show-values",
            "list-multi",
            "Only while one's presence shows",
            tuple(options.get("show-values", ())),
            _SHOWS,
        ),
    ]
    if kind == "collection":
        depth = str(options.get("subscription_depth", 1))
        wanted = str(options.get("subscription_type", "nodes"))
        shown.append(Field(_PREFIX + "subscription_type", "list-single", "What is wanted", (wanted,), _TYPES))
        shown.append(
            Field(
                _PREFIX + "subscription_depth",
                "list-single",
                "How deep below the collection",
                (depth,),
                (("1", "Its own nodes"), ("all", "All below")),
                open=True,
            )
        )
    return tuple(shown)


def element(kind: NodeKind, entry: Subscription | None, type: str = "form", payload: str = "") -> Element:
    """The form of a subscription; of the defaults for None. `payload` is the namespace of the node's payloads."""
    options, expire = (entry.options, entry.expire) if entry is not None else ({}, 0.0)
    return forms.render(type, ns.PUBSUB_SUBSCRIBE_OPTIONS, fields(kind, options, expire, payload))


def read(form: Element) -> dict[str, Any]:
    """The values of a submitted form, with `expire` as seconds since the epoch or "presence". Raises StanzaError."""
    values: dict[str, Any] = {}
    for var, given in forms.read(form, ns.PUBSUB_SUBSCRIBE_OPTIONS).items():
        name = var.removeprefix(_PREFIX)
        reader = _READERS.get(name)
        if reader is None:
            raise invalid(f"there is no option {var[:100]}")
        value = reader(given, var)
        if value is not None:
            values[name] = value
    return values


def invalid(text: str) -> StanzaError:
    """Options that cannot be."""
    return refusal("bad-request", "invalid-options", text)


def settled(values: dict[str, Any], now: float, lease: float, *, temporary: bool) -> tuple[dict[str, Any], float]:
    """Options as they are stored (without what is default), and when the subscription ends. A time beyond the greatest
    lease becomes the greatest (12.19)."""
    options = {name: value for name, value in values.items() if value != _DEFAULTS.get(name) and name != "expire"}
    expire = values.get("expire", 0.0)
    if expire == "presence" or temporary:
        options["expire"] = "presence"
        return options, 0.0
    if expire and expire <= now:
        raise invalid("the subscription would be over already")
    if lease:
        expire = min(expire or now + lease, now + lease)
    return options, float(expire)


def _flag(value: bool) -> tuple[str, ...]:
    return ("1" if value else "0",)


def _boolean(given: Sequence[str], var: str) -> bool:
    value = given[0].strip() if len(given) == 1 else ""
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise invalid(f"{var} is either true or false")


def _expire(given: Sequence[str], var: str) -> float | str | None:
    value = given[0].strip() if given else ""
    if not value:
        return 0.0
    if value == "presence":
        return value
    try:
        return parse_timestamp(value)
    except (ValueError, OverflowError):
        raise invalid(f"{var} needs a date and time, or presence") from None


def _shows(given: Sequence[str], var: str) -> list[str]:
    found = sorted({value.strip() for value in given if value.strip()})
    if not ANY_SHOW.issuperset(found):
        raise invalid(f"{var} knows {', '.join(sorted(ANY_SHOW))}")
    return found


def _type(given: Sequence[str], var: str) -> str:
    value = given[0].strip() if given else ""
    if value not in {name for name, _label in _TYPES}:
        raise invalid(f"{var} is items, nodes or all")
    return value


def _depth(given: Sequence[str], var: str) -> int | str:
    value = given[0].strip() if given else ""
    if value == "all":
        return value
    if not (value.isascii() and value.isdigit() and len(value) <= 4 and int(value) <= _DEPTH):
        raise invalid(f"{var} is a number, or all")
    return int(value)


def _digest(given: Sequence[str], var: str) -> None:
    if _boolean(given, var):
        raise invalid("digests are not made here")


def _frequency(_given: Sequence[str], _var: str) -> None:
    """Of no consequence without digests."""


_DEFAULTS: Final[dict[str, Any]] = {
    "deliver": True,
    "include_body": False,
    "show-values": [],
    "subscription_type": "nodes",
    "subscription_depth": 1,
}
_READERS: Final = {
    "deliver": _boolean,
    "include_body": _boolean,
    "expire": _expire,
    "show-values": _shows,
    "subscription_type": _type,
    "subscription_depth": _depth,
    "digest": _digest,
    "digest_frequency": _frequency,
}
