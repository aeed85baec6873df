"""Submissions against definitions: every datatype, every method, the first wrong field in plain words."""

from __future__ import annotations

import time
from typing import Any

import pytest

from fdp import datatypes, patterns
from fdp.definition import from_json
from fdp.validation import Given, WrongField, read, stored, validate
from xmpp_engine.api import STORED_LIMITS, Element, ns, parse_document

GOOD = {
    "xs:string": ["", "anything at all\tß"],
    "xs:integer": ["0", "-7", "+7", "007", "9" * 400],
    "xs:byte": ["-128", "127"],
    "xs:short": ["-32768", "32767"],
    "xs:int": ["-2147483648", "2147483647", " 5\n"],
    "xs:long": ["-9223372036854775808", "9223372036854775807"],
    "xs:unsignedByte": ["0", "255"],
    "xs:positiveInteger": ["1"],
    "xs:decimal": ["1", "-1.50", ".5", "5.", "+0.0"],
    "xs:double": ["1e3", "-1.5E-2", "INF", "-INF", "4"],
    "xs:boolean": ["true", "0"],
    "xs:date": ["2026-02-28", "2024-02-29", "2000-02-29Z", "-0044-03-15", "12026-01-01", "2026-03-31+14:00"],
    "xs:dateTime": [
        "2026-03-31T14:05:00",
        "2026-03-31T14:05:00.5Z",
        "2003-10-06T11:22:00-07:00",
        "2026-12-31T24:00:00Z",
    ],
    "xs:time": ["14:05:00", "00:00:00Z", "23:59:59.999+01:00", "24:00:00"],
    "xs:language": ["en", "pt-BR", "zh-Hant-TW"],
    "xs:anyURI": [
        "https://example.org/a?b=c#d",
        "xmpp:a@b",
        "../a",
        "#x",
        "http://[::1]:80/",
        "https://bücher.example/%20",
    ],
    "x:grid": ["whatever 33T"],
    "xs:frob": ["not known"],
}
BAD = {
    "xs:integer": ["", "1.0", "a", "1e3", "٣", "9" * 401, "--1", "1 2"],
    "xs:byte": ["-129", "128"],
    "xs:short": ["-32769", "32768"],
    "xs:int": ["2147483648", "x"],
    "xs:long": ["9223372036854775808"],
    "xs:unsignedByte": ["-1", "256"],
    "xs:positiveInteger": ["0"],
    "xs:decimal": ["1e3", ".", "1,5", "INF", "NaN", "1_0"],
    "xs:double": ["NaN", "inf", "1e", "0x1p3", "Infinity"],
    "xs:boolean": ["yes", "TRUE"],
    "xs:date": [
        "2026-02-29",
        "1900-02-29",
        "2026-13-01",
        "2026-1-1",
        "26-01-01",
        "0000-01-01",
        "2026-03-31+14:01",
        "x",
    ],
    "xs:dateTime": [
        "2026-03-31",
        "2026-03-31 14:05:00",
        "2026-03-31T14:05",
        "2026-03-31T24:00:01",
        "2026-03-31T14:60:00",
    ],
    "xs:time": ["24:00:01", "14:05", "2:05:00", "14:05:00.", "14:05:00+25:00", "1" * 200],
    "xs:language": ["", "e_n", "toolonglang", "en--US"],
    "xs:anyURI": ["", "a b", "http://x/%zz", "1a:b", "<x>"],
}


@pytest.mark.parametrize(("datatype", "value"), [(name, value) for name, values in GOOD.items() for value in values])
def test_good_values(datatype: str, value: str) -> None:
    datatypes.parse(datatype, value)


@pytest.mark.parametrize(("datatype", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_bad_values(datatype: str, value: str) -> None:
    with pytest.raises(ValueError, match=r"^must be "):
        datatypes.parse(datatype, value)


@pytest.mark.parametrize(
    ("datatype", "smaller", "greater"),
    [
        ("xs:date", "-0001-12-31", "0001-01-01"),
        ("xs:date", "2023-12-31", "2024-01-01"),
        ("xs:date", "2026-03-31+01:00", "2026-03-31Z"),
        ("xs:dateTime", "2003-10-06T11:22:00-07:00", "2003-10-06T18:22:00.1Z"),
        ("xs:dateTime", "2026-12-31T24:00:00Z", "2027-01-01T00:00:01Z"),
        ("xs:time", "13:20:00+05:00", "09:00:00Z"),
        ("xs:decimal", "0.1000000000000000000000000000000001", "0.1000000000000000000000000000000002"),
        ("xs:double", "-INF", "1e308"),
    ],
)
def test_order(datatype: str, smaller: str, greater: str) -> None:
    assert datatypes.parse(datatype, smaller) < datatypes.parse(datatype, greater)


def test_the_last_of_a_year_and_the_first_of_the_next_are_one_day_apart() -> None:
    for year in (1, 4, 1899, 1900, 1999, 2000, 2023, 2024):
        first = datatypes.parse("xs:date", f"{year + 1:04d}-01-01")
        assert first - datatypes.parse("xs:date", f"{year:04d}-12-31") == datatypes.DAY
        leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
        days = (first - datatypes.parse("xs:date", f"{year:04d}-01-01")) // datatypes.DAY
        assert days == 365 + leap


FORM: dict[str, Any] = {
    "title": "T",
    "fields": [
        {"var": "unit", "label": "Unit:", "required": True},
        {"var": "kind", "type": "hidden", "values": ["k1"]},
        {"type": "fixed", "values": ["About"]},
        {"var": "count", "validate": {"datatype": "xs:int", "method": "range", "min": "1", "max": "9"}},
        {"var": "code", "validate": {"method": "regex", "regex": "[A-Z]{2}-[0-9]+"}},
        {"var": "urgent", "type": "boolean"},
        {"var": "who", "type": "jid-multi"},
        {"var": "boss", "type": "jid-single"},
        {"var": "one", "type": "list-single", "options": [{"value": "a"}, {"value": "", "label": "none"}]},
        {
            "var": "some",
            "type": "list-multi",
            "options": [{"value": "a"}, {"value": "b"}, {"value": "c"}],
            "validate": {"list_min": 2, "list_max": 2},
        },
        {
            "var": "open",
            "type": "list-single",
            "options": [{"value": "few"}],
            "validate": {"datatype": "xs:int", "method": "range", "max": "100"},
        },
        {"var": "notes", "type": "text-multi"},
        {"var": "numbers", "type": "text-multi", "validate": {"datatype": "xs:int", "method": "open"}},
        {"var": "pin", "type": "text-private"},
    ],
}
DEFINITION = from_json(FORM)


def checked(**values: str | tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    given = {var: (value,) if isinstance(value, str) else value for var, value in values.items()}
    return validate(DEFINITION, {"unit": ("1st",), **given})


def refusal(**values: str | tuple[str, ...]) -> tuple[str, str]:
    with pytest.raises(WrongField) as caught:
        checked(**values)
    return caught.value.var, str(caught.value)


def test_what_is_accepted_is_put_into_shape() -> None:
    assert checked(
        count=" 5 ",
        code="AB-1",
        urgent="true",
        who=("Romeo@Example.org", "romeo@example.org", "b@example.org/x"),
        boss="",
        one="",
        some=("a", "c", "a"),
        open="few",
        notes="a\r\nb\n\n",
        numbers=("1", " 2 "),
        nobody="ignored",
    ) == {
        "unit": ("1st",),
        "kind": ("k1",),
        "count": ("5",),
        "code": ("AB-1",),
        "urgent": ("1",),
        "who": ("romeo@example.org", "b@example.org/x"),
        "one": ("",),
        "some": ("a", "c"),
        "open": ("few",),
        "notes": ("a", "b"),
        "numbers": ("1", "2"),
    }
    assert checked(open="99")["open"] == ("99",)
    assert list(checked(pin="1", count="5")) == ["unit", "kind", "count", "pin"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"unit": " "}, "Unit: must be filled in"),
        ({"unit": "a\nb"}, "Unit: takes one line"),
        ({"unit": ("a", "b")}, "Unit: takes one value"),
        ({"kind": "k2"}, "kind: is a hidden field and must come back unchanged"),
        ({"count": "0"}, "count: must be at least 1"),
        ({"count": "10"}, "count: must be at most 9"),
        ({"count": "five"}, "count: must be a whole number"),
        ({"code": "AB-1x"}, "code: does not have the form that is asked for"),
        ({"code": "A" * 5_000}, "code: has more than 4096 characters"),
        ({"urgent": "maybe"}, "urgent: must be true or false"),
        ({"who": ("a@b", "@")}, "who: needs an address such as name@example.org"),
        ({"one": "z"}, "one: is not one of the choices"),
        ({"some": "a"}, "some: needs at least 2 values"),
        ({"some": ("a", "b", "c")}, "some: takes at most 2 values"),
        ({"open": "many"}, "open: must be a whole number"),
        ({"open": "101"}, "open: must be at most 100"),
        ({"numbers": ("1", "x")}, "numbers: must be a whole number"),
        ({"notes": ("x",) * 1_001}, "notes: has more than 1000 values"),
        ({"notes": "x" * 100_001}, "notes: has more than 100,000 characters"),
        ({"pin": ("1", "2"), "count": "0"}, "count: must be at least 1"),
    ],
)
def test_the_first_wrong_field_is_named(values: dict[str, Any], message: str) -> None:
    assert refusal(**values)[1].startswith(message)


def submit(inner: str) -> Element:
    return parse_document(f"<x xmlns='jabber:x:data' type='submit'>{inner}</x>".encode(), STORED_LIMITS)


def test_reading() -> None:
    given = read(
        submit(
            "<field var='FORM_TYPE' type='hidden'><value>x</value></field><field type='fixed'><value>hm</value></field>"
            "<field var='fdp#version'><value>version02</value></field><field var='fdp#serial'><value>99</value></field>"
            "<field var='fdp#amends'><value> i1 </value></field><field var='a'><value>1</value><value>2</value></field>"
        )
    )
    assert given == Given({"FORM_TYPE": ("x",), "a": ("1", "2")}, "version02", "i1")


@pytest.mark.parametrize(
    "inner",
    [
        "<field><value>1</value></field>",
        "<field var='a'/><field var='a'/>",
        "<field var='fdp#amends'><value>1</value><value>2</value></field>",
    ],
)
def test_reading_refuses(inner: str) -> None:
    with pytest.raises(WrongField):
        read(submit(inner))


def test_only_a_submitted_form_is_read() -> None:
    for form in (None, Element(ns.DATA_FORMS, "x", {"type": "form"}), Element("other", "x", {"type": "submit"})):
        with pytest.raises(WrongField, match="type submit"):
            read(form)


def test_ten_thousand_fields_are_refused_at_once() -> None:
    form = Element(ns.DATA_FORMS, "x", {"type": "submit"})
    form.children.extend(Element(ns.DATA_FORMS, "field", {"var": str(number)}) for number in range(10_000))
    with pytest.raises(WrongField, match="at most 500 fields"):
        read(form)
    form.children = [Element(ns.DATA_FORMS, "field", {"var": "a"}, *(Element(ns.DATA_FORMS, "value"),) * 30_000)]
    with pytest.raises(WrongField, match="at most 20000 values"):
        read(form)


def test_what_is_stored_can_be_read_without_the_template() -> None:
    form = stored(DEFINITION, checked(count="5", urgent="1"), version="version01", serial=7, amends="i1")
    fields = {field.get("var"): field for field in form.find_all(ns.DATA_FORMS, "field")}
    assert list(fields) == ["fdp#version", "fdp#serial", "fdp#amends", "unit", "kind", "count", "urgent"]
    assert fields["unit"].attrs == {"var": "unit", "type": "text-single", "label": "Unit:"}
    assert fields["fdp#serial"].child_text(ns.DATA_FORMS, "value") == "7"
    assert form.child_text(ns.DATA_FORMS, "title") == "T"
    again = read(form)
    assert (again.version, again.amends) == ("version01", "i1")
    assert validate(DEFINITION, again.values) == checked(count="5", urgent="1")


@pytest.mark.parametrize(
    ("pattern", "value", "fits"),
    [
        ("[0-9]{3}", "123", True),
        ("[0-9]{3}", "1234", False),
        ("^a$", "a", True),
        ("a|b", "ab", False),
        (r"\i\c*", "a-b.1", True),
        (r"\i\c*", "1a", False),
        (r"[\c]+", "a-ü", True),
        (r"\I", "1", True),
        (r"\C", "a", False),
        (r"[[:alpha:]]+", "abc", True),
        (r"[]a]+", "]a", True),
        (r"[^]a]", "b", True),
        (r"[a[]", "[", True),
        (r"\p{Lu}\p{Ll}+", "Ärger", True),
        (r"(?:a|b)+", "abba", True),
        (r"\d{2}\-\d", "12-3", True),
    ],
)
def test_patterns(pattern: str, value: str, fits: bool) -> None:
    assert patterns.matches(pattern, value) is fits


@pytest.mark.parametrize(
    "pattern",
    [
        "(?=a)",
        r"(a)\1",
        "(?i)a",
        "(?P<x>a)",
        "[a-z-[aeiou]]",
        r"\p{IsGreek}",
        r"\pL",
        "(",
        "a{100000}",
        "(((a{99}){99}){99})",
        "\\",
        r"\bx",
        r"[\I]",
        "x" * 1_001,
    ],
)
def test_patterns_that_are_refused(pattern: str) -> None:
    with pytest.raises(ValueError):
        patterns.compiled(pattern)


def test_no_pattern_takes_long() -> None:
    """Each of these would keep a backtracking engine busy for longer than the universe has."""
    start = time.process_time()
    for pattern in ("(a+)+b", "(a|a)*b", "(a*)*b", "(.*a){15}x", "([a-z]+)*[0-9]"):
        assert not patterns.matches(pattern, "a" * patterns.MAX_VALUE)
    assert time.process_time() - start < 5
