"""The page of one's own files, and what the console does with those of others."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from mlink_web.console.access import within_domains
from mlink_web.console.audit import record
from mlink_web.console.views.users import changeable
from mlink_web.uploads import services

PAGE_SIZE: Final = 50


@require_safe
@never_cache
@login_required
def own(request: HttpRequest) -> HttpResponse:
    """The files of the person signed in, the newest first, and how much of the quota they take."""
    account = request.user
    page = Paginator(services.files().filter(account_id=account.pk), PAGE_SIZE).get_page(request.GET.get("page"))
    shown = [
        {
            "row": row,
            "link": services.link(account.domain, row),
            "created": datetime.fromtimestamp(row.created, UTC),
            "expires": datetime.fromtimestamp(row.expires, UTC) if row.expires else None,
        }
        for row in page
    ]
    quota = services.quota(account)
    context = {
        "page": page,
        "files": shown,
        "quota": quota,
        "percent": min(100, 100 * quota.used // quota.limit) if quota.limit else 100,
    }
    return render(request, "uploads/own.html", context)


@require_POST
@login_required
def remove_own(request: HttpRequest) -> HttpResponse:
    """Remove one of them."""
    token, number = request.POST.get("token", "")[:64], request.POST.get("page", "")
    row = services.files().filter(account_id=request.user.pk, token=token).first()
    if row is None:
        messages.error(request, "This file is not there any more.")
    elif services.remove(row):
        record(request, "removed file", request.user.get_username(), name=row.name, size=row.size)
        messages.success(request, f"{row.name} is removed.")
    else:
        messages.error(request, f"{row.name} could not be removed just now. Please try again later.")
    page = f"?page={number}" if number.isascii() and number.isdigit() and len(number) < 10 else ""
    return redirect(reverse("uploads:own") + page)


@require_POST
@within_domains
def remove_all(request: HttpRequest, pk: int) -> HttpResponse:
    """Remove all files of an account."""
    account = changeable(request, pk)
    if account is None:
        return redirect("console:user", pk)
    gone = services.remove_all(account.pk)
    left, _size = services.usage(account.pk)
    record(request, "removed files", account.username, files=gone, left=left)
    if left:
        messages.error(request, f"{left} files could not be removed; the log says why.")
    else:
        messages.success(request, f"{gone} file{'' if gone == 1 else 's'} of {account.username} removed.")
    return redirect("console:user", account.pk)
