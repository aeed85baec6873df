"""A bound on what the pages take in: Django reads a request to its end, into memory and then into a temporary file,
before it looks at who sends it. Without a bound anybody could fill the disk.

Some pages take large files; for these it is found out first who asks, by his session.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http.cookies import CookieError, SimpleCookie
from importlib import import_module
from types import SimpleNamespace
from typing import Any, Final

from channels.db import database_sync_to_async
from django.conf import settings
from django.contrib.auth import get_user

Scope = dict[str, Any]
Judge = Callable[[Any], bool]
#: Bytes of a request: the largest text of a form and some files (certificates, topics with their templates).
MOST: Final = 24 * 1024 * 1024
#: What stands around a file in its request.
AROUND: Final = 1024 * 1024


def large_files() -> Mapping[str, tuple[int, Judge]]:
    """The pages that take large files: a server's data, and day files of the archive."""
    from archive.dayfiles.forms import MAX_UPLOAD as DAY_FILES
    from archive.oversight.access import may_oversee
    from mlink_web.portability.ordering import MAX_UPLOAD as DATA

    return {
        "/admin/portability/try": (DATA, lambda user: may_oversee(user, "export")),
        "/admin/archive/files/import/": (DAY_FILES, lambda user: may_oversee(user, "files")),
    }


class BoundedBodies:
    """Answers 413 to what is too large, in front of `pages`. `large` are the paths that take more: how many bytes of a
    file, and from whom."""

    def __init__(self, pages: Any, large: Mapping[str, tuple[int, Judge]], most: int = MOST) -> None:
        self._pages = pages
        self._large = large
        self._most = most

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Serve one HTTP request."""
        most = self._most
        known = self._large.get(scope["path"]) if scope["method"] == "POST" else None
        if known is not None and await _may(scope, known[1]):
            most = known[0] + AROUND
        if _announced(scope) > most:
            await _refuse(send)
            return
        taken = 0

        async def counted() -> Any:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > most:
                await _refuse(send)
                # Django gives the request up, and what it has taken in.
                return {"type": "http.disconnect"}
            return message

        await self._pages(scope, counted, send)


def _announced(scope: Scope) -> int:
    """The bytes that the request says it has; 0 where it does not say so."""
    text = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
    return int(text) if text.isdigit() and len(text) < 20 else 0


async def _refuse(send: Any) -> None:
    headers = [(b"content-type", b"text/plain"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": b"This is more than this page takes.\n"})


async def _may(scope: Scope, judge: Judge) -> bool:
    try:
        cookies = SimpleCookie("; ".join(v.decode("latin-1") for n, v in scope["headers"] if n == b"cookie"))
    except CookieError:
        return False
    found = cookies.get(settings.SESSION_COOKIE_NAME)
    return found is not None and await _judged(found.value, judge)


@database_sync_to_async
def _judged(key: str, judge: Judge) -> bool:
    store = import_module(settings.SESSION_ENGINE).SessionStore(key)
    user = get_user(SimpleNamespace(session=store))  # type: ignore[arg-type]
    return bool(user.is_authenticated and judge(user))
