"""Routes of the archive page."""

from django.urls import path

from archive import saving, views

urlpatterns = [
    path("", views.browse, name="archive"),
    path("contacts/", views.contacts, name="archive-contacts"),
    path("m/<str:key>/", views.permalink, name="archive-message"),
    path("save/", saving.save, name="archive-save"),
    path("saved/", saving.saved, name="archive-saved"),
]
