"""Where an ACME authority looks for the proof of a domain (RFC 8555, 8.3), and what the authority for labs publishes.
Open to everybody: who asks has no account."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from mlink_web.certificates.views import public

urlpatterns: list[URLPattern | URLResolver] = [
    path(".well-known/acme-challenge/<str:token>", public.challenge, name="acme-challenge"),
    path("certificates/lab.crl", public.lab_list, name="lab-list"),
    path("certificates/lab.crt", public.lab_certificate, name="lab-certificate"),
]
