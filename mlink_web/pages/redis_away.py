"""A page that needs Redis while Redis is away, or hangs: it says so, with 503, instead of failing as a defect would.

What Redis counts, wrong passwords above all, is not left uncounted: nobody signs in meanwhile.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render

log = logging.getLogger("mlink.pages")


class RedisAway:
    """Middleware, for sync and async chains alike."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]) -> None:
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Answer the request."""
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """The page that says so; None for everything else that fails."""
        # Not above: a server alone does without the library.
        from redis.exceptions import RedisError

        if not isinstance(exception, RedisError):
            return None
        log.warning("%s was not answered, for Redis does not answer: %s", request.path, exception)
        answer = render(request, "503.html", status=503)
        answer.headers["Retry-After"] = "10"
        answer.headers["Cache-Control"] = "no-store"
        return answer
