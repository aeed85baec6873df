"""A form of the console that the running node describes: the one that owners of a room or a node of publish-subscribe
get in their clients, so that a new option needs no word here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from django import forms

from mlink_web.console.fields import NEW_SECRET, PLAIN

#: Characters of a field; the lists of owners and administrators may be long.
MAX_TEXT = 100_000


class ConfigForm(forms.Form):
    """The owners' form of something. `described` are the rows of `room config` or `pubsub config`."""

    def __init__(self, described: Sequence[dict[str, Any]], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        #: Name in the page to the field of the form.
        self.rows: dict[str, dict[str, Any]] = {}
        for row in described:
            made = _field(row)
            if made is not None:
                name = str(row["field"]).partition("#")[2] or str(row["field"])
                self.fields[name], self.rows[name] = made, row

    def submission(self) -> str:
        """What the person changed, as `room configure` takes it: what others change meanwhile is left alone."""
        return json.dumps(
            {self.rows[name]["field"]: self._texts(name) for name in self.changed_data}, ensure_ascii=False
        )

    def _texts(self, name: str) -> list[str]:
        value = self.cleaned_data[name]
        if isinstance(value, bool):
            return ["1" if value else "0"]
        if isinstance(value, list):
            return value
        if str(self.rows[name]["type"]).endswith("-multi"):
            return [line.strip() for line in value.splitlines() if line.strip()]
        return [value]

    def refuse(self, sentence: str) -> None:
        """Show why the node refuses the form, at the field where the sentence begins with its label."""
        for name, field in self.fields.items():
            if sentence.startswith(f"{field.label}: "):
                self.add_error(name, sentence.removeprefix(f"{field.label}: ").capitalize())
                return
        self.add_error(None, sentence)


def _field(row: dict[str, Any]) -> forms.Field | None:
    """A field of the page for one of the node's, None for a type that nobody fills in."""
    kind, values = row["type"], row["values"]
    first = values[0] if values else ""
    common: dict[str, Any] = {"label": row["label"], "help_text": row["help"], "required": False}
    if kind == "boolean":
        return forms.BooleanField(initial=first in ("1", "true"), show_hidden_initial=True, **common)
    if kind in ("list-single", "list-multi"):
        options = [(value, label or value) for value, label in row["options"]]
        options += [(value, value) for value in values if value not in dict(options)]
        if kind == "list-single":
            # Where nothing is chosen yet, a browser would choose the first and send that.
            common["required"] = bool(values)
            options = options if values else [("", "–"), *options]
            return forms.ChoiceField(choices=options, initial=first, show_hidden_initial=True, **common)
        widget = forms.CheckboxSelectMultiple
        return forms.MultipleChoiceField(
            choices=options, initial=values, widget=widget, show_hidden_initial=True, **common
        )
    if kind in ("text-multi", "jid-multi"):
        area = forms.Textarea(attrs={**PLAIN, "rows": 3})
        common["help_text"] = common["help_text"] or "One per line."
        initial = "\n".join(values)
        return forms.CharField(initial=initial, widget=area, max_length=MAX_TEXT, show_hidden_initial=True, **common)
    if kind == "text-private":
        secret = forms.PasswordInput(attrs=NEW_SECRET, render_value=True)
        return forms.CharField(initial=first, widget=secret, max_length=MAX_TEXT, strip=False, **common)
    if kind in ("text-single", "jid-single"):
        return forms.CharField(initial=first, max_length=MAX_TEXT, show_hidden_initial=True, **common)
    return None
