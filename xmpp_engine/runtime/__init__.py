"""Layer 1. Clock, supervised tasks and the ledger of durable writes. Start at `ledger.py`."""
