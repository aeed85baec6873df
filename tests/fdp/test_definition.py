"""Documents that do not fit are refused with the place and a reason."""

from __future__ import annotations

from typing import Any

import pytest

from fdp.definition import DefinitionError, Validate, from_json


def field(**keys: Any) -> dict[str, Any]:
    return {"fields": [{"var": "a", **keys}]}


OPTIONS = [{"value": "1"}, {"value": "2", "label": "two"}]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "must be an object"),
        ({"feilds": []}, "feilds: there is no such key"),
        ({"title": 1}, "title: must be a text"),
        ({"title": "a\x00"}, "title: holds a character that XML cannot carry"),
        ({"title": "\ud800"}, "title: holds a character that XML cannot carry"),
        ({"title": "x" * 1_001}, "title: has more than 1000 characters"),
        ({"instructions": "one"}, "instructions: must be a list"),
        ({"fields": [1]}, "fields[0]: must be an object"),
        (field(typ="x"), "fields[0].typ: there is no such key"),
        (field(type="colour"), "fields[0].type: must be one of boolean, fixed, "),
        (field(required="yes"), "fields[0].required: must be true or false"),
        (field(type="hidden", required=True), "fields[0].required: nobody fills in a hidden field"),
        (field(var=" a"), "fields[0].var: a name has no blanks around it"),
        (field(values=["1", "2"]), "fields[0].values: this type of field takes one value"),
        (field(type="boolean", values=["maybe"]), "fields[0].values: must be true or false"),
        (field(open=True), "fields[0].open: only lists can be open"),
        (field(type="list-single"), "fields[0].options: a list needs options, unless it is open"),
        (
            field(type="list-single", options=[{"value": "1"}, {"value": "1"}]),
            "fields[0].options[1].value: another option has this value",
        ),
        (
            field(type="list-single", options=[{"value": "1", "label": "x"}, {"value": "2", "label": "x"}]),
            "fields[0].options[1].label: another option has this label",
        ),
        (field(type="list-single", options=[{"label": "x"}]), "fields[0].options[0].value: must be a text"),
        (field(type="list-single", options=OPTIONS, values=["3"]), "fields[0].values: is not one of the choices"),
        (field(validate={"datatype": "integer"}), "fields[0].validate.datatype: must be a datatype such as xs:integer"),
        (
            field(validate={"method": "range", "min": "1"}),
            "fields[0].validate.method: values of xs:string have no range",
        ),
        (
            field(validate={"datatype": "xs:int", "method": "range", "min": "x"}),
            "fields[0].validate.min: must be a whole number",
        ),
        (
            field(validate={"datatype": "xs:int", "method": "range", "min": "2", "max": "1"}),
            "fields[0].validate.max: must not be less than min",
        ),
        (field(validate={"datatype": "xs:int", "min": "1"}), "fields[0].validate.min: belongs to the method range"),
        (field(validate={"method": "regex"}), "fields[0].validate.regex: the method regex needs a pattern"),
        (field(validate={"regex": "a"}), "fields[0].validate.regex: belongs to the method regex"),
        (field(validate={"list_min": 1}), "fields[0].validate.list_min: only a list-multi counts its values"),
        (field(validate={"list_min": True}), "fields[0].validate.list_min: must be a whole number"),
        (
            field(type="list-multi", options=OPTIONS, validate={"list_min": 2, "list_max": 1}),
            "fields[0].validate.list_max: must not be less than list_min",
        ),
        (field(media=[{"uris": []}]), "fields[0].media[0].uris: must name at least one address"),
        (
            field(media=[{"uris": [{"type": "png", "uri": "https://example.org/"}]}]),
            "fields[0].media[0].uris[0].type: must be a type such as image/png",
        ),
        (
            field(media=[{"uris": [{"type": "image/svg+xml", "uri": "javascript:alert(1)"}]}]),
            "fields[0].media[0].uris[0].uri: must begin with https:, http: or cid:",
        ),
        (
            field() | {"pages": [{"parts": [{"kind": "row"}]}]},
            "pages[0].parts[0].kind: must be one of text, field, section",
        ),
        (
            field() | {"pages": [{"parts": [{"kind": "field", "var": "b"}]}]},
            "pages[0].parts[0].var: there is no such field",
        ),
        (
            field() | {"pages": [{"parts": [{"kind": "field", "var": "a"}] * 2}]},
            "pages[0].parts[1].var: a has a place already",
        ),
        (
            field() | {"pages": [{"parts": [{"kind": "section", "parts": [{"kind": "text", "text": "x"}]}]}]},
            "pages[0].parts[0].parts: a section holds at least one field",
        ),
        (
            field() | {"pages": [{"parts": [{"kind": "text", "text": "x", "var": "a"}]}]},
            "pages[0].parts[0].var: a part of the kind text has no such key",
        ),
    ],
)
def test_refused(document: Any, message: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        from_json(document)
    assert str(caught.value).startswith(message)


def test_null_is_as_good_as_absent() -> None:
    document = field(validate=None, media=None, options=None, values=None, label=None)
    assert from_json(document) == from_json(field())


def test_an_open_list_is_said_in_one_way() -> None:
    plain = from_json(field(type="list-single", options=OPTIONS, open=True))
    said = from_json(field(type="list-single", options=OPTIONS, validate={"method": "open"}))
    assert plain == said
    assert plain.fields[0].validate == Validate(method="open")
    assert from_json(field(type="list-single", open=True)).fields[0].open


def test_an_empty_default_is_none() -> None:
    assert from_json(field(values=[""], validate={"datatype": "xs:int"})).fields[0].values == ()
    options = [{"value": "", "label": "none"}, {"value": "1"}]
    assert from_json(field(type="list-single", options=options, values=[""])).fields[0].values == ("",)


def test_fields_without_a_place_are_known() -> None:
    document = {
        "fields": [{"var": "a"}, {"var": "b"}, {"var": "c", "type": "hidden"}, {"type": "fixed", "values": ["x"]}],
        "pages": [{"parts": [{"kind": "section", "parts": [{"kind": "field", "var": "a"}]}]}],
    }
    assert [one.var for one in from_json(document).unplaced()] == ["b"]
    assert from_json({"fields": document["fields"]}).unplaced() == ()
