"""Forms of the console. They check what a person can mistype; the services check again what must hold."""

from __future__ import annotations

import re
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from mlink_web.accounts import scram
from mlink_web.accounts import services as accounts
from mlink_web.accounts.models import Account
from mlink_web.conf import services as configuration
from mlink_web.conf.models import Domain
from mlink_web.console.access import EVERYTHING, Reach, may_change
from mlink_web.console.fields import NEW_SECRET, PLAIN, checked

#: Kinds of contact that XEP-0157 registers.
CONTACT_KINDS = ("abuse", "admin", "feedback", "sales", "security", "status", "support")
CONTACT_LIMIT = 30
_URI = re.compile(r"(mailto:|xmpp:)[^\s@]+@[^\s@]+|https?://[^\s]+")


def clean_password(password: str) -> str:
    """The password as it came, if SCRAM can take it."""
    checked(lambda: scram.derive(password, rounds=1))  # one round: only whether keys can be made of it
    return password


class DomainForm(forms.Form):
    """What an administrator sets for a domain. `domain` is None for a new one."""

    ARCHIVE = (
        ("off", "Off: messages are not kept"),
        ("on", "On: messages are kept"),
        ("strict", "Strict: a message is delivered only once it is kept"),
    )

    name = forms.CharField(
        label="Domain name",
        max_length=1023,
        help_text="For example chat.example.org. It cannot be changed later.",
        error_messages={"required": "Enter a domain name."},
        widget=forms.TextInput(attrs=PLAIN),
    )
    enabled = forms.BooleanField(required=False, initial=True, help_text="Users of a disabled domain cannot sign in.")
    archive = forms.ChoiceField(choices=ARCHIVE, initial="on", label="Archive of messages")
    registration = forms.BooleanField(
        required=False,
        label="Open registration",
        help_text="Anybody may make an account in this domain with an XMPP app (XEP-0077).",
    )
    max_resources = forms.IntegerField(
        min_value=1,
        max_value=1000,
        initial=10,
        label="Sessions per user",
        help_text="How many apps may be signed in at once.",
    )
    resource_conflict = forms.ChoiceField(
        choices=Domain.Conflict.choices,
        label="When an app takes a resource that is in use",
        initial=Domain.Conflict.REPLACE,
    )
    federation = forms.BooleanField(
        required=False,
        initial=True,
        label="Talks to other servers",
        help_text="Off: its users reach only people on this server, and nobody else reaches them.",
    )
    federation_durable = forms.BooleanField(
        required=False,
        label="Keep what waits for other servers",
        help_text="Messages for a server that cannot be reached outlive a restart. Each one is written to the database "
        "before it is sent.",
    )
    moved_to = forms.CharField(
        required=False,
        max_length=1023,
        label="Alias of another domain",
        help_text="Who writes to a user that is not in this domain is told to look for the same name there. "
        "Users that are here go on as before. Empty for a domain of its own.",
        widget=forms.TextInput(attrs={"autocapitalize": "none", "spellcheck": "false", "autocomplete": "off"}),
    )
    contacts = forms.CharField(
        required=False,
        label="Contact addresses",
        widget=forms.Textarea(attrs={"rows": 4, "spellcheck": "false"}),
        help_text=f"One per line: a kind ({', '.join(CONTACT_KINDS)}) and an address, "
        "for example abuse mailto:abuse@example.org",
    )

    def __init__(self, *args: Any, domain: Domain | None = None, **kwargs: Any) -> None:
        if domain is not None:
            kwargs["initial"] = {**self.values_of(domain), **kwargs.get("initial", {})}
        super().__init__(*args, **kwargs)
        self.domain = domain
        if domain is not None:
            del self.fields["name"]

    @staticmethod
    def values_of(domain: Domain) -> dict[str, Any]:
        """A domain as values of this form."""
        lines = [f"{kind} {uri}" for kind, uris in sorted(domain.contacts.items()) for uri in uris]
        return {
            "enabled": domain.enabled,
            "archive": ("strict" if domain.archive_strict else "on") if domain.archive else "off",
            "registration": domain.registration,
            "max_resources": domain.max_resources,
            "resource_conflict": domain.resource_conflict,
            "federation": domain.federation,
            "federation_durable": domain.federation_durable,
            "moved_to": domain.moved_to,
            "contacts": "\n".join(lines),
        }

    def clean_name(self) -> str:
        """The domain in canonical form, if it is new."""
        name = checked(configuration.canonical, self.cleaned_data["name"])
        if Domain.objects.filter(name=name).exists():
            raise ValidationError("There is a domain with this name already.")
        return name

    def clean_moved_to(self) -> str:
        """The other domain in canonical form."""
        text = self.cleaned_data["moved_to"].strip()
        if not text:
            return ""
        try:
            target = configuration.canonical(text)
        except ValueError as error:
            raise ValidationError(str(error)) from None
        if target == (self.domain.name if self.domain is not None else self.cleaned_data.get("name")):
            raise ValidationError("A domain is no alias of itself.")
        return target

    def clean_contacts(self) -> dict[str, list[str]]:
        """Kind to addresses."""
        contacts: dict[str, list[str]] = {}
        lines = [line.split() for line in self.cleaned_data["contacts"].splitlines() if line.strip()]
        if len(lines) > CONTACT_LIMIT:
            raise ValidationError("Enter at most %(most)d addresses.", params={"most": CONTACT_LIMIT})
        for number, parts in enumerate(lines, 1):
            kind = parts[0].rstrip(":").lower()
            if len(parts) != 2 or kind not in CONTACT_KINDS:
                raise ValidationError("Line %(line)d must be one kind and one address.", params={"line": number})
            if not _URI.fullmatch(parts[1]) or len(parts[1]) > 500:
                raise ValidationError(
                    "The address in line %(line)d must begin with mailto:, xmpp: or https://.", params={"line": number}
                )
            contacts.setdefault(kind, []).append(parts[1])
        return contacts

    def options(self) -> dict[str, Any]:
        """The model fields that this form sets, without the name."""
        data = self.cleaned_data
        return {
            "enabled": data["enabled"],
            "archive": data["archive"] != "off",
            "archive_strict": data["archive"] == "strict",
            "registration": data["registration"],
            "max_resources": data["max_resources"],
            "resource_conflict": data["resource_conflict"],
            "federation": data["federation"],
            "federation_durable": data["federation_durable"],
            "moved_to": data["moved_to"],
            "contacts": data["contacts"],
        }


class DelegatedDomainForm(DomainForm):
    """What an administrator of the domain sets. The rest is the server's: whether the domain is on and what it talks
    to, and what is archived, for whoever keeps archives must not depend on those whom they are about."""

    SET = ("registration", "max_resources", "resource_conflict", "contacts")

    def __init__(self, *args: Any, domain: Domain, **kwargs: Any) -> None:
        super().__init__(*args, domain=domain, **kwargs)
        for name in set(self.fields) - set(self.SET):
            del self.fields[name]

    def options(self) -> dict[str, Any]:
        """The model fields that this form sets."""
        return {name: self.cleaned_data[name] for name in self.SET}


class UserForm(forms.Form):
    """A new user."""

    local = forms.CharField(
        label="Name",
        max_length=1023,
        help_text="The part of the address before the @.",
        error_messages={"required": "Enter a name."},
        widget=forms.TextInput(attrs=PLAIN),
    )
    domain = forms.ModelChoiceField(Domain.objects.all(), to_field_name="name", empty_label=None)
    password = forms.CharField(
        strip=False,
        max_length=4096,
        error_messages={"required": "Enter a password."},
        help_text="The user signs in with it here and in every app.",
        widget=forms.PasswordInput(attrs=NEW_SECRET),
    )
    administrator = forms.BooleanField(required=False, help_text="May use this console and change everything in it.")

    def __init__(self, *args: Any, reach: Reach = EVERYTHING, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["domain"].queryset = reach.narrowed(Domain.objects.all(), "name")  # type: ignore[attr-defined]
        if not reach.everything:
            del self.fields["administrator"]

    def clean_local(self) -> str:
        """A name that can stand before the @."""
        text = self.cleaned_data["local"]
        if "@" in text or "/" in text:
            raise ValidationError("Enter only the part before the @; the domain is chosen below.")
        return str(text)

    def clean_password(self) -> str:
        """See `clean_password`."""
        return clean_password(self.cleaned_data["password"])

    def clean(self) -> dict[str, Any]:
        """Put the address together as `address`, in canonical form, and see that it is free."""
        data = super().clean() or {}
        if not data.get("local") or not data.get("domain"):
            return data
        try:
            data["address"] = accounts.address(f"{data['local']}@{data['domain'].name}").bare
        except ValueError as error:
            self.add_error("local", str(error))
            return data
        if Account.objects.filter(username=data["address"]).exists():
            self.add_error("local", f"There is a user {data['address']} already.")
        return data


class PasswordForm(forms.Form):
    """A new password for a user."""

    password = forms.CharField(
        label="New password",
        strip=False,
        max_length=4096,
        error_messages={"required": "Enter a password."},
        help_text="It is valid at once, here and in every app; the old one no longer is.",
        widget=forms.PasswordInput(attrs=NEW_SECRET),
    )
    again = forms.CharField(
        label="The same again",
        strip=False,
        max_length=4096,
        error_messages={"required": "Enter the password a second time."},
        widget=forms.PasswordInput(attrs=NEW_SECRET),
    )

    def clean_password(self) -> str:
        """See `clean_password`."""
        return clean_password(self.cleaned_data["password"])

    def clean(self) -> dict[str, Any]:
        """Both entries must agree."""
        data = super().clean() or {}
        if "password" in data and "again" in data and data["password"] != data["again"]:
            self.add_error("again", "The two entries differ.")
        return data


class MoveForm(forms.Form):
    """Where an account is now. Who administers single domains names an account of them that he may change: contacts
    are asked on its behalf."""

    address = forms.CharField(
        label="New address",
        max_length=2047,
        help_text="For example name@example.org. Whoever turns to this account is told it.",
        error_messages={"required": "Enter the new address."},
        widget=forms.TextInput(attrs={"autocapitalize": "none", "spellcheck": "false", "autocomplete": "off"}),
    )

    def __init__(self, *args: Any, reach: Reach = EVERYTHING, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._reach = reach

    def clean_address(self) -> str:
        """The address in canonical form, if it is within reach."""
        try:
            address = accounts.address(self.cleaned_data["address"]).bare
        except ValueError as error:
            raise ValidationError(str(error)) from None
        if not self._reach.everything:
            found = self._reach.narrowed(Account.objects.select_related("domain"), "domain__name")
            account = found.filter(username=address).first()
            if account is None:
                raise ValidationError("Enter the address of an account of your domains.")
            if not may_change(self._reach, account):
                raise ValidationError(
                    "This account may do more than you here: an administrator of the server moves to it."
                )
        return address
