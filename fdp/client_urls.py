"""Routes of the forms page of users; those of the console are in `urls.py`."""

from django.urls import path

from fdp import client_views

urlpatterns = [
    path("forms/", client_views.page, name="forms"),
    path("forms/worker.js", client_views.worker, name="forms-worker"),
    path("forms/rendering/", client_views.rendering, name="forms-rendering"),
]
