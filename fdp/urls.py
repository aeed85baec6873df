"""Routes of the console's pages of forms, all below /admin/forms/; those of the page of users are in
`client_urls.py`."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from fdp.views import editor, exports, published, services, styles, topics

app_name = "fdp"
urlpatterns: list[URLPattern | URLResolver] = [
    path("admin/forms/", topics.topics, name="topics"),
    path("admin/forms/add/", topics.add_topic, name="add"),
    path("admin/forms/import/", topics.import_topics, name="import"),
    path("admin/forms/topics.json", topics.export_topics, name="export-topics"),
    path("admin/forms/samples", topics.samples, name="samples"),
    path("admin/forms/services/", services.services, name="services"),
    path("admin/forms/services/add/", services.add_service, name="service-add"),
    path("admin/forms/services/<str:name>/remove/", services.remove_service, name="service-remove"),
    path("admin/forms/topic/<int:pk>/", topics.topic, name="topic"),
    path("admin/forms/topic/<int:pk>/settings/", topics.settings, name="settings"),
    path("admin/forms/topic/<int:pk>/enable", topics.enable, name="enable"),
    path("admin/forms/topic/<int:pk>/rules/", topics.rule_lists, name="rules"),
    path("admin/forms/topic/<int:pk>/remove/", topics.remove, name="remove"),
    path("admin/forms/topic/<int:pk>/edit/", editor.edit, name="edit"),
    path("admin/forms/topic/<int:pk>/check", editor.check, name="check"),
    path("admin/forms/topic/<int:pk>/try/", editor.try_out, name="try"),
    path("admin/forms/topic/<int:pk>/versions/", editor.versions, name="versions"),
    path("admin/forms/topic/<int:pk>/versions/<int:number>/", editor.version, name="version"),
    path("admin/forms/topic/<int:pk>/stylesheets/", styles.styles, name="styles"),
    path("admin/forms/topic/<int:pk>/stylesheets/preview", styles.preview, name="styles-preview"),
    path("admin/forms/published/", published.forms, name="published"),
    path("admin/forms/published/<int:pk>/", published.form, name="published-form"),
    path("admin/forms/published/<int:pk>/frame", published.frame, name="published-frame"),
    path("admin/forms/published/<int:pk>/print/", published.printed, name="print"),
    path("admin/forms/published/<int:pk>/file.<str:format>", exports.one, name="published-file"),
    path("admin/forms/export", exports.export, name="export"),
    path("admin/forms/exports/", exports.exports, name="exports"),
]
