"""NodeConfig as the form `pubsub#node_config`, and back (XEP-0060, 8.2 and 16.4.4; XEP-0248, 6.3).

One table says which field stands for which value. A submission may leave fields out: what it does not name stays.
Fields that nobody knows are ignored in a configuration; as conditions of a publication (7.1.5) they refuse it, which
`differing` tells. A value that does not fit raises FieldError naming the field.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.pubsub.config import CHOICES, COUNTS, MAX_ENTRIES, MAX_TEXT, NodeConfig
from xmpp_engine.stanza.forms import Field
from xmpp_engine.storage.pubsub import NodeKind

PREFIX: Final = "pubsub#"
NODE_TYPE: Final = "pubsub#node_type"
CHILDREN: Final = "pubsub#children"
ACCESS_MODEL: Final = "pubsub#access_model"

_TRUE: Final = frozenset({"1", "true"})
_FALSE: Final = frozenset({"0", "false"})
_LANGUAGE: Final = re.compile(r"[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8}){0,5}")
#: Languages to choose from; others are taken too.
_LANGUAGES: Final = ("ar", "de", "en", "es", "fr", "it", "ja", "nl", "no", "pl", "pt", "ro", "ru", "tr", "uk", "zh")
_LEAF: Final = ("leaf",)
_COLLECTION: Final = ("collection",)
_BOTH: Final = ("leaf", "collection")
#: Names that documents gave the same field at other times.
_ALIASES: Final = {"pubsub#publish_full_node": "pubsub#publish_node_full"}
#: Values that documents gave the same choice at other times.
_SAME: Final = {("children_association_policy", "owner"): "owners"}


class FieldError(ValueError):
    """A submitted value does not fit. `field` is the name of the field, the text a sentence for people."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(text)
        self.field = field


@dataclass(frozen=True, slots=True)
class Submission:
    """What a submitted form asks for. `kind` and `children` are None where the form does not speak of them."""

    config: NodeConfig
    kind: NodeKind | None = None
    children: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class _Row:
    attribute: str
    type: str
    label: str
    read: Callable[[Sequence[str]], Any]
    kinds: tuple[str, ...] = _BOTH
    options: tuple[tuple[str, str], ...] = ()
    open: bool = False


def fields(
    config: NodeConfig, kind: NodeKind, children: Iterable[str] = (), groups: Iterable[str] = ()
) -> tuple[Field, ...]:
    """The form with the present values. `groups` are the roster groups that can be chosen from."""
    shown = []
    for row in _ROWS:
        if kind in row.kinds:
            options = row.options
            values = _show(getattr(config, row.attribute))
            if row.attribute == "roster_groups_allowed":
                options = tuple((group, "") for group in dict.fromkeys((*groups, *values)))
            elif row.attribute == "language":
                options = tuple((tag, "") for tag in dict.fromkeys((*_LANGUAGES, *values)))
            shown.append(Field(PREFIX + row.attribute, row.type, row.label, values, options, open=row.open))
        if row.attribute == "contact":
            shown.append(Field(NODE_TYPE, "list-single", "What the node holds", (kind,), _KINDS))
    if kind == "collection":
        shown.append(Field(CHILDREN, "text-multi", "The nodes of this collection", tuple(children)))
    return tuple(shown)


def apply(config: NodeConfig, submitted: Mapping[str, Sequence[str]]) -> Submission:
    """What a submission makes of a configuration.

    :param submitted: texts by field name, without FORM_TYPE
    :raises FieldError: for a value that does not fit, with the name of its field
    """
    given = {_ALIASES.get(var, var): values for var, values in submitted.items()}
    changes: dict[str, Any] = {}
    for row in _ROWS:
        var = PREFIX + row.attribute
        if var in given:
            try:
                changes[row.attribute] = row.read(given[var])
            except ValueError as error:
                raise FieldError(var, f"{var} {error}") from None
    kind: NodeKind | None = None
    if NODE_TYPE in given:
        word = given[NODE_TYPE][0].strip() if given[NODE_TYPE] else ""
        if word not in _BOTH:
            raise FieldError(NODE_TYPE, f"{NODE_TYPE} is leaf or collection")
        kind = "leaf" if word == "leaf" else "collection"
    children = None
    if CHILDREN in given:
        try:
            children = _names(given[CHILDREN], 10_000)
        except ValueError as error:
            raise FieldError(CHILDREN, f"{CHILDREN} {error}") from None
    return Submission(replace(config, **changes) if changes else config, kind, children)


def differing(config: NodeConfig, submitted: Mapping[str, Sequence[str]]) -> str:
    """The name of the first field that is not as the configuration is, or that no configuration has; "" where all
    hold."""
    for var, values in submitted.items():
        name = _ALIASES.get(var, var)
        row = _BY_VAR.get(name)
        if row is None:
            return var
        try:
            wanted = row.read(values)
        except ValueError:
            return var
        present = getattr(config, row.attribute)
        if isinstance(wanted, tuple) and sorted(wanted) == sorted(present):
            continue
        if wanted != present:
            return var
    return ""


def _show(value: Any) -> tuple[str, ...]:
    if isinstance(value, bool):
        return ("1" if value else "0",)
    if isinstance(value, tuple):
        return value
    return (str(value),) if value != "" else ()


def _single(values: Sequence[str]) -> str:
    if len(values) > 1:
        raise ValueError("takes one value")
    return values[0] if values else ""


def _boolean(values: Sequence[str]) -> bool:
    value = _single(values).strip()
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise ValueError("is either true or false")


def _text(values: Sequence[str]) -> str:
    value = " ".join(_single(values).split())
    if len(value.encode()) > MAX_TEXT:
        raise ValueError(f"has at most {MAX_TEXT} bytes")
    return value


def _language(values: Sequence[str]) -> str:
    value = _single(values).strip()
    if value and not _LANGUAGE.fullmatch(value):
        raise ValueError("needs the tag of a language")
    return value


def _number(values: Sequence[str]) -> int:
    value = _single(values).strip()
    # int() alone would take signs, underscores and other scripts' digits, and long texts cost it quadratic time.
    if not (value.isascii() and value.isdigit() and len(value) <= 10):
        raise ValueError("needs a number")
    return int(value)


def _count(values: Sequence[str]) -> int | str:
    value = _single(values).strip()
    return "max" if value in ("max", "") else _number((value,))


def _jids(values: Sequence[str]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for value in values:
        if value.strip():
            try:
                found[Jid.parse(value.strip()).full] = None
            except ValueError as error:
                raise ValueError(f"needs addresses: {error}") from None
    if len(found) > MAX_ENTRIES:
        raise ValueError(f"has at most {MAX_ENTRIES} entries")
    return tuple(found)


def _names(values: Sequence[str], most: int = MAX_ENTRIES) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(value for value in values if value))
    if len(found) > most:
        raise ValueError(f"has at most {most} entries")
    return found


def _choice(attribute: str) -> Callable[[Sequence[str]], str]:
    allowed = CHOICES[attribute]

    def read(values: Sequence[str]) -> str:
        value = _single(values).strip()
        value = _SAME.get((attribute, value), value)
        if value not in allowed:
            raise ValueError(f"is one of {', '.join(allowed)}")
        return value

    return read


def _options(**labels: str) -> tuple[tuple[str, str], ...]:
    return tuple((name.replace("_", "-") if "oldest" in name else name, label) for name, label in labels.items())


_KINDS: Final = (("leaf", "Items"), ("collection", "Other nodes"))
_ROWS: Final = (
    _Row("title", "text-single", "A name for people", _text),
    _Row("description", "text-single", "What the node is about", _text),
    # A list to choose from (5.4), whose values are free.
    _Row("language", "list-single", "The language of the node", _language, open=True),
    _Row("type", "text-single", "What its items are, as a rule a namespace", _text, _LEAF),
    _Row("contact", "jid-multi", "Whom to ask about the node", _jids),
    _Row(
        "access_model",
        "list-single",
        "Who may subscribe and read",
        _choice("access_model"),
        options=_options(
            open="Everybody",
            presence="Who may see the owner's presence",
            roster="Who is in one of these groups of the owner's contacts",
            authorize="Whom an owner has approved",
            whitelist="Who stands on the list",
        ),
    ),
    _Row("roster_groups_allowed", "list-multi", "The groups of contacts", _names, open=True),
    _Row(
        "publish_model",
        "list-single",
        "Who may publish",
        _choice("publish_model"),
        _LEAF,
        _options(publishers="Publishers", subscribers="Publishers and subscribers", open="Everybody"),
    ),
    _Row("subscribe", "boolean", "One may subscribe", _boolean),
    _Row("persist_items", "boolean", "Items are kept", _boolean, _LEAF),
    _Row("max_items", "text-single", "How many items are kept (max: as many as can be)", _count, _LEAF),
    _Row("item_expire", "text-single", "Seconds after which an item goes (max: never)", _count, _LEAF),
    _Row(
        "publish_node_full",
        "list-single",
        "What happens when there is no room for an item",
        _choice("publish_node_full"),
        _LEAF,
        _options(
            retract_oldest="The oldest item is retracted",
            discard_oldest="The oldest item goes unmentioned",
            reject="The new item is refused",
        ),
    ),
    _Row("max_payload_size", "text-single", "Bytes of an item", _number, _LEAF),
    _Row("deliver_notifications", "boolean", "Subscribers are told", _boolean),
    _Row("deliver_payloads", "boolean", "They are told the content of items", _boolean, _LEAF),
    _Row("notify_config", "boolean", "They learn when the node is configured", _boolean),
    _Row("notify_delete", "boolean", "They learn when the node is deleted", _boolean),
    _Row("notify_retract", "boolean", "They learn when items are removed", _boolean, _LEAF),
    _Row("notify_sub", "boolean", "Owners learn who subscribes", _boolean),
    _Row(
        "send_last_published_item",
        "list-single",
        "When the last item is sent",
        _choice("send_last_published_item"),
        _LEAF,
        _options(
            never="Never",
            on_sub="To new subscribers",
            on_sub_and_presence="To new subscribers, and to each who comes online",
        ),
    ),
    _Row("presence_based_delivery", "boolean", "Only who is online is told", _boolean),
    _Row(
        "notification_type",
        "list-single",
        "How messages are sent",
        _choice("notification_type"),
        options=_options(headline="Nobody who is away finds them later", normal="Like messages of people"),
    ),
    _Row("purge_offline", "boolean", "A publisher's items go when he goes offline", _boolean, _LEAF),
    _Row("tempsub", "boolean", "A subscription ends when the subscriber goes offline", _boolean),
    _Row(
        "itemreply",
        "list-single",
        "Who receives replies to items",
        _choice("itemreply"),
        _LEAF,
        _options(none="Nobody", publisher="Who published the item", owner="The owners"),
    ),
    _Row("body_xslt", "text-single", "Where the stylesheet is that makes a text of an item", _text, _LEAF),
    _Row("dataform_xslt", "text-single", "Where the stylesheet is that makes a form of an item", _text, _LEAF),
    _Row("collection", "text-multi", "The collections to which the node belongs", _names),
    _Row(
        "children_association_policy",
        "list-single",
        "Who may put nodes into the collection",
        _choice("children_association_policy"),
        _COLLECTION,
        _options(owners="Owners", whitelist="Who stands on the list", all="Everybody"),
    ),
    _Row("children_association_whitelist", "jid-multi", "Who may put nodes into it", _jids, _COLLECTION),
    _Row("children_max", "text-single", "How many nodes it may have (max: as many as can be)", _count, _COLLECTION),
)
_BY_VAR: Final = {PREFIX + row.attribute: row for row in _ROWS}
assert {row.attribute for row in _ROWS if row.read is _count} == COUNTS
