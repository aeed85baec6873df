"""Multi-user chat (XEP-0045), a feature of layer 4: rooms and the services that hold them. Start at `room.py`."""
