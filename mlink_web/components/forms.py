"""Forms about components. They check what a person can mistype; the services and the engine's rules check again what
must hold."""

from __future__ import annotations

from typing import Any, Final

from django import forms

from mlink_web.components import services
from mlink_web.components.models import Component, Conflict
from mlink_web.conf.models import Domain
from mlink_web.console.fields import NEW_SECRET, PLAIN, checked
from xmpp_engine.config.components import MAX_QUEUE, MAX_SECRET, MIN_QUEUE

MIB: Final = 1_048_576
READING: Final = (
    ("none", "Nothing"),
    ("get", "Read them"),
    ("set", "Change them"),
    ("both", "Read and change them"),
)
MESSAGES: Final = (("none", "Nothing"), ("outgoing", "Send messages in the name of accounts and of the domain"))
PRESENCE: Final = (
    ("none", "Nothing"),
    ("managed_entity", "See who of our accounts is there"),
    ("roster", "See their contacts too"),
)
#: Fields of the form by the part of the page in which they stand.
GROUPS: Final = (
    ("Component", "", ("domain", "description", "enabled", "secret")),
    ("Connection", "", ("networks", "conflict", "queue_mib")),
    (
        "What it serves for us",
        "Requests in these namespaces go to the component instead of being answered here (XEP-0355).",
        ("delegated",),
    ),
    (
        "What it may do for our accounts",
        "A component with these privileges acts as if it were the account (XEP-0356): grant them to programs that "
        "you trust as this server itself.",
        ("roster", "roster_push", "message", "presence", "iq", "domains"),
    ),
)


class ComponentForm(forms.Form):
    """One component; `component` is None for a new one."""

    domain = forms.CharField(
        max_length=1023,
        help_text="What it serves, for example gateway.example.org. It cannot be changed later.",
        error_messages={"required": "Enter a domain."},
        widget=forms.TextInput(attrs=PLAIN),
    )
    description = forms.CharField(max_length=services.MAX_DESCRIPTION, required=False)
    enabled = forms.BooleanField(
        required=False,
        initial=True,
        label="May connect",
        help_text="Off: it is disconnected, and what is sent to its domain comes back.",
    )
    secret = forms.CharField(
        required=False,
        max_length=MAX_SECRET,
        label="Secret",
        help_text="What the component's own configuration has. Empty: one is made and shown once.",
        widget=forms.PasswordInput(attrs={**PLAIN, **NEW_SECRET}),
    )
    networks = forms.CharField(
        required=False,
        max_length=10_000,
        label="Addresses it may connect from",
        help_text="IP addresses and networks like 192.0.2.0/24, one per line. Empty: every address.",
        widget=forms.Textarea(attrs={**PLAIN, "rows": 3}),
    )
    conflict = forms.ChoiceField(
        choices=Conflict.choices,
        label="A second connection",
        help_text="The first one is asked for a sign of life all the same: a dead one gives its place up.",
    )
    queue_mib = forms.IntegerField(
        min_value=max(1, MIN_QUEUE // MIB),
        max_value=MAX_QUEUE // MIB,
        initial=8,
        label="Queue (MiB)",
        help_text="What may wait while the component does not read. What comes on top goes back to its senders.",
    )
    delegated = forms.CharField(
        required=False,
        max_length=50_000,
        label="Namespaces",
        help_text="One per line; behind it, names of attributes that a request must have to go there.",
        widget=forms.Textarea(attrs={**PLAIN, "rows": 3}),
    )
    roster = forms.ChoiceField(choices=READING, label="Rosters")
    roster_push = forms.BooleanField(
        required=False, initial=True, label="Tell it of changes", help_text="Only where it may read rosters."
    )
    message = forms.ChoiceField(choices=MESSAGES, label="Messages")
    presence = forms.ChoiceField(choices=PRESENCE, label="Presence")
    iq = forms.CharField(
        required=False,
        max_length=50_000,
        label="Requests in the name of accounts",
        help_text="One per line: a namespace and get, set or both.",
        widget=forms.Textarea(attrs={**PLAIN, "rows": 3}),
    )
    domains = forms.MultipleChoiceField(
        required=False,
        label="In these domains only",
        help_text="None chosen: in all domains of this server.",
        widget=forms.CheckboxSelectMultiple,
    )

    def __init__(self, *args: Any, component: Component | None = None, **kwargs: Any) -> None:
        if component is not None:
            kwargs["initial"] = {**_initial(component), **kwargs.get("initial", {})}
        super().__init__(*args, **kwargs)
        names = list(Domain.objects.values_list("name", flat=True))
        self.fields["domains"].choices = [(name, name) for name in names]  # type: ignore[attr-defined]
        if component is not None:
            del self.fields["domain"], self.fields["secret"]
        if len(names) < 2 and not (component and component.domains):
            del self.fields["domains"]

    def groups(self) -> list[dict[str, Any]]:
        """The fields by the parts of the page."""
        return [
            {"title": title, "lead": lead, "fields": [self[name] for name in names if name in self.fields]}
            for title, lead, names in GROUPS
        ]

    def clean_networks(self) -> list[str]:
        """Entries of lines and commas."""
        entries = services.value_of("networks", self.cleaned_data["networks"])
        return list(checked(services.checked, "networks", entries))

    def clean_delegated(self) -> dict[str, list[str]]:
        """Namespaces with attributes."""
        return services.delegated_of(self.cleaned_data["delegated"].splitlines())

    def clean_iq(self) -> dict[str, str]:
        """Privileges of iqs."""
        found = checked(services.privileges_of, self.cleaned_data["iq"].splitlines())
        given = {f"iq:{space}": permission for space, permission in found.items()}
        return dict(checked(services.checked, "privileges", given))

    def clean_domain(self) -> str:
        """The canonical name."""
        return checked(services.configuration.canonical, self.cleaned_data["domain"])

    def given(self) -> dict[str, Any]:
        """What the services take, but the domain and the secret."""
        data = self.cleaned_data
        privileges = {kind: data[kind] for kind in ("roster", "message", "presence") if data[kind] != "none"}
        if not data["roster_push"] and "roster" in privileges:
            privileges["roster-push"] = "no"
        return {
            "description": data["description"],
            "enabled": data["enabled"],
            "networks": data["networks"],
            "conflict": data["conflict"],
            "queue_bytes": data["queue_mib"] * MIB,
            "delegated": data["delegated"],
            "privileges": {**privileges, **data["iq"]},
            "domains": data.get("domains", []),
        }


class SecretForm(forms.Form):
    """Another secret."""

    secret = forms.CharField(
        required=False,
        max_length=MAX_SECRET,
        label="New secret",
        help_text="Empty: one is made and shown once.",
        widget=forms.PasswordInput(attrs={**PLAIN, **NEW_SECRET}),
    )


def _initial(component: Component) -> dict[str, Any]:
    privileges = component.privileges
    spaces = {kind.partition(":")[2]: value for kind, value in privileges.items() if kind.startswith("iq:")}
    return {
        "description": component.description,
        "enabled": component.enabled,
        "networks": "\n".join(component.networks),
        "conflict": component.conflict,
        "queue_mib": max(1, component.queue_bytes // MIB),
        "delegated": "\n".join(" ".join((space, *names)) for space, names in component.delegated.items()),
        "roster": privileges.get("roster", "none"),
        "roster_push": privileges.get("roster-push") != "no",
        "message": privileges.get("message", "none"),
        "presence": privileges.get("presence", "none"),
        "iq": "\n".join(f"{space} {value}" for space, value in spaces.items()),
        "domains": component.domains,
    }
