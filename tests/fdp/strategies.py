"""Forms at random, as documents: whatever the editor could post and be accepted."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="\ufffe\uffff"), max_size=20
)
LINES = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs",), exclude_characters="\ufffe\uffff").filter(
        lambda character: character in "\n\t\r" or character >= " "
    ),
    max_size=20,
)
WORD = st.text("abcdefghijklmnopqrstuvwxyz0123456789äß#._", min_size=1, max_size=12).filter(
    lambda word: not word.startswith("fdp#")
)
DATATYPES = {
    "xs:integer": st.integers().map(str),
    "xs:byte": st.integers(-128, 127).map(str),
    "xs:decimal": st.decimals(allow_nan=False, allow_infinity=False, places=3).map(lambda value: f"{value:f}"),
    "xs:date": st.dates().map(lambda value: value.isoformat()),
    "xs:dateTime": st.datetimes().map(lambda value: value.replace(microsecond=0).isoformat() + "Z"),
    "xs:time": st.times().map(lambda value: value.replace(microsecond=0).isoformat()),
}


@st.composite
def _range(draw: st.DrawFn) -> dict[str, Any]:
    datatype = draw(st.sampled_from(sorted(DATATYPES)))
    value = draw(st.none() | DATATYPES[datatype])
    return {"datatype": datatype, "method": "range", draw(st.sampled_from(["min", "max"])): value}


VALIDATE = st.one_of(
    st.none(),
    st.fixed_dictionaries(
        {"datatype": st.sampled_from([*sorted(DATATYPES), "xs:string", "x:grid"]), "method": st.just("basic")}
    ),
    st.fixed_dictionaries({"datatype": st.just("xs:string"), "method": st.just("open")}),
    st.fixed_dictionaries(
        {
            "datatype": st.just("xs:string"),
            "method": st.just("regex"),
            "regex": st.sampled_from(["[0-9]{3}", "a|b|c", r"\p{Lu}\p{L}*", "(x+x+)+y", r"[\]\-a-c]+"]),
        }
    ),
    _range(),
)
MEDIA = st.fixed_dictionaries(
    {
        "width": st.none() | st.integers(1, 65_535),
        "height": st.none() | st.integers(1, 65_535),
        "uris": st.lists(
            st.fixed_dictionaries(
                {
                    "type": st.sampled_from(["image/png", "audio/ogg; codecs=speex"]),
                    "uri": st.sampled_from(["https://example.org/a.png", "cid:sha1+aa@bob.xmpp.org"]),
                }
            ),
            min_size=1,
            max_size=3,
        ),
    }
)


@st.composite
def _field(draw: st.DrawFn, var: str) -> dict[str, Any]:
    types = ["boolean", "hidden", "jid-multi", "jid-single", "list-multi", "list-single", "text-multi"]
    type = draw(st.sampled_from([*types, "text-private", "text-single"]))
    field: dict[str, Any] = {
        "var": var,
        "type": type,
        "label": draw(LINES),
        "desc": draw(LINES),
        "required": type != "hidden" and draw(st.booleans()),
        "media": draw(st.lists(MEDIA, max_size=2)),
    }
    if draw(st.booleans()):
        field["validate"] = draw(VALIDATE)
    if type.startswith("list"):
        values = draw(st.lists(TEXT, min_size=1, max_size=5, unique=True))
        labels = draw(st.lists(LINES, min_size=5, max_size=5, unique=True))
        field["options"] = [{"value": value, "label": label} for value, label in zip(values, labels, strict=False)]
        field["open"] = draw(st.booleans())
        field["values"] = [draw(st.sampled_from(values))] if draw(st.booleans()) else []
        if type == "list-multi" and field.get("validate") and draw(st.booleans()):
            field["validate"] = {**field["validate"], "list_min": 1, "list_max": draw(st.integers(1, 500))}
    elif type == "hidden" or (type == "text-multi" and not field.get("validate")):
        field["values"] = draw(st.lists(LINES, max_size=3))
    elif type == "boolean":
        field.pop("validate", None)
        field["values"] = draw(st.sampled_from([[], ["1"], ["false"]]))
    return field


@st.composite
def _parts(draw: st.DrawFn, names: list[str], depth: int) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    while names and draw(st.booleans()):
        kind = draw(st.sampled_from(["text", "field", "section"]))
        if kind == "text":
            text = draw(LINES)
            if text.strip():
                parts.append({"kind": "text", "text": text})
        elif kind == "field" or depth == 5:
            parts.append({"kind": "field", "var": names.pop()})
        else:
            first = {"kind": "field", "var": names.pop()}
            inner = draw(_parts(names, depth + 1))
            parts.append({"kind": "section", "label": draw(LINES), "parts": [first, *inner]})
    return parts


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """A form as a JSON document."""
    names = draw(st.lists(WORD, max_size=6, unique=True))
    fields: list[dict[str, Any]] = [draw(_field(name)) for name in names]
    if draw(st.booleans()):
        fields.insert(0, {"type": "fixed", "values": [draw(LINES)]})
    rest = list(names)
    pages = [{"label": draw(LINES), "parts": draw(_parts(rest, 0))} for _ in range(draw(st.integers(0, 3)))]
    return {
        "title": draw(LINES),
        "instructions": draw(st.lists(LINES, max_size=3)),
        "fields": fields,
        "pages": pages,
    }
