"""Forms of the console's pages about forms. They check what a person can mistype; `services.py` what must hold."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, time, tzinfo
from typing import Any, Final

from django import forms
from django.core.exceptions import ValidationError

from fdp import rules
from fdp.definition import MAX_BYTES, Definition, DefinitionError, from_json
from fdp.services import MAX_DESCRIPTION, MAX_NOTE, MAX_RETENTION, RULES, check_suffix
from fdp.stylesheets import MAX_CSS, MAX_XSLT
from mlink_web.console.fields import PLAIN

#: Characters of a form as JSON that is written for people.
MAX_JSON: Final = 8 * MAX_BYTES
KINDS: Final = (
    ("", "–"),
    ("everybody", "Everybody, on other servers too"),
    ("local", "Everybody on this server"),
    ("domain", "A domain"),
    ("group", "A group"),
    ("jid", "An address"),
)
#: What each list of rules is about: heading and explanation.
RULE_LISTS: Final = (
    ("publish_rules", "Who may publish", "May submit completed forms of this topic."),
    ("read_rules", "Who may read", "May read what was published, subscribe, and be alerted."),
    ("fill_rules", "Who may open the form", "May see that the topic exists and fetch its empty form."),
)


def in_words(given: Sequence[dict[str, str]]) -> str:
    """A list of rules as a person says it."""
    words = {"everybody": "everybody, on other servers too", "local": "everybody on this server", "group": "group {}"}
    return ", ".join(words.get(one["kind"], "{}").format(one["value"]) for one in given) or "nobody"


class TopicForm(forms.Form):
    """What an administrator sets for a topic, apart from its form, rules and stylesheets."""

    title = forms.CharField(max_length=200, error_messages={"required": "Enter a title."})
    description = forms.CharField(
        required=False,
        max_length=MAX_DESCRIPTION,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="When this form is to be used.",
    )
    enabled = forms.BooleanField(
        required=False, initial=True, help_text="A topic that is off is not listed, and nothing can be published in it."
    )
    retention_days = forms.IntegerField(
        min_value=0,
        max_value=MAX_RETENTION,
        initial=0,
        label="Keep published forms for (days)",
        help_text="0 for ever.",
    )


class NewTopicForm(TopicForm):
    """A new topic."""

    field_order = ("service", "title", "suffix", "description", "start")

    service = forms.ChoiceField(help_text="The forms service on which it is offered.")
    suffix = forms.CharField(
        label="Name",
        max_length=1000,
        help_text="Begins with a domain of yours, for example example.org/medevac. It cannot be changed later.",
        error_messages={"required": "Enter a name."},
        widget=forms.TextInput(attrs=PLAIN),
    )
    start = forms.ChoiceField(label="Start with", required=False)

    def __init__(self, services: Sequence[str], starts: Sequence[tuple[str, str]], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        del self.fields["enabled"], self.fields["retention_days"]
        self.fields["service"].choices = [(name, name) for name in services]  # type: ignore[attr-defined]
        self.fields["start"].choices = [("", "An empty form"), *starts]  # type: ignore[attr-defined]

    def clean_suffix(self) -> str:
        """A name that can be part of a node's."""
        try:
            return check_suffix(self.cleaned_data["suffix"])
        except ValueError as error:
            raise ValidationError(str(error)) from None


def read_definition(text: str) -> Definition:
    """The form in a text that may have blanks and line ends for people: they do not count as its size. Raises
    DefinitionError."""
    if len(text) > MAX_JSON:
        raise DefinitionError("", f"A form has at most {MAX_BYTES // 1024} KiB")
    try:
        return from_json(json.loads(text))
    except DefinitionError:
        raise
    except (ValueError, RecursionError) as error:
        raise DefinitionError("", f"This is no JSON: {error}") from None


class VersionForm(forms.Form):
    """A new version of a template: the definition as JSON, which the editor keeps up to date, and a note."""

    definition = forms.CharField(
        label="The form as JSON",
        strip=False,
        error_messages={"required": "There is no form to save."},
        widget=forms.Textarea(attrs={"rows": 22, "spellcheck": "false", "class": "mono"}),
    )
    note = forms.CharField(
        max_length=MAX_NOTE, required=False, label="What is new", help_text="Shown in the list of versions."
    )
    based_on = forms.IntegerField(required=False, min_value=0, widget=forms.HiddenInput)

    #: The place of what is wrong with the definition, for the editor.
    wrong: DefinitionError | None = None

    def clean_definition(self) -> Definition:
        """The form; see `wrong`."""
        try:
            return read_definition(self.cleaned_data["definition"])
        except DefinitionError as error:
            self.wrong = error
            raise ValidationError(str(error)) from None


class RuleForm(forms.Form):
    """One rule."""

    kind = forms.ChoiceField(choices=KINDS, required=False)
    value = forms.CharField(required=False, max_length=rules.MAX_VALUE, widget=forms.TextInput(attrs=PLAIN))

    def clean(self) -> dict[str, Any]:
        """Kind and value must fit each other."""
        data = super().clean() or {}
        kind, value = data.get("kind", ""), data.get("value", "")
        if not kind and value:
            self.add_error("kind", "Choose what this is.")
        if kind in ("everybody", "local"):
            data["value"] = ""
        elif kind:
            try:
                (rule,) = rules.read("", [{"kind": kind, "value": value}])
            except DefinitionError as error:
                self.add_error("value", f"This {error.reason.removeprefix('a rule of the kind ')}.")
            else:
                data["value"] = rule.value
        return data


RuleFormSet = forms.formset_factory(RuleForm, extra=1, can_delete=True, max_num=rules.MAX_RULES, absolute_max=1_100)


class RulesForms:
    """The three lists of rules of a topic on one page."""

    def __init__(self, topic: Any, data: Any = None) -> None:
        self.lists = [
            (heading, about, RuleFormSet(data, initial=getattr(topic, name), prefix=name))
            for name, heading, about in RULE_LISTS
        ]

    def is_valid(self) -> bool:
        """Whether all of them are."""
        checked = [formset.is_valid() for _, _, formset in self.lists]  # each, so that each shows its errors
        return all(checked)

    def values(self) -> dict[str, list[dict[str, str]]]:
        """As `change_topic` takes them."""
        found = {}
        for name, (_, _, formset) in zip(RULES, self.lists, strict=True):
            found[name] = [
                {"kind": data["kind"], "value": data["value"]}
                for data in formset.cleaned_data
                if data.get("kind") and not data.get("DELETE")
            ]
        return found


class StylesheetForm(forms.Form):
    """XSLT and CSS of a topic."""

    xslt = forms.CharField(
        label="XSLT 1.0",
        required=False,
        max_length=MAX_XSLT,
        strip=False,
        help_text="Makes HTML of the published form, whose outermost element is x of jabber:x:data. "
        "Without it the plain form is shown, with the CSS if there is some.",
        widget=forms.Textarea(attrs={"rows": 16, "spellcheck": "false", "class": "mono"}),
    )
    css = forms.CharField(
        label="CSS",
        required=False,
        max_length=MAX_CSS,
        strip=False,
        help_text="How that HTML looks. It can load nothing: no url(), no @import.",
        widget=forms.Textarea(attrs={"rows": 8, "spellcheck": "false", "class": "mono"}),
    )


class ImportForm(forms.Form):
    """A file with topics."""

    service = forms.ChoiceField()
    file = forms.FileField(
        label="File",
        error_messages={"required": "Choose a file."},
        help_text="A JSON file that “Export topics” made.",
        widget=forms.ClearableFileInput(attrs={"accept": ".json,application/json"}),
    )
    replace = forms.BooleanField(
        required=False,
        label="Change topics that are there already",
        help_text="They get the file's options, and its form as a new version. Without this such a file is refused.",
    )

    def __init__(self, services: Sequence[str], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["service"].choices = [(name, name) for name in services]  # type: ignore[attr-defined]


class ServiceForm(forms.Form):
    """A new forms service."""

    label = forms.CharField(
        label="Name",
        max_length=63,
        help_text="The part before the domain, for example forms or medevac.",
        error_messages={"required": "Enter a name."},
        widget=forms.TextInput(attrs=PLAIN),
    )
    domain = forms.ModelChoiceField(None, to_field_name="name", empty_label=None)
    name = forms.CharField(
        label="Shown as", max_length=200, initial="Forms", help_text="Clients show it in their lists."
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        from mlink_web.conf.models import Domain

        super().__init__(*args, **kwargs)
        self.fields["domain"].queryset = Domain.objects.filter(enabled=True)  # type: ignore[attr-defined]


class PublishedForm(forms.Form):
    """Which published forms are shown; all of it stands in the page's address."""

    topic = forms.IntegerField(required=False, min_value=1)
    q = forms.CharField(label="Words", required=False, max_length=200)
    publisher = forms.CharField(label="Published by", required=False, max_length=3071)
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

    def clean(self) -> dict[str, Any]:
        """The range must not end before it begins."""
        data = super().clean() or {}
        start, end = data.get("start"), data.get("end")
        if start and end and start > end:
            self.add_error("end", "The range ends before it begins.")
        return data

    def criteria(self, zone: tzinfo) -> dict[str, Any]:
        """As `published.found` takes them: JSON, so that a job can carry them."""
        data = self.cleaned_data
        start, end = data.get("start"), data.get("end")
        return {
            "topic": data.get("topic") or 0,
            "q": (data.get("q") or "").strip(),
            "publisher": (data.get("publisher") or "").strip(),
            "start": datetime.combine(start, time.min, zone).timestamp() if start else 0.0,
            "end": datetime.combine(end, time.max, zone).timestamp() if end else 0.0,
        }


def pretty(document: Any) -> str:
    """JSON for people."""
    return json.dumps(document, ensure_ascii=False, indent=2)
