"""The Content-Security-Policy of every page.

Strict by default: our own files only. A page that needs more (the web chat) sets the header itself. A script that must
stand in a page carries `nonce="{{ request.csp_nonce }}"`.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponseBase
from django.utils.functional import SimpleLazyObject

HEADER = "Content-Security-Policy"
DIRECTIVES = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "font-src": "'self'",
    "connect-src": "'self'",
    "manifest-src": "'self'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
    "base-uri": "'none'",
}


def policy(**extra: str) -> str:
    """The header's value; keyword arguments (`img_src="blob:"`) add sources to a directive or make a new one."""
    directives = dict(DIRECTIVES)
    for name, sources in extra.items():
        directive = name.replace("_", "-")
        directives[directive] = f"{directives.get(directive, '')} {sources}".strip()
    return "; ".join(f"{name} {sources}" for name, sources in directives.items())


class ContentSecurityPolicy:
    """Middleware, for sync and async chains alike."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Answer the request and add the header unless the view has set one."""
        used: list[str] = []

        def make() -> str:
            used.append(secrets.token_urlsafe(16))
            return used[0]

        request.csp_nonce = SimpleLazyObject(make)  # type: ignore[attr-defined]
        if self.is_async:
            return self._answer(request, used)
        return add(self.get_response(request), used)  # type: ignore[arg-type]

    async def _answer(self, request: HttpRequest, used: list[str]) -> HttpResponseBase:
        return add(await self.get_response(request), used)  # type: ignore[misc]


def add(response: HttpResponseBase, nonces: list[str]) -> HttpResponseBase:
    """Set the header where the view has not."""
    if HEADER not in response.headers:
        response.headers[HEADER] = policy(**({"script_src": f"'nonce-{nonces[0]}'"} if nonces else {}))
    return response
