"""Layer 1. SASL mechanisms, sans-IO. Start at `mechanism.py`."""
