"""Routes of the console's pages of groups, all below /admin/groups/."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from mlink_web.groups import views

app_name = "groups"
urlpatterns: list[URLPattern | URLResolver] = [
    path("admin/groups/", views.groups, name="groups"),
    path("admin/groups/add/", views.add_group, name="add"),
    path("admin/groups/<int:pk>/", views.group, name="group"),
    path("admin/groups/<int:pk>/description", views.describe, name="describe"),
    path("admin/groups/<int:pk>/members", views.add_members, name="add-members"),
    path("admin/groups/<int:pk>/members/remove", views.remove_member, name="remove-member"),
    path("admin/groups/<int:pk>/remove/", views.remove_group, name="remove"),
]
