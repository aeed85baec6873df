"""WebSocket routes of the pages of rooms."""

from django.urls import path

from mlink_web.rooms.consumers import Room, Rooms

websocket_urlpatterns = [
    path("ws/console/rooms", Rooms.as_asgi()),
    path("ws/console/rooms/<str:room>", Room.as_asgi()),
]
