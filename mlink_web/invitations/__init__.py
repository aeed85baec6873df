"""Invitations to make an account (XEP-0401, XEP-0445): their store and the landing page."""
