"""Forms about rooms. They check what a person can mistype; the node checks again what must hold.

The configuration's form is made from what the node describes, which is the form that a room's owners get in their
clients, so that a new option needs no word here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

PLAIN = {"autocapitalize": "none", "spellcheck": "false", "autocomplete": "off"}
AFFILIATIONS = (
    ("owner", "Owner"),
    ("admin", "Administrator"),
    ("member", "Member"),
    ("outcast", "Banned"),
    ("none", "None"),
)
#: Characters of a field; the lists of owners and administrators may be long.
MAX_TEXT = 100_000


class ConfigForm(forms.Form):
    """The owners' form of a room. `described` are the rows of `room config`."""

    def __init__(self, described: Sequence[dict[str, Any]], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        #: Name in the page to the field of the room's form.
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
    """A field of the page for one of the room's form, None for a type that nobody fills in."""
    kind, values = row["type"], row["values"]
    first = values[0] if values else ""
    common: dict[str, Any] = {"label": row["label"], "help_text": row["help"], "required": False}
    if kind == "boolean":
        return forms.BooleanField(initial=first in ("1", "true"), show_hidden_initial=True, **common)
    if kind in ("list-single", "list-multi"):
        options = [(value, label or value) for value, label in row["options"]]
        options += [(value, value) for value in values if value not in dict(options)]
        if kind == "list-single":
            common["required"] = True
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
        secret = forms.PasswordInput(attrs={"autocomplete": "new-password"}, render_value=True)
        return forms.CharField(initial=first, widget=secret, max_length=MAX_TEXT, strip=False, **common)
    if kind in ("text-single", "jid-single"):
        return forms.CharField(initial=first, max_length=MAX_TEXT, show_hidden_initial=True, **common)
    return None


class RoomForm(forms.Form):
    """A new room."""

    local = forms.CharField(
        label="Address",
        max_length=1023,
        help_text="The part before the @. It cannot be changed later.",
        error_messages={"required": "Enter the part of the address before the @."},
        widget=forms.TextInput(attrs=PLAIN),
    )
    service = forms.ChoiceField()
    name = forms.CharField(max_length=255, required=False, help_text="Shown to people instead of the address.")
    description = forms.CharField(max_length=2000, required=False)
    owner = forms.CharField(
        max_length=2047,
        help_text="Address of the person who may change everything about the room.",
        error_messages={"required": "Enter the address of the owner."},
        widget=forms.TextInput(attrs=PLAIN),
    )
    public = forms.BooleanField(required=False, initial=True, label="The room is listed and can be found")
    members_only = forms.BooleanField(required=False, label="Only members may enter")
    moderated = forms.BooleanField(required=False, label="Visitors need voice to speak")

    def __init__(self, services: Sequence[str], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["service"].choices = [(name, name) for name in services]  # type: ignore[attr-defined]

    def clean_local(self) -> str:
        """A name that can stand before the @."""
        text = str(self.cleaned_data["local"])
        if "@" in text or "/" in text:
            raise ValidationError("Enter only the part before the @; the service is chosen below.")
        return text

    @property
    def address(self) -> str:
        """The room's address."""
        return f"{self.cleaned_data['local']}@{self.cleaned_data['service']}"

    def options(self) -> str:
        """As `room create` takes them."""
        data = self.cleaned_data
        return json.dumps(
            {
                "roomname": data["name"],
                "roomdesc": data["description"],
                "publicroom": data["public"],
                "membersonly": data["members_only"],
                "moderatedroom": data["moderated"],
            }
        )


class AffiliationForm(forms.Form):
    """A new or changed affiliation."""

    jid = forms.CharField(
        label="Address or domain",
        max_length=2047,
        error_messages={"required": "Enter an address or a domain."},
        widget=forms.TextInput(attrs=PLAIN),
    )
    affiliation = forms.ChoiceField(choices=AFFILIATIONS, initial="member")
    reason = forms.CharField(max_length=1000, required=False)


class DestroyForm(forms.Form):
    """The question before a room is destroyed."""

    name = forms.CharField(
        max_length=3071, error_messages={"required": "Type the address."}, widget=forms.TextInput(attrs=PLAIN)
    )
    reason = forms.CharField(max_length=1000, required=False, help_text="Told to everybody who is in the room.")
    alternate = forms.CharField(
        label="Room to go to instead",
        max_length=2047,
        required=False,
        help_text="Address of another room, shown to everybody who is in this one.",
        widget=forms.TextInput(attrs=PLAIN),
    )

    def __init__(self, room: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.room = room
        self.fields["name"].label = f"Type {room} to confirm"

    def clean_name(self) -> str:
        """Exactly the address, not merely a similar one."""
        if self.cleaned_data["name"] != self.room:
            raise ValidationError("This is not the address of the room.")
        return self.room


class IdleForm(forms.Form):
    """Which rooms count as idle."""

    days = forms.IntegerField(min_value=1, max_value=36_500, initial=180, label="Days without activity")
    service = forms.ChoiceField(required=False)

    def __init__(self, services: Sequence[str], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [("", "All services"), *((name, name) for name in services)]
        self.fields["service"].choices = choices  # type: ignore[attr-defined]
