"""What owners do with a room (XEP-0045, 10): configure it, take a new one as it is, destroy it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.muc import admin, config_form
from xmpp_engine.muc.config import to_values
from xmpp_engine.muc.config_form import FieldError, FormLimits, Submission
from xmpp_engine.muc.saving import stored
from xmpp_engine.plugin.module import Module
from xmpp_engine.plugin.registrar import Registrar
from xmpp_engine.plugin.table import Target
from xmpp_engine.routing.iq import IqContext
from xmpp_engine.stanza import forms
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.storage.rooms import MAX_CONFIG_BYTES, MAX_REASON_BYTES, Affiliation
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping, Sequence

    from xmpp_engine.muc.room import Room

_PASSWORD_BYTES: Final = 1_024


class RoomOwner(Module):
    """Answers muc#owner."""

    name = "muc-owner"
    requires = ("muc",)

    def setup(self, reg: Registrar) -> None:
        reg.iq_get(Target.ROOM, ns.MUC_OWNER, "query", self.form)
        reg.iq_set(Target.ROOM, ns.MUC_OWNER, "query", self.change)

    def form(self, iq: Stanza, context: IqContext) -> Element:
        """The configuration form with the present values (10.1.3, 10.2)."""
        room: Room = context.room
        _check_owner(room, iq.sender)
        return Element(
            ns.MUC_OWNER,
            "query",
            None,
            forms.render(
                "form",
                ns.MUC_ROOMCONFIG,
                fields(room),
                title=f"Configuration of {room.name}",
                instructions="What you leave out stays as it is.",
            ),
        )

    def change(self, iq: Stanza, context: IqContext) -> Coroutine[Any, Any, None]:
        """A filled-in or cancelled form, or the end of the room. Answered once it is stored."""
        self._change(iq, context)
        return stored(context.room)

    def _change(self, iq: Stanza, context: IqContext) -> None:
        query = iq.element.first()
        assert query is not None
        room: Room = context.room
        _check_owner(room, iq.sender)
        destroy = query.find(ns.MUC_OWNER, "destroy")
        if destroy is not None:
            self._destroy(room, destroy)
            return
        form = query.find(ns.DATA_FORMS, "x")
        if form is None:
            raise StanzaError("bad-request", "a form or the wish to destroy the room is expected")
        if form.get("type") == "cancel":
            if room.locked:
                room.destroy("The configuration was cancelled.")
            return
        if form.get("type") != "submit":
            raise StanzaError("bad-request", "the form must be submitted or cancelled")
        if forms.form_type(form) not in ("", ns.MUC_ROOMCONFIG):
            raise StanzaError("bad-request", f"the form must have the FORM_TYPE {ns.MUC_ROOMCONFIG}")
        submitted = forms.read(form)
        if submitted:
            configure(room, iq.sender, submitted)
        elif room.locked:
            room.unlock()

    def _destroy(self, room: Room, request: Element) -> None:
        reason = request.child_text(ns.MUC_OWNER, "reason") or ""
        password = request.child_text(ns.MUC_OWNER, "password") or ""
        if len(reason.encode()) > MAX_REASON_BYTES or len(password.encode()) > _PASSWORD_BYTES:
            raise StanzaError("not-acceptable", "the reason or the password is too long")
        alternate = request.get("jid") or ""
        if alternate:
            try:
                alternate = Jid.parse(alternate).full
            except ValueError as error:
                raise StanzaError("jid-malformed", str(error)) from None
        room.destroy(reason, alternate, password)


def limits(room: Room) -> FormLimits:
    """What the room's service allows in a form."""
    options = room.service.options
    return FormLimits(occupants=options.max_occupants, history=options.history_limit)


def fields(room: Room) -> tuple[forms.Field, ...]:
    """The room's configuration as plain descriptions of fields (name, type, label, options, values), for any page."""
    return config_form.fields(
        room.config, owners=_listed(room, "owner"), admins=_listed(room, "admin"), limits=limits(room)
    )


def configure(room: Room, actor: Jid | None, submitted: Mapping[str, Sequence[str]]) -> None:
    """Configure a room by submitted texts (field name to values), lists of owners and admins included.
    `actor` is None for the server itself.

    Raises StanzaError before any change: `not-acceptable` naming the field whose value does not fit, `conflict` where
    no owner would be left.
    """
    try:
        submission = config_form.apply(room.config, submitted, limits(room))
    except FieldError as error:
        raise StanzaError("not-acceptable", f"{error.field}: {error}") from None
    if len(json.dumps(to_values(submission.config, room.service.defaults))) > MAX_CONFIG_BYTES:
        raise StanzaError("not-acceptable", "the texts of the form are too long together")
    items = _list_changes(room, submission)
    if submission.config.persistent and not room.config.persistent:
        room.service.numbers.check()
    with room.turn:
        if items:
            admin.apply(room, actor, items)
        if submission.config != room.config:
            room.reconfigure(submission.config, actor)
        elif room.locked:
            room.unlock()


def _list_changes(room: Room, submission: Submission) -> list[admin.Item]:
    """What the complete lists of a form change (10.2: the full list, not the delta). Who is on both becomes an owner;
    who is on none any more becomes a member in a members-only room, so that he is not thrown out by the way."""
    owners, admins = _listed(room, "owner"), _listed(room, "admin")
    new_owners = submission.owners if submission.owners is not None else owners
    new_admins = (submission.admins if submission.admins is not None else admins) - new_owners
    if owners and not new_owners:
        raise StanzaError("conflict", "a room needs an owner")
    lost: Affiliation = "member" if submission.config.members_only else "none"
    wanted: dict[str, Affiliation] = dict.fromkeys(new_owners - owners, "owner")
    wanted |= dict.fromkeys(new_admins - admins, "admin")
    # 10.2: an owner who is taken off the list of owners stays an administrator unless the form lists those too.
    fallen: Affiliation = "admin" if submission.admins is None else lost
    wanted |= dict.fromkeys(owners - new_owners - new_admins, fallen)
    wanted |= dict.fromkeys(admins - new_admins - new_owners, lost)
    return [admin.Item(affiliation, None, Jid.parse(bare), "", "") for bare, affiliation in sorted(wanted.items())]


def _listed(room: Room, affiliation: Affiliation) -> frozenset[str]:
    return frozenset(entry.jid for entry in room.record.affiliations.values() if entry.affiliation == affiliation)


def _check_owner(room: Room, asker: Jid) -> None:
    if room.affiliation_of(asker) != "owner":
        raise StanzaError("forbidden", "only owners configure a room")
