"""Routes, all below /admin/archive/files/."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from archive.dayfiles.views import doing, looking

app_name = "dayfiles"
urlpatterns: list[URLPattern | URLResolver] = [
    path("", looking.overview, name="overview"),
    path("file/<int:pk>/", looking.file, name="file"),
    path("file/<int:pk>/download", looking.download, name="download"),
    path("day/<str:domain>/<str:day>/", looking.day, name="day"),
    path("switch", doing.switch, name="switch"),
    path("options", doing.change, name="options"),
    path("verify", doing.verify, name="verify"),
    path("rebuild", doing.rebuild, name="rebuild"),
    path("import/", doing.take_in, name="import"),
]
