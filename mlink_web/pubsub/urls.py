"""Routes of the console's pages of publish-subscribe, all below /admin/pubsub/.

The name of a node may hold anything, slashes among it, so it stands in the query string: `?node=...`.
"""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from mlink_web.pubsub.views import items, lists, node, services

app_name = "pubsub"
urlpatterns: list[URLPattern | URLResolver] = [
    path("admin/pubsub/", services.services, name="services"),
    path("admin/pubsub/account", services.account, name="account"),
    path("admin/pubsub/<str:service>/", services.nodes, name="nodes"),
    path("admin/pubsub/<str:service>/add/", services.add_node, name="add"),
    path("admin/pubsub/<str:service>/node/", node.node, name="node"),
    path("admin/pubsub/<str:service>/node/config/", node.config, name="config"),
    path("admin/pubsub/<str:service>/node/purge/", node.purge, name="purge"),
    path("admin/pubsub/<str:service>/node/delete/", node.delete, name="delete"),
    path("admin/pubsub/<str:service>/node/item/", items.item, name="item"),
    path("admin/pubsub/<str:service>/node/publish/", items.publish, name="publish"),
    path("admin/pubsub/<str:service>/node/retract", items.retract, name="retract"),
    path("admin/pubsub/<str:service>/node/subscribe", lists.subscribe, name="subscribe"),
    path("admin/pubsub/<str:service>/node/subscription", lists.decide, name="decide"),
    path("admin/pubsub/<str:service>/node/affiliation", lists.affiliate, name="affiliate"),
]
