"""RoomConfig as a form, and back (XEP-0045, 10.2; XEP-0004).

One table says which field of the form stands for which value. `fields` describes the form in plain data, for the
owner's client (owner.py renders it) and for pages that know nothing of XMPP; `apply` takes submitted texts by field
name. A submission may leave fields out: what it does not name stays. Fields that the table does not know are ignored,
a value that does not fit raises FieldError naming the field.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.muc.config import RoomConfig
from xmpp_engine.stanza.forms import Field

FORM_TYPE: Final = "http://jabber.org/protocol/muc#roomconfig"
PASSWORD_PROTECTED: Final = "muc#roomconfig_passwordprotectedroom"  # noqa: S105  the name of a field
SECRET: Final = "muc#roomconfig_roomsecret"  # noqa: S105
OWNERS: Final = "muc#roomconfig_roomowners"
ADMINS: Final = "muc#roomconfig_roomadmins"

_LANGUAGE: Final = re.compile(r"[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8}){0,5}")
_TRUE: Final = frozenset({"1", "true"})
_FALSE: Final = frozenset({"0", "false"})
_ROLES: Final = (("moderator", "Moderators"), ("participant", "Participants"), ("visitor", "Visitors"))
_AFFILIATIONS: Final = ("owner", "admin", "member", "outcast")
_SIZES: Final = (10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000)


class FieldError(ValueError):
    """A submitted value does not fit. `field` is the name of the field, the text a sentence for people."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(text)
        self.field = field


@dataclass(frozen=True, slots=True)
class FormLimits:
    """What the service allows at most: occupants of a room, messages of history, owners or admins in one form,
    characters of a long and of a short text, groups and contact addresses."""

    occupants: int = 5_000
    history: int = 100
    list_entries: int = 500
    text: int = 2_000
    line: int = 255
    groups: int = 50
    contacts: int = 10


@dataclass(frozen=True, slots=True)
class Submission:
    """What a submitted form asks for. `owners` and `admins` are the complete lists of bare JIDs, None where the form
    does not speak of them."""

    config: RoomConfig
    owners: frozenset[str] | None = None
    admins: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class _Row:
    """One field. `read` turns submitted texts into the value of `attribute`, `show` the other way; both raise
    ValueError with a sentence."""

    var: str
    attribute: str
    type: str
    label: str
    read: Callable[[Sequence[str], FormLimits], Any]
    show: Callable[[Any], tuple[str, ...]]
    options: Callable[[FormLimits], tuple[tuple[str, str], ...]] = lambda _limits: ()
    open: bool = False
    description: str = ""


def fields(
    config: RoomConfig,
    *,
    owners: Iterable[str] = (),
    admins: Iterable[str] = (),
    limits: FormLimits | None = None,
) -> tuple[Field, ...]:
    """The form with the present values, as plain descriptions (name, type, label, options, values)."""
    limits = limits or FormLimits()
    shown = []
    for row in _ROWS:
        options = row.options(limits)
        values = row.show(getattr(config, row.attribute))
        shown.append(Field(row.var, row.type, row.label, values, options, False, row.description, row.open))
    protected = Field(PASSWORD_PROTECTED, "boolean", "A password is needed to enter", ("1" if config.secret else "0",))
    secret = Field(SECRET, "text-private", "The password", (config.secret,) if config.secret else ())
    place = next(index for index, row in enumerate(_ROWS) if row.attribute == "members_only") + 1
    shown[place:place] = [protected, secret]
    shown.append(Field(ADMINS, "jid-multi", "All administrators of the room", tuple(sorted(admins))))
    shown.append(Field(OWNERS, "jid-multi", "All owners of the room", tuple(sorted(owners))))
    return tuple(shown)


def apply(config: RoomConfig, submitted: Mapping[str, Sequence[str]], limits: FormLimits | None = None) -> Submission:
    """What a submission makes of a configuration.

    :param submitted: texts by field name, without FORM_TYPE
    :raises FieldError: for a value that does not fit, with the name of its field
    """
    limits = limits or FormLimits()
    changes: dict[str, Any] = {}
    for row in _ROWS:
        given = submitted.get(row.var)
        if given is None:
            continue
        try:
            changes[row.attribute] = row.read(given, limits)
        except ValueError as error:
            raise FieldError(row.var, str(error)) from None
    secret = _secret(config, submitted, limits)
    if secret is not None:
        changes["secret"] = secret
    return Submission(
        replace(config, **changes), _affiliated(submitted, OWNERS, limits), _affiliated(submitted, ADMINS, limits)
    )


def _secret(config: RoomConfig, submitted: Mapping[str, Sequence[str]], limits: FormLimits) -> str | None:
    """The new password, None where the form does not change it. A room cannot be protected by an empty one (10.1.3)."""
    try:
        given = _line(submitted[SECRET], limits, strip=False) if SECRET in submitted else None
    except ValueError as error:
        raise FieldError(SECRET, str(error)) from None
    if PASSWORD_PROTECTED not in submitted:
        return given
    try:
        protected = _boolean(submitted[PASSWORD_PROTECTED], limits)
    except ValueError as error:
        raise FieldError(PASSWORD_PROTECTED, str(error)) from None
    if not protected:
        return ""
    secret = config.secret if given is None else given
    if not secret:
        raise FieldError(SECRET, "a password-protected room needs a password")
    return secret


def _affiliated(submitted: Mapping[str, Sequence[str]], var: str, limits: FormLimits) -> frozenset[str] | None:
    if var not in submitted:
        return None
    try:
        return frozenset(Jid.parse(text).bare for text in _lines(submitted[var], limits.list_entries))
    except ValueError as error:
        raise FieldError(var, str(error)) from None


# Reading: submitted texts to a value


def _one(given: Sequence[str]) -> str:
    if len(given) > 1:
        raise ValueError("one value is expected")
    return given[0] if given else ""


def _line(given: Sequence[str], limits: FormLimits, *, strip: bool = True) -> str:
    text = _one(given)
    text = text.strip() if strip else text
    if len(text) > limits.line:
        raise ValueError(f"at most {limits.line} characters fit")
    return text


def _text(given: Sequence[str], limits: FormLimits) -> str:
    text = "\n".join(given).strip()
    if len(text) > limits.text:
        raise ValueError(f"at most {limits.text} characters fit")
    return text


def _lines(given: Sequence[str], most: int) -> list[str]:
    """Values of a field of many; a page sends them as one text with line breaks."""
    lines = [line.strip() for value in given for line in value.splitlines() if line.strip()]
    if len(lines) > most:
        raise ValueError(f"at most {most} entries fit")
    return lines


def _language(given: Sequence[str], limits: FormLimits) -> str:
    text = _line(given, limits)
    if text and _LANGUAGE.fullmatch(text) is None:
        raise ValueError("a language tag such as en or pt-BR is expected")
    return text


def _boolean(given: Sequence[str], _limits: FormLimits) -> bool:
    text = _one(given).strip()
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError("either true or false is expected")


def _number(text: str, most: int) -> int:
    # int() alone would take signs, underscores and other scripts' digits, and long texts cost it quadratic time.
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise ValueError("a number is expected")
    if int(text) > most:
        raise ValueError(f"the number is at most {most}")
    return int(text)


def _occupants(given: Sequence[str], limits: FormLimits) -> int:
    text = _one(given).strip()
    return 0 if text in ("", "none") else _number(text, limits.occupants)


def _history(given: Sequence[str], limits: FormLimits) -> int:
    return _number(_one(given).strip(), limits.history)


def _choice(options: tuple[tuple[str, str], ...]) -> Callable[[Sequence[str], FormLimits], str]:
    known = frozenset(value for value, _label in options)

    def read(given: Sequence[str], _limits: FormLimits) -> str:
        text = _one(given).strip()
        if text not in known:
            raise ValueError(f"one of {', '.join(sorted(known))} is expected")
        return text

    return read


def _choices(options: tuple[tuple[str, str], ...]) -> Callable[[Sequence[str], FormLimits], tuple[str, ...]]:
    known = [value for value, _label in options]

    def read(given: Sequence[str], _limits: FormLimits) -> tuple[str, ...]:
        chosen = {text.strip() for text in given} - {""}
        if not chosen <= set(known):
            raise ValueError(f"some of {', '.join(known)} are expected")
        return tuple(value for value in known if value in chosen)

    return read


def _contacts(given: Sequence[str], limits: FormLimits) -> tuple[str, ...]:
    return tuple(dict.fromkeys(Jid.parse(text).full for text in _lines(given, limits.contacts)))


def _groups(given: Sequence[str], limits: FormLimits) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    for line in _lines(given, limits.groups):
        name, equals, affiliation = (part.strip() for part in line.rpartition("="))
        if not equals or not name or affiliation not in _AFFILIATIONS or len(name) > limits.line:
            raise ValueError(f"each line is the name of a group, = and one of {', '.join(_AFFILIATIONS)}")
        found[name] = affiliation
    return tuple(sorted(found.items()))


# Showing: a value to texts


def _show_text(value: str) -> tuple[str, ...]:
    return (value,) if value else ()


def _show_boolean(value: bool) -> tuple[str, ...]:
    return ("1" if value else "0",)


def _show_number(value: int) -> tuple[str, ...]:
    return (str(value),)


def _show_occupants(value: int) -> tuple[str, ...]:
    return (str(value) if value else "none",)


def _show_many(value: Sequence[str]) -> tuple[str, ...]:
    return tuple(value)


def _show_groups(value: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    return tuple(f"{name}={affiliation}" for name, affiliation in value)


def _sizes(limits: FormLimits) -> tuple[tuple[str, str], ...]:
    sizes = (*(size for size in _SIZES if size < limits.occupants), limits.occupants)
    return (("none", "As many as the service allows"), *((str(size), str(size)) for size in sizes))


# The table


def _line_row(var: str, attribute: str, label: str) -> _Row:
    return _Row(var, attribute, "text-single", label, _line, _show_text)


def _switch(var: str, attribute: str, label: str) -> _Row:
    return _Row(var, attribute, "boolean", label, _boolean, _show_boolean)


def _pick(var: str, attribute: str, label: str, *options: tuple[str, str]) -> _Row:
    return _Row(var, attribute, "list-single", label, _choice(options), _show_text, lambda _limits: options)


def _roles(var: str, attribute: str, label: str) -> _Row:
    return _Row(var, attribute, "list-multi", label, _choices(_ROLES), _show_many, lambda _limits: _ROLES)


_ROWS: Final[tuple[_Row, ...]] = (
    _line_row("muc#roomconfig_roomname", "name", "Name"),
    _Row("muc#roomconfig_roomdesc", "description", "text-single", "Description", _text, _show_text),
    _Row(
        "muc#roomconfig_lang",
        "lang",
        "text-single",
        "Language of the conversation",
        _language,
        _show_text,
        description="A language tag such as en or pt-BR",
    ),
    _switch("muc#roomconfig_persistentroom", "persistent", "The room stays when everybody has left"),
    _switch("muc#roomconfig_publicroom", "public", "The room is listed and can be found"),
    _switch("muc#roomconfig_membersonly", "members_only", "Only members may enter"),
    _switch("muc#roomconfig_moderatedroom", "moderated", "Visitors need voice to speak"),
    _switch("mlink#roomconfig_voice_requests", "voice_requests", "Visitors may ask for voice"),
    _Row(
        "muc#roomconfig_maxusers",
        "max_occupants",
        "list-single",
        "Occupants at most",
        _occupants,
        _show_occupants,
        _sizes,
        open=True,
    ),
    _pick(
        "muc#roomconfig_whois",
        "whois",
        "Who sees the real addresses of occupants",
        ("moderators", "Moderators"),
        ("anyone", "Everybody in the room"),
    ),
    _switch("muc#roomconfig_allowinvites", "member_invites", "Members may invite"),
    _switch("muc#roomconfig_changesubject", "change_subject", "Participants may change the subject"),
    _pick(
        "muc#roomconfig_allowpm",
        "private_messages",
        "Who may send private messages",
        ("anyone", "Everybody"),
        ("moderators", "Moderators"),
        ("nobody", "Nobody"),
    ),
    _roles("muc#roomconfig_presencebroadcast", "presence_of", "Whose presence is shown"),
    _roles("muc#roomconfig_getmemberlist", "member_list_for", "Who may fetch the list of members"),
    _switch("muc#roomconfig_enablelogging", "logging", "Messages are archived"),
    _pick(
        "mlink#roomconfig_mam",
        "archive_access",
        "Who may read the archive",
        ("anyone", "Everybody who may enter"),
        ("participants", "Occupants"),
        ("members", "Members"),
        ("admins", "Administrators"),
        ("owners", "Owners"),
        ("nobody", "Nobody"),
    ),
    _Row(
        "muc#maxhistoryfetch",
        "history",
        "text-single",
        "Messages of history sent to who enters",
        _history,
        _show_number,
    ),
    _switch("mlink#roomconfig_change_nick", "change_nick", "Occupants may change their nickname"),
    _switch("mlink#roomconfig_registration", "nick_registration", "Users may register a nickname"),
    _switch("mlink#roomconfig_retract", "moderation", "Moderators may retract messages of others"),
    _line_row("muc#roomconfig_pubsub", "pubsub", "Address of a publish-subscribe node of the room"),
    _Row("muc#roominfo_contactjid", "contacts", "jid-multi", "Addresses to contact", _contacts, _show_many),
    _Row(
        "mlink#roomconfig_groups",
        "groups",
        "text-multi",
        "Groups and their affiliation",
        _groups,
        _show_groups,
        description="One group a line, such as engineers=member",
    ),
)
