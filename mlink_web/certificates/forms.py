"""Forms about certificates. They check what a person can mistype; the services check again what must hold."""

from __future__ import annotations

import re
from typing import Any, Final, Self

from django import forms
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile

from mlink_web.certificates import bundle, lab, naming, signing_requests
from mlink_web.certificates.authorities import DIRECTORIES
from mlink_web.conf.models import Domain
from mlink_web.console.fields import CODE, NEW_SECRET, PLAIN, checked

PEM: Final = {**CODE, "rows": 6}
OTHER: Final = "other"


def _lines(text: str) -> list[str]:
    return [part for part in re.split(r"[\s,;]+", text) if part]


class _BroughtForm(forms.Form):
    """PEM text or files. What was pasted may hold a private key: it is shown again to nobody."""

    certificate = forms.FileField(
        label="Certificate",
        required=False,
        help_text="PEM with the whole chain.",
        widget=forms.FileInput(attrs={"accept": ".pem,.crt,.cer,.p7b,.der,.txt"}),
    )
    text = forms.CharField(
        label="Or paste PEM text", required=False, max_length=bundle.MAX_FILE, widget=forms.Textarea(attrs=PEM)
    )
    FILES = ("certificate",)

    def given(self) -> list[bytes]:
        """What was given."""
        found = [_content(self.cleaned_data[name]) for name in self.FILES if self.cleaned_data.get(name)]
        if self.cleaned_data.get("text", "").strip():
            found.append(self.cleaned_data["text"].encode())
        return found

    def clean(self) -> dict[str, Any]:
        """Something must have been given."""
        cleaned: dict[str, Any] = super().clean() or {}
        if not self.errors and not any(cleaned.get(name) for name in (*self.FILES, "text")):
            raise ValidationError("Choose a file, or paste the PEM text.")
        return cleaned

    def emptied(self) -> Self:
        """The form as it is shown again with what is wrong: without what was pasted."""
        self.data = self.data.copy()
        self.data[self.add_prefix("text")] = ""
        return self


class UploadForm(_BroughtForm):
    """A certificate with its key, as files or pasted."""

    certificate = forms.FileField(
        label="Certificate",
        required=False,
        help_text="PEM with the whole chain, or PKCS#12 (.p12, .pfx) with chain and key.",
        widget=forms.FileInput(attrs={"accept": ".pem,.crt,.cer,.p7b,.p12,.pfx,.der,.txt"}),
    )
    key = forms.FileField(
        label="Private key",
        required=False,
        help_text="PEM, where it is not in the first file.",
        widget=forms.FileInput(attrs={"accept": ".pem,.key,.der,.txt"}),
    )
    text = forms.CharField(
        label="Or paste PEM text",
        required=False,
        max_length=bundle.MAX_FILE,
        help_text="Certificate, chain and key, one after the other.",
        widget=forms.Textarea(attrs=PEM),
    )
    password = forms.CharField(
        label="Password",
        required=False,
        max_length=1_000,
        strip=False,
        help_text="Of the PKCS#12 file, or of an encrypted key. It is not kept.",
        widget=forms.PasswordInput(attrs=NEW_SECRET),
    )
    FILES = ("certificate", "key")
    field_order = ("certificate", "key", "text", "password")


class CompleteForm(_BroughtForm):
    """The certificate that an authority made of a request."""


class _NamesForm(forms.Form):
    """The names that a certificate is to have."""

    names = forms.CharField(
        label="Names",
        max_length=20_000,
        help_text="The domain and its services, one in a line.",
        widget=forms.Textarea(attrs={**PLAIN, "rows": 5}),
    )

    def clean_names(self) -> list[str]:
        """A list of names."""
        names = _lines(self.cleaned_data["names"])
        if not names:
            raise ValidationError("Name at least one domain.")
        checked(naming.in_a_labels, names)
        return names


class RequestForm(_NamesForm):
    """A key and a request for an authority elsewhere."""

    kind = forms.ChoiceField(
        label="Key", choices=signing_requests.KEYS, help_text="P-256 is right for nearly everybody."
    )
    xmpp = forms.BooleanField(
        label="With the names of XMPP",
        required=False,
        initial=True,
        help_text="XmppAddr and SRVName besides the DNS names. Public authorities take no notice of them or refuse.",
    )
    organisation = forms.CharField(label="Organisation", required=False, max_length=64)
    country = forms.RegexField(
        r"^[A-Za-z]{2}$",
        label="Country",
        required=False,
        help_text="Two letters.",
        error_messages={"invalid": "A country is two letters, like NL."},
    )


class AcmeForm(_NamesForm):
    """The names of a domain's certificate by ACME."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = self.fields["names"]
        names.help_text = "The domain and names below it, one in a line. Each must lead to this server in DNS."


class AccountForm(forms.Form):
    """Which authority, and who is told when something is wrong there."""

    known = forms.ChoiceField(label="Authority", choices=(*DIRECTORIES, (OTHER, "Another one, by its address")))
    directory = forms.CharField(
        label="Address of its directory",
        required=False,
        max_length=500,
        help_text="Where another one was chosen, for example https://ca.example.org/acme/directory.",
        widget=forms.URLInput(attrs=PLAIN),
    )
    contact = forms.EmailField(
        label="E-mail", required=False, help_text="The authority may write there about your certificates."
    )
    trusted = forms.CharField(
        label="Certificate of the authority’s own website",
        required=False,
        max_length=bundle.MAX_FILE,
        help_text="PEM, for a private authority that this machine does not trust by itself.",
        widget=forms.Textarea(attrs=PEM),
    )
    binding = forms.CharField(
        label="Key identifier", required=False, max_length=500, help_text="Where the authority gave you one (EAB)."
    )
    binding_key = forms.CharField(
        label="HMAC key", required=False, max_length=1_000, widget=forms.PasswordInput(attrs=NEW_SECRET)
    )
    agreed = forms.CharField(required=False, max_length=500, widget=forms.HiddenInput)

    def clean_trusted(self) -> str:
        """PEM, or nothing."""
        return checked(bundle.checked_pem, self.cleaned_data["trusted"])

    def clean(self) -> dict[str, Any]:
        """The address of the directory, wherever it comes from."""
        cleaned: dict[str, Any] = super().clean() or {}
        if cleaned.get("known") == OTHER:
            address = cleaned.get("directory", "").strip()
            if not address.startswith("https://"):
                self.add_error("directory", "The address of a directory begins with https://.")
            cleaned["url"] = address
        else:
            cleaned["url"] = cleaned.get("known", "")
        if bool(cleaned.get("binding")) != bool(cleaned.get("binding_key")):
            self.add_error("binding_key", "Key identifier and HMAC key belong together.")
        return cleaned


class LabForm(forms.Form):
    """The authority for labs, when it is made."""

    name = forms.CharField(
        label="Name", max_length=64, initial="Lab authority", help_text="As it stands in certificates."
    )
    list_address = forms.CharField(
        label="Address of its list of revoked certificates",
        max_length=500,
        help_text="It stands in all certificates: where other servers reach this one over http.",
        widget=forms.URLInput(attrs=PLAIN),
    )


class LabIssueForm(forms.Form):
    """A certificate for a request that somebody brought."""

    request = forms.CharField(
        label="Request",
        max_length=bundle.MAX_FILE,
        help_text="PEM (-----BEGIN CERTIFICATE REQUEST-----). The names in it are taken as they are.",
        widget=forms.Textarea(attrs=PEM),
    )
    days = forms.IntegerField(label="Days", min_value=1, max_value=lab.MAX_DAYS, initial=lab.DAYS)


class LabDomainForm(forms.Form):
    """A certificate for a domain of this server."""

    domain = forms.ModelChoiceField(queryset=Domain.objects.none(), empty_label=None)
    days = forms.IntegerField(label="Days", min_value=1, max_value=lab.MAX_DAYS, initial=lab.DAYS)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["domain"].queryset = Domain.objects.filter(enabled=True)  # type: ignore[attr-defined]


def _content(file: UploadedFile) -> bytes:
    """A file, or enough of it to see that it is too large."""
    return bytes(file.read(bundle.MAX_FILE + 1))
