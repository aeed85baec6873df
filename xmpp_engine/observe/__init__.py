"""Layer 0. Counters and logging. Start at `counters.py`."""
