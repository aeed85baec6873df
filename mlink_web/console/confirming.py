"""The question before something goes for good: its name is typed by hand."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.core.exceptions import ValidationError

from mlink_web.console.fields import PLAIN


class RemoveForm(forms.Form):
    """The name of what is to be deleted."""

    name = forms.CharField(
        max_length=3071,
        error_messages={"required": "Type the name."},
        widget=forms.TextInput(attrs=PLAIN),
    )
    #: What is said of another name.
    wrong: ClassVar[str] = "This is not the name of what would be deleted."

    def __init__(self, expected: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.expected = expected
        self.fields["name"].label = f"Type {expected} to confirm"

    def clean_name(self) -> str:
        """Exactly the name, not merely a similar one."""
        if self.cleaned_data["name"] != self.expected:
            raise ValidationError(self.wrong)
        return self.expected
