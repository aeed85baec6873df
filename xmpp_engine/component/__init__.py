"""External components (layer 4; XEP-0114, 0355, 0356): start reading at components.py."""
