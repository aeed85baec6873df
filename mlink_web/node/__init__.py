"""The process of a node: one loop with the engine and the embedded HTTP server. Start at `runtime.py`."""
