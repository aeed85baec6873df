"""Publish-subscribe on the Django side: what is stored, and the console's pages."""
