"""What a person asks of the archive page: whom with, when, and which words. All of it stands in the page's address.
And which of it is to be saved as a file."""

from __future__ import annotations

from datetime import date
from typing import Any, Final

from django import forms
from django.core.exceptions import ValidationError

from archive.ids import from_text
from archive.text import parse
from xmpp_engine.api import Jid, JidError

#: Messages that may be ticked at a time; Django takes a thousand fields.
TICKED: Final = 900
#: Days outside are mistyped years.
_FIRST: Final = date(1990, 1, 1)
_LAST: Final = date(2100, 1, 1)


class SearchForm(forms.Form):
    """Reads the query string; nothing is required."""

    words = forms.CharField(
        label="Words",
        required=False,
        max_length=500,
        widget=forms.TextInput(attrs={"type": "search", "autocapitalize": "none"}),
    )
    start = forms.DateField(
        label="From",
        required=False,
        error_messages={"invalid": "Enter a date like 2026-05-31."},
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )
    end = forms.DateField(
        label="To",
        required=False,
        error_messages={"invalid": "Enter a date like 2026-05-31."},
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )
    peer = forms.CharField(required=False, max_length=3071, widget=forms.HiddenInput)
    room = forms.CharField(required=False, max_length=3071, widget=forms.HiddenInput)

    def clean_words(self) -> str:
        """Words of which something can be searched for."""
        words: str = self.cleaned_data["words"].strip()
        if words and not parse(words):
            raise ValidationError("Enter a word: only letters and digits can be searched for.")
        return words

    def clean_start(self) -> date | None:
        """A day on which there can be messages."""
        return self._day("start")

    def clean_end(self) -> date | None:
        """The same."""
        return self._day("end")

    def _day(self, name: str) -> date | None:
        day: date | None = self.cleaned_data[name]
        if day is not None and not _FIRST <= day < _LAST:
            raise ValidationError(
                "Enter a day between the years %(first)s and %(last)s.",
                params={"first": _FIRST.year, "last": _LAST.year - 1},
            )
        return day

    def clean_peer(self) -> str:
        """The bare address in canonical form."""
        return self._address("peer")

    def clean_room(self) -> str:
        """The same for a room's."""
        return self._address("room")

    def _address(self, name: str) -> str:
        text: str = self.cleaned_data[name].strip()
        if not text:
            return ""
        try:
            return Jid.parse(text).bare
        except JidError as error:
            raise ValidationError("This is not an XMPP address: %(why)s.", params={"why": error}) from None

    def clean(self) -> dict[str, Any]:
        """The range must not end before it begins."""
        data = super().clean() or {}
        start, end = data.get("start"), data.get("end")
        if start and end and start > end:
            self.add_error("end", "The range ends before it begins.")
        return data


class SaveForm(SearchForm):
    """Which messages are to be saved, as what. Ticked ones are `pick`, as often as there are."""

    format = forms.ChoiceField(
        label="Format",
        choices=(
            ("pdf", "PDF/A, to read, print and keep"),
            ("xml", "XML, complete, for programs"),
            ("jsonl", "JSON lines, complete, for programs"),
        ),
        initial="pdf",
        widget=forms.RadioSelect,
        error_messages={"required": "Choose a format.", "invalid_choice": "Choose one of the formats."},
    )
    pick = forms.CharField(required=False, widget=forms.MultipleHiddenInput)

    def clean_pick(self) -> list[int]:
        """The ids of the ticked messages."""
        given = self.data.getlist("pick") if hasattr(self.data, "getlist") else []
        found = [from_text(text) for text in given]
        if None in found:
            raise ValidationError("One of the ticked messages is not known.")
        if len(found) > TICKED:
            raise ValidationError("At most %(most)s messages can be ticked at a time.", params={"most": TICKED})
        return sorted({id for id in found if id})


class PlaceForm(forms.Form):
    """Where in a conversation or among hits the page is: ids of messages, as links of ours carry them."""

    before = forms.CharField(required=False)
    after = forms.CharField(required=False)
    at = forms.CharField(required=False)

    def place(self) -> tuple[int, int, int]:
        """(before, after, at), 0 for what is not given or is no id; at most one is."""
        self.is_valid()
        before, after, at = (from_text(self.cleaned_data.get(name, "")) or 0 for name in ("before", "after", "at"))
        if at:
            return 0, 0, at
        return (before, 0, 0) if before else (0, after, 0)
