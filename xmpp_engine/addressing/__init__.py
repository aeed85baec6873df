"""Layer 0. JIDs and their preparation (RFC 7622). Start at `jid.py`."""
