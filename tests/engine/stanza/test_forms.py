"""Data forms: reading, checking and rendering (XEP-0004, XEP-0068)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xmpp_engine.stanza import forms
from xmpp_engine.stanza.forms import Field
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError
from xmpp_engine.xml.parser import parse_document
from xmpp_engine.xml.writer import write

ROOM = (
    Field("name", label="Name", required=True),
    Field("public", "boolean", values=("1",)),
    Field("whois", "list-single", options=(("moderators", "Moderators"), ("anyone", ""))),
    Field("owners", "jid-multi"),
    Field("lang", "list-multi", options=(("en", ""),), open=True),
    Field("note", "fixed", values=("read this",)),
)


def submitted(fields: str, form_type: str = "room") -> Element:
    kind = f"<field var='FORM_TYPE' type='hidden'><value>{form_type}</value></field>" if form_type else ""
    return parse_document(f"<x xmlns='{ns.DATA_FORMS}' type='submit'>{kind}{fields}</x>".encode())


def refusal(fields: str, form_type: str = "room") -> str:
    with pytest.raises(StanzaError) as caught:
        forms.check(forms.read(submitted(fields, form_type), "room"), ROOM)
    assert caught.value.condition == "bad-request"
    return caught.value.text


def test_values_get_their_types() -> None:
    form = submitted(
        "<field var='name'><value>Lounge</value></field><field var='public'><value>false</value></field>"
        "<field var='whois'><value>anyone</value></field><field var='note'><value>x</value></field>"
        "<field var='owners'><value>Romeo@A.example</value><value> juliet@a.example/r </value></field>"
        "<field var='lang'><value>tlh</value></field><field type='fixed'><value>heading</value></field>"
    )
    assert forms.check(forms.read(form, "room"), ROOM) == {
        "name": "Lounge",
        "public": False,
        "whois": "anyone",
        "owners": ("romeo@a.example", "juliet@a.example/r"),
        "lang": ("tlh",),
    }


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ("", "name is missing"),
        ("<field var='name'/>", "name is missing"),
        ("<field var='name'><value/></field>", "name is missing"),
        ("<field var='name'><value>a</value><value>b</value></field>", "name takes one value"),
        ("<field var='name'><value>a</value></field><field var='name'><value>b</value></field>", "twice"),
        ("<field var='colour'><value>a</value></field>", "no field colour"),
        ("<field var='public'><value>maybe</value></field>", "true or false"),
        ("<field var='whois'><value>nobody</value></field>", "does not offer"),
        ("<field var='owners'><value>@@</value></field>", "needs an address"),
        ("<field><value>a</value></field>", "no name"),
    ],
)
def test_what_does_not_fit_is_refused(fields: str, words: str) -> None:
    assert words in refusal(fields)


def test_another_forms_type_is_refused() -> None:
    assert "FORM_TYPE" in refusal("", "muc")
    assert "FORM_TYPE" in refusal("", "")


def test_a_form_is_found_by_its_kind() -> None:
    parent = Element("q", "query", None, Element(ns.DATA_FORMS, "x", {"type": "cancel"}), submitted(""))
    found = forms.find(parent, "submit")
    assert found is not None
    assert forms.form_type(found) == "room"
    assert forms.find(parent, "form") is None


def test_a_rendered_form() -> None:
    text = write(
        forms.render("form", "room", forms.filled(ROOM[:3], {"public": False}), title="Room", instructions="Do")
    )
    assert "<title>Room</title><instructions>Do</instructions>" in text
    assert "<field var='FORM_TYPE' type='hidden'><value>room</value></field>" in text
    assert "<field var='name' type='text-single' label='Name'><required/></field>" in text
    assert "<field var='public' type='boolean'><value>0</value></field>" in text
    assert "<option label='Moderators'><value>moderators</value></option><option><value>anyone</value></option>" in text


def test_an_unknown_type_of_field() -> None:
    with pytest.raises(ValueError, match="no type of field"):
        Field("x", "text")


values = st.fixed_dictionaries(
    {"name": st.text(st.characters(codec="utf-8", exclude_categories=("C",)), min_size=1)},
    optional={
        "public": st.booleans(),
        "whois": st.sampled_from(("moderators", "anyone")),
        "lang": st.lists(st.sampled_from(("en", "de")), min_size=1).map(tuple),
    },
)


@given(values)
def test_what_is_submitted_is_read_back(given_values: dict[str, forms.Value]) -> None:
    assert forms.check(forms.read(forms.submit("room", given_values), "room"), ROOM) == given_values
