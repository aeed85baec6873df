"""Definitions become forms and come back as they were."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings

from fdp.definition import Definition, DefinitionError, from_json, loads, to_json
from fdp.templates import from_element, to_element
from tests.fdp.strategies import documents
from xmpp_engine.api import STORED_LIMITS, Element, ns, parse_document, write


@given(documents())
@settings(max_examples=150, deadline=None)
def test_a_form_survives_json_and_xml(document: dict[str, Any]) -> None:
    definition = from_json(document)
    assert from_json(json.loads(json.dumps(to_json(definition)))) == definition
    assert from_element(reread(to_element(definition))) == definition


def reread(element: Element) -> Element:
    return parse_document(write(element).encode(), STORED_LIMITS)


def form(text: str) -> Definition:
    return from_element(parse_document(f"<x xmlns='jabber:x:data' type='form'>{text}</x>".encode(), STORED_LIMITS))


V = f"xmlns='{ns.FORM_VALIDATION}'"


def test_the_template_of_the_specification() -> None:
    definition = form(
        "<instructions>Fill in all.</instructions><title>Accident report form.</title>"
        "<field type='list-single' label='Place of fall:' var='Place'><option label='Kitchen'><value>Kitchen</value>"
        "</option></field><field type='text-single' label='Type of injury:' var='Type'> </field>"
        "<field type='boolean' label='Ambulance needed?' var='Ambulance'/>"
    )
    assert definition.title == "Accident report form."
    assert [(field.var, field.type, field.name) for field in definition.fields] == [
        ("Place", "list-single", "Place of fall"),
        ("Type", "text-single", "Type of injury"),
        ("Ambulance", "boolean", "Ambulance needed?"),
    ]


def test_what_is_not_known_is_overlooked() -> None:
    definition = form(
        f"<reported/><field var='a' type='colour'><validate {V} datatype='xs:frob'><maybe/></validate></field>"
        f"<page xmlns='{ns.FORM_LAYOUT}'><fieldref var='a'/><fieldref var='b'/><fieldref var='a'/><reportedref/>"
        "<section label='empty'><text>nothing</text></section></page>"
    )
    (field,) = definition.fields
    assert field.type == "text-single"
    assert field.validate is not None
    assert (field.validate.datatype, field.validate.method) == ("xs:frob", "basic")
    assert len(definition.pages[0].parts) == 1


def test_every_method_but_basic_opens_a_list() -> None:
    option = "<option><value>1</value></option>"
    for method in ("<open/>", "<range min='1'/>"):
        field = f"<field var='a' type='list-single'><validate {V} datatype='xs:int'>{method}</validate>{option}</field>"
        assert form(field).fields[0].open
    assert not form(f"<field var='a' type='list-single'><validate {V}/>{option}</field>").fields[0].open


def test_a_list_range_counts_only_in_a_list_multi() -> None:
    validate = f"<validate {V}><basic/><list-range min='2' max='3'/></validate>"
    option = "<option><value>1</value></option>"
    multi = form(f"<field var='a' type='list-multi'>{validate}{option}</field>").fields[0].validate
    single = form(f"<field var='a' type='list-single'>{validate}{option}</field>").fields[0].validate
    assert multi is not None
    assert single is not None
    assert (multi.list_min, multi.list_max) == (2, 3)
    assert (single.list_min, single.list_max) == (None, None)


@pytest.mark.parametrize(
    ("xml", "path"),
    [
        ("<field type='text-single'/>", "fields[0].var"),
        ("<field var='a'/><field var='a'/>", "fields[1].var"),
        ("<field var='fdp#serial' type='hidden'/>", "fields[0].var"),
        (f"<field var='a'><validate {V}><range min='1'/></validate></field>", "fields[0].validate.method"),
        (f"<field var='a'><validate {V}><regex>(?=a)</regex></validate></field>", "fields[0].validate.regex"),
        ("<field var='a' type='list-single'/>", "fields[0].options"),
        ("<field var='a'><option><value>1</value></option></field>", "fields[0].options"),
        (
            "<field var='a'><media xmlns='urn:xmpp:media-element'><uri type='image/png'>file:///etc/passwd</uri></media>"
            "</field>",
            "fields[0].media[0].uris[0].uri",
        ),
    ],
)
def test_what_no_form_can_be_is_refused_with_its_place(xml: str, path: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        form(xml)
    assert caught.value.path == path


def test_only_a_form_is_a_template() -> None:
    for type in ("submit", "result", "cancel"):
        with pytest.raises(DefinitionError, match="type form"):
            from_element(Element(ns.DATA_FORMS, "x", {"type": type}))


def test_ten_thousand_fields_are_refused_at_once() -> None:
    element = Element(ns.DATA_FORMS, "x", {"type": "form"})
    element.children.extend(Element(ns.DATA_FORMS, "field", {"var": str(number)}) for number in range(10_000))
    with pytest.raises(DefinitionError, match="more than 500 entries"):
        from_element(element)
    with pytest.raises(DefinitionError, match=r"^fields: has more than 500 entries"):
        from_json({"fields": [{"var": str(number)} for number in range(10_000)]})


def test_deep_sections_are_refused() -> None:
    part: dict[str, Any] = {"kind": "field", "var": "a"}
    for _ in range(5):
        part = {"kind": "section", "parts": [part]}
    document = {"fields": [{"var": "a"}], "pages": [{"parts": [part]}]}
    assert from_element(to_element(from_json(document))) == from_json(document)
    document["pages"] = [{"parts": [{"kind": "section", "parts": [part]}]}]
    with pytest.raises(DefinitionError, match="nested at most 5 deep"):
        from_json(document)
    deep = "<section xmlns='http://jabber.org/protocol/xdata-layout'>" * 60
    with pytest.raises(DefinitionError, match="nested at most 5 deep"):
        form(f"<page xmlns='{ns.FORM_LAYOUT}'>{deep}{'</section>' * 60}</page>")


def test_documents_have_a_bound() -> None:
    fields = [{"var": f"v{number}", "desc": "x" * 7_000} for number in range(10)]
    with pytest.raises(DefinitionError, match="64 KiB"):
        from_json({"fields": fields})
    with pytest.raises(DefinitionError, match="64 KiB"):
        loads(json.dumps({"fields": fields}))
    with pytest.raises(DefinitionError, match="no JSON"):
        loads("[" * 60_000)
