"""What the full text knows of a row beside its words: tokens, by which whole archives are searched without a scan.

    O<account>   in whose archives it stands      A<address>   between whom it went: both bare addresses
    R<room>      in which room's archive          D<domain>    the domains of both
    K<kind>      chat, normal, groupchat          F            it carries a file (XEP-0066, XEP-0385, XEP-0447)
    T<time>      some twelve days (PostgreSQL)

Every row has them, those without words too. On SQLite they are the column `owners` of the full text, whose tokenizer
takes letters and digits only, so addresses are written in hexadecimal digits; on PostgreSQL they are lexemes beside the
words, with capitals, which no word of a text has, and addresses are digests. Both are made by expressions here, and a
row must leave SQLite's index by the very tokens with which it was entered: who changes an expression has all rows
entered anew (`migrations/0004_tokens.py`).

A time token lets PostgreSQL search a stretch of time in the whole index; SQLite reads its index in the order of ids.
"""

from __future__ import annotations

import hashlib
from typing import Final

#: Bits of an id that a time token leaves out: 2**51 are twelve and a half days.
TIME_SHIFT: Final = 51
_SENDER_DOMAIN: Final = "substr(sender, instr(sender, '@') + 1)"
_RECIPIENT_DOMAIN: Final = "substr(recipient, instr(recipient, '@') + 1)"
#: How a file begins in a stored stanza; in texts `<` is escaped.
_FILES: Final = (
    "<x xmlns=''jabber:x:oob''",
    "<file-sharing xmlns=''urn:xmpp:sfs:",
    "<file xmlns=''urn:xmpp:jingle:apps:file-transfer:",
)
_ANY: Final = " OR ".join(f"{{find}}(xml, '{mark}') > 0" for mark in _FILES)

#: SQLite: the column `owners` of a row of archive_message.
SQLITE: Final = (
    "CASE WHEN room IS NULL THEN 'O' || ifnull(sender_account, '') || ' O' || ifnull(recipient_account, '')"
    " ELSE 'R' || room END"
    " || ' A' || hex(sender) || ' A' || hex(recipient)"
    f" || ' D' || hex({_SENDER_DOMAIN})"
    f" || CASE WHEN {_SENDER_DOMAIN} = {_RECIPIENT_DOMAIN} THEN '' ELSE ' D' || hex({_RECIPIENT_DOMAIN}) END"
    " || ' K' || kind"
    f" || CASE WHEN {_ANY.format(find='instr')} THEN ' F' ELSE '' END"
)
_DOMAINS: Final = ", ".join(
    f"'D' || left(md5(substr({side}, strpos({side}, '@') + 1)), 16)" for side in ("sender", "recipient")
)
#: PostgreSQL: the generated column `words`. Positions are left out: the index has none, and phrases are looked for in
#: `search`. Its words are parted by single blanks (`text.index_text`); an empty one would be no lexeme.
POSTGRES: Final = (
    "array_to_tsvector(array_remove(string_to_array(search, ' ', '') || ARRAY["
    "'O' || sender_account::text, 'O' || recipient_account::text, 'R' || room::text,"
    f" 'A' || left(md5(sender), 16), 'A' || left(md5(recipient), 16), {_DOMAINS},"
    f" 'K' || kind, 'T' || (id >> {TIME_SHIFT})::text,"
    f" CASE WHEN {_ANY.format(find='strpos')} THEN 'F' END], NULL))"
)
FILE: Final = "F"


def owner(account: int) -> str:
    """The token of an archive's owner: an account's number, or a room's taken negative."""
    return f"O{account}" if account > 0 else f"R{-account}"


def address(vendor: str, bare: str) -> str:
    """The token of a bare address, on this kind of database."""
    return "A" + _text(vendor, bare)


def domain(vendor: str, name: str) -> str:
    """The token of a domain."""
    return "D" + _text(vendor, name)


def kind(name: str) -> str:
    """The token of a kind of message."""
    return f"K{name}"


def times(low: int, high: int, most: int) -> list[str]:
    """The time tokens of the ids between these, neither included; none where there are more than `most`."""
    first, last = (low + 1) >> TIME_SHIFT, (high - 1) >> TIME_SHIFT
    return [f"T{number}" for number in range(first, last + 1)] if last - first < most else []


def _text(vendor: str, text: str) -> str:
    data = text.encode()
    if vendor == "sqlite":
        return data.hex().upper()
    return hashlib.md5(data, usedforsecurity=False).hexdigest()[:16]
