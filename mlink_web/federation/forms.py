"""Forms about other servers. They check what a person can mistype; the services check again what must hold."""

from __future__ import annotations

from typing import Any, Final

from django import forms
from django.core.exceptions import ValidationError

from mlink_web.conf import services as configuration
from mlink_web.conf.models import Domain
from mlink_web.console.fields import CODE, PLAIN, checked
from mlink_web.federation import services, values
from mlink_web.federation.models import Authentication, Dane, FederationOptions, Ocsp, Peer, Revocation, Tls

PURPOSE: Final = (("no", "Any certificate for servers"), ("yes", "Only a certificate for clients too"))
AUTHORITIES_HELP: Final = (
    "Certificates in PEM, one after the other. They are asked {instead}; empty leaves it at {otherwise}."
)


def _open(choices: list[tuple[str, str]], now: str) -> list[tuple[str, str]]:
    """The choices of a peer, with the one that leaves it to the options."""
    return [("", f"As for everybody: {dict(choices)[now][:1].lower()}{dict(choices)[now][1:]}"), *choices]


class PeerForm(forms.Form):
    """What holds for one domain. `peer` is None for a new one."""

    domain = forms.CharField(
        label="Domain",
        max_length=1023,
        help_text="The part after the @ in their addresses. It cannot be changed later.",
        error_messages={"required": "Enter a domain."},
        widget=forms.TextInput(attrs=PLAIN),
    )
    subdomains = forms.BooleanField(
        required=False,
        label="Holds for all domains below it too",
        help_text="For example for the rooms of that server. A record of a domain below goes before this one.",
    )
    enabled = forms.BooleanField(
        required=False,
        initial=True,
        label="Talk to it",
        help_text="Off: nothing goes there and nothing is taken from there.",
    )
    route = forms.CharField(
        required=False,
        max_length=300,
        label="Address",
        help_text="host, host:port or [IPv6]:port. Empty: DNS is asked, as for everybody.",
        widget=forms.TextInput(attrs=PLAIN),
    )
    direct = forms.BooleanField(
        required=False,
        label="Direct TLS at this address",
        help_text="TLS from the first byte, usually on port 5270, instead of STARTTLS on port 5269.",
    )
    authentication = forms.ChoiceField(required=False, label="It proves who it is by")
    tls = forms.ChoiceField(required=False, label="Encryption")
    revocation = forms.ChoiceField(required=False, label="Revoked certificates")
    ocsp = forms.ChoiceField(required=False, label="Its responder (OCSP)")
    dane = forms.ChoiceField(
        required=False,
        label="Its keys in secured DNS (DANE)",
        help_text="When we connect to it. Pins and authorities below go before what DNS says.",
    )
    strict_purpose = forms.ChoiceField(
        required=False,
        label="When it connects to us, it may show",
        help_text="Public authorities issue only certificates for servers by now.",
    )
    pins = forms.CharField(
        required=False,
        max_length=4_000,
        label="Pinned keys",
        help_text="SHA-256 of its public key, one per line. One of them must fit; then no authority is asked.",
        widget=forms.Textarea(attrs={**CODE, "rows": 2}),
    )
    authorities = forms.CharField(
        required=False,
        max_length=values.MAX_PEM,
        label="Authorities for this peer",
        help_text=AUTHORITIES_HELP.format(instead="instead of all others", otherwise="those that hold for everybody"),
        widget=forms.Textarea(attrs={**CODE, "rows": 4}),
    )
    note = forms.CharField(
        required=False, max_length=services.MAX_NOTE, help_text="Whom to call, and why this record is here."
    )

    def __init__(self, *args: Any, peer: Peer | None = None, **kwargs: Any) -> None:
        if peer is not None:
            kwargs["initial"] = {**self.values_of(peer), **kwargs.get("initial", {})}
        super().__init__(*args, **kwargs)
        self.peer = peer
        if peer is not None:
            del self.fields["domain"]
        now = services.options()
        kinds = {"authentication": Authentication, "tls": Tls, "revocation": Revocation, "ocsp": Ocsp, "dane": Dane}
        for name, kind in kinds.items():
            self.fields[name].choices = _open(list(kind.choices), getattr(now, name))  # type: ignore[attr-defined]
        strict = "yes" if now.strict_purpose else "no"
        self.fields["strict_purpose"].choices = _open(list(PURPOSE), strict)  # type: ignore[attr-defined]

    @staticmethod
    def values_of(peer: Peer) -> dict[str, Any]:
        """A peer as values of this form."""
        shown = {name: getattr(peer, name) for name in services.PEER_FIELDS}
        strict = peer.strict_purpose
        return {
            **shown,
            "pins": "\n".join(peer.pins),
            "strict_purpose": "" if strict is None else ("yes" if strict else "no"),
        }

    def clean_domain(self) -> str:
        """The domain in canonical form, not listed yet."""
        name = checked(configuration.canonical, self.cleaned_data["domain"])
        if Peer.objects.filter(domain=name).exists():
            raise ValidationError("There is a peer with this domain already.")
        if Domain.objects.filter(name=name).exists():
            raise ValidationError("This is a domain of this server; peers are other servers.")
        return name

    def clean_route(self) -> str:
        """See `values.route`."""
        return checked(values.route, self.cleaned_data["route"])

    def clean_pins(self) -> list[str]:
        """See `values.pins`."""
        return checked(values.pins, self.cleaned_data["pins"])

    def clean_authorities(self) -> str:
        """See `values.authorities`."""
        return checked(values.authorities, self.cleaned_data["authorities"])

    def clean_strict_purpose(self) -> bool | None:
        """None is as for everybody."""
        return {"": None, "yes": True, "no": False}[self.cleaned_data["strict_purpose"]]

    def clean(self) -> dict[str, Any]:
        """Direct TLS belongs to an address."""
        data = super().clean() or {}
        if data.get("direct") and data.get("route") == "":
            self.add_error("direct", "Enter an address, or leave this to DNS, which says so by itself.")
        return data

    def given(self) -> dict[str, Any]:
        """The fields of the model, without the domain."""
        return {name: self.cleaned_data[name] for name in services.PEER_FIELDS}


class OptionsForm(forms.Form):
    """What holds for all other servers."""

    enabled = forms.BooleanField(
        required=False,
        label="Talk to other servers",
        help_text="Off: nobody listens for them, and nothing leaves. Each domain can also be switched off by itself.",
    )
    open = forms.TypedChoiceField(
        label="Whom to talk to",
        choices=(("yes", "Every server, except peers that are off"), ("no", "Only the listed peers")),
        coerce=lambda text: text == "yes",
    )
    authentication = forms.ChoiceField(label="They prove who they are by", choices=Authentication.choices)
    tls = forms.ChoiceField(
        label="Encryption", choices=Tls.choices, help_text="A certificate can only be shown on an encrypted stream."
    )
    revocation = forms.ChoiceField(label="Revoked certificates", choices=Revocation.choices)
    ocsp = forms.ChoiceField(
        label="Responders (OCSP)",
        choices=Ocsp.choices,
        help_text="Public authorities have given them up for lists; closed networks may have one.",
    )
    dane = forms.ChoiceField(
        label="Keys in secured DNS (DANE)",
        choices=Dane.choices,
        help_text="Only name servers that check DNSSEC secure them; say below whether ours do.",
    )
    strict_purpose = forms.TypedChoiceField(
        label="When they connect to us, they may show",
        choices=PURPOSE,
        coerce=lambda text: text == "yes",
        help_text="Public authorities issue only certificates for servers by now.",
    )
    authorities = forms.CharField(
        required=False,
        max_length=values.MAX_PEM,
        label="Trusted authorities",
        help_text=AUTHORITIES_HELP.format(instead="instead of the system's", otherwise="those of the system"),
        widget=forms.Textarea(attrs={**CODE, "rows": 4}),
    )
    nameservers = forms.CharField(
        required=False,
        max_length=1_000,
        label="Name servers",
        help_text="Addresses, with a port where it is not 53, one per line. Empty: those of the system.",
        widget=forms.Textarea(attrs={**PLAIN, "rows": 2}),
    )
    dnssec = forms.BooleanField(
        required=False,
        label="The name servers check DNSSEC, and the way to them is safe",
        help_text="Whoever can change their answers could then name keys. Those of the system count only where they "
        "run on the node itself.",
    )
    idle_seconds = forms.IntegerField(label="Seconds until a silent stream is closed")
    connect_seconds = forms.IntegerField(label="Seconds to connect and authenticate")
    retry_seconds = forms.IntegerField(
        label="Seconds between two tries, at most", help_text="The first tries follow each other more quickly."
    )
    queue_seconds = forms.IntegerField(
        label="Seconds that a message waits for a server",
        help_text="Then it goes back to its sender with an error.",
    )
    queue_stanzas = forms.IntegerField(label="Stanzas that may wait for one server")
    queue_bytes = forms.IntegerField(label="Bytes that may wait for one server")
    destinations = forms.IntegerField(label="Pairs of domains for which something may wait")
    incoming = forms.IntegerField(label="Streams that other servers may have open")

    #: The fields by the part of the page they stand in.
    PARTS = (
        ("Who", ("enabled", "open")),
        ("Proof and encryption", ("authentication", "tls", "dane", "strict_purpose", "authorities")),
        ("Revoked certificates", ("revocation", "ocsp")),
        ("Name servers", ("nameservers", "dnssec")),
        ("Waiting", ("connect_seconds", "retry_seconds", "queue_seconds", "idle_seconds")),
        ("Limits", ("queue_stanzas", "queue_bytes", "destinations", "incoming")),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        row = services.options()
        kwargs["initial"] = {**self.values_of(row), **kwargs.get("initial", {})}
        super().__init__(*args, **kwargs)
        for name, (least, most, _unit) in services.BOUNDS.items():
            self.fields[name].widget.attrs.update({"min": least, "max": most, "inputmode": "numeric"})

    @staticmethod
    def values_of(row: FederationOptions) -> dict[str, Any]:
        """The options as values of this form."""
        shown = {name: getattr(row, name) for name in services.OPTIONS}
        return {
            **shown,
            "open": "yes" if row.open else "no",
            "strict_purpose": "yes" if row.strict_purpose else "no",
            "nameservers": "\n".join(row.nameservers),
        }

    def clean_authorities(self) -> str:
        """See `values.authorities`."""
        return checked(values.authorities, self.cleaned_data["authorities"])

    def clean_nameservers(self) -> list[str]:
        """See `values.nameservers`."""
        return checked(values.nameservers, self.cleaned_data["nameservers"])

    def clean(self) -> dict[str, Any]:
        """Numbers within their bounds."""
        data = super().clean() or {}
        for name, (least, most, unit) in services.BOUNDS.items():
            if name in data and not least <= data[name] <= most:
                self.add_error(name, f"Enter {least:,} to {most:,} {unit}.")
        return data

    def parts(self) -> list[tuple[str, list[forms.BoundField]]]:
        """The fields in groups."""
        return [(title, [self[name] for name in names]) for title, names in self.PARTS]


class ProbeForm(forms.Form):
    """Whom to connect to, and as whom."""

    domain = forms.CharField(
        label="Domain of the other server",
        max_length=1023,
        error_messages={"required": "Enter a domain."},
        widget=forms.TextInput(attrs=PLAIN),
    )
    sender = forms.ChoiceField(label="As which domain of ours")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        first = configuration.first_domain() if Domain.objects.filter(enabled=True).exists() else ""
        names = list(Domain.objects.filter(enabled=True).order_by("name").values_list("name", flat=True)[:500])
        self.fields["sender"].choices = [(name, name) for name in names]  # type: ignore[attr-defined]
        self.fields["sender"].initial = first
        if len(names) < 2:
            self.fields["sender"].widget = forms.HiddenInput()

    def clean_domain(self) -> str:
        """The domain in canonical form; somebody may paste an address."""
        return checked(configuration.canonical, self.cleaned_data["domain"].rpartition("@")[2])
