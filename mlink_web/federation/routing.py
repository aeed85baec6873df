"""WebSocket routes of the pages of federation."""

from django.urls import path

from mlink_web.federation.consumers import Probe, Streams

websocket_urlpatterns = [
    path("ws/console/federation", Streams.as_asgi()),
    path("ws/console/federation/test", Probe.as_asgi()),
]
