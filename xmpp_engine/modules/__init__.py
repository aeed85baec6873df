"""Layer 4. Features, one XEP family a file. Start at `carbons.py`."""
