"""Takes the nodes of an account (XEP-0163) with their configuration and lists; their items come afterwards
(`published.py`)."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Any, Final

from django.db.backends.base.base import BaseDatabaseWrapper as Database

from mlink_web.accounts.models import Account
from mlink_web.portability.intake import Intake, NodePlan
from mlink_web.portability.names import shown
from mlink_web.portability.person import base_config
from mlink_web.portability.taken import Taken
from mlink_web.pubsub import nodes
from mlink_web.pubsub.changes import apply_changes
from xmpp_engine.api import avatar_forms, node_config, node_form, ns, personal_nodes, stored_pubsub, write

_ROWS: Final = 200


def take(database: Database, account: Account, intake: Intake, taken: Taken, *, replace: bool, dry: bool) -> None:
    """Make the nodes that are missing and, where `replace`, configure those that are there; within the caller's
    transaction. `dry` only counts."""
    picture = intake.picture if ns.AVATAR_METADATA not in intake.nodes else None
    if picture is not None:
        for name in (ns.AVATAR_DATA, ns.AVATAR_METADATA):
            intake.nodes.setdefault(name, NodePlan(name, {"pubsub#access_model": ("open",)}))
    present = _present(database, account, intake.nodes)
    for name, plan in intake.nodes.items():
        record = present.get(name)
        if record is None:
            record = record_of(account.username, plan, taken.troubles)
            if not _fits(record, taken):
                continue
            taken.add("nodes", 1)
            if not dry:
                record.number = nodes.create(database, record)
                if picture is not None:
                    _show(database, record, picture, account)
        elif replace:
            _configure(database, record, plan, taken, dry=dry)


def _present(database: Database, account: Account, wanted: Iterable[str]) -> dict[str, stored_pubsub.NodeRecord]:
    if not account.pk:
        return {}
    listed = list(wanted)
    found: dict[str, stored_pubsub.NodeRecord] = {}
    for start in range(0, len(listed), _ROWS):
        for record in nodes.load(database, account.username, listed[start : start + _ROWS]):
            found[record.name] = record
    return found


def _fits(record: stored_pubsub.NodeRecord, taken: Taken) -> bool:
    try:
        stored_pubsub.check_node(record)
    except ValueError as error:
        taken.troubles.append(f"The node {shown(record.name)} is left out: {error}")
        return False
    return True


def _configure(
    database: Database, record: stored_pubsub.NodeRecord, plan: NodePlan, taken: Taken, *, dry: bool
) -> None:
    wanted = record_of(record.service, plan, taken.troubles)
    if wanted.kind != record.kind or not _fits(wanted, taken):
        return
    configured = plan.form is not None and wanted.config != record.config
    listed = bool(plan.affiliations) and wanted.affiliations != record.affiliations
    if configured or listed:
        taken.add("nodes", 1)
    if configured and not dry:
        nodes.configure(database, record.number, wanted.config)
    if listed and not dry:
        removed = {jid: "none" for jid in record.affiliations if jid not in wanted.affiliations}
        entries: Any = {**removed, **wanted.affiliations}
        nodes.put_affiliations(database, record.number, entries)


def _show(
    database: Database, record: stored_pubsub.NodeRecord, picture: avatar_forms.Picture, account: Account
) -> None:
    """The picture that stood in the vCard: its place is in nodes (XEP-0398)."""
    if record.name == ns.AVATAR_DATA:
        payload = avatar_forms.data_element(picture)
    elif record.name == ns.AVATAR_METADATA:
        payload = avatar_forms.metadata_element(picture)
    else:
        return
    item = stored_pubsub.Item(picture.id, write(payload), account.username, published=account.created.timestamp())
    apply_changes(database, [stored_pubsub.PutItem(record.number, item, 1)])


def record_of(service: str, plan: NodePlan, troubles: list[str]) -> stored_pubsub.NodeRecord:
    """A node as it is stored, of what an import says. Values that do not fit are left out with a sentence; unknown ones
    are other servers' own, which the specification wants to be ignored."""
    prefix = node_form.PREFIX
    # COMPAT(prosody 0.12, 2026-08): names without the prefix of the form.
    given = {f"{prefix}{var.removeprefix(prefix)}": values for var, values in (plan.form or {}).items()}
    kind: stored_pubsub.NodeKind = "collection" if given.get(node_form.NODE_TYPE) == ("collection",) else "leaf"
    base = base_config(plan.name, kind)
    # Of which only items are told: bookmarks must not become public by that.
    config = personal_nodes.fresh(base, plan.name) if plan.form is None else base
    for var, values in given.items():
        # A field without a value says nothing: Prosody writes those that are not set.
        if var in (node_form.NODE_TYPE, node_form.CHILDREN) or not any(values):
            continue
        try:
            config = node_form.apply(config, {var: values}).config
        except node_form.FieldError as error:
            troubles.append(f"The node {shown(plan.name)}: {error}; that stays as nodes of its kind have it.")
    subscriptions = {}
    for jid, subid, state, options, expire in plan.subscriptions:
        number = subid or secrets.token_urlsafe(9)
        subscriptions[number] = stored_pubsub.Subscription(jid, number, state, options, expire)  # type: ignore[arg-type]
    affiliations: Any = dict(plan.affiliations)
    return stored_pubsub.NodeRecord(
        service,
        plan.name,
        kind=kind,
        config=node_config.to_values(config, base),
        creator=plan.creator or service,
        created=plan.created,
        affiliations=affiliations,
        subscriptions=subscriptions,
    )
