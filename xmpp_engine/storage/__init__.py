"""Layer 0. Rows and the protocols that every store implements. Start at `protocols.py`."""
