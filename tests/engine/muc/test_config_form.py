"""RoomConfig as a form and back."""

from __future__ import annotations

from dataclasses import fields as dataclass_fields
from dataclasses import replace

import pytest

from xmpp_engine.muc import config_form
from xmpp_engine.muc.config import RoomConfig
from xmpp_engine.muc.config_form import FieldError, FormLimits

FULL = RoomConfig(
    name="The Heath",
    description="A cold place",
    lang="en",
    persistent=True,
    public=False,
    members_only=True,
    secret="cauldronburn",
    moderated=True,
    voice_requests=False,
    max_occupants=50,
    whois="anyone",
    member_invites=True,
    change_subject=True,
    private_messages="nobody",
    presence_of=("moderator", "participant"),
    member_list_for=("moderator",),
    logging=False,
    archive_access="members",
    history=7,
    change_nick=False,
    nick_registration=False,
    moderation=False,
    pubsub="xmpp:pubsub.example.org?;node=heath",
    contacts=("hecate@example.org",),
    groups=(("witches", "member"),),
)


def values(config: RoomConfig) -> dict[str, tuple[str, ...]]:
    return {field.var: field.values for field in config_form.fields(config)}


def test_every_value_of_a_room_stands_in_the_form_and_comes_back():
    default = RoomConfig()
    for field in dataclass_fields(RoomConfig):
        assert getattr(FULL, field.name) != getattr(default, field.name), f"{field.name} is not tried"
    assert config_form.apply(default, values(FULL)).config == FULL
    assert config_form.apply(FULL, values(default)).config == default


def test_every_field_has_a_label_and_options_where_it_is_a_list():
    for field in config_form.fields(RoomConfig()):
        assert field.label, field.var
        assert bool(field.options) == field.type.startswith("list-"), field.var


def test_what_is_left_out_stays():
    done = config_form.apply(FULL, {"muc#roomconfig_roomname": ("Elsewhere",)})
    assert done.config == replace(FULL, name="Elsewhere")
    assert done.owners is None
    assert done.admins is None
    assert config_form.apply(FULL, {}).config == FULL


def test_unknown_fields_are_ignored():
    assert config_form.apply(FULL, {"muc#roomconfig_dragons": ("1",)}).config == FULL


@pytest.mark.parametrize(
    ("var", "given"),
    [
        ("muc#roomconfig_publicroom", ("perhaps",)),
        ("muc#roomconfig_publicroom", ("1", "0")),
        ("muc#roomconfig_maxusers", ("-1",)),
        ("muc#roomconfig_maxusers", ("٣",)),
        ("muc#roomconfig_maxusers", ("9" * 5000,)),
        ("muc#roomconfig_maxusers", ("100000",)),
        ("muc#maxhistoryfetch", ("all",)),
        ("muc#roomconfig_whois", ("none",)),
        ("muc#roomconfig_allowpm", ("",)),
        ("muc#roomconfig_presencebroadcast", ("moderator", "king")),
        ("muc#roomconfig_lang", ("not a language",)),
        ("muc#roomconfig_roomname", ("x" * 256,)),
        ("muc#roomconfig_roomdesc", ("x" * 2001,)),
        ("muc#roomconfig_roomowners", ("a@@b",)),
        ("muc#roominfo_contactjid", tuple(f"a{n}@example.org" for n in range(11))),
        ("mlink#roomconfig_groups", ("witches",)),
        ("mlink#roomconfig_groups", ("witches=queen",)),
        ("muc#roomconfig_passwordprotectedroom", ("maybe",)),
    ],
)
def test_a_value_that_does_not_fit_names_its_field(var, given):
    with pytest.raises(FieldError) as caught:
        config_form.apply(RoomConfig(), {var: given})
    assert caught.value.field == var


def test_a_password_is_needed_where_the_room_is_protected():
    protected, secret = config_form.PASSWORD_PROTECTED, config_form.SECRET
    for submitted in ({protected: ("1",)}, {protected: ("1",), secret: ("",)}):
        with pytest.raises(FieldError) as caught:
            config_form.apply(RoomConfig(), submitted)
        assert caught.value.field == secret
    assert config_form.apply(RoomConfig(), {protected: ("1",), secret: ("open",)}).config.secret == "open"
    assert config_form.apply(FULL, {protected: ("true",)}).config.secret == FULL.secret
    assert config_form.apply(FULL, {protected: ("0",), secret: (FULL.secret,)}).config.secret == ""
    assert config_form.apply(RoomConfig(), {secret: (" two words",)}).config.secret == " two words"


def test_lists_of_owners_are_bare_addresses_and_bounded():
    done = config_form.apply(
        RoomConfig(), {config_form.OWNERS: ("Crone1@Example.ORG/desktop", "", "crone1@example.org")}
    )
    assert done.owners == {"crone1@example.org"}
    with pytest.raises(FieldError):
        config_form.apply(RoomConfig(), {config_form.OWNERS: ("a@x", "b@x", "c@x")}, FormLimits(list_entries=2))


def test_a_page_may_send_lines_as_one_text():
    given = {"muc#roominfo_contactjid": ("a@example.org\r\nb@example.org\n",)}
    assert config_form.apply(RoomConfig(), given).config.contacts == ("a@example.org", "b@example.org")


def test_the_sizes_offered_end_with_the_limit_of_the_service():
    field = next(
        field
        for field in config_form.fields(RoomConfig(), limits=FormLimits(occupants=70))
        if field.var == "muc#roomconfig_maxusers"
    )
    assert [value for value, _label in field.options] == ["none", "10", "20", "50", "70"]
    assert field.values == ("none",)
