"""Layer 0. Stanzas, their builders, data forms and result sets. Start at `stanza.py`."""
