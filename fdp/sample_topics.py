"""The sample topics that come with the product, in `fdp/samples/`: exports with a suffix without a domain.

A first start installs each of them once on the first forms service. Whoever removes one does not get it back by
starting again; `xmppctl topic sample` installs it anew.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Final

from django.db import transaction

from fdp import domains, transfer
from fdp.models import FormsState, Topic
from fdp.services import topics

log = logging.getLogger("mlink.forms")

FOLDER: Final = Path(__file__).parent / "samples"


def sample_names() -> list[str]:
    """The names of the samples."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def sample(name: str) -> dict[str, Any]:
    """The document of a sample; raises ValueError."""
    if name not in sample_names():
        raise ValueError(f"There is no sample {name}; there are {', '.join(sample_names())}.")
    return transfer.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def install(name: str, service: str = "") -> Topic:
    """Make the topic of a sample; raises ValueError, also where the topic is there already."""
    service = domains.find_service(service) if service else domains.first_service()
    (topic,) = transfer.import_topics(sample(name), service, prefix=f"{_owner(service)}/")
    return topic


def install_new() -> list[str]:
    """Install the samples that were never installed; returns their names. Nothing happens while there is no forms
    service."""
    if not domains.service_names():
        return []
    service = domains.first_service()
    with transaction.atomic():
        FormsState.objects.get_or_create(pk=1)
        state = FormsState.objects.select_for_update().get(pk=1)
        missing = [name for name in sample_names() if name not in state.samples]
        for name in missing:
            # Somebody may have imported it already.
            if topics(service).filter(suffix=f"{_owner(service)}/{name}").exists():
                continue
            try:
                install(name, service)
            except ValueError as error:
                # No reason not to start.
                log.warning("the sample topic %s is not installed: %s", name, error)
        if missing:
            FormsState.objects.filter(pk=1).update(samples=[*state.samples, *missing])
    return missing


def _owner(service: str) -> str:
    """The domain by which a suffix begins: that of the server to which a service belongs."""
    return service.partition(".")[2]
