"""Routes."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from archive.oversight.views import appointing, looking, requesting, searching

app_name = "oversight"
urlpatterns: list[URLPattern | URLResolver] = [
    path("", searching.start, name="search"),
    path("s/<slug:token>/", searching.results, name="results"),
    path("s/<slug:token>/save", searching.save, name="save"),
    path("saved/", searching.saved, name="saved"),
    path("saved/<int:pk>/", searching.open_saved, name="saved-open"),
    path("saved/<int:pk>/remove", searching.remove_saved, name="saved-remove"),
    path("r/<slug:key>/", looking.record, name="record"),
    path("r/<slug:key>/around/", looking.look_around, name="around"),
    path("requests/", requesting.listed, name="requests"),
    path("requests/<int:pk>/", requesting.one, name="request"),
    path("requests/<int:pk>/decide", requesting.decide, name="request-decide"),
    path("requests/<int:pk>/end", requesting.withdraw, name="request-end"),
    path("officers/", appointing.listed, name="officers"),
    path("officers/remove", appointing.remove, name="officer-remove"),
    path("officers/options", appointing.change_options, name="options"),
]
