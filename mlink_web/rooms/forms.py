"""Forms about rooms. They check what a person can mistype; the node checks again what must hold."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from mlink_web.console.confirming import RemoveForm
from mlink_web.console.fields import PLAIN

AFFILIATIONS = (
    ("owner", "Owner"),
    ("admin", "Administrator"),
    ("member", "Member"),
    ("outcast", "Banned"),
    ("none", "None"),
)


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


class DestroyForm(RemoveForm):
    """The question before a room is destroyed."""

    wrong = "This is not the address of the room."
    reason = forms.CharField(max_length=1000, required=False, help_text="Told to everybody who is in the room.")
    alternate = forms.CharField(
        label="Room to go to instead",
        max_length=2047,
        required=False,
        help_text="Address of another room, shown to everybody who is in this one.",
        widget=forms.TextInput(attrs=PLAIN),
    )

    def __init__(self, room: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(room, *args, **kwargs)
        self.fields["name"].error_messages["required"] = "Type the address."


class IdleForm(forms.Form):
    """Which rooms count as idle."""

    days = forms.IntegerField(min_value=1, max_value=36_500, initial=180, label="Days without activity")
    service = forms.ChoiceField(required=False)

    def __init__(self, services: Sequence[str], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [("", "All services"), *((name, name) for name in services)]
        self.fields["service"].choices = choices  # type: ignore[attr-defined]
