"""The forms page: fill in, publish, be told, review. The page speaks XMPP with the person's own rights, so that it can
do what the server allows any client; here are only the page, its service worker, and the topic's stylesheet applied."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Final

from django.contrib.auth.decorators import login_required
from django.contrib.staticfiles import finders
from django.http import HttpRequest, HttpResponse, QueryDict
from django.middleware.csrf import get_token
from django.shortcuts import render
from django.template.loader import render_to_string
from django.templatetags.static import static
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_POST, require_safe

from fdp import render as rendering_of
from fdp import services, stylesheets
from fdp.client_access import count_rendering, may_read
from fdp.definition import Definition
from mlink_web.accounts.models import Account
from mlink_web.pages.places import endpoint_places, file_places, websocket_url
from mlink_web.security import HEADER, policy

CLIENT: Final = Path(__file__).parent / "static/fdp/client"
#: What the page needs beside its own scripts to open without a connection.
SHARED: Final = (
    "mlink/base.css",
    "mlink/mark.svg",
    "mlink/rows.js",
    "strophe/strophe.umd.min.js",
)
#: Characters of a form that is rendered: more than a service takes.
MAX_XML: Final = 1_000_000
#: Nothing runs and nothing loads in it. Its origin is ours, which without scripts nobody can use but the page around
#: it: to fit the frame to what it holds, and to print that.
FRAME_POLICY: Final = f"{stylesheets.POLICY} allow-same-origin"
#: What the frame holds where the topic has no stylesheet; the page shows the form in its own look then.
UNSTYLED: Final = '<!doctype html><html lang="en" data-rendering="none"><title>No stylesheet</title></html>'


@require_safe
@never_cache
@login_required
@ensure_csrf_cookie
def page(request: HttpRequest) -> HttpResponse:
    """The page; its scripts do the rest."""
    sources = file_places(request.user)
    config = {
        "jid": request.user.get_username(),
        "host_meta_url": "/.well-known/host-meta.json",
        "websocket_url": websocket_url(request),
        "bosh_url": request.build_absolute_uri("/http-bind"),
        "credentials_url": reverse("chat-credentials"),
        "sign_in_url": f"{reverse('login')}?next={reverse('forms')}",
        "worker_url": reverse("forms-worker"),
        "render_url": reverse("forms-rendering"),
        "media_hosts": sources,
        "is_operator": request.user.is_staff,
        "csrf": get_token(request),
        "only": request.GET.get("transport", "") if request.GET.get("transport") in ("websocket", "bosh") else "",
    }
    response = render(request, "fdp/client/page.html", {"forms_config": config})
    response.headers[HEADER] = policy(
        connect_src=" ".join(endpoint_places(request)),
        img_src=" ".join(sources),
        media_src=" ".join(("'self' data:", *sources)),
        frame_src="'self'",
        worker_src="'self'",
    )
    return response


@require_safe
@never_cache
def worker(request: HttpRequest) -> HttpResponse:
    """The service worker, with the list of what it keeps. It stands below /forms/, which is as far as it reaches."""
    assets, version = _assets()
    context = {"version": version, "assets": json.dumps(assets), "page": reverse("forms")}
    script = render_to_string("fdp/client/worker.js", context)
    return HttpResponse(script, content_type="text/javascript; charset=utf-8")


@lru_cache(maxsize=1)
def _assets() -> tuple[list[str], str]:
    """Addresses of the files of the page, and a name for their present state."""
    names = sorted(f"fdp/client/{path.name}" for path in CLIENT.iterdir() if path.suffix in (".js", ".css"))
    digest = hashlib.sha256()
    for name in (*names, *SHARED):
        found = finders.find(name)
        digest.update(name.encode() + b"\0" + (Path(found).read_bytes() if isinstance(found, str) else b""))
    return [static(name) for name in (*names, *SHARED)], digest.hexdigest()[:16]


@require_POST
@never_cache
@login_required
@xframe_options_sameorigin
def rendering(request: HttpRequest) -> HttpResponse:
    """A published form, as its reader got it, in the look of the topic's stylesheet: the document of a frame.

    Takes `service`, `suffix`, `item` and `xml`. What is rendered comes from the reader, and the stylesheet is applied
    for readers of the topic only, so nothing is shown that the server would not give to that person anyhow.
    """
    response = HttpResponse(_styled(request.POST, request.user) or UNSTYLED)
    response.headers[HEADER] = FRAME_POLICY
    return response


def _styled(given: QueryDict, account: Account) -> str | None:
    xml = given.get("xml", "")
    if not xml or len(xml) > MAX_XML:
        return None
    try:
        topic = services.find_topic(given.get("service", ""), given.get("suffix", ""))
    except services.UnknownTopic:
        return None
    if not topic.xslt.strip() or not may_read(topic, account) or not count_rendering(account):
        return None
    sheet = rendering_of.Sheet(
        pk=0,
        title=topic.title,
        topic=topic.title,
        suffix=topic.suffix,
        service=topic.service,
        serial=0,
        version="",
        item_id=given.get("item", ""),
        publisher="",
        published=datetime.now(UTC),
        definition=Definition(),
        values={},
        xml=xml,
    )
    html = rendering_of.by_stylesheet(topic.xslt, topic.css, sheet)
    return html.replace("<html ", '<html data-rendering="styled" ', 1) if html is not None else None
