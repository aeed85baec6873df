"""WebSocket routes of the web pages. The engine's own endpoint, /xmpp-websocket, is mounted in asgi_node.py."""

from mlink_web.clusters import routing as clusters
from mlink_web.components import routing as components
from mlink_web.console import routing as console
from mlink_web.federation import routing as federation
from mlink_web.rooms import routing as rooms

websocket_urlpatterns = [
    *console.websocket_urlpatterns,
    *federation.websocket_urlpatterns,
    *components.websocket_urlpatterns,
    *clusters.websocket_urlpatterns,
    *rooms.websocket_urlpatterns,
]

__all__ = ["websocket_urlpatterns"]
