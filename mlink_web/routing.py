"""WebSocket routes of the web pages. The engine's own endpoint, /xmpp-websocket, is mounted in asgi_node.py."""

from mlink_web.console.routing import websocket_urlpatterns

__all__ = ["websocket_urlpatterns"]
