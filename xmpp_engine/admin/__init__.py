"""Layer 4. The command registry and the commands. Start at `command.py`."""
