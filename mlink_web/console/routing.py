"""WebSocket routes of the console; the ASGI application puts session and user into the scope."""

from django.urls import path

from mlink_web.console.consumers import Overview, Sessions

websocket_urlpatterns = [
    path("ws/console/sessions", Sessions.as_asgi()),
    path("ws/console/overview", Overview.as_asgi()),
]
