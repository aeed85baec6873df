"""Routes of the console's pages of rooms, all below /admin/rooms/."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from mlink_web.rooms.views import idle, room, rooms

app_name = "rooms"
urlpatterns: list[URLPattern | URLResolver] = [
    path("admin/rooms/", rooms.rooms, name="rooms"),
    path("admin/rooms/add/", rooms.add_room, name="add"),
    path("admin/rooms/idle/", idle.idle, name="idle"),
    path("admin/rooms/room/<str:room>/", room.room, name="room"),
    path("admin/rooms/room/<str:room>/config/", room.config, name="config"),
    path("admin/rooms/room/<str:room>/subject", room.subject, name="subject"),
    path("admin/rooms/room/<str:room>/affiliation", room.affiliate, name="affiliate"),
    path("admin/rooms/room/<str:room>/kick", room.kick, name="kick"),
    path("admin/rooms/room/<str:room>/approve", room.approve, name="approve"),
    path("admin/rooms/room/<str:room>/clear/", room.clear, name="clear"),
    path("admin/rooms/room/<str:room>/destroy/", room.destroy, name="destroy"),
]
