"""Terms (`text.py`) as the two databases' full text takes them. Words are letters and digits only, so nothing in them
needs escaping beyond quotes.

SQLite's index has positions and finds words side by side itself. PostgreSQL's has none: there the words of a phrase are
found by the index and their order in the column `search`, whose words are parted by single blanks.
"""

from __future__ import annotations

from typing import Final

from archive.text import Term, for_postgres, tokens

#: PostgreSQL: whether a phrase (`phrase`) stands in a row.
HOLDS: Final = "strpos(' ' || search || ' ', %s) > 0"


def fts5(term: Term) -> str:
    """A term for MATCH on archive_words."""
    words, prefix = tokens(term)
    return f'words : "{" ".join(words)}"{" *" if prefix else ""}'


def fts5_owner(token: str) -> str:
    """A token of `tokens.py` for the same."""
    return f'owners : "{token}"'


def tsquery(term: Term) -> str:
    """A term for tsquery: all of its words."""
    words, prefix = tokens(term)
    quoted = [f"'{for_postgres(word)}'" for word in words]
    if prefix:
        quoted[-1] += ":*"
    return f"({' & '.join(quoted)})"


def phrase(term: Term) -> str:
    """What must stand in a row for HOLDS, "" where the index alone says it."""
    words, prefix = tokens(term)
    if len(words) == 1:
        return ""
    return f" {' '.join(map(for_postgres, words))}{'' if prefix else ' '}"
