"""Looking at one record, and at what happened around it."""

from __future__ import annotations

from django.db import connection
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from archive.oversight import access, around, showing
from archive.oversight.access import officers_only
from archive.oversight.search import TooSlow
from archive.oversight.views.common import answer, in_zone, seen, too_slow
from archive.records import Record
from mlink_web.audit import log


@require_safe
@officers_only("search")
@in_zone
def record(request: HttpRequest, key: str) -> HttpResponse:
    """A record with everything that belongs to it."""
    found, scope = seen(request, key)
    log.of_request(request, "archive record viewed", key, **_sides(found))
    whole = showing.whole(connection, found, timezone.get_current_timezone(), scope)
    may_redact = access.may_oversee(request.user, "redact")
    return answer(request, "oversight/record.html", {"whole": whole, "hit": whole.shown, "may_redact": may_redact})


@require_safe
@officers_only("search")
@in_zone
def look_around(request: HttpRequest, key: str) -> HttpResponse:
    """A record among what happened at its time."""
    found, scope = seen(request, key)
    views = around.views(found)
    chosen = next((view for view in views if view.name == request.GET.get("what", "talk")), None)
    if chosen is None:
        raise Http404
    text = request.GET.get("minutes", "")
    minutes = int(text) if text.isascii() and text.isdigit() and len(text) < 8 else around.USUAL
    minutes = min(around.WINDOWS, key=lambda each: abs(each - minutes))
    at = showing.key(request.GET.get("at", ""))
    log.of_request(request, "archive looked around", key, what=chosen.label, minutes=minutes, **_sides(found))
    zone = timezone.get_current_timezone()
    context = {
        "key": key,
        "views": views,
        "chosen": chosen,
        "windows": list(around.WINDOWS.items()),
        "minutes": minutes,
        "base": showing.show(connection, [found], zone)[0],
    }
    try:
        what = around.look(connection, found, chosen.criteria, scope, minutes, at)
    except TooSlow as error:
        return too_slow(request, error, context)
    context.update(
        around=what,
        hits=showing.show(connection, what.rows, zone),
        bars=[(bar, showing.moment(bar.start, zone)) for bar in what.bars],
        start=showing.moment(what.start, zone),
        end=showing.moment(what.end, zone),
    )
    return answer(request, "oversight/around.html", context)


def _sides(found: Record) -> dict[str, str]:
    return {"sender": found.sender, "recipient": found.recipient}
