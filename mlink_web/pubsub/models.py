"""What publish-subscribe stores. Columns are named after `xmpp_engine.storage.pubsub`; times are seconds since the
epoch.

Items belong to a set (`Contents`) and the node names its set. A node that is purged or removed lets go of its set, at
once and however large it is; the rows of the set go in slices afterwards (`sweep.py`). Affiliations and subscriptions
are by address and not by account: they may be of other servers, and of whole domains.
"""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from mlink_web.pubsub.fields import CodePointField
from xmpp_engine.api import stored_pubsub


class Service(models.Model):
    """What has nodes: the domain of a service, or the bare JID of an account."""

    address = models.CharField(max_length=stored_pubsub.MAX_BARE_BYTES)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=("address",), name="pubsub_service_once")
        ]

    def __str__(self) -> str:
        return self.address


class Contents(models.Model):
    """The set of items that a node has. Rows of a dropped set are invisible and go in slices."""

    dropped = models.BooleanField(default=False)

    class Meta:
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=("id",), name="pubsub_dropped", condition=models.Q(dropped=True))
        ]

    def __str__(self) -> str:
        return f"items {self.pk}"


class Node(models.Model):
    """One node (XEP-0060), a leaf or a collection.

    `items` counts its items and `sequence` is the highest number that one was given: both are kept here so that no
    request counts rows. `latest` is when its latest item was published, and `ordered` whether all were published in
    the order of their numbers, so that a time can be looked for among the numbers.
    """

    id = models.BigAutoField(primary_key=True)
    service = models.ForeignKey(Service, on_delete=models.CASCADE, related_name="nodes", db_index=False)
    name = CodePointField(max_length=stored_pubsub.MAX_NODE_BYTES)
    kind = models.CharField(max_length=10, default="leaf")
    config = models.JSONField(default=dict)
    creator = models.TextField(default="")
    created = models.FloatField(default=0.0)
    contents = models.OneToOneField(Contents, on_delete=models.PROTECT, related_name="node")
    items = models.BigIntegerField(default=0)
    sequence = models.BigIntegerField(default=0)
    latest = models.FloatField(default=0.0)
    ordered = models.BooleanField(default=True)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=("service", "name"), name="pubsub_node_once")
        ]

    def __str__(self) -> str:
        return self.name


class NodeAffiliation(models.Model):
    """What somebody is to a node (XEP-0060, 4.1); nobody has a row with "none"."""

    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="affiliations", db_index=False)
    jid = models.CharField(max_length=stored_pubsub.MAX_BARE_BYTES)
    affiliation = models.CharField(max_length=12)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=("node", "jid"), name="pubsub_affiliation_once")
        ]
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=("jid",), name="pubsub_affiliation_jid")]

    def __str__(self) -> str:
        return f"{self.jid}: {self.affiliation}"


class NodeSubscription(models.Model):
    """One subscription. `bare` is by which somebody's subscriptions are found; an index of full addresses would have
    rows that are longer than databases take."""

    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="subscriptions", db_index=False)
    subid = models.CharField(max_length=stored_pubsub.MAX_ITEM_ID_BYTES)
    jid = models.TextField()
    bare = models.CharField(max_length=stored_pubsub.MAX_BARE_BYTES)
    state = models.CharField(max_length=12)
    options = models.JSONField(default=dict)
    expire = models.FloatField(default=0.0)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=("node", "subid"), name="pubsub_subscription_once")
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=("bare",), name="pubsub_subscription_bare"),
            models.Index(fields=("expire",), name="pubsub_subscription_expire", condition=models.Q(expire__gt=0.0)),
        ]

    def __str__(self) -> str:
        return f"{self.jid}: {self.state}"


class Item(models.Model):
    """One item. The set is a plain number: a check of each row against it would cost as much as the row."""

    contents = models.BigIntegerField()
    item = models.CharField(max_length=stored_pubsub.MAX_ITEM_ID_BYTES)
    sequence = models.BigIntegerField()
    payload = models.TextField()
    publisher = models.TextField(default="")
    published = models.FloatField(default=0.0)
    expire = models.FloatField(default=0.0)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=("contents", "item"), name="pubsub_item_once"),
            models.UniqueConstraint(fields=("contents", "sequence"), name="pubsub_item_sequence"),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=("expire",), name="pubsub_item_expire", condition=models.Q(expire__gt=0.0))
        ]

    def __str__(self) -> str:
        return self.item
