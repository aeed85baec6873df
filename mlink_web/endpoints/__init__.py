"""HTTP endpoints of a node: bare ASGI callables between the HTTP server and the engine. Start at `bosh.py`."""
