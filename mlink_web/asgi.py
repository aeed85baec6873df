"""The web application: pages of Django, WebSockets of Channels. `daphne mlink_web.asgi:application` serves it alone."""

from __future__ import annotations

import os

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mlink_web.settings.dev")
pages = get_asgi_application()

# The apps must be loaded first.
from mlink_web.bodies import BoundedBodies, large_files  # noqa: E402
from mlink_web.routing import websocket_urlpatterns  # noqa: E402
from mlink_web.static_files import StaticFiles  # noqa: E402

application = ProtocolTypeRouter(
    {
        "http": StaticFiles(BoundedBodies(pages, large_files())),
        "websocket": AllowedHostsOriginValidator(AuthMiddlewareStack(URLRouter(websocket_urlpatterns))),
    }
)
