"""What people do with their push registrations; they are listed on the page of devices."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from mlink_web.console.audit import record
from mlink_web.pushes import services


@require_POST
@login_required
def switch_off(request: HttpRequest) -> HttpResponse:
    """Remove one of one's own registrations."""
    number = request.POST.get("number", "")
    known = number.isascii() and number.isdigit() and len(number) < 19
    done = services.switch_off(request.user, int(number)) if known else None
    if done is None:
        messages.error(request, "This push registration is not there any more.")
    else:
        record(request, "switched off push", request.user.get_username(), number=number)
        messages.success(request, done)
    return redirect("devices")
