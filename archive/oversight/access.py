"""Who may do what with archives that are not his own: the only judge of it.

Officers have the rights that administrators gave them, everywhere or over some domains. Administrators have all rights
everywhere, unless the options say that they must be appointed like others. What cannot be found out is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from django.http import HttpResponse

from archive.oversight.models import Officer, Options
from mlink_web.console.access import Unwritten, guard, may_use_console

View = Callable[..., HttpResponse]
#: Search and read all archives; make files of them; propose and carry out redactions; second what others propose;
#: change how long messages are kept, and holds; keep and verify the files of days.
RIGHTS: Final = ("search", "export", "redact", "approve", "retain", "files")

#: What officers look at or do is recorded first: while the audit log takes nothing, nothing is shown or done.
BEFOREHAND: Final = Unwritten("oversight/unwritten.html", "archive")


def options() -> Options:
    """How oversight works here."""
    return Options.objects.filter(pk=1).first() or Options(pk=1)


def rights_of(user: Any) -> dict[str, tuple[str, ...] | None]:
    """All rights of a person, each with the domains over which he has it; None is everywhere."""
    if user is None or not user.is_authenticated or not user.is_active:
        return {}
    if may_use_console(user) and options().administrators:
        return dict.fromkeys(RIGHTS)
    officer = Officer.objects.filter(account_id=user.pk).first()
    if officer is None:
        return {}
    domains = None if officer.everywhere else tuple(officer.domains)
    return {right: domains for right in RIGHTS if right in officer.rights and domains != ()}


def may_oversee(user: Any, right: str) -> bool:
    """Whether a signed-in person has this right over the archives of others, all or some."""
    if right not in RIGHTS:
        raise ValueError(f"there is no right {right!r}")
    return right in rights_of(user)


def may_everywhere(user: Any, right: str) -> bool:
    """Whether somebody has this right over all archives."""
    return rights_of(user).get(right, ()) is None


def officers_only(*rights: str) -> Callable[[View], View]:
    """Send those who are signed out to the sign-in page, and others with none of the rights to the page that says so.
    While the audit log takes nothing, a page shows nothing and says why."""
    if not rights or set(rights) - set(RIGHTS):
        raise ValueError(f"there is no right {rights!r}")

    def guarded(view: View) -> View:
        return guard(
            view,
            lambda request: any(right in rights_of(request.user) for right in rights),
            "archive refused",
            BEFOREHAND,
            right=" ".join(rights),
        )

    return guarded
