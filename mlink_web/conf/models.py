"""Configuration as models. `snapshot.py` turns them into an EngineConfig; only `services.py` writes them."""

from __future__ import annotations

from django.db import models

DEFAULT_MECHANISMS = ("SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN")


def default_mechanisms() -> list[str]:
    """The SASL mechanisms of a new domain, strongest first."""
    return list(DEFAULT_MECHANISMS)


class Domain(models.Model):
    """One domain that this platform serves: a HostConfig of the engine."""

    class Conflict(models.TextChoices):
        """What binding a resource that is taken does."""

        REPLACE = "replace", "End the older session"
        REJECT = "reject", "Refuse the newer session"
        RENAME = "rename", "Give the newer session another resource"

    name = models.CharField(max_length=1023, unique=True, help_text="Domain name, for example chat.example.org.")
    enabled = models.BooleanField(default=True, help_text="A domain that is off accepts no sign-ins.")
    archive = models.BooleanField(default=True, help_text="Keep messages, unless a user's preference says otherwise.")
    archive_strict = models.BooleanField(
        default=False, help_text="Deliver a message only once its archive row is durable."
    )
    registration = models.BooleanField(default=False, help_text="Anybody may make an account in-band (XEP-0077).")
    max_resources = models.PositiveSmallIntegerField(default=10, help_text="Sessions per account.")
    resource_conflict = models.CharField(max_length=8, choices=Conflict.choices, default=Conflict.REPLACE)
    mechanisms = models.JSONField(default=default_mechanisms, help_text="SASL mechanisms, strongest first.")
    modules = models.JSONField(default=dict, blank=True, help_text="Options of modules, by module name.")
    disabled_modules = models.JSONField(default=list, blank=True, help_text="Modules switched off here.")
    contacts = models.JSONField(default=dict, blank=True, help_text="XEP-0157: kind of contact to addresses.")
    public_url = models.CharField(
        max_length=500, default="", blank=True, help_text="Where browsers reach the HTTP endpoints, for XEP-0156."
    )
    tls_certificate = models.CharField(
        max_length=1000, default="", blank=True, help_text="PEM file with the chain; empty for one the node makes."
    )
    tls_key = models.CharField(max_length=1000, default="", blank=True, help_text="PEM file with the private key.")
    federation = models.BooleanField(default=True, help_text="Talk to other servers.")
    federation_durable = models.BooleanField(
        default=False, help_text="What waits for other servers outlives a restart of the node."
    )
    moved_to = models.CharField(
        max_length=1023,
        default="",
        db_default="",
        blank=True,
        help_text="The domain that this one is an alias of: who looks for a user that is not here is told it.",
    )
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class NodeOptions(models.Model):
    """Options of nodes that somebody has set (node_options.py): one row for all of them, one for each that differs."""

    node = models.CharField(max_length=100, unique=True, blank=True, help_text="Name of the node, empty for all nodes.")
    values = models.JSONField(default=dict, blank=True, help_text="Values by key, for example c2s.stanza_bytes.")

    class Meta:
        ordering = ("node",)

    def __str__(self) -> str:
        return self.node or "all nodes"


class ConfigVersion(models.Model):
    """Grows with every change of the configuration (one row); nodes compare it with theirs."""

    version = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return str(self.version)
