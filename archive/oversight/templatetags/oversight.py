"""For navigation: who sees the archive's part of the console, and which pages of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from django import template
from django.db import DatabaseError
from django.http import HttpRequest
from django.urls import Resolver404, resolve, reverse

from archive.oversight import access
from mlink_web.console.access import EVERYTHING, NOTHING, may_use_console, reach_of

register = template.Library()
#: The pages in their order: label, address behind that of the search, rights of which one is needed; none for what
#: administrators do.
_PARTS: Final = (
    ("Search", "", ("search",)),
    ("Saved searches", "saved/", ("search",)),
    ("Requests", "requests/", ("search", "export", "approve")),
    ("Exports", "exports/", ("export",)),
    ("Day files", "files/", ("files",)),
    ("Redactions", "redactions/", ("redact", "approve")),
    ("Retention", "retention/", ("retain",)),
    ("What is archived", "selection/", ()),
    ("Officers", "officers/", ()),
)


@dataclass(frozen=True, slots=True)
class Menu:
    """What somebody finds in the console: its pages, all of them or those of his domains (`whole` or not), and where
    the archive begins for him."""

    console: bool
    archive: str
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """A page of the archive's."""

    label: str
    href: str
    current: bool


@register.simple_tag
def console_menu(user: Any) -> Menu:
    """Whether somebody sees the console's pages, all of them or some, and where the archive begins for him, "" for
    nowhere."""
    if not getattr(user, "is_authenticated", False):
        return Menu(False, "")
    try:
        own = _parts(user)
        reach = reach_of(user)
    except DatabaseError:
        # Every page has this menu, those that tell of a database that is away too.
        own, reach = [], EVERYTHING if may_use_console(user) else NOTHING
    return Menu(bool(reach), own[0][1] if own else "", reach.everything)


@register.simple_tag
def may_oversee_archives(user: Any) -> bool:
    """Whether somebody may search in the archives of others."""
    return access.may_oversee(user, "search")


@register.simple_tag
def archive_parts(request: HttpRequest) -> list[Part]:
    """The archive's pages that who asks may open."""
    found = _parts(request.user)
    # The longest address that the page's begins with.
    here = max((href for _label, href in found if request.path.startswith(href)), key=len, default="")
    return [Part(label, href, href == here) for label, href in found]


def _parts(user: Any) -> list[tuple[str, str]]:
    rights = access.rights_of(user)
    administrator = may_use_console(user)
    base = reverse("oversight:search")
    found = []
    for label, path, needed in _PARTS:
        if not (administrator if not needed else any(right in rights for right in needed)):
            continue
        try:
            resolve(base + path)
        except Resolver404:
            continue
        found.append((label, base + path))
    return found


@register.filter
def thousands(number: int) -> str:
    """A number with its thousands parted."""
    return f"{number:,}"
