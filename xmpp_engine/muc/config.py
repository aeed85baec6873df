"""RoomConfig: everything an owner may set about a room (XEP-0045, 10.2), as one frozen value.

`config_form.py` shows it as a data form and reads it back; the console uses the same form. What a service changes of
these defaults stands in its options.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final, Literal, get_args

from xmpp_engine.storage.rooms import Affiliation, Role

Who = Literal["anyone", "moderators", "nobody"]
ArchiveAccess = Literal["anyone", "participants", "members", "admins", "owners", "nobody"]


@dataclass(frozen=True, slots=True)
class RoomConfig:
    """Field names of the form stand behind each value."""

    #: muc#roomconfig_roomname, _roomdesc, _lang
    name: str = ""
    description: str = ""
    lang: str = ""
    #: muc#roomconfig_persistentroom, _publicroom
    persistent: bool = False
    public: bool = True
    #: muc#roomconfig_membersonly; _passwordprotectedroom is whether `secret` (_roomsecret) is set
    members_only: bool = False
    secret: str = ""
    #: muc#roomconfig_moderatedroom; mlink#roomconfig_voice_requests
    moderated: bool = False
    voice_requests: bool = True
    #: muc#roomconfig_maxusers: occupants, 0 for the service's limit
    max_occupants: int = 0
    #: muc#roomconfig_whois: who sees real JIDs
    whois: Literal["anyone", "moderators"] = "moderators"
    #: muc#roomconfig_allowinvites: members (not only admins) may invite
    member_invites: bool = False
    #: muc#roomconfig_changesubject: occupants with voice may change the subject
    change_subject: bool = False
    #: muc#roomconfig_allowpm
    private_messages: Who = "anyone"
    #: muc#roomconfig_presencebroadcast: roles whose presence is shown to others
    presence_of: tuple[Role, ...] = ("moderator", "participant", "visitor")
    #: muc#roomconfig_getmemberlist: roles that may fetch the member list
    member_list_for: tuple[Role, ...] = ("moderator", "participant", "visitor")
    #: muc#roomconfig_enablelogging: whether the room is archived (status 170)
    logging: bool = True
    #: mlink#roomconfig_mam: who may read the archive
    archive_access: ArchiveAccess = "anyone"
    #: muc#maxhistoryfetch: messages of history sent to who enters
    history: int = 20
    #: mlink#roomconfig_change_nick: occupants may change their nickname; mlink#roomconfig_registration: may register
    change_nick: bool = True
    nick_registration: bool = True
    #: mlink#roomconfig_retract: moderators may retract messages of others (XEP-0425)
    moderation: bool = True
    #: muc#roomconfig_pubsub: address of a publish-subscribe node; muc#roominfo_contactjid: who answers for the room
    pubsub: str = ""
    contacts: tuple[str, ...] = ()
    #: Groups whose members are affiliated: name of the group to affiliation (the group seam, see `muc/groups.py`)
    groups: tuple[tuple[str, Affiliation], ...] = ()


def from_values(defaults: RoomConfig, values: Mapping[str, Any], *, strict: bool = False) -> RoomConfig:
    """`defaults` with stored values in place of some; lists become tuples. Unknown names and wrong types are left out
    (a later version wrote them), or raise ValueError where `strict`."""
    taken: dict[str, Any] = {}
    for name, value in values.items():
        try:
            taken[name] = _checked(name, value)
        except ValueError:
            if strict:
                raise
    return replace(defaults, **taken)


def to_values(config: RoomConfig, defaults: RoomConfig) -> dict[str, Any]:
    """What of `config` differs from `defaults`, as values that JSON knows. Name and description always stand in it:
    lists of stored rooms show them."""
    values: dict[str, Any] = {}
    for name in _TYPES:
        value = getattr(config, name)
        if value != getattr(defaults, name) or name in ("name", "description"):
            values[name] = _plain(value)
    return values


def _checked(name: str, value: Any) -> Any:
    kind = _TYPES.get(name)
    if kind is None:
        raise ValueError(f"a room has no value {name}")
    if kind is tuple:
        if not isinstance(value, list | tuple):
            raise ValueError(f"{name} is a list")
        return tuple(tuple(part) if isinstance(part, list) else part for part in value)
    if type(value) is not kind:
        raise ValueError(f"{name} is {_WORDS[kind]}")
    allowed = _ALLOWED.get(name)
    if allowed is not None and value not in allowed:
        raise ValueError(f"{name} is one of {', '.join(allowed)}")
    return value


def _plain(value: Any) -> Any:
    return [_plain(part) for part in value] if isinstance(value, tuple) else value


_TYPES: Final[dict[str, type]] = {f.name: type(getattr(RoomConfig(), f.name)) for f in fields(RoomConfig)}
_WORDS: Final = {bool: "true or false", int: "a number", str: "a text"}
_ALLOWED: Final[dict[str, tuple[str, ...]]] = {
    "whois": ("anyone", "moderators"),
    "private_messages": get_args(Who),
    "archive_access": get_args(ArchiveAccess),
}
