"""Accounts: people who sign in by XMPP and on the web. `services.py` holds the only writers."""
