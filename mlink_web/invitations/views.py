"""The page of an invitation, the list of one's own, and the console's.

The token stands in the address of the page, so these pages tell no other site where a person comes from, are not kept
by browsers and not found by search engines.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import UTC, datetime
from functools import wraps
from typing import Any

import segno
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from mlink_web.audit.log import client_address
from mlink_web.conf.models import Domain
from mlink_web.console.access import reach, within_domains
from mlink_web.console.audit import record
from mlink_web.console.views.users import changeable
from mlink_web.invitations import services, store
from mlink_web.invitations.forms import AdminInviteForm, JoinForm, PasswordFields

BACKEND = "mlink_web.accounts.backends.AddressBackend"
PAGE_SIZE = 50
#: Programs by where they run: the words in a browser's name, for people, and what is recommended there.
PLATFORMS = (
    (("Android",), "Android", "Conversations, Cheogram or monocles chat"),
    (("iPhone", "iPad"), "iPhone and iPad", "Monal or Siskin"),
    (("Windows",), "Windows", "Gajim"),
    (("Macintosh",), "macOS", "Monal or Beagle IM"),
    (("Linux", "X11"), "Linux", "Dino or Gajim"),
)


def private(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """For pages whose address is a secret."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response = view(request, *args, **kwargs)
        # Not "no-referrer": with that browsers also hide the origin, which the protection of forms needs.
        response.headers["Referrer-Policy"] = "same-origin"
        response.headers["X-Robots-Tag"] = "noindex, nofollow"
        response.headers["Cache-Control"] = "no-store"
        return response

    return guarded


def moment(seconds: float) -> datetime:
    """Seconds since the epoch for a page."""
    return datetime.fromtimestamp(seconds, UTC)


def qr(text: str) -> str:
    """A QR code as the address of an image."""
    return str(segno.make(text, error="m").svg_data_uri(scale=5, border=3, light="#fff"))


def platforms(request: HttpRequest) -> list[dict[str, Any]]:
    """Where programs run, the asking browser's own place first and marked."""
    agent = request.headers.get("User-Agent", "")
    mine = next((label for words, label, _ in PLATFORMS if any(word in agent for word in words)), "")
    found = [{"label": label, "clients": clients, "here": label == mine} for _, label, clients in PLATFORMS]
    return sorted(found, key=lambda row: not row["here"])


# The page of an invitation


@sensitive_post_parameters("password", "again")
@require_http_methods(["GET", "HEAD", "POST"])
@private
def landing(request: HttpRequest, token: str) -> HttpResponse:
    """Who invites to what, the link for programs, and the form."""
    row = services.find_valid(token)
    if row is None:
        return render(request, "invitations/ended.html", status=404)
    if row.kind == "reset":
        return _new_password(request, row)
    form = None
    if row.register:
        form = JoinForm(request.POST if request.method == "POST" else None, invitation=row)
    if form is not None and form.is_valid():
        name, password = form.cleaned_data["name"], form.cleaned_data["password"]
        try:
            account = services.register(row, token, name, password, client_address(request))
        except ValueError as error:
            form.add_error(None, str(error))
        else:
            record(request, "joined by invitation", account.username, inviter=row.inviter)
            login(request, account, backend=BACKEND)
            return redirect("welcome")
    uri = services.Made(token, row).uri
    context = {
        "invitation": row,
        "expires_at": moment(row.expires),
        "uri": uri,
        "qr": qr(uri),
        "form": form,
        "platforms": platforms(request),
        "check_url": reverse("invitation-name", args=[token]),
    }
    return render(request, "invitations/landing.html", context, status=400 if form is not None and form.errors else 200)


def _new_password(request: HttpRequest, row: services.Invitation) -> HttpResponse:
    form = PasswordFields(request.POST if request.method == "POST" else None, invitation=row)
    if form.is_valid():
        try:
            account = services.set_password(row, form.cleaned_data["password"])
        except ValueError as error:
            form.add_error(None, str(error))
        else:
            record(request, "set password by link", account.username)
            messages.success(request, "Your new password is set. Sign in with it here and in your apps.")
            return redirect("login")
    context = {"invitation": row, "form": form, "address": f"{row.local}@{row.domain}"}
    return render(request, "invitations/password.html", context, status=400 if form.errors else 200)


@require_safe
@private
def name_check(request: HttpRequest, token: str) -> JsonResponse:
    """Whether a name is free, while it is typed; only for who has the token."""
    row = services.find_valid(token)
    if row is None or not row.register:
        return JsonResponse({"error": "The invitation is not valid any more."}, status=404)
    name = request.GET.get("name", "").strip()[:1023]
    return JsonResponse({"wrong": services.check_name(row, name) if name else ""})


@require_safe
@never_cache
@login_required
def welcome(request: HttpRequest) -> HttpResponse:
    """After the account is made: the chat here, and what an app wants to know."""
    context = {
        "host": request.get_host().rsplit(":", 1)[0],
        "c2s_port": settings.MLINK_C2S_PORT,
        "c2s_tls_port": settings.MLINK_C2S_TLS_PORT,
        "platforms": platforms(request),
    }
    return render(request, "invitations/welcome.html", context)


# One's own


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
@private
def own(request: HttpRequest) -> HttpResponse:
    """The invitations of the person signed in; a new one is shown once, in the answer that makes it."""
    account = request.user
    invites, registers = services.may(account)
    made = None
    if request.method == "POST":
        try:
            made = services.invite_by(account, register=request.POST.get("register") == "1")
        except ValueError as error:
            messages.error(request, str(error))
            return redirect("invitations")
        record(request, "made invitation", account.username, number=made.row.id)
    context = {
        **_listed(request, account.domain.name, account.username),
        **_shown(request, made),
        "may_invite": invites,
        "may_register": registers,
    }
    return render(request, "invitations/own.html", context)


@require_POST
@login_required
def revoke_own(request: HttpRequest) -> HttpResponse:
    """Withdraw one of them."""
    _revoke(request, request.user.get_username())
    return redirect("invitations")


# The console's


@require_http_methods(["GET", "HEAD", "POST"])
@within_domains
@private
def console(request: HttpRequest) -> HttpResponse:
    """Invitations of a domain by everybody, and new ones of administrators."""
    wanted = request.GET.get("domain", "")
    domains = list(reach(request).narrowed(Domain.objects.filter(enabled=True), "name"))
    domain = next((one for one in domains if one.name == wanted), domains[0] if domains else None)
    posted = request.POST if request.method == "POST" else None
    form = AdminInviteForm(posted, initial={"domain": domain.name if domain else None}, reach=reach(request))
    made = None
    if form.is_valid():
        domain = form.cleaned_data["domain"]
        try:
            made = services.invite_to_account(domain, form.cleaned_data["name"].strip(), form.cleaned_data["most"])
        except ValueError as error:
            form.add_error(None, str(error))
        else:
            record(request, "made invitation", domain.name, number=made.row.id)
            form = AdminInviteForm(initial={"domain": domain.name}, reach=reach(request))
    context = {
        **_listed(request, domain.name if domain else "", None),
        **_shown(request, made),
        "section": "invitations",
        "domains": domains,
        "domain": domain,
        "form": form,
    }
    return render(request, "invitations/console.html", context, status=400 if form.errors else 200)


@require_POST
@within_domains
def revoke(request: HttpRequest) -> HttpResponse:
    """Withdraw any invitation within reach."""
    _revoke(request, None, reach(request).domains)
    return redirect("console-invitations")


@require_POST
@within_domains
@private
def reset_of(request: HttpRequest, pk: int) -> HttpResponse:
    """A link by which the owner of an account sets a new password; shown once, in this answer."""
    account = changeable(request, pk)
    if account is None:
        return redirect("console:user", pk)
    try:
        made = services.invite_to_new_password(account)
    except ValueError as error:
        messages.error(request, str(error))
        return redirect("console:user", pk)
    record(request, "made link for a new password", account.username, number=made.row.id)
    context = {
        **_shown(request, made),
        "section": "users",
        "account": account,
        "expires_at": moment(made.row.expires),
    }
    return render(request, "invitations/reset.html", context)


def _listed(request: HttpRequest, domain: str, inviter: str | None) -> dict[str, Any]:
    before = request.GET.get("before", "")
    number = int(before) if before.isascii() and before.isdigit() and len(before) < 19 else 0
    rows = store.made(domain, inviter, PAGE_SIZE + 1, number)
    shown = [
        {
            "row": row,
            "state": services.state_of(row),
            "purpose": services.purpose_of(row),
            "created_at": moment(row.created),
            "expires_at": moment(row.expires),
        }
        for row in rows[:PAGE_SIZE]
    ]
    return {"invitations": shown, "older": rows[PAGE_SIZE - 1].id if len(rows) > PAGE_SIZE else 0}


def _shown(request: HttpRequest, made: services.Made | None) -> dict[str, Any]:
    if made is None:
        return {}
    link = request.build_absolute_uri(reverse("invitation", args=[made.token]))
    return {"made": made, "link": link, "qr": qr(link)}


def _revoke(request: HttpRequest, inviter: str | None, domains: Collection[str] | None = None) -> None:
    number = request.POST.get("number", "")
    known = number.isascii() and number.isdigit() and len(number) < 19
    if known and store.revoke(int(number), inviter, domains=domains):
        record(request, "withdrew invitation", number)
        messages.success(request, "The invitation is withdrawn: its link opens nothing any more.")
    else:
        messages.error(request, "There is no such invitation that could be withdrawn.")
