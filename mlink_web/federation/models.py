"""Whom this server talks to, and how; only `services.py` writes here. `snapshot.py` turns it into an S2sConfig.

A peer's empty choice means "as for everybody", so a change of the defaults reaches it too.
"""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class Authentication(models.TextChoices):
    """How another server must prove who it is."""

    CERTIFICATE = "certificate", "Certificate only"
    DIALBACK = "dialback", "Certificate, else dialback"
    DIALBACK_ONLY = "dialback-only", "Dialback only"


class Tls(models.TextChoices):
    """Whether streams are encrypted."""

    REQUIRED = "required", "Always encrypted"
    OPTIONAL = "optional", "Encrypted where the other server can"


class Revocation(models.TextChoices):
    """What revoked certificates mean."""

    OFF = "off", "Not looked at"
    SOFT = "soft", "Refused where a list can be had"
    HARD = "hard", "Refused unless a fresh list clears them"


class Ocsp(models.TextChoices):
    """What responders are asked for."""

    OFF = "off", "Not asked"
    SOFT = "soft", "Refused where its responder says revoked"
    HARD = "hard", "Refused unless its responder clears it"


class Dane(models.TextChoices):
    """What keys in secured DNS mean."""

    OFF = "off", "Not looked at"
    USE = "use", "Binding where there are some"
    REQUIRE = "require", "Refused where there are none"


class Peer(models.Model):
    """What holds between us and a domain, looked up before DNS."""

    domain = models.CharField(max_length=1023, unique=True)
    subdomains = models.BooleanField(default=False, help_text="It holds for all domains below it too.")
    enabled = models.BooleanField(default=True, help_text="A peer that is off is refused in both directions.")
    route = models.CharField(max_length=300, default="", blank=True, help_text="host, host:port or [v6]:port.")
    direct = models.BooleanField(default=False, help_text="TLS from the first byte at that address.")
    authentication = models.CharField(max_length=16, choices=Authentication.choices, default="", blank=True)
    tls = models.CharField(max_length=16, choices=Tls.choices, default="", blank=True)
    revocation = models.CharField(max_length=16, choices=Revocation.choices, default="", blank=True)
    ocsp = models.CharField(max_length=16, choices=Ocsp.choices, default="", db_default="", blank=True)
    dane = models.CharField(max_length=16, choices=Dane.choices, default="", db_default="", blank=True)
    strict_purpose = models.BooleanField(null=True, blank=True, default=None)
    pins = models.JSONField(default=list, blank=True, help_text="SHA-256 of its keys, hexadecimal.")
    authorities = models.TextField(default="", blank=True, help_text="Certificates of authorities, PEM.")
    note = models.CharField(max_length=500, default="", blank=True)
    created = models.DateTimeField(auto_now_add=True)
    changed = models.DateTimeField(auto_now=True)

    class Meta:
        ordering: ClassVar = ("domain",)

    def __str__(self) -> str:
        return self.domain


class FederationOptions(models.Model):
    """What holds for all other servers (one row)."""

    enabled = models.BooleanField(default=True)
    open = models.BooleanField(default=True, help_text="Talk to every server; off: only to listed peers.")
    authentication = models.CharField(
        max_length=16, choices=Authentication.choices, default=Authentication.DIALBACK, blank=False
    )
    tls = models.CharField(max_length=16, choices=Tls.choices, default=Tls.REQUIRED)
    revocation = models.CharField(max_length=16, choices=Revocation.choices, default=Revocation.SOFT)
    ocsp = models.CharField(max_length=16, choices=Ocsp.choices, default=Ocsp.OFF, db_default="off")
    dane = models.CharField(max_length=16, choices=Dane.choices, default=Dane.USE, db_default="use")
    strict_purpose = models.BooleanField(default=False)
    authorities = models.TextField(default="", blank=True)
    nameservers = models.JSONField(default=list, blank=True)
    dnssec = models.BooleanField(default=False, db_default=False, help_text="The name servers check DNSSEC.")
    idle_seconds = models.PositiveIntegerField(default=600)
    connect_seconds = models.PositiveIntegerField(default=30)
    retry_seconds = models.PositiveIntegerField(default=300)
    queue_stanzas = models.PositiveIntegerField(default=2_000)
    queue_bytes = models.PositiveIntegerField(default=4_194_304)
    queue_seconds = models.PositiveIntegerField(default=600)
    destinations = models.PositiveIntegerField(default=10_000)
    incoming = models.PositiveIntegerField(default=10_000)

    def __str__(self) -> str:
        return "options of federation"
