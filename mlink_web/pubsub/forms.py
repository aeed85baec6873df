"""Forms about publish-subscribe. They check what a person can mistype; the node checks again what must hold."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from django import forms

from mlink_web.console.config_form import MAX_TEXT, ConfigForm
from mlink_web.console.confirming import RemoveForm
from mlink_web.console.fields import PLAIN

AFFILIATIONS = (
    ("owner", "Owner"),
    ("publisher", "Publisher"),
    ("publish-only", "Publisher who may not read"),
    ("member", "Member"),
    ("outcast", "Banned"),
    ("none", "None"),
)
KINDS = (("leaf", "Items"), ("collection", "Other nodes (a collection)"))
MAX_NAME = 1_023
#: Fields of the form that begin a part of the page, and its heading.
PARTS = {
    "title": "About the node",
    "access_model": "Who may read and publish",
    "persist_items": "Items",
    "deliver_notifications": "Notifications",
    "body_xslt": "Stylesheets",
    "collection": "Collections",
}
#: A node holds for ever what it was made for.
LEFT_OUT = frozenset({"pubsub#node_type"})


class NodeConfigForm(ConfigForm):
    """The configuration of a node, in parts."""

    def __init__(self, described: Sequence[dict[str, Any]], *args: Any, **kwargs: Any) -> None:
        shown = [_as_text(row) for row in described if row["field"] not in LEFT_OUT]
        super().__init__(shown, *args, **kwargs)

    def parts(self) -> Iterator[tuple[str, list[forms.BoundField]]]:
        """Headings with the fields below them."""
        heading, fields = "", list[forms.BoundField]()
        for field in self:
            if field.name in PARTS:
                if fields:
                    yield heading, fields
                heading, fields = PARTS[field.name], []
            fields.append(field)
        if fields:
            yield heading, fields


def _as_text(row: dict[str, Any]) -> dict[str, Any]:
    """A list that takes any value is typed: there is nothing to choose from that would be complete."""
    if row["type"] == "list-multi" and row["open"]:
        known = ", ".join(value for value, _label in row["options"])
        return {**row, "type": "text-multi", "help": f"One per line. Known: {known}." if known else "One per line."}
    return row


class NodeForm(forms.Form):
    """A new node."""

    node = forms.CharField(
        label="Name",
        max_length=MAX_NAME,
        help_text="Programs know the node by it. It cannot be changed later.",
        error_messages={"required": "Enter a name."},
        widget=forms.TextInput(attrs=PLAIN),
    )
    title = forms.CharField(max_length=500, required=False, help_text="Shown to people instead of the name.")
    kind = forms.ChoiceField(choices=KINDS, label="What it holds", help_text="This cannot be changed later either.")
    access_model = forms.ChoiceField(label="Who may subscribe and read")
    owner = forms.CharField(
        max_length=2047,
        help_text="Address of the person who may change everything about the node.",
        error_messages={"required": "Enter the address of the owner."},
        widget=forms.TextInput(attrs=PLAIN),
    )

    def __init__(self, described: Sequence[dict[str, Any]], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for row in described:
            if row["field"] == "pubsub#access_model":
                choices = [(value, label or value) for value, label in row["options"]]
                self.fields["access_model"].choices = choices  # type: ignore[attr-defined]
                self.fields["access_model"].initial = (row["values"] or [""])[0]

    def options(self) -> str:
        """As `pubsub create` takes them."""
        data = self.cleaned_data
        return json.dumps({"title": data["title"], "access_model": data["access_model"]})


class AffiliationForm(forms.Form):
    """A new or changed affiliation."""

    jid = forms.CharField(
        label="Address or domain",
        max_length=2047,
        error_messages={"required": "Enter an address or a domain."},
        widget=forms.TextInput(attrs=PLAIN),
    )
    affiliation = forms.ChoiceField(choices=AFFILIATIONS, initial="member")


class SubscribeForm(forms.Form):
    """A new subscription."""

    subscriber = forms.CharField(
        label="Address",
        max_length=3071,
        help_text="They are told, and hear of what is published from now on.",
        error_messages={"required": "Enter an address."},
        widget=forms.TextInput(attrs=PLAIN),
    )


class PublishForm(forms.Form):
    """A new item."""

    item = forms.CharField(
        label="Id",
        max_length=MAX_NAME,
        required=False,
        help_text="An item of this id is replaced. Left empty, the service makes one.",
        widget=forms.TextInput(attrs=PLAIN),
    )
    payload = forms.CharField(
        label="Content",
        max_length=MAX_TEXT,
        required=False,
        help_text="One XML element with its namespace, for example <note xmlns='urn:example:note'>Hello</note>",
        widget=forms.Textarea(attrs={**PLAIN, "rows": 10, "class": "code"}),
    )


class DeleteForm(RemoveForm):
    """The question before a node is deleted."""

    wrong = "This is not the name of the node."
    redirect = forms.CharField(
        label="Node to go to instead",
        max_length=2000,
        required=False,
        help_text="Told to subscribers, for example xmpp:pubsub.example.org?;node=news",
        widget=forms.TextInput(attrs=PLAIN),
    )

    def clean_redirect(self) -> str:
        """An address of XMPP."""
        text = str(self.cleaned_data["redirect"])
        if text and not text.startswith("xmpp:"):
            raise forms.ValidationError("Write it as xmpp:service?;node=name.")
        return text
