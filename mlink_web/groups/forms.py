"""Forms about groups. They check what a person can mistype; the services check again what must hold."""

from __future__ import annotations

from typing import Any

from django import forms

from mlink_web.conf.models import Domain
from mlink_web.console.access import EVERYTHING, Reach
from mlink_web.console.fields import PLAIN
from mlink_web.groups import services
from mlink_web.groups.models import MAX_NAME

#: Characters of a list of addresses.
MAX_TEXT = 500_000


class GroupForm(forms.Form):
    """A new group."""

    name = forms.CharField(
        max_length=MAX_NAME,
        help_text="Rooms and forms name the group by it. It cannot be changed later.",
        error_messages={"required": "Enter a name."},
        widget=forms.TextInput(attrs=PLAIN),
    )
    domain = forms.ModelChoiceField(Domain.objects.all(), empty_label=None, help_text="Whose group it is.")
    description = forms.CharField(max_length=services.MAX_DESCRIPTION, required=False)

    def __init__(self, *args: Any, reach: Reach = EVERYTHING, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        domains = reach.narrowed(Domain.objects.all(), "name")
        self.fields["domain"].queryset = domains  # type: ignore[attr-defined]
        if domains.count() < 2:
            self.fields["domain"].widget = forms.HiddenInput()
            self.fields["domain"].initial = domains.first()


class DescriptionForm(forms.Form):
    """What is said of a group."""

    description = forms.CharField(max_length=services.MAX_DESCRIPTION, required=False)


class MembersForm(forms.Form):
    """New members of a group."""

    members = forms.CharField(
        label="Add members",
        max_length=MAX_TEXT,
        help_text="Addresses of people, or whole domains, one per line.",
        error_messages={"required": "Enter at least one address or domain."},
        widget=forms.Textarea(attrs={**PLAIN, "rows": 4}),
    )

    def addresses(self) -> list[str]:
        """What stands between commas, spaces and ends of lines."""
        return str(self.cleaned_data["members"]).replace(",", " ").split()
