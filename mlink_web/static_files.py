"""Static files as a bare ASGI callable in front of the pages.

WhiteNoise knows the files, their types, compressed variants, caching and ranges; its middleware, though, would hand
each file to Django as a synchronous iterator, which ASGI reads into memory as a whole.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from django.conf import settings
from whitenoise.middleware import WhiteNoiseMiddleware

Scope = dict[str, Any]
CHUNK: Final = 65_536
#: What a request header is called in WSGI, where WhiteNoise looks for it.
ASKED: Final = {
    b"accept-encoding": "HTTP_ACCEPT_ENCODING",
    b"if-modified-since": "HTTP_IF_MODIFIED_SINCE",
    b"if-none-match": "HTTP_IF_NONE_MATCH",
    b"range": "HTTP_RANGE",
}


class StaticFiles:
    """Answers below STATIC_URL where there is such a file; everything else goes on to `pages`."""

    def __init__(self, pages: Any) -> None:
        self._pages = pages
        self._prefix = str(settings.STATIC_URL)
        self._known = WhiteNoiseMiddleware(_nowhere)

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Serve one HTTP request."""
        path = scope["path"]
        if not path.startswith(self._prefix):
            await self._pages(scope, receive, send)
            return
        known = self._known
        found = known.find_file(path) if known.autorefresh else known.files.get(path)
        if found is None:
            await self._pages(scope, receive, send)
            return
        asked = {ASKED[name]: value.decode("latin-1") for name, value in scope["headers"] if name in ASKED}
        response = found.get_response(scope["method"], asked)
        headers = [(name.lower().encode(), str(value).encode("latin-1")) for name, value in response.headers]
        headers.append((b"x-content-type-options", b"nosniff"))
        await send({"type": "http.response.start", "status": HTTPStatus(response.status).value, "headers": headers})
        if response.file is not None:
            with response.file as file:
                # From the page cache a chunk takes microseconds, and `send` waits for slow readers.
                while chunk := file.read(CHUNK):
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def _nowhere(_request: object) -> Any:
    """What stands behind the middleware: nothing, it is only asked for its files."""
    raise NotImplementedError
