"""Layer 0. Elements, the stream parser, the writer and the errors of RFC 6120. Start at `element.py`."""
