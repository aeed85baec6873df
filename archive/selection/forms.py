"""Forms of the console's pages of what is archived."""

from __future__ import annotations

from typing import Any, Final

from django import forms

from archive.options import KINDS, ArchiveOptions, RoomArchiveOptions
from mlink_web.conf.models import Domain

WORDS: Final = (
    ("own", "As they choose (people) or are configured (rooms)"),
    ("always", "Always archived"),
    ("never", "Never archived"),
)
_PLAIN: Final = {"autocapitalize": "none", "spellcheck": "false", "autocomplete": "off"}
_LABELS: Final = {
    "chat": "Conversations (messages of type chat)",
    "normal": "Single messages (type normal)",
    "headline": "Headlines: announcements and news",
    "private": "Private messages between two people in a room",
}


class DomainArchiveForm(forms.Form):
    """What of a domain is archived: the options of the modules `archive` and `room_archive`."""

    users = forms.ChoiceField(
        label="Messages between people",
        choices=(
            ("choice", "People choose for themselves"),
            ("always", "Always archived, whatever they choose"),
            ("never", "Never archived, whatever they choose"),
        ),
        help_text="What holds for those who have not chosen stands in the settings of the domain.",
    )
    rooms = forms.ChoiceField(
        label="Messages in rooms",
        choices=(
            ("room", "As the owners of each room configure it"),
            ("always", "Always archived, in all persistent rooms"),
            ("never", "Never archived"),
        ),
        help_text="Who is in a room is told when it begins or ends to be archived.",
    )

    def __init__(self, domain: Domain, *args: Any, **kwargs: Any) -> None:
        people, rooms = options_of(domain)
        super().__init__(*args, initial={"users": people.users, "rooms": rooms.rooms}, **kwargs)
        for kind in KINDS:
            self.fields[f"kind_{kind}"] = forms.BooleanField(
                required=False, label=_LABELS[kind], initial=kind in people.kinds
            )

    def modules(self, domain: Domain) -> dict[str, Any]:
        """The options of all modules of the domain, with what was filled in."""
        data = self.cleaned_data
        found = dict(domain.modules)
        kinds = [kind for kind in KINDS if data[f"kind_{kind}"]]
        found["archive"] = {**found.get("archive", {}), "kinds": kinds, "users": data["users"]}
        found["room_archive"] = {**found.get("room_archive", {}), "rooms": data["rooms"]}
        return found


class DecisionForm(forms.Form):
    """A decision on one person or room."""

    kind = forms.ChoiceField(label="Whose archive", choices=(("user", "A person's"), ("room", "A room's")))
    address = forms.CharField(
        max_length=2047,
        widget=forms.TextInput(attrs=_PLAIN),
        help_text="For example ada@example.org or hall@conference.example.org.",
        error_messages={"required": "Enter an address."},
    )
    word = forms.ChoiceField(label="Its messages are", choices=WORDS, initial="always")


def options_of(domain: Domain) -> tuple[ArchiveOptions, RoomArchiveOptions]:
    """What a domain's options say of people and of rooms; the defaults where they make no sense."""
    found: dict[str, Any] = domain.modules if isinstance(domain.modules, dict) else {}
    try:
        return (
            ArchiveOptions(**found.get("archive", {})),
            RoomArchiveOptions(**found.get("room_archive", {})),
        )
    except (TypeError, ValueError):
        return ArchiveOptions(), RoomArchiveOptions()
