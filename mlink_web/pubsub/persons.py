"""What somebody has in publish-subscribe, across nodes; and how it is forgotten with his account."""

from __future__ import annotations

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper as Database

from mlink_web.pubsub.changes import lock
from mlink_web.pubsub.nodes import document, remove_locked
from mlink_web.stores.executor import fetch
from xmpp_engine.api import stored_pubsub

SUBSCRIPTIONS = """
SELECT n.name, u.jid, u.subid, u.state, u.options, u.expire
FROM pubsub_nodesubscription u JOIN pubsub_node n ON n.id = u.node_id JOIN pubsub_service s ON s.id = n.service_id
WHERE u.bare = %s AND s.address = %s"""
AFFILIATIONS = """
SELECT n.name, a.affiliation
FROM pubsub_nodeaffiliation a JOIN pubsub_node n ON n.id = a.node_id JOIN pubsub_service s ON s.id = n.service_id
WHERE a.jid = %s AND s.address = %s"""
OWN = "SELECT n.id FROM pubsub_node n JOIN pubsub_service s ON s.id = n.service_id WHERE s.address = %s"
TOUCHED = """
SELECT s.address, n.name FROM pubsub_node n JOIN pubsub_service s ON s.id = n.service_id
WHERE n.id IN (SELECT node_id FROM pubsub_nodeaffiliation WHERE jid = %s AND affiliation <> 'outcast'
  UNION SELECT node_id FROM pubsub_nodesubscription WHERE bare = %s)"""


def subscriptions_of(database: Database, service: str, bare: str) -> list[tuple[str, stored_pubsub.Subscription]]:
    """See `PubSubStore.subscriptions_of`; for threads."""
    found = [
        (name, stored_pubsub.Subscription(jid, subid, state, document(options), expire))
        for name, jid, subid, state, options, expire in fetch(database, SUBSCRIPTIONS, (bare, service))
    ]
    return sorted(found, key=lambda entry: (entry[0], entry[1].subid))


def affiliations_of(database: Database, service: str, bare: str) -> list[tuple[str, stored_pubsub.NodeAffiliation]]:
    """See `PubSubStore.affiliations_of`; for threads."""
    return sorted((name, kind) for name, kind in fetch(database, AFFILIATIONS, (bare, service)))


def forget_person(database: Database, bare: str) -> list[tuple[str, str]]:
    """See `PubSubStore.forget_person`; for threads. Joins a transaction that is open."""
    with transaction.atomic(using=database.alias), database.cursor() as cursor:
        own = lock(database, [row[0] for row in fetch(database, OWN, (bare,))])
        for node in own:
            remove_locked(database, node)
        cursor.execute("DELETE FROM pubsub_service WHERE address = %s", (bare,))
        changed = sorted((service, name) for service, name in fetch(database, TOUCHED, (bare, bare)))
        cursor.execute("DELETE FROM pubsub_nodeaffiliation WHERE jid = %s AND affiliation <> 'outcast'", (bare,))
        cursor.execute("DELETE FROM pubsub_nodesubscription WHERE bare = %s", (bare,))
    return changed
