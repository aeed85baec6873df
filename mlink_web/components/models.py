"""Components that may connect (XEP-0114); only `services.py` writes here. `snapshot.py` makes ComponentConfigs of them.

The secret is sealed as those of modules are (`conf/sealing.py`): a copy of the database does not let anybody connect.
"""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class Conflict(models.TextChoices):
    """What a second connection does while the first one lives."""

    REFUSE = "refuse", "Is refused"
    REPLACE = "replace", "Takes the place of the first"


class Component(models.Model):
    """See `config.schema.ComponentConfig`."""

    domain = models.CharField(max_length=1023, unique=True)
    description = models.CharField(max_length=200, default="", blank=True)
    enabled = models.BooleanField(default=True)
    secret = models.TextField(help_text="Sealed.")
    #: When the secret was made or entered.
    renewed = models.DateTimeField()
    networks = models.JSONField(default=list, blank=True, help_text="Addresses and networks; none for all.")
    conflict = models.CharField(max_length=8, choices=Conflict.choices, default=Conflict.REFUSE)
    delegated = models.JSONField(default=dict, blank=True, help_text="Namespace to names of attributes (XEP-0355).")
    privileges = models.JSONField(default=dict, blank=True, help_text="Kind to permission (XEP-0356).")
    domains = models.JSONField(default=list, blank=True, help_text="Domains for which the two hold; none for all.")
    queue_bytes = models.PositiveIntegerField(default=8_388_608)
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ("domain",)

    def __str__(self) -> str:
        return self.domain
