"""Layer 0. The configuration as one frozen value. Start at `schema.py`."""
