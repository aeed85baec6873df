"""Forms of the pages of import, export, own data and erasure."""

from __future__ import annotations

from typing import Any, Final

from django import forms
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from mlink_web.conf.models import Domain
from mlink_web.console.confirming import RemoveForm
from mlink_web.pages.own_password import check_own
from mlink_web.portability.erasing import MAX_REASON
from mlink_web.portability.mapping import Addresses, BadMapping
from mlink_web.portability.mapping import parse as parse_mapping
from mlink_web.portability.ordering import MAX_UPLOAD
from mlink_web.portability.scope import NoScope, Scope, parse

POLICY_CHOICES: Final = (
    ("skip", "leave accounts that are here as they are"),
    ("merge", "add to accounts that are here what they do not have"),
    ("replace", "let the import replace what accounts that are here have"),
)


class ExportForm(forms.Form):
    """What is exported."""

    domain = forms.ChoiceField(label="Accounts of", required=False)
    user = forms.CharField(
        label="Only this account",
        required=False,
        max_length=3_071,
        widget=forms.TextInput(attrs={"autocapitalize": "none", "spellcheck": "false", "autocomplete": "off"}),
    )
    archive = forms.BooleanField(label="With archived messages", required=False, initial=True)
    credentials = forms.BooleanField(
        label="With what people sign in with",
        required=False,
        initial=True,
        help_text="No passwords, but keys that fit them. People then sign in on the new server as before.",
    )
    extension = forms.BooleanField(
        label="With rooms, nodes of services, topics of forms and groups",
        required=False,
        initial=True,
        help_text="In files of their own, which only mlink reads. Not for a single account.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        domains = sorted(Domain.objects.values_list("name", flat=True))
        field: Any = self.fields["domain"]
        field.choices = [("", "the whole server"), *((name, name) for name in domains)]

    def clean(self) -> dict[str, Any]:
        """An account wins over the domain; it must be there."""
        data = super().clean() or {}
        try:
            if data.get("user", "").strip():
                data["scope"] = parse(user=data["user"])
            else:
                data["scope"] = parse(domain=data.get("domain", ""))
        except NoScope as error:
            self.add_error("user" if data.get("user", "").strip() else "domain", str(error))
            data["scope"] = Scope()
        return data


class ImportForm(forms.Form):
    """What is imported, and how."""

    file = forms.FileField(
        label="File",
        error_messages={"required": "Choose a file.", "empty": "The file is empty."},
        help_text="A zip file with the files of XEP-0227, or one XML file; of mlink, Prosody, ejabberd and others.",
        widget=forms.ClearableFileInput(attrs={"accept": ".zip,.xml,application/zip,application/xml"}),
    )
    policy = forms.ChoiceField(label="Where there is a conflict", choices=POLICY_CHOICES, initial="skip")
    mapping = forms.CharField(
        label="Other names",
        required=False,
        max_length=1_000_000,
        help_text="A line for each domain or account that is called otherwise here: old.example=new.example, or"
        " old@a.example=new@b.example.",
        widget=forms.Textarea(attrs={"rows": 3, "class": "code", "spellcheck": "false", "autocapitalize": "none"}),
    )
    make_domains = forms.BooleanField(
        label="Add domains that are not served here yet",
        required=False,
        help_text="Otherwise accounts of other domains are refused.",
    )

    def clean_file(self) -> Any:
        """Not larger than a page takes."""
        if self.cleaned_data["file"].size > MAX_UPLOAD:
            raise ValidationError(
                f"A page takes at most {MAX_UPLOAD // 1024**3} GiB; larger files are read by manage.py xmpp_import."
            )
        return self.cleaned_data["file"]

    def clean_mapping(self) -> Addresses:
        """As addresses."""
        try:
            return parse_mapping(self.cleaned_data["mapping"].splitlines())
        except BadMapping as error:
            raise ValidationError(str(error)) from None


class OwnPassword(forms.Form):
    """The password of whoever orders all of his data: an open browser alone does not give them away."""

    current = forms.CharField(
        label="Your password",
        strip=False,
        max_length=4_096,
        error_messages={"required": "Enter your password."},
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._request = request

    def clean_current(self) -> str:
        """It must be right; wrong ones count as failed sign-ins."""
        given = str(self.cleaned_data["current"])
        check_own(self._request, given, "own data refused")
        return given


class EraseForm(RemoveForm):
    """The address typed by hand, and why."""

    reason = forms.CharField(
        label="Reason",
        max_length=MAX_REASON,
        error_messages={"required": "Say why: it stands in the certificate and in the audit log."},
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    field_order = ("reason", "name")
