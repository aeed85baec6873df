"""WebSocket routes of the pages of the cluster."""

from django.urls import path

from mlink_web.clusters.consumers import Cluster

websocket_urlpatterns = [path("ws/console/cluster", Cluster.as_asgi())]
