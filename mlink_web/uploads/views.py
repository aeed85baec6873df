"""What the console does with the files of an account."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_POST

from mlink_web.accounts.models import Account
from mlink_web.console.access import administrators_only
from mlink_web.console.audit import record
from mlink_web.uploads import services


@require_POST
@administrators_only
def remove_all(request: HttpRequest, pk: int) -> HttpResponse:
    """Remove all files of an account."""
    account = get_object_or_404(Account, pk=pk)
    gone = services.remove_all(account.pk)
    left, _size = services.usage(account.pk)
    record(request, "removed files", account.username, files=gone, left=left)
    if left:
        messages.error(request, f"{left} files could not be removed; the log says why.")
    else:
        messages.success(request, f"{gone} file{'' if gone == 1 else 's'} of {account.username} removed.")
    return redirect("console:user", account.pk)
