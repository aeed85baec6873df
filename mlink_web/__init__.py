"""Layer 6. The Django side: settings, models, stores, endpoints, console, node. Start at `node/runtime.py`."""
