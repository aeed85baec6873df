"""The page of one's own devices, and what the console does with those of others."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from mlink_web.accounts.models import Account
from mlink_web.console.access import within_domains
from mlink_web.console.audit import record
from mlink_web.console.views.users import changeable
from mlink_web.devices import services
from mlink_web.pushes import services as pushes


@require_safe
@never_cache
@login_required
def own(request: HttpRequest) -> HttpResponse:
    """The devices of the person signed in."""
    sessions = services.connected_sessions(request.user)
    context = {
        "devices": services.listed(request.user, sessions),
        "node_known": sessions is not None,
        "pushes": pushes.listed(request.user),
    }
    return render(request, "devices/own.html", context)


@require_POST
@login_required
def revoke_own(request: HttpRequest) -> HttpResponse:
    """Revoke one of them."""
    _revoke(request, request.user)
    return redirect("devices")


@require_POST
@within_domains
def revoke_of(request: HttpRequest, pk: int) -> HttpResponse:
    """Revoke a device of any account within reach."""
    account = changeable(request, pk)
    if account is not None:
        _revoke(request, account)
    return redirect("console:user", pk)


def _revoke(request: HttpRequest, account: Account) -> None:
    device = request.POST.get("device", "")[:32]
    done = services.revoke(account, device)
    if done is None:
        messages.error(request, "This device is not in the list any more.")
        return
    record(request, "revoked device", account.username, device=device, title=done.title)
    (messages.warning if done.knows_password else messages.success)(request, done.sentence())
