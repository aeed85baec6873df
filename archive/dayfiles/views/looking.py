"""Pages that show: the overview, a day, a file, its download. Everything that is shown of people's messages stands in
the audit log before."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from datetime import date
from typing import Any, Final

from django.core.paginator import Paginator
from django.db import connection
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.utils import timezone
from django.utils.http import content_disposition_header, urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from archive.dayfiles import browsing, format, jobs, options, reach
from archive.dayfiles.forms import OptionsForm, RebuildForm
from archive.dayfiles.models import INDEX, ROOMS, USERS, DayFile
from archive.dayfiles.paths import inside
from archive.oversight import showing
from archive.oversight.access import officers_only
from archive.oversight.views.common import answer, in_zone
from mlink_web.audit import log as audit
from mlink_web.jobs.models import Job
from xmpp_engine.api import StreamError

_DB: Final = "default"
FILES: Final = 100
JOBS: Final = 10
#: Characters of a message that the page shows.
_WHOLE: Final = 20_000
_CHUNK: Final = 65_536
_KINDS: Final = {USERS: "Users", ROOMS: "Rooms"}


@require_safe
@never_cache
@officers_only(reach.RIGHT)
@in_zone
def overview(request: HttpRequest) -> HttpResponse:
    """The state of the writer, the domains, a month of one of them, jobs."""
    scope = reach.scope_of(request.user)
    choices = [choice for choice in browsing.choices() if reach.has_domain(scope, choice.domain)]
    names = [name for name in browsing.domains() if reach.has_domain(scope, name)]
    asked = request.GET.get("domain", "")
    domain = asked if asked in names else (names[0] if names else "")
    context: dict[str, Any] = {
        "state": browsing.state(),
        "choices": choices,
        "names": names,
        "domain": domain,
        "folder": options.folder(),
        "everywhere": reach.is_everywhere(scope),
        "options_form": OptionsForm(initial={"zone": options.zone("default"), "compress": options.read(_DB).compress}),
        "rebuild_form": RebuildForm(initial={"domain": domain}, auto_id="rebuild_%s"),
        "jobs": list(Job.objects.filter(kind__in=jobs.KINDS)[:JOBS]) if reach.is_everywhere(scope) else [],
    }
    if domain:
        first = _month(request.GET.get("month", "")) or (browsing.newest_day(domain) or date.today()).replace(day=1)
        before, after = browsing.months_beside(first)
        context.update(month=first, weeks=browsing.month(domain, first), before=before, after=after)
    return answer(request, "dayfiles/overview.html", context)


@require_safe
@never_cache
@officers_only(reach.RIGHT)
@in_zone
def day(request: HttpRequest, domain: str, day: str) -> HttpResponse:
    """The files of a day."""
    when = _day(day)
    if not reach.has_domain(reach.scope_of(request.user), domain):
        raise Http404
    rows = DayFile.objects.filter(domain=domain, day=when).exclude(kind=INDEX).exclude(state=DayFile.State.REMOVED)
    asked = request.GET.get("q", "").strip()[:200]
    kind = request.GET.get("kind", "")
    shown = rows.filter(kind=kind) if kind in _KINDS else rows
    if asked:
        shown = shown.filter(address__icontains=asked)
    audit.of_request(request, "archive files of a day listed", f"{domain} {day}", search=asked)
    page = Paginator(shown.order_by("kind", "address"), FILES).get_page(request.GET.get("page"))
    context = {
        "domain": domain,
        "day": when,
        "page": page,
        "q": asked,
        "kind": kind if kind in _KINDS else "",
        "kinds": _KINDS.items(),
        "index": DayFile.objects.filter(domain=domain, day=when, kind=INDEX).first(),
        "calendar_zone": options.read(_DB).calendar.zone_of(when),
        "query": urlencode({name: value for name, value in (("q", asked), ("kind", kind)) if value}),
    }
    return answer(request, "dayfiles/day.html", context)


@require_safe
@never_cache
@officers_only(reach.RIGHT)
@in_zone
def file(request: HttpRequest, pk: int) -> HttpResponse:
    """A file as a conversation, page by page."""
    scope = reach.scope_of(request.user)
    row = _file(request, pk)
    number = request.GET.get("page", "1")
    number = number if number.isdecimal() and len(number) < 10 else "1"
    audit.of_request(request, "archive file read", row.path, page=int(number))
    hits: list[showing.Shown] = []
    trouble, hidden, pages, status = "", 0, 1, 200
    try:
        found, pages = browsing.page_of(row, int(number))
        admitted = [record for record in found if scope.admits(record) or row.kind == ROOMS]
        hidden = len(found) - len(admitted)
        hits = showing.show(connection, admitted, timezone.get_current_timezone(), limit=_WHOLE)
    except FileNotFoundError:
        trouble, status = "The file is missing. Verify the day, and restore it from a copy.", 404
    except (OSError, EOFError, ValueError, zlib.error, StreamError):
        trouble, status = "The file cannot be read: somebody changed it. Verify the day.", 500
    place = min(max(int(number), 1), pages)
    context = {
        "row": row,
        "hits": hits,
        "hidden": hidden,
        "trouble": trouble,
        "number": place,
        "pages": pages,
        "previous": place - 1,
        "next": place + 1 if place < pages else 0,
        "takeable": reach.may_take(scope, row),
    }
    return answer(request, "dayfiles/file.html", context, status)


@require_safe
@never_cache
@officers_only(reach.RIGHT)
@in_zone
def download(request: HttpRequest, pk: int) -> HttpResponse | StreamingHttpResponse:
    """A file as it is; one that is still written to gets its end."""
    row = _file(request, pk)
    if not reach.may_take(reach.scope_of(request.user), row):
        return answer(request, "dayfiles/refused.html", {"row": row}, 403)
    path = inside(options.folder(), row.path)
    if not path.is_file():
        raise Http404
    audit.of_request(request, "archive file downloaded", row.path, sha256=row.sha256)
    packed = row.path.endswith(".gz")
    response = StreamingHttpResponse(_bytes(row), content_type="application/gzip" if packed else "application/xml")
    name = f"{row.day.isoformat()}-{row.path.rpartition('/')[2]}"
    response.headers["Content-Disposition"] = content_disposition_header(True, name)
    # Whatever a browser thinks of it: it is shown by nobody and runs nothing.
    response.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    return response


def _bytes(row: DayFile) -> Iterator[bytes]:
    left = row.size
    with inside(options.folder(), row.path).open("rb") as file:
        while left > 0 and (chunk := file.read(min(_CHUNK, left))):
            left -= len(chunk)
            yield chunk
    if row.state == DayFile.State.OPEN:
        yield format.END


def _file(request: HttpRequest, pk: int) -> DayFile:
    """The file with this key that is there and his to see; raises Http404."""
    row = DayFile.objects.filter(pk=pk, records__gt=0).exclude(kind=INDEX).first()
    if row is None or not reach.has_domain(reach.scope_of(request.user), row.domain):
        raise Http404
    return row


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Http404 from None


def _month(text: str) -> date | None:
    try:
        first = date.fromisoformat(f"{text}-01")
    except ValueError:
        return None
    return first if 1970 <= first.year <= 2199 else None
