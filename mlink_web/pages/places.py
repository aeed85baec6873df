"""Where the scripts of a page may go: what our endpoints and shared files add to the security policy of a page."""

from __future__ import annotations

from urllib.parse import urlsplit

from django.http import HttpRequest

from mlink_web.accounts.models import Account
from mlink_web.conf.models import Domain
from mlink_web.uploads.services import origin as upload_origin
from mlink_web.uploads.services import storage_origin


def websocket_url(request: HttpRequest) -> str:
    """Our WebSocket endpoint as seen from where this request came."""
    return request.build_absolute_uri("/xmpp-websocket").replace("http", "ws", 1)


def file_places(account: Account) -> list[str]:
    """Origins of shared files: they may stand on a name of their own, and a storage that serves them itself is where
    browsers are sent on to."""
    return [source for source in (upload_origin(account.domain), storage_origin()) if source]


def endpoint_places(request: HttpRequest) -> list[str]:
    """Origins of the endpoints of the engine: they may stand elsewhere, see hostmeta.py; and a browser may not take
    'self' to mean ws: too."""
    places = [websocket_url(request).removesuffix("/xmpp-websocket")]
    name = request.get_host().rsplit(":", 1)[0].lower()
    public = urlsplit(Domain.objects.filter(name=name).values_list("public_url", flat=True).first() or "")
    if public.scheme in ("http", "https") and public.netloc:
        places += [f"{public.scheme}://{public.netloc}", f"ws{public.scheme.removeprefix('http')}://{public.netloc}"]
    return places
