"""What the console's pages answer with that do the same in several apps: a button of a live page, and the question
before something is deleted for good."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render

from mlink_web.console.audit import record
from mlink_web.console.confirming import RemoveForm


def reply(request: HttpRequest, sentence: str, status: int, page: str, *where: object) -> HttpResponse:
    """What a button did: JSON for a script, and for a plain form the page named `page` again with the sentence."""
    if request.accepts("application/json") and not request.accepts("text/html"):
        return JsonResponse({"done": sentence} if status == 200 else {"error": sentence}, status=status)
    (messages.success if status == 200 else messages.error)(request, sentence)
    return redirect(page, *where)


def removal(
    request: HttpRequest,
    name: str,
    remove: Callable[[], object],
    *,
    did: str,
    done: str,
    then: str,
    **page: str,
) -> HttpResponse:
    """Ask for a name by hand, then `remove` what has it; a ValueError of that is told.

    `did` is what the audit log has, `done` the sentence on the page named `then` that follows. `page` is what
    console/remove.html shows: section, title, warning, back, and action where it is not the usual one."""
    form = RemoveForm(name, request.POST or None)
    if form.is_valid():
        try:
            remove()
        except ValueError as error:
            form.add_error(None, str(error))
        else:
            record(request, did, name)
            messages.success(request, done)
            return redirect(then)
    context = {"action": "Remove for good", **page, "form": form}
    return render(request, "console/remove.html", context, status=400 if form.errors else 200)
