"""The texts that people get when they sign in: the message of the day and the welcome of new accounts."""

from __future__ import annotations

import time
from typing import Any, Final

from mlink_web.conf.services import change_domain, find_domain
from xmpp_engine.admin.command import Argument, Registry

registry: Final = Registry()
DOMAIN: Final = Argument("domain", "domain name")
TEXT: Final = Argument("text", "the text")
MAX_TEXT: Final = 10_000
_MODULE: Final = "announcements"


def _options(domain: str) -> dict[str, Any]:
    return dict(find_domain(domain).modules.get(_MODULE, {}))


def _change(domain: str, **options: Any) -> None:
    found = find_domain(domain)
    merged = {**found.modules.get(_MODULE, {}), **options}
    kept = {name: value for name, value in merged.items() if value}
    modules = {name: value for name, value in found.modules.items() if name != _MODULE}
    change_domain(found, modules={**modules, _MODULE: kept} if kept else modules)


def _checked(text: str) -> str:
    text = text.strip()
    if not text or len(text) > MAX_TEXT:
        raise ValueError(f"The text has 1 to {MAX_TEXT} characters.")
    return text


@registry.command("motd show", "Show the message of the day.", DOMAIN, permission="read")
def motd_show(domain: str) -> dict[str, Any]:
    """Empty where there is none."""
    return {"text": _options(domain).get("motd", "")}


@registry.command("motd set", "Tell everybody once: who is online now, others when they sign in.", DOMAIN, TEXT)
def motd_set(domain: str, text: str) -> str:
    """A new message of the day, in place of an old one."""
    _change(domain, motd=_checked(text), motd_since=time.time())
    return f"{domain} has a new message of the day."


@registry.command("motd edit", "Correct the message of the day; who has read it is not told again.", DOMAIN, TEXT)
def motd_edit(domain: str, text: str) -> str:
    """Only those who sign in for the first time since it was set get the corrected text."""
    if not _options(domain).get("motd"):
        raise ValueError(f"{domain} has no message of the day.")
    _change(domain, motd=_checked(text))
    return f"The message of the day of {domain} is changed."


@registry.command("motd delete", "Take the message of the day away.", DOMAIN)
def motd_delete(domain: str) -> str:
    """Nobody gets it any more."""
    _change(domain, motd="", motd_since=0)
    return f"{domain} has no message of the day."


@registry.command("welcome show", "Show the welcome of new accounts.", DOMAIN, permission="read")
def welcome_show(domain: str) -> dict[str, Any]:
    """Empty where there is none."""
    return {"text": _options(domain).get("welcome", "")}


@registry.command("welcome set", "Welcome new accounts with a text when they first sign in.", DOMAIN, TEXT)
def welcome_set(domain: str, text: str) -> str:
    """In place of an old one."""
    _change(domain, welcome=_checked(text))
    return f"{domain} welcomes new accounts."


@registry.command("welcome delete", "Welcome new accounts no more.", DOMAIN)
def welcome_delete(domain: str) -> str:
    """Nobody gets it any more."""
    _change(domain, welcome="")
    return f"{domain} welcomes nobody."
