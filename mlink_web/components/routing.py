"""WebSocket routes of the pages of components."""

from django.urls import path

from mlink_web.components.consumers import Components

websocket_urlpatterns = [path("ws/console/components", Components.as_asgi())]
