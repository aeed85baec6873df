"""Secrets in the options of modules, encrypted before they are stored: what stands under `secret` or `password`.

A copy of the database tells nobody the secret of a TURN server. The key is derived from SECRET_KEY, which is in a file
of its own; each value is bound to its domain. What was sealed with another SECRET_KEY cannot be read any more: the
service that it belongs to is left out, and the log says so.

    sealed:1:<Base64 of 12 bytes of nonce and AES-256-GCM>
"""

from __future__ import annotations

import hmac
import logging
import secrets
from base64 import b64decode, b64encode
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

log = logging.getLogger("mlink.conf")

NAMES: Final = frozenset({"password", "secret"})
_MARK: Final = "sealed:1:"
_NONCE: Final = 12


class Unreadable(Exception):
    """The value was sealed with another key or for another domain, or it is damaged."""


def sealed(value: Any, domain: str) -> Any:
    """Options as they are stored; what is sealed already stays as it is."""
    if isinstance(value, dict):
        return {
            name: _seal(part, domain) if name in NAMES and isinstance(part, str) else sealed(part, domain)
            for name, part in value.items()
        }
    return [sealed(part, domain) for part in value] if isinstance(value, list) else value


def opened(value: Any, domain: str) -> Any:
    """Options as modules get them. What cannot be read is left out: the entry of a list, else the single option."""
    if isinstance(value, dict):
        found = {}
        for name, part in value.items():
            try:
                found[name] = _open_entry(name, part, domain)
            except Unreadable:
                _complain(name, domain)
        return found
    return value


def _open_entry(name: str, value: Any, domain: str) -> Any:
    if isinstance(value, str):
        return _open(value, domain) if name in NAMES else value
    if isinstance(value, list):
        return _open_list(name, value, domain)
    if isinstance(value, dict):
        return {key: _open_entry(key, part, domain) for key, part in value.items()}
    return value


def _open_list(name: str, values: list[Any], domain: str) -> list[Any]:
    found = []
    for value in values:
        try:
            found.append(_open_entry(name if isinstance(value, str) else "", value, domain))
        except Unreadable:
            _complain(name, domain)
    return found


def _complain(name: str, domain: str) -> None:
    log.error("a secret in the option %r of %s was sealed with another SECRET_KEY; set it again", name, domain)


def _key() -> bytes:
    return hmac.digest(settings.SECRET_KEY.encode(), b"secrets of module options", "sha256")


def _seal(text: str, domain: str) -> str:
    if not text or text.startswith(_MARK):
        return text
    nonce = secrets.token_bytes(_NONCE)
    return _MARK + b64encode(nonce + AESGCM(_key()).encrypt(nonce, text.encode(), domain.encode())).decode()


def _open(text: str, domain: str) -> str:
    if not text.startswith(_MARK):
        return text
    try:
        data = b64decode(text.removeprefix(_MARK), validate=True)
        return AESGCM(_key()).decrypt(data[:_NONCE], data[_NONCE:], domain.encode()).decode()
    except (ValueError, InvalidTag):
        raise Unreadable from None
