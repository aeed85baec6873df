"""What pages and commands do with decisions, the only writers. Wrong input raises ValueError with a sentence for
people.

Each change stands in the audit log, bumps the version in its transaction, and is then told to the nodes, which have it
within two seconds at most.
"""

from __future__ import annotations

from typing import Final

from django.db import transaction

from archive.selection.models import Decision, DecisionsVersion
from mlink_web.audit import log
from mlink_web.conf import notify
from xmpp_engine.api import Jid

#: Decisions are resident in every node, so all together are bounded.
MAX_DECISIONS: Final = 200_000
#: What can be decided, by the word for it.
WORDS: Final = {"always": True, "never": False, "own": None}


def of(kind: str, address: str) -> str:
    """What is decided for a person or room: a word of WORDS."""
    found = Decision.objects.filter(kind=kind, address=address).first()
    return "own" if found is None else "always" if found.kept else "never"


def decide(kind: str, address: str, word: str, *, who: str, origin: str = "") -> str:
    """Decide for one person or room (`kind` is "user" or "room"): `always`, `never`, or `own` for his own choice or its
    own configuration. Returns the address as it is stored. Raises ValueError, NotWritten."""
    if word not in WORDS:
        raise ValueError(f"Say one of {', '.join(WORDS)}, not {word!r}.")
    address = canonical(kind, address)
    kept = WORDS[word]
    with transaction.atomic():
        before = of(kind, address)
        if before == word:
            return address
        if kept is None:
            Decision.objects.filter(kind=kind, address=address).delete()
        else:
            if before == "own" and Decision.objects.count() >= MAX_DECISIONS:
                raise ValueError(
                    f"There are {MAX_DECISIONS} decisions already; decide for the domain, or undo some of them."
                )
            Decision.objects.update_or_create(kind=kind, address=address, defaults={"kept": kept, "who": who[:2047]})
        _bump()
        log.record(who, f"decided archive of {kind}", address, origin=origin, before=before, now=word)
        transaction.on_commit(notify.archive_changed)
    return address


def canonical(kind: str, address: str) -> str:
    """The address of a person or room as it is stored; raises ValueError with a sentence."""
    if kind not in Decision.Kind.values:
        raise ValueError(f"There is no {kind!r} to decide for.")
    try:
        jid = Jid.parse(address.strip())
    except ValueError as error:
        raise ValueError(f"{address.strip()[:200]!r} is not an XMPP address: {error}.") from None
    if jid.resource or not jid.local:
        raise ValueError(f"{address.strip()[:200]!r} is not the address of a person or room, such as ada@example.org.")
    return jid.bare


def _bump() -> None:
    row, _ = DecisionsVersion.objects.select_for_update().get_or_create(pk=1)
    row.version += 1
    row.save(update_fields=("version",))
