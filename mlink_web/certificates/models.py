"""Certificates of the domains, the account with an ACME authority, and the authority for labs.

Private keys are sealed (`mlink_web.conf.sealing`): a copy of the database without SECRET_KEY opens none of them. Only
the services of this app write these tables.
"""

from __future__ import annotations

from datetime import datetime

from django.db import models
from django.utils import timezone

from mlink_web.conf.models import Domain


class Certificate(models.Model):
    """A chain with its key, or a key with the request that was made for it."""

    class Source(models.TextChoices):
        """Where it comes from."""

        UPLOAD = "upload", "uploaded"
        REQUEST = "request", "by a request made here"
        ACME = "acme", "by ACME"
        LAB = "lab", "by the authority for labs"

    domain = models.ForeignKey(Domain, on_delete=models.CASCADE, related_name="certificates")
    source = models.CharField(max_length=8, choices=Source.choices)
    #: At most one of a domain is in use.
    used = models.BooleanField(default=False)
    #: PEM, leaf first; empty while the request waits for its certificate.
    chain = models.TextField(blank=True, default="")
    #: PEM of the root, where it was among the files: not shown to anybody, but then the chain is known to be complete.
    root = models.TextField(blank=True, default="")
    #: PEM, sealed.
    key = models.TextField()
    #: PEM of the signing request, where one was made.
    request = models.TextField(blank=True, default="")
    names = models.JSONField(default=list)
    subject = models.CharField(max_length=1000, blank=True, default="")
    issuer = models.CharField(max_length=1000, blank=True, default="")
    #: SHA-256 of the leaf, hexadecimal.
    fingerprint = models.CharField(max_length=64, blank=True, default="")
    begins = models.DateTimeField(null=True)
    ends = models.DateTimeField(null=True)
    created = models.DateTimeField(default=timezone.now)
    created_by = models.CharField(max_length=3071, blank=True, default="")

    class Meta:
        ordering = ("-created", "-pk")
        constraints = (
            models.UniqueConstraint(fields=["domain"], condition=models.Q(used=True), name="one_certificate_in_use"),
        )

    def __str__(self) -> str:
        return f"{self.domain_id} {self.fingerprint[:16] or 'request'}"

    @property
    def is_waiting(self) -> bool:
        """Whether it is a request that has no certificate yet."""
        return not self.chain


class AcmeAccount(models.Model):
    """The account with the ACME authority (one row): RFC 8555, 7.1.2."""

    directory = models.URLField(max_length=500)
    contact = models.CharField(max_length=320, blank=True, default="")
    #: JWK of the account's key as JSON, sealed.
    key = models.TextField()
    #: The account's URL, empty while it was not made yet.
    uri = models.CharField(max_length=500, blank=True, default="")
    #: What was agreed to, and by whom.
    terms = models.CharField(max_length=500, blank=True, default="")
    agreed_by = models.CharField(max_length=3071, blank=True, default="")
    #: PEM of the authority that the directory's own HTTPS certificate is held against; empty for the system's.
    trusted = models.TextField(blank=True, default="")
    #: External account binding (RFC 8555, 7.3.4): the identifier, and the sealed HMAC key.
    binding = models.CharField(max_length=500, blank=True, default="")
    binding_key = models.TextField(blank=True, default="")
    created = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.directory


class AcmeDomain(models.Model):
    """A domain whose certificate comes by ACME and is renewed by itself."""

    domain = models.OneToOneField(Domain, on_delete=models.CASCADE, related_name="acme")
    enabled = models.BooleanField(default=True)
    names = models.JSONField(default=list)
    #: When it is tried next, and until when somebody is at it.
    next_try = models.DateTimeField(default=timezone.now)
    busy_until = models.DateTimeField(null=True)
    last_try = models.DateTimeField(null=True)
    last_error = models.TextField(blank=True, default="")
    failures = models.PositiveSmallIntegerField(default=0)

    def __str__(self) -> str:
        return str(self.domain_id)

    def is_busy(self, now: datetime | None = None) -> bool:
        """Whether somebody is getting a certificate for it."""
        return self.busy_until is not None and self.busy_until > (now or timezone.now())


class Challenge(models.Model):
    """An answer that an ACME authority asks for over HTTP (RFC 8555, 8.3); every node gives it."""

    token = models.CharField(max_length=200, unique=True)
    answer = models.CharField(max_length=400)
    ends = models.DateTimeField()

    def __str__(self) -> str:
        return self.token


class Notice(models.Model):
    """That the end of a domain's certificate was told in the log on a day: once, whichever node did it."""

    domain = models.ForeignKey(Domain, on_delete=models.CASCADE, related_name="+")
    day = models.DateField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["domain", "day"], name="one_notice_a_day"),)

    def __str__(self) -> str:
        return f"{self.domain_id} {self.day}"


class LabAuthority(models.Model):
    """The authority for labs and closed networks (one row)."""

    name = models.CharField(max_length=64)
    certificate = models.TextField()
    key = models.TextField()
    #: Where its list is to be had, as certificates name it.
    list_address = models.CharField(max_length=500)
    #: The list as it was made last (Base64 of DER), its number, and when it must be made anew.
    revoked_list = models.TextField(blank=True, default="")
    list_number = models.BigIntegerField(default=0)
    list_due = models.DateTimeField(null=True)
    created = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.name


class LabCertificate(models.Model):
    """A certificate that the authority for labs issued."""

    #: Hexadecimal.
    serial = models.CharField(max_length=40, unique=True)
    subject = models.CharField(max_length=1000)
    names = models.JSONField(default=list)
    chain = models.TextField()
    ends = models.DateTimeField()
    revoked = models.DateTimeField(null=True)
    created = models.DateTimeField(default=timezone.now)
    created_by = models.CharField(max_length=3071, blank=True, default="")

    class Meta:
        ordering = ("-created", "-pk")

    def __str__(self) -> str:
        return self.serial
