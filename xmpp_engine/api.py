"""What packages outside the engine may import: feature modules, stores and the web side. Defines nothing itself."""

from __future__ import annotations

from xmpp_engine.addressing.jid import Jid, JidError
from xmpp_engine.config import services as service_options
from xmpp_engine.modules import invitations as invitations_module
from xmpp_engine.modules.register import RegisterOptions
from xmpp_engine.modules.upload import UploadOptions
from xmpp_engine.muc import config as room_config
from xmpp_engine.muc.groups import Groups, NoGroups, affiliation_by_groups
from xmpp_engine.plugin.module import Module, NoOptions, Xep
from xmpp_engine.plugin.phases import Phase
from xmpp_engine.plugin.registrar import Registrar
from xmpp_engine.plugin.table import Target
from xmpp_engine.plugin.verdict import HANDLED, Reject, Verdict
from xmpp_engine.pubsub import config as node_config
from xmpp_engine.pubsub import config_form as node_form
from xmpp_engine.pubsub import options_form as subscription_form
from xmpp_engine.pubsub import pep_avatar_forms as avatar_forms
from xmpp_engine.pubsub import pep_options as personal_nodes
from xmpp_engine.routing import commands
from xmpp_engine.routing.account import Account
from xmpp_engine.routing.iq import IqContext
from xmpp_engine.routing.session import Session
from xmpp_engine.runtime.buckets import Buckets
from xmpp_engine.runtime.ledger import Ledger
from xmpp_engine.stanza import build, forms, mam, rsm
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.storage import invitations as stored_invitations
from xmpp_engine.storage import pubsub as stored_pubsub
from xmpp_engine.storage import pushes as stored_pushes
from xmpp_engine.storage import reports as stored_reports
from xmpp_engine.storage import rooms as stored_rooms
from xmpp_engine.storage import uploads as stored_uploads
from xmpp_engine.storage.devices import MAX_DEVICES, DeviceRow, DeviceVisit, TokenRow
from xmpp_engine.storage.devices import METHODS as DEVICE_METHODS
from xmpp_engine.storage.memory import origin_of
from xmpp_engine.storage.protocols import QuotaExceeded, StoreUnavailable
from xmpp_engine.storage.types import (
    AccountData,
    ArchiveRow,
    ArchiveShare,
    Batch,
    OfflineRow,
    ScramKeys,
    StreamMark,
    TakenBack,
)
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError, StreamError
from xmpp_engine.xml.parser import STORED_LIMITS, StreamParser, parse_document
from xmpp_engine.xml.writer import escape_attr, write

__all__ = [
    "DEVICE_METHODS",
    "HANDLED",
    "MAX_DEVICES",
    "STORED_LIMITS",
    "Account",
    "AccountData",
    "ArchiveRow",
    "ArchiveShare",
    "Batch",
    "Buckets",
    "DeviceRow",
    "DeviceVisit",
    "Element",
    "Groups",
    "IqContext",
    "Jid",
    "JidError",
    "Ledger",
    "Module",
    "NoGroups",
    "NoOptions",
    "OfflineRow",
    "Phase",
    "QuotaExceeded",
    "RegisterOptions",
    "Registrar",
    "Reject",
    "ScramKeys",
    "Session",
    "Stanza",
    "StanzaError",
    "StoreUnavailable",
    "StreamError",
    "StreamMark",
    "StreamParser",
    "TakenBack",
    "Target",
    "TokenRow",
    "UploadOptions",
    "Verdict",
    "Xep",
    "affiliation_by_groups",
    "avatar_forms",
    "build",
    "commands",
    "escape_attr",
    "forms",
    "invitations_module",
    "mam",
    "node_config",
    "node_form",
    "ns",
    "origin_of",
    "parse_document",
    "personal_nodes",
    "room_config",
    "rsm",
    "service_options",
    "stored_invitations",
    "stored_pubsub",
    "stored_pushes",
    "stored_reports",
    "stored_rooms",
    "stored_uploads",
    "subscription_form",
    "write",
]
