"""Small files of authorities over HTTP: lists of revoked certificates (GET) and answers of OCSP (POST, RFC 6960, A.1).

Both are signed, so plain HTTP is enough, and HTTPS would need the very question that is being asked. Only certificates
whose path to an authority holds name addresses to us; so only authorities make us fetch.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import aiohttp


async def get(url: str, limit: int, seconds: float) -> bytes:
    """The content of a URL, of at most `limit` bytes, within so many seconds; raises OSError or ValueError. Some
    authorities move their files: three redirects are followed."""
    return await _fetch(url, None, "", limit, seconds)


async def post(url: str, body: bytes, kind: str, limit: int, seconds: float) -> bytes:
    """The same for what is answered to a body of this media type. Redirects are not followed: they would turn it into
    another question."""
    return await _fetch(url, body, kind, limit, seconds)


async def _fetch(url: str, body: bytes | None, kind: str, limit: int, seconds: float) -> bytes:
    import aiohttp  # takes 50 ms and 10 MB: only nodes that look at revocation pay for it

    timeout = aiohttp.ClientTimeout(total=seconds)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session,
            _ask(session, url, body, kind) as answer,
        ):
            if answer.status != 200:
                raise ValueError(f"status {answer.status}")
            data = bytearray()
            async for part in answer.content.iter_chunked(65_536):
                data += part
                if len(data) > limit:
                    raise ValueError(f"more than {limit} bytes")
            return bytes(data)
    except TimeoutError:
        raise OSError(f"no answer within {seconds:.0f} seconds") from None
    except aiohttp.ClientError as error:
        raise OSError(str(error) or type(error).__name__) from None


def _ask(
    session: aiohttp.ClientSession, url: str, body: bytes | None, kind: str
) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
    if body is None:
        return session.get(url, max_redirects=3)
    return session.post(url, data=body, headers={"Content-Type": kind}, allow_redirects=False)
