"""The form of options of nodes: one field for each, empty where nothing is set at this level."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from django import forms
from django.core.exceptions import ValidationError

from mlink_web.conf import node_options
from mlink_web.conf.node_options import Option, Value
from mlink_web.console.fields import PLAIN

MAX_TEXT: Final = 5_000


@dataclass(frozen=True, slots=True)
class Row:
    """One field of the page with what stands beside it."""

    field: forms.BoundField
    key: str
    own: bool
    #: What holds where this field is empty, and why.
    otherwise: str


@dataclass(frozen=True, slots=True)
class Part:
    """A group of options on the page; `open` where something is set or wrong."""

    title: str
    rows: list[Row]
    open: bool
    own: int


class OptionsForm(forms.Form):
    """The options of all nodes, or of one of them."""

    def __init__(self, node: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.node = node
        self.everywhere = node_options.values_of()
        self.own = node_options.values_of(node) if node else self.everywhere
        for key, option in node_options.OPTIONS.items():
            self.fields[key] = _field(option, self.own.get(key), self._otherwise(option))

    def _otherwise(self, option: Option) -> str:
        value = self.everywhere.get(option.key, option.default) if self.node else option.default
        return shown(option, value)

    def _row(self, option: Option) -> Row:
        whence = "all nodes" if self.node and option.key in self.everywhere else "default"
        return Row(self[option.key], option.key, option.key in self.own, f"{self._otherwise(option)} ({whence})")

    def clean(self) -> dict[str, Any]:
        """Each value in its type and within its bounds; None where nothing is set."""
        data = super().clean() or {}
        for key in self.changed_data:
            if key not in data:
                continue
            option = node_options.OPTIONS[key]
            try:
                data[key] = node_options.read(option, data[key]) if data[key].strip() else None
            except ValueError as error:
                self.add_error(key, ValidationError(str(error).removeprefix(f"{option.label}: ").capitalize()))
        return data

    def changes(self) -> dict[str, Value | None]:
        """What the person changed; what others change meanwhile is left alone."""
        return {key: self.cleaned_data[key] for key in self.changed_data}

    def parts(self) -> list[Part]:
        """The fields in groups."""
        made = []
        for group in node_options.GROUPS:
            rows = [self._row(option) for option in group.options]
            own = sum(row.own for row in rows)
            wrong = any(option.key in self.errors for option in group.options)
            made.append(Part(group.title, rows, bool(own) or wrong or not made, own))
        return made


def shown(option: Option, value: Value) -> str:
    """A value as pages show it, with its unit."""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,} {option.unit}"
    return node_options.written(value) or "none"


def _field(option: Option, value: Value | None, otherwise: str) -> forms.Field:
    text = "" if value is None else node_options.written(value)
    common: dict[str, Any] = {"label": option.label, "required": False, "initial": text, "show_hidden_initial": True}
    if isinstance(option.default, bool):
        choices = [("", f"Not set: {otherwise}"), ("on", "On"), ("off", "Off")]
        return forms.ChoiceField(choices=choices, help_text=option.help, **common)
    if isinstance(option.default, list):
        area = forms.Textarea(attrs={**PLAIN, "rows": 2, "placeholder": otherwise})
        common["initial"] = "\n".join(value) if isinstance(value, list) else ""
        return forms.CharField(max_length=MAX_TEXT, widget=area, help_text=option.help, **common)
    number = forms.TextInput(attrs={**PLAIN, "inputmode": "numeric", "placeholder": otherwise})
    bounds = f"{option.least:,} to {option.most:,} {option.unit}."
    return forms.CharField(max_length=20, widget=number, help_text=f"{option.help} {bounds}".strip(), **common)
