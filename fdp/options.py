"""Options of the forms services of a domain, with what they are checked by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from xmpp_engine.api import Jid


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
        object.__setattr__(self, "operators", tuple(_address(text) for text in self.operators))


@dataclass(frozen=True, slots=True)
class FormsOptions:
    """`services`: sub-domain (`forms` for `forms.example.org`) to the values of FormService."""

    services: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: {"forms": {}})

    def __post_init__(self) -> None:
        for name, values in self.services.items():
            try:
                if "." in name or "@" in name or "/" in name or Jid.parse(name).full != name:
                    raise ValueError("a service is named by one label of a domain, in its canonical form")
                form_service(values)
            except ValueError as error:
                raise ValueError(f"services.{name}: {error}") from None


def form_service(values: Mapping[str, Any]) -> FormService:
    """The options from plain values; raises ValueError."""
    known = {one.name for one in fields(FormService)}
    for name in values:
        if name not in known:
            raise ValueError(f"there is no option {name}")
    try:
        return FormService(**values)
    except TypeError as error:
        raise ValueError(f"a value has the wrong type: {error}") from None


def _address(text: str) -> str:
    try:
        jid = Jid.parse(text)
    except ValueError as error:
        raise ValueError(f"operators: {text!r} is no address: {error}") from None
    if jid.resource:
        raise ValueError(f"operators: {text!r} is an address with a resource")
    return jid.bare
