"""The matcher itself: a comparison that is too kind would make every scenario green."""

from __future__ import annotations

import pytest

from tests.scenarios.matcher import elements, fill, mismatch, pieces


def reason(expected: str, actual: str, variables: dict[str, str] | None = None, exact: bool = False) -> str:
    (wanted,), (found,) = elements(expected), elements(actual)
    return mismatch(wanted, found, {} if variables is None else variables, exact)


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        ("<message/>", "<message id='1'><body>x</body></message>"),
        ("<message><body>x</body></message>", "<message><a xmlns='b'/><body> x </body></message>"),
        ("<message id='{any}'/>", "<message id='1'/>"),
        ("<m><a i='1'/><a/></m>", "<m><a/><a i='1'/></m>"),
        ("<m><a/><a i='1'/></m>", "<m><a i='1'/><a/></m>"),
    ],
)
def test_matches(expected: str, actual: str) -> None:
    assert reason(expected, actual) == ""


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        ("<message/>", "<presence/>"),
        ("<message/>", "<message xmlns='other'/>"),
        ("<message id='1'/>", "<message id='2'/>"),
        ("<message id='{any}'/>", "<message/>"),
        ("<message><body>x</body></message>", "<message><body>y</body></message>"),
        ("<message><body/></message>", "<message/>"),
        ("<m><a/><a/></m>", "<m><a/></m>"),
        ("<m><a i='{x}'/><b i='{x}'/></m>", "<m><a i='1'/><b i='2'/></m>"),
    ],
)
def test_does_not_match(expected: str, actual: str) -> None:
    assert reason(expected, actual) != ""


@pytest.mark.parametrize(
    "actual",
    ["<m id='1'><a/><b/></m>", "<m><a/></m>", "<m><b/><a/></m>", "<m><a/><b/><c/></m>", "<m>x<a/><b/></m>"],
)
def test_exactly_takes_nothing_else(actual: str) -> None:
    assert reason("<m><a/><b/></m>", actual, exact=True) != ""


def test_exactly_takes_the_same() -> None:
    assert reason("<m><a/><b/></m>", "<m xml:lang='en'><a/> <b/></m>", exact=True) == ""


def test_a_variable_is_remembered_and_a_failed_comparison_leaves_nothing() -> None:
    variables: dict[str, str] = {}
    assert reason("<m id='{one}' to='b'/>", "<m id='1' to='a'/>", variables) != ""
    assert variables == {}
    assert reason("<m id='{one}'/>", "<m id='1'/>", variables) == ""
    assert reason("<m id='{one}'/>", "<m id='2'/>", variables) != ""
    assert fill("<a h='{one}'/>", variables) == "<a h='1'/>"


def test_pieces_keep_the_writing() -> None:
    text = "<a x='>'/><b><c/>t</b >\n<d></d><e><f/></e><stream:g/>"
    assert pieces(text) == ["<a x='>'/>", "<b><c/>t</b >", "<d></d>", "<e><f/></e>", "<stream:g/>"]
