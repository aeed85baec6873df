"""Input of the pages."""

from __future__ import annotations

import gzip
from typing import Any, Final
from zoneinfo import available_timezones

from django import forms

#: Bytes of a file that is read back through the browser; larger ones are put into the archive's folder.
MAX_UPLOAD: Final = 256 * 1024 * 1024


class DaysForm(forms.Form):
    """A domain, or all, and days."""

    domain = forms.CharField(max_length=1023, required=False)
    first = forms.DateField(label="From", required=False, widget=forms.DateInput(attrs={"type": "date"}))
    last = forms.DateField(label="To", required=False, widget=forms.DateInput(attrs={"type": "date"}))

    def clean(self) -> dict[str, Any]:
        """The last day is not before the first."""
        data = super().clean() or {}
        if data.get("first") and data.get("last") and data["last"] < data["first"]:
            raise forms.ValidationError("The last day is before the first.")
        return data


class RebuildForm(DaysForm):
    """Which past days are to be written."""

    def __init__(self, *arguments: Any, **given: Any) -> None:
        super().__init__(*arguments, **given)
        for name in ("domain", "first", "last"):
            self.fields[name].required = True


class OptionsForm(forms.Form):
    """For all domains."""

    zone = forms.CharField(
        label="Time zone of days",
        max_length=64,
        help_text="Like UTC or Europe/Berlin. A new zone counts from the day after tomorrow on.",
        widget=forms.TextInput(attrs={"list": "zones", "autocapitalize": "none", "spellcheck": "false"}),
    )
    compress = forms.BooleanField(
        label="Pack files by gzip when they are closed", required=False, help_text="About a tenth of the size."
    )

    def clean_zone(self) -> str:
        """A zone that exists."""
        name: str = self.cleaned_data["zone"]
        if name not in available_timezones():
            raise forms.ValidationError(f"There is no time zone {name!r}.")
        return name


class ImportForm(DaysForm):
    """What is to be read back."""

    file = forms.FileField(
        label="A file from somewhere else", required=False, help_text="One day file, .xml or .xml.gz, up to 256 MB."
    )
    dry_run = forms.BooleanField(label="Only say what would be new", required=False, initial=True)
    unverified = forms.BooleanField(
        label="Take it although nothing vouches for it",
        required=False,
        help_text="A single file comes without its manifest, so it cannot be verified. Only its form is looked at.",
    )

    def clean(self) -> dict[str, Any]:
        """A file that could be one, or a domain."""
        data = super().clean()
        file = data.get("file")
        if file is None and not data.get("domain"):
            raise forms.ValidationError("Choose a file, or the domain whose files are to be read back.")
        if file is not None:
            data["packed"] = self._is_packed(file)
            if not data.get("unverified"):
                self.add_error("unverified", "A single file can only be taken unverified.")
        return data

    def _is_packed(self, file: Any) -> bool:
        if file.size > MAX_UPLOAD:
            self.add_error("file", "This file is too large. Put it into the archive's folder on the server instead.")
            return False
        start = file.read(2)
        file.seek(0)
        if start != b"\x1f\x8b":
            return False
        try:
            with gzip.open(file, "rb") as packed:
                packed.read(16)
        except (OSError, EOFError):
            self.add_error("file", "This file cannot be unpacked.")
        file.seek(0)
        return True
