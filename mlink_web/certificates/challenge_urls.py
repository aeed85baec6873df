"""Where an ACME authority looks for the proof of a domain (RFC 8555, 8.3), and what federation asks of the web."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver

urlpatterns: list[URLPattern | URLResolver] = []
