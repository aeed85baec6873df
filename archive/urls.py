"""Routes of the archive page."""

from django.urls import path

from archive import views

urlpatterns = [path("", views.browse, name="archive")]
