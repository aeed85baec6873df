"""Several real nodes with Redis and PostgreSQL, processes killed and links cut. Start at `site.py`."""
