"""The sessions that are connected now, and ending one."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_POST, require_safe

from mlink_web.accounts.models import Account
from mlink_web.console import node
from mlink_web.console.access import may_change, reach, within_domains
from mlink_web.console.audit import record
from mlink_web.console.replies import reply

MAX_JID = 3071
#: Of the number of an account.
MAX_DIGITS = 19


@require_safe
@within_domains
def sessions(request: HttpRequest) -> HttpResponse:
    """The list as of now; a script renews it every second."""
    return render(
        request, "console/sessions.html", {"section": "sessions", "node": node.sessions(reach=reach(request))}
    )


@require_POST
@within_domains
def end_session(request: HttpRequest) -> HttpResponse:
    """End the session with the full address in `jid`.

    Answers a script (Accept: application/json) with JSON, a plain form with a redirection back to where it stood.
    """
    jid = request.POST.get("jid", "")
    if not jid or "/" not in jid or len(jid) > MAX_JID:
        return _answer(request, "The form did not say which session to end.", 400)
    if not _may_end(request, jid):
        record(request, "end session refused", jid)
        return _answer(request, f"{jid} is not connected any more.", 404)
    try:
        ended = node.end_session(jid)
    except node.NodeUnavailable as error:
        record(request, "end session failed", jid, why=error)
        return _answer(request, str(error), 503)
    record(request, "ended session", jid, sessions=ended)
    if not ended:
        return _answer(request, f"{jid} is not connected any more.", 404)
    return _answer(request, f"The session of {jid} has ended.", 200)


def _may_end(request: HttpRequest, jid: str) -> bool:
    """Whether the session is that of an account which who asks may change."""
    if reach(request).everything:
        return True
    bare = jid.partition("/")[0]
    account = reach(request).narrowed(Account.objects.all(), "domain__name").filter(username=bare).first()
    return account is not None and may_change(reach(request), account)


def _answer(request: HttpRequest, sentence: str, status: int) -> HttpResponse:
    user = request.POST.get("user", "")
    if user.isascii() and user.isdigit() and len(user) < MAX_DIGITS:
        return reply(request, sentence, status, "console:user", int(user))
    return reply(request, sentence, status, "console:sessions")
