"""Routes below /admin/archive/redactions/."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from archive.redaction import views

app_name = "redaction"
urlpatterns: list[URLPattern | URLResolver] = [
    path("", views.listed, name="list"),
    path("new/", views.new, name="new"),
    path("of/<str:id>/", views.propose, name="propose"),
    path("options/", views.options, name="options"),
    path("<int:pk>/", views.redaction, name="redaction"),
    path("<int:pk>/decide/", views.decide, name="decide"),
    path("<int:pk>/exports/", views.remove_export, name="remove-export"),
]
