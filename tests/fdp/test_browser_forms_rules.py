"""What the forms page checks by itself, in a browser: it must take what the server takes and refuse what it refuses.

Each case is put to the page's modules and to the server's own functions; both must agree.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route

from fdp import datatypes
from fdp.fields import Field, Option, Validate
from fdp.values import WrongValue, checked, is_empty

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
ROOT = Path(__file__).resolve().parent.parent.parent
PLACES = {"/static/fdp/": ROOT / "fdp/static/fdp", "/static/mlink/": ROOT / "mlink_web/static/mlink"}
SITE = "http://forms.test"


@pytest.fixture(scope="module")
def modules(browser: Browser) -> Iterator[Page]:
    """A page that can import the modules; their files come from the tree, no server is needed."""
    context = browser.new_context()
    page = context.new_page()

    def answer(route: Route) -> None:
        path = route.request.url.removeprefix(SITE)
        for prefix, folder in PLACES.items():
            if path.startswith(prefix):
                route.fulfill(path=folder / path.removeprefix(prefix), content_type="text/javascript")
                return
        route.fulfill(body="<!doctype html><title>modules</title>", content_type="text/html")

    page.route(f"{SITE}/**", answer)
    page.goto(f"{SITE}/")
    yield page
    context.close()


def ask(page: Page, module: str, expression: str, argument: Any = None) -> Any:
    """Evaluate an expression over `m`, the module, and `a`, the argument."""
    script = f"async (a) => {{ const m = await import('/static/fdp/client/{module}.js'); return {expression}; }}"
    return page.evaluate(script, argument)


TEXTS = {
    "xs:date": """2024-02-29 2023-02-29 2100-02-29 2000-02-29 2024-13-01 2024-00-10 2024-04-31 24-01-01 2024-1-1
        2024-01-01Z 2024-01-01+14:00 2024-01-01+14:01 2024-01-01-05:30 2024-01-01+1:00 -0044-03-15 0000-01-01
        02024-01-01 12024-01-01 2024-01-01T00:00:00 today""",
    "xs:time": """00:00:00 23:59:59 24:00:00 24:00:01 12:60:00 12:00:60 12:00 1:00:00 12:00:00.5 12:00:00. 12:00:00Z
        12:00:00+02:00 12:00:00+15:00 12:00:00+02:60 12:00:00z noon""",
    "xs:dateTime": """2024-01-01T10:00:00Z 2024-01-01T10:00:00 2024-01-01T10:00:00.125+02:00 2024-01-01T24:00:00
        2024-01-01T25:00:00 2024-02-30T10:00:00 2024-01-01t10:00:00 2024-01-01 2024-01-01TT10:00:00
        2024-01-01ZT10:00:00 T10:00:00 2024-01-01T""",
    "xs:integer": "0 -0 +7 007 1.0 1e3 -- +-1 １ 0x10 " + "9" * 399 + " " + "9" * 500,
    "xs:byte": "-128 127 128 -129 +127 1.5",
    "xs:short": "-32768 32767 32768",
    "xs:int": "2147483647 2147483648 -2147483648 -2147483649",
    "xs:long": "9223372036854775807 9223372036854775808",
    "xs:unsignedByte": "0 255 256 -1 -0",
    "xs:nonNegativeInteger": "0 -1 99999999999999999999",
    "xs:positiveInteger": "0 1",
    "xs:negativeInteger": "0 -1",
    "xs:decimal": ".5 5. . -0.25 +1 1e3 1,5 INF " + "1" * 500,
    "xs:double": "1e3 1E-3 .5e1 INF -INF +INF NaN e3 1e 1.5e+10",
    "xs:boolean": "0 1 true false TRUE yes",
    "xs:language": "en pt-BR zh-Hant-TW en_GB toolonglang x- de-1996",
    "xs:anyURI": """https://example.org/ example.org /path ?q #f mailto:a@b urn:x:y 1x:y http://a|b http://a%zz
        http://a%20b http://[::1]/ https://exämple.org/ü a<b tel:+1-2""",
    "x:own": "anything at-all",
}
CASES = [(datatype, text) for datatype, texts in TEXTS.items() for text in texts.split()]


def is_value(datatype: str, text: str) -> bool:
    """What the server says."""
    try:
        datatypes.parse(datatype, text)
    except ValueError:
        return False
    return True


def test_the_page_and_the_server_know_the_same_values(modules: Page) -> None:
    found = ask(modules, "datatypes", "a.map(([type, text]) => m.isValue(type, text))", CASES)
    differ = [
        (case, "page takes it" if is_taken else "page refuses it")
        for case, is_taken in zip(CASES, found, strict=True)
        if is_taken != is_value(*case)
    ]
    assert differ == []


def test_the_page_and_the_server_order_values_alike(modules: Page) -> None:
    kinds = [datatype for datatype in TEXTS if datatype in datatypes.ORDERED]
    pairs = [
        (kind, a, b)
        for kind in kinds
        for a in TEXTS[kind].split()
        for b in TEXTS[kind].split()
        if is_value(kind, a) and is_value(kind, b)
    ]
    found = ask(modules, "datatypes", "a.map(([type, x, y]) => Math.sign(m.compare(type, x, y)))", pairs)
    differ = []
    for (kind, a, b), sign in zip(pairs, found, strict=True):
        x, y = datatypes.parse(kind, a), datatypes.parse(kind, b)
        if (x > y) - (x < y) != sign:
            differ.append((kind, a, b, sign))
    assert differ == []


def as_json(field: Field) -> dict[str, Any]:
    """The field as the page's modules have it."""
    rule = field.validate
    return {
        "var": field.var,
        "type": field.type,
        "label": field.label,
        "desc": "",
        "required": field.required,
        "values": [],
        "options": [{"value": option.value, "label": option.label or option.value} for option in field.options],
        "open": field.open,
        "validate": rule
        and {
            "datatype": rule.datatype,
            "method": rule.method,
            "min": rule.min or "",
            "max": rule.max or "",
            "regex": rule.regex or "",
            "list_min": rule.list_min,
            "list_max": rule.list_max,
        },
        "media": [],
    }


COLOURS = (Option("r", "Red"), Option("g"), Option("b"))
FIELDS: list[tuple[Field, list[list[str]]]] = [
    (Field("a", "text-single", required=True), [[], [""], ["x"], ["x", "y"]]),
    (Field("a", "text-single"), [[], [""], ["x"]]),
    (Field("a", "boolean"), [["0"], ["1"], ["true"], ["yes"], []]),
    (Field("a", "jid-single"), [["a@b.example"], ["b.example"], ["a@"], ["@b"], ["a b@c"], ["a@b/c d"], ["a@b@c"]]),
    (Field("a", "jid-multi"), [["a@b", "c@d"], ["a@b", "no good@x"], []]),
    (Field("a", "list-single", options=COLOURS), [["r"], ["x"], [], ["r", "g"]]),
    (Field("a", "list-single", options=COLOURS, required=True), [["r"], []]),
    (Field("a", "list-single", options=COLOURS, open=True, validate=Validate(method="open")), [["r"], ["x"]]),
    (
        Field("a", "list-single", options=COLOURS, open=True, validate=Validate("xs:integer", "open")),
        [["r"], ["7"], ["seven"]],
    ),
    (
        Field("a", "list-multi", options=COLOURS, validate=Validate(list_min=2, list_max=2)),
        [[], ["r"], ["r", "g"], ["r", "g", "b"], ["r", "x"]],
    ),
    (Field("a", "text-single", validate=Validate("xs:integer", "range", "1", "50")), [["0"], ["1"], ["50"], ["51"]]),
    (Field("a", "text-single", validate=Validate("xs:integer", "range", "1")), [["0"], ["9" * 30]]),
    (Field("a", "text-single", validate=Validate("xs:integer", "range", max="1")), [["-5"], ["2"], [" 1 "], ["one"]]),
    (
        Field("a", "text-single", validate=Validate("xs:date", "range", "2024-01-01", "2024-12-31")),
        [["2023-12-31"], ["2024-06-01"], ["2025-01-01"]],
    ),
    (
        Field("a", "text-single", validate=Validate(method="regex", regex="[0-9]{3}-[[:alpha:]]+")),
        [["123-ab"], ["123-"], ["x123-ab"], ["123-ab "], ["123-äö"]],
    ),
    (Field("a", "text-single", validate=Validate(method="regex", regex="^a|b$")), [["a"], ["b"], ["ab"], ["c"]]),
    (Field("a", "text-multi", validate=Validate("xs:integer")), [["1", "2"], ["1", "two"], ["1", "", "2"]]),
    (Field("a", "text-private", validate=Validate(method="regex", regex=".{8,}")), [["short"], ["long enough"]]),
    (Field("a", "hidden"), [["anything"], []]),
]


def test_the_page_and_the_server_judge_fields_alike(modules: Page) -> None:
    cases = [(field, values) for field, tried in FIELDS for values in tried]
    asked = [[as_json(field), values] for field, values in cases]
    found = ask(modules, "validation", "a.map(([field, values]) => m.wrongWith(field, values))", asked)
    differ = []
    for (field, values), wrong in zip(cases, found, strict=True):
        try:
            kept = checked(field, values)
            is_right = not (field.required and is_empty(kept))
        except WrongValue:
            is_right = False
        if is_right == bool(wrong):
            differ.append((field, values, wrong))
    assert differ == []


def test_a_pattern_that_the_page_cannot_read_is_left_to_the_server(modules: Page) -> None:
    patterns = [r"\i\c*", "[]a]", r"\p{L}+", "[[:digit:]]+", "("]
    assert ask(modules, "validation", "a.map((text) => m.pattern(text) !== null)", patterns) == [
        False,
        False,
        True,
        True,
        False,
    ]


def test_a_form_is_read_whole(modules: Page) -> None:
    xml = (
        "<x xmlns='jabber:x:data' xmlns:xdv='http://jabber.org/protocol/xdata-validate' type='form'><title> T </title>"
        "<page xmlns='http://jabber.org/protocol/xdata-layout' label='P'><fieldref var='a'/><fieldref var='nowhere'/>"
        "<section label='S'><fieldref var='a'/><fieldref var='b'/><reportedref/></section></page>"
        "<field var='a' type='strange' label='A:'><xdv:validate datatype='xs:int'><xdv:range min='1'/></xdv:validate>"
        "</field><field var='b' type='list-multi'><option><value>x</value></option></field><field var='left'/>"
        "<field type='fixed'><value>words</value></field></x>"
    )
    script = "m.readForm(new DOMParser().parseFromString(a, 'text/xml').documentElement)"
    form = ask(modules, "form", script, xml)
    assert form["title"] == "T"
    assert [field["type"] for field in form["fields"]] == ["text-single", "list-multi", "text-single", "fixed"]
    assert form["fields"][0]["validate"]["method"] == "range"
    assert form["fields"][0]["validate"]["min"] == "1"
    assert form["fields"][1]["options"] == [{"value": "x", "label": "x"}]
    # A field has one place, and what has none comes last.
    first, section, left = form["pages"][0]["parts"]
    assert (first, left) == ({"kind": "field", "var": "a"}, {"kind": "field", "var": "left"})
    assert section["parts"] == [{"kind": "field", "var": "b"}]
    assert ask(modules, "form", "m.nameOf(a)", form["fields"][0]) == "A"


def test_a_submission_holds_what_was_filled_in(modules: Page) -> None:
    form = {
        "fields": [as_json(field) for field in (Field("a"), Field("b", "text-multi"), Field("c"), Field("h", "hidden"))]
    }
    values = {"a": ["x \x01 y"], "b": ["one", "", "two"], "c": [""], "h": ["kept"]}
    script = (
        "new XMLSerializer().serializeToString(m.writeSubmission(a[0], new Map(Object.entries(a[1])), "
        "{'fdp#version': 'version01', 'fdp#amends': ''}))"
    )
    assert ask(modules, "form", script, [json.loads(json.dumps(form)), values]) == (
        '<x xmlns="jabber:x:data" type="submit"><field var="a" type="text-single"><value>x  y</value></field>'
        '<field var="b" type="text-multi"><value>one</value><value/><value>two</value></field>'
        '<field var="h" type="hidden"><value>kept</value></field>'
        '<field var="fdp#version" type="hidden"><value>version01</value></field></x>'
    )
