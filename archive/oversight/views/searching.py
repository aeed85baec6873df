"""Searching: the form, a page of hits with the trail that led to them, and saved searches.

A search is kept under a token made from it (`trail.py`), which stands in the address of its page instead of words and
people. What of its hits is shown is decided anew for whoever opens it.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Final

from django.contrib import messages
from django.db import connection, transaction
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from archive import ids
from archive.oversight import access, scopes, search, showing, trail, withheld
from archive.oversight.access import officers_only
from archive.oversight.criteria import EVERYTHING, Criteria, words_text
from archive.oversight.forms import CriteriaForm, SaveForm
from archive.oversight.models import SavedSearch
from archive.oversight.search import TooSlow
from archive.oversight.views.common import answer, attempt, in_zone, too_slow
from mlink_web.audit import log

PAGE: Final = 50
#: Hits that are counted one by one for the line above them.
COUNTED: Final = 500
#: Characters of a search as the page of exports takes it.
_EXPORTED: Final = 18_000
#: Characters of a field that is shown again with what is wrong in it, and values of one.
_LONGEST: Final = 10_000
_VALUES: Final = 10


@require_http_methods(["GET", "HEAD", "POST"])
@officers_only("search")
@in_zone
def start(request: HttpRequest) -> HttpResponse:
    """The form. What is posted, or comes with the fields in the address, becomes a search with a page of its own."""
    given = _cut(request.POST if request.method == "POST" else request.GET)
    within = _find(given["within"]) if given.get("within") else None
    changed = _find(given["change"]) if given.get("change") else None
    if changed is not None and changed.within:
        # The last step is changed; those before it stay.
        within = trail.prefixes(changed)[-2]
    asked = bool(given.keys() & CriteriaForm.base_fields.keys())
    form = CriteriaForm(given if asked else None, initial=_initial(changed) if changed is not None else None)
    status = 200
    if asked and form.is_valid():
        step = form.criteria()
        try:
            token = trail.keep(step if within is None else within.narrowed(step))
        except ValueError as error:
            form.add_error(None, str(error))
        else:
            return redirect("oversight:results", token)
    if asked:
        status = 400
    own, shared = trail.saved(request.user)
    context = {
        "form": form,
        "within": trail.keep(within) if within is not None else "",
        "steps": trail.steps(within, timezone.get_current_timezone()) if within is not None else [],
        "own": own[:20],
        "shared": shared[:20],
        "four_eyes": access.options().four_eyes,
        "scope": scopes.scope_of(request.user),
    }
    return answer(request, "oversight/start.html", context, status)


@require_safe
@officers_only("search")
@in_zone
def results(request: HttpRequest, token: str) -> HttpResponse:
    """A page of hits, the newest first."""
    criteria = scopes.bounded(request.user, _find(token))
    zone = timezone.get_current_timezone()
    steps = trail.steps(criteria, zone)
    before, after = showing.key(request.GET.get("before", "")), showing.key(request.GET.get("after", ""))
    log.of_request(
        request,
        "archive search",
        " › ".join(step.says for step in steps),
        search=token,
        **({"before": ids.text_of(before)} if before else {"after": ids.text_of(after)} if after else {}),
    )
    context: dict[str, Any] = {
        "token": token,
        "steps": steps,
        "form": CriteriaForm(),
        "save_form": SaveForm(),
        "within": token,
        "may_export": access.may_oversee(request.user, "export"),
        "export": _export_link(criteria),
        "scope": criteria.scope,
    }
    first = not before and not after
    try:
        rows, more = search.page(
            connection, criteria, before=before or ids.MAX_ID, after=after, limit=PAGE, backwards=not after
        )
        if first:
            about, exact = (len(rows), True) if not more else search.estimate(connection, criteria, COUNTED)
            context.update(about=about, exact=exact, withheld=withheld.count(connection, criteria))
    except TooSlow as error:
        return too_slow(request, error, context)
    older, newer = (True, more) if after else (more, bool(before))
    terms = [term for step in criteria.steps for term in step.words]
    context.update(
        hits=showing.show(connection, rows[::-1], zone, terms),
        first=first,
        older=_place(token, before=rows[0].key) if rows and older else "",
        newer=_place(token, after=rows[-1].key) if rows and newer else "",
        newest="" if first else reverse("oversight:results", args=(token,)),
    )
    return answer(request, "oversight/results.html", context)


@require_safe
@officers_only("search")
@in_zone
def saved(request: HttpRequest) -> HttpResponse:
    """One's own saved searches, and those that are shared."""
    own, shared = trail.saved(request.user)
    zone = timezone.get_current_timezone()
    return answer(
        request,
        "oversight/saved.html",
        {"own": [_row(row, zone) for row in own], "shared": [_row(row, zone) for row in shared]},
    )


@require_POST
@officers_only("search")
@in_zone
def save(request: HttpRequest, token: str) -> HttpResponse:
    """Keep a search under a name."""
    criteria = _find(token)
    form = SaveForm(request.POST)
    if not form.is_valid():
        messages.error(request, "Give the search a name of at most 100 characters.")
        return redirect("oversight:results", token)
    name, shared = form.cleaned_data["name"], form.cleaned_data["shared"]

    def act() -> None:
        with transaction.atomic():
            log.of_request(request, "archive search saved", name, search=token, shared=shared)
            trail.save(request.user, name, criteria, shared=shared)  # type: ignore[arg-type]  # officers_only

    attempt(request, f"The search is saved as “{name}”.", act)
    return redirect("oversight:results", token)


@require_safe
@officers_only("search")
def open_saved(request: HttpRequest, pk: int) -> HttpResponse:
    """Go to a saved search."""
    row = _saved(request, pk)
    token = trail.opened(row)
    if token is None:
        messages.error(request, f"“{row.name}” was saved by an older version and cannot be read any more.")
        return redirect("oversight:saved")
    return redirect("oversight:results", token)


@require_POST
@officers_only("search")
def remove_saved(request: HttpRequest, pk: int) -> HttpResponse:
    """Forget one's own saved search."""
    row = _saved(request, pk)
    if row.owner_id != request.user.pk:
        raise Http404
    with transaction.atomic():
        log.of_request(request, "archive search forgotten", row.name)
        row.delete()
    messages.success(request, f"The search “{row.name}” is removed.")
    return redirect("oversight:saved")


def _cut(given: QueryDict) -> QueryDict:
    """What was given, so far as it can be shown again in the form."""
    cut = QueryDict(mutable=True)
    for name, values in given.lists():
        cut.setlist(name, [value[:_LONGEST] for value in values[:_VALUES]])
    return cut


def _saved(request: HttpRequest, pk: int) -> SavedSearch:
    row = SavedSearch.objects.filter(pk=pk).first()
    if row is None or (row.owner_id != request.user.pk and not row.shared):
        raise Http404
    return row


def _row(row: SavedSearch, zone: Any) -> dict[str, Any]:
    try:
        steps = trail.steps(Criteria.from_json(row.criteria), zone)
    except ValueError:
        steps = []
    return {"row": row, "says": " › ".join(step.says for step in steps), "when": showing.moment(row.created, zone)}


def _find(token: str) -> Criteria:
    criteria = trail.find(token)
    if criteria is None:
        raise Http404
    return criteria


def _place(token: str, **place: str) -> str:
    query = QueryDict(mutable=True)
    query.update(place)
    return f"{reverse('oversight:results', args=(token,))}?{query.urlencode()}"


def _export_link(criteria: Criteria) -> str:
    """Where this result is exported, "" where the search is too long for an address."""
    text = json.dumps(replace(criteria, scope=EVERYTHING).to_json(), ensure_ascii=False, separators=(",", ":"))
    if len(text) > _EXPORTED:
        return ""
    query = QueryDict(mutable=True)
    query["criteria"] = text
    return f"{reverse('archive_export:order')}?{query.urlencode()}"


def _initial(criteria: Criteria) -> dict[str, Any]:
    """The last step of a search as it stands in the form."""
    zone = timezone.get_current_timezone()
    start, end = criteria.start, criteria.end
    return {
        "words": words_text(criteria.words, criteria.exclusions),
        "people": " ".join(criteria.people),
        "together": criteria.together,
        "rooms": " ".join(criteria.rooms),
        "domains": " ".join(criteria.domains),
        "kinds": list(criteria.kinds),
        "start": None if start is None else showing.moment(start, zone).date(),
        "end": None if end is None else showing.moment(end, zone).date(),
        "attachment": {True: "yes", False: "no"}.get(criteria.attachment, ""),  # type: ignore[arg-type]
    }
