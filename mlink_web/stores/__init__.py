"""The store protocols of the engine over the database. Start at `build.py`."""
