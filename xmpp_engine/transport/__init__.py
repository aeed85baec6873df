"""Layer 1. Bytes in and out: TCP with TLS, WebSocket, BOSH, memory. Start at `base.py`."""
