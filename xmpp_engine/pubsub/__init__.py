"""Publish-subscribe (XEP-0060): nodes, their items, and who is told of them. Start at `service.py`."""
