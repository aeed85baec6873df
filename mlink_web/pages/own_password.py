"""The password of somebody who is signed in, asked once more: an open browser alone is not the person."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.http import HttpRequest

from mlink_web.audit.log import client_address
from mlink_web.console.audit import record
from mlink_web.pages import throttle


def check_own(request: HttpRequest, given: str, refusal: str) -> None:
    """Raise ValidationError unless `given` is the password of who asks; wrong ones count as failed sign-ins, and the
    audit log is told of each as `refusal`."""
    account, address = request.user.get_username(), client_address(request)
    if throttle.is_closed(account, address):
        record(request, refusal, account, why="too many failures")
        raise ValidationError(f"Too many attempts failed. Wait {throttle.WINDOW // 60} minutes, then try again.")
    if not request.user.check_password(given):
        throttle.count_failure(account, address)
        record(request, refusal, account, why="wrong password")
        raise ValidationError("This is not your password.")
    throttle.forget(account, address)
