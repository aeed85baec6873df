"""Scripts of XMPP conversations, `scripts/*.scn`, run over memory, TCP, TLS, WebSocket and BOSH.

`script.py` says how a script is written, `runner.py` plays it. `wires.py` and `bosh_wire.py` are the transports seen
from the client's side, `server.py` the engine on the other side.
"""
