"""The message archive: Django app and engine module (XEP-0313).

`engine.py` runs inside the engine and decides what is archived; `mlink_web/stores/ledger.py` writes the rows;
`query.py` reads them for both the protocol (`store.py`) and the pages (`services.py`). How rows are laid out stands
in `models.py`.
"""
