"""What is known of ACME authorities before one is asked.

It stands apart from `orders.py`, which talks to them: the library and its HTTP client cost 50 ms of every start, and
pages, commands and nodes that never order a certificate must not wait for them.
"""

from __future__ import annotations

from typing import Final

#: Known directories for the page; any other one may be named.
DIRECTORIES: Final = (
    ("https://acme-v02.api.letsencrypt.org/directory", "Let’s Encrypt"),
    ("https://acme-staging-v02.api.letsencrypt.org/directory", "Let’s Encrypt, for trying out"),
)


class Failed(Exception):
    """There is no certificate; the text is a sentence."""
