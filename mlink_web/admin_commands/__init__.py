"""Administrators' commands that work on the database, for xmppctl and later front ends. Start at `registry.py`."""
