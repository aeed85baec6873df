"""Options of the forms services of a domain, with what they are checked by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from xmpp_engine.api import service_options


@dataclass(frozen=True, slots=True)
class FormService:
    """One forms service. Raises ValueError with a sentence where a value makes no sense."""

    #: Shown in service discovery.
    name: str = "Forms"
    #: Bare JIDs that may publish templates and read and amend everything, as administrators of the server may.
    operators: tuple[str, ...] = ()
    #: Bytes of one submission.
    submission_bytes: int = 131_072

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not 1 <= len(self.name) <= 200:
            raise ValueError("name has from 1 to 200 characters")
        if not isinstance(self.submission_bytes, int) or not 1_024 <= self.submission_bytes <= 1_000_000:
            raise ValueError("submission_bytes is from 1024 to 1000000")
        object.__setattr__(self, "operators", service_options.bare_addresses("operators", self.operators))


@dataclass(frozen=True, slots=True)
class FormsOptions:
    """`services`: sub-domain (`forms` for `forms.example.org`) to the values of FormService."""

    services: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: {"forms": {}})

    def __post_init__(self) -> None:
        service_options.check_services(self.services, form_service)


def form_service(values: Mapping[str, Any]) -> FormService:
    """The options from plain values; raises ValueError."""
    return service_options.options_from(FormService, values, several=("operators",))
