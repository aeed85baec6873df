"""Compares what was received with what a script expects.

Subset: the same name and namespace, the named attributes and text, and for each named child a child of its own that
matches. Exact: the same attributes, the same children in the same order, the same text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree.ElementTree import Element, ParseError, fromstring, tostring
from xml.parsers import expat

from tests.durability.reader import CLIENT, STREAM

_VARIABLE = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_LANG = "{http://www.w3.org/XML/1998/namespace}lang"

Variables = dict[str, str]


def elements(text: str) -> list[Element]:
    """The elements of a text in which jabber:client is the default namespace; raises ParseError."""
    return list(fromstring(f"<all xmlns='{CLIENT}' xmlns:stream='{STREAM}'>{text}</all>"))


def pieces(text: str) -> list[str]:
    """The text of each top-level element of `text`, as it was written; raises ParseError."""
    data = f"<all xmlns:stream='{STREAM}'>{text}</all>".encode()
    starts: list[int] = []
    depth = 0
    parser = expat.ParserCreate()

    def start(_name: str, _attributes: object) -> None:
        nonlocal depth
        depth += 1
        if depth == 2:
            starts.append(parser.CurrentByteIndex)

    def end(_name: str) -> None:
        nonlocal depth
        depth -= 1

    parser.StartElementHandler, parser.EndElementHandler = start, end
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise ParseError(str(error)) from error
    ends = [*starts[1:], len(data) - len("</all>")]
    return [data[begin:end].decode().strip() for begin, end in zip(starts, ends, strict=True)]


def fill(text: str, variables: Variables) -> str:
    """Replace each `{word}`; raises KeyError for one that has no value yet."""
    return _VARIABLE.sub(lambda found: variables[found[1]], text)


def show(element: Element) -> str:
    """An element for people."""
    return tostring(element, encoding="unicode").replace("ns0:", "").replace(":ns0", "")


def mismatch(expected: Element, actual: Element, variables: Variables, exact: bool = False) -> str:
    """Why `actual` is not what was expected, "" when it is; then `variables` has what it was compared with."""
    trial = dict(variables)
    reason = _compare(expected, actual, trial, exact)
    if not reason:
        variables.update(trial)
    return reason


def _compare(expected: Element, actual: Element, variables: Variables, exact: bool) -> str:
    if expected.tag != actual.tag:
        return f"{actual.tag} instead of {expected.tag}"
    for attribute, value in expected.attrib.items():
        found = actual.get(attribute)
        if found is None:
            return f"{expected.tag} has no attribute {attribute}"
        if not _same(value, found, variables):
            return f"{attribute} is {found!r}, not {fill_known(value, variables)!r}"
    text = (expected.text or "").strip()
    actual_text = (actual.text or "").strip()
    if (text or exact) and not _same(text, actual_text, variables):
        return f"the text of {expected.tag} is {actual_text!r}, not {text!r}"
    if exact:
        return _compare_exactly(expected, actual, variables)
    return _compare_children(list(expected), list(actual), variables)


def _compare_exactly(expected: Element, actual: Element, variables: Variables) -> str:
    extra = set(actual.attrib) - set(expected.attrib) - {_LANG}
    if extra:
        return f"{actual.tag} has {', '.join(sorted(extra))} beside what is expected"
    if len(expected) != len(actual):
        return f"{actual.tag} has {len(actual)} children, not {len(expected)}"
    for wanted, found in zip(expected, actual, strict=True):
        reason = _compare(wanted, found, variables, True)
        if reason:
            return reason
    return ""


def _compare_children(expected: Sequence[Element], actual: Sequence[Element], variables: Variables) -> str:
    """Find a different child for each expected one, trying every assignment."""
    if not expected:
        return ""
    reason = f"there is no {expected[0].tag}"
    for index, candidate in enumerate(actual):
        trial = dict(variables)
        failed = _compare(expected[0], candidate, trial, False)
        if failed:
            if candidate.tag == expected[0].tag:
                reason = failed
            continue
        failed = _compare_children(expected[1:], [*actual[:index], *actual[index + 1 :]], trial)
        if not failed:
            variables.update(trial)
            return ""
        reason = failed
    return reason


def _same(expected: str, actual: str, variables: Variables) -> bool:
    found = _VARIABLE.fullmatch(expected)
    if found is None:
        return fill_known(expected, variables) == actual
    name = found[1]
    if name == "any":
        return actual != ""
    if name in variables:
        return variables[name] == actual
    if not actual:
        return False
    variables[name] = actual
    return True


def fill_known(text: str, variables: Variables) -> str:
    """Replace the words that have a value, leave the others."""
    return _VARIABLE.sub(lambda found: variables.get(found[1], found[0]), text)
