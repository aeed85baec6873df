"""Layer 1. Stream negotiation and stream management. Start at `stream.py`."""
