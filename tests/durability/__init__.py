"""Kill the node under load, again and again: nothing acknowledged is lost, nothing is stored twice (XEP-0198).

Start with `test_kill.py`; `client.py` is the raw client whose counters the proof rests on.
"""
