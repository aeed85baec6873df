"""Federation with other servers (layer 4): start reading at federation.py."""
