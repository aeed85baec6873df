"""Routes of the console's pages of federation, all below /admin/federation/."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from mlink_web.federation.views import peers, probe, streams

app_name = "federation"
urlpatterns: list[URLPattern | URLResolver] = [
    path("", streams.streams, name="streams"),
    path("close", streams.close, name="close"),
    path("retry", streams.retry, name="retry"),
    path("drop", streams.drop, name="drop"),
    path("refused/", streams.refused, name="refused"),
    path("peers/", peers.peers, name="peers"),
    path("peers/add/", peers.add_peer, name="add"),
    path("peers/<int:pk>/", peers.peer, name="peer"),
    path("peers/<int:pk>/remove/", peers.remove_peer, name="remove"),
    path("options/", peers.options, name="options"),
    path("test/", probe.probe, name="test"),
]
