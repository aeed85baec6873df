"""RoomConfig: everything an owner may set about a room (XEP-0045, 10.2), as one frozen value.

`config_form.py` shows it as a data form and reads it back; the console uses the same form. What a service changes of
these defaults stands in its options.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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
