"""Layer 3. Sessions, accounts, the router and delivery rules. Start at `session.py`."""
