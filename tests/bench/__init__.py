"""Comparison of this server with Prosody and ejabberd, and the budgets that guard the hot path.

`python -m tests.bench.compare` is the way in; `measures.py` says what is measured, `load.py` how the load is made and
`servers.py` how each server is set up. Everything runs on loopback in temporary directories.
"""
