"""What is different between two versions of a form, in words."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from fdp.definition import from_json
from fdp.differences import Change, differences
from tests.fdp.kit import DEFINITION


def changed(change: Any = None, **parts: Any) -> list[Change]:
    """What `change` makes of the sample form."""
    document = deepcopy({**DEFINITION, **parts})
    if change is not None:
        change(document)
    return differences(from_json(DEFINITION), from_json(document))


def said(changes: list[Change]) -> list[tuple[str, str, list[tuple[str, str, str]]]]:
    """The changes as plain values."""
    return [
        (change.kind, change.what, [(one.name, one.before, one.after) for one in change.details]) for change in changes
    ]


def test_nothing_is_nothing() -> None:
    assert changed() == []


def test_title_and_instructions() -> None:
    assert said(changed(title="New", instructions=["One.", "Two."])) == [
        (
            "changed",
            "The form itself",
            [("title", "MEDEVAC", "New"), ("instructions", "Say it in this order.", "One. Two.")],
        )
    ]


def test_fields_are_added_removed_changed_and_moved() -> None:
    def change(document: dict[str, Any]) -> None:
        fields = document["fields"]
        fields[0]["label"], fields[0]["required"] = "Grid", False
        fields[1]["validate"]["min"] = "3"
        fields[2]["options"] = [{"value": "B", "label": "Soon"}, {"value": "C", "label": ""}]
        del fields[5]
        fields.append({"var": "extra", "type": "list-single", "label": "Extra", "options": [{"value": "x"}]})
        fields.insert(0, fields.pop(4))

    assert said(changed(change)) == [
        ("moved", "“Code” (code)", []),
        ("changed", "“Grid” (site)", [("label", "Location of the site", "Grid"), ("required", "yes", "no")]),
        ("changed", "“Frequency” (frequency)", [("smallest value", "2", "3")]),
        (
            "changed",
            "“Patients” (patients)",
            [("option", "Priority (B)", "Soon (B)"), ("option", "", "C"), ("option", "Urgent (A)", "")],
        ),
        ("added", "“Extra” (extra)", [("type", "", "list-single"), ("option", "", "x")]),
        ("removed", "“Remarks” (remarks)", []),
    ]


def test_pages_and_sections() -> None:
    def change(document: dict[str, Any]) -> None:
        first, second = document["pages"]
        first["label"] = "Start"
        second["parts"].append(first["parts"].pop(2))
        second["parts"].insert(0, {"kind": "text", "text": "Later."})

    ((kind, what, details),) = said(changed(change))
    assert (kind, what) == ("changed", "Pages and sections")
    assert ("form", "page 1 “First lines”", "") in details
    assert ("form", "", "page 1 “Start”") in details
    assert ("page 2 “More”", "", "text “Later.”") in details
    assert ("Frequency", "page 1 “First lines”", "page 2 “More”") in details


def test_only_another_order() -> None:
    def change(document: dict[str, Any]) -> None:
        document["pages"][1]["parts"].reverse()

    assert said(changed(change)) == [
        ("changed", "Pages and sections", [("order", "", "fields stand in another order")])
    ]


def test_an_added_field_says_nothing_of_the_layout() -> None:
    def change(document: dict[str, Any]) -> None:
        document["fields"].append({"var": "extra"})
        document["pages"][0]["parts"].append({"kind": "field", "var": "extra"})

    assert [kind for kind, _, _ in said(changed(change))] == ["added"]


def test_long_texts_are_cut() -> None:
    ((_, _, ((_, _, after),)),) = said(changed(title="long " * 100))
    assert len(after) == 120
    assert after.endswith("…")
