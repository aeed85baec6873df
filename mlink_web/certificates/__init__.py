"""Certificates of the domains: upload, requests, ACME, expiry."""
