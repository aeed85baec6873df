"""Datatypes of XEP-0122 after XML Schema Part 2: what a value may look like, and which of two is greater.

A datatype is a function from text to a key that orders values; it raises ValueError with a sentence ("must be ...") for
what does not belong to it. Datatypes that are not known, ad-hoc ones (`x:`) among them, take any text (XEP-0122, 4).
All of them take time in proportion to the text, and numbers have at most MAX_DIGITS digits.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

MAX_DIGITS: Final = 400
_SPACE: Final = " \t\r\n"
_INTEGER: Final = re.compile(r"[+-]?[0-9]+\Z")
_DECIMAL: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)\Z")
_DOUBLE: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\Z")
_LANGUAGE: Final = re.compile(r"[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*\Z")
_DATE: Final = re.compile(r"(-?)([0-9]{4,9})-([0-9]{2})-([0-9]{2})\Z")
_TIME: Final = re.compile(r"([0-9]{2}):([0-9]{2}):([0-9]{2})(\.[0-9]{1,30})?\Z")
_ZONE: Final = re.compile(r"(.*?)(Z|[+-][0-9]{2}:[0-9]{2})?\Z", re.DOTALL)
#: RFC 3986 with the further characters of RFC 3987; a percent sign begins two digits.
_URI: Final = re.compile(r"(?:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=\u00a0-\U0010ffff-]|%[0-9A-Fa-f]{2})*\Z")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*\Z")

DAY: Final = 86_400
MONTHS: Final = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
#: Whole numbers: (least, greatest), None for without end.
INTEGERS: Final[dict[str, tuple[int | None, int | None]]] = {
    "xs:integer": (None, None),
    "xs:byte": (-(2**7), 2**7 - 1),
    "xs:short": (-(2**15), 2**15 - 1),
    "xs:int": (-(2**31), 2**31 - 1),
    "xs:long": (-(2**63), 2**63 - 1),
    "xs:unsignedByte": (0, 2**8 - 1),
    "xs:unsignedShort": (0, 2**16 - 1),
    "xs:unsignedInt": (0, 2**32 - 1),
    "xs:unsignedLong": (0, 2**64 - 1),
    "xs:nonNegativeInteger": (0, None),
    "xs:positiveInteger": (1, None),
    "xs:nonPositiveInteger": (None, 0),
    "xs:negativeInteger": (None, -1),
}

Datatype = Callable[[str], Any]


def text(value: str) -> str:
    """xs:string, and whatever is not known."""
    return value


def integer(least: int | None, greatest: int | None) -> Datatype:
    """xs:integer and what is derived from it."""

    def parse(value: str) -> int:
        if not _INTEGER.match(value):
            raise ValueError("must be a whole number")
        if len(value) > MAX_DIGITS:
            raise ValueError(f"must be a whole number of at most {MAX_DIGITS} digits")
        number = int(value)
        if least is not None and number < least:
            raise ValueError(f"must be a whole number of at least {least}")
        if greatest is not None and number > greatest:
            raise ValueError(f"must be a whole number of at most {greatest}")
        return number

    return parse


def decimal(value: str) -> Decimal:
    """xs:decimal."""
    if len(value) > MAX_DIGITS or not _DECIMAL.match(value):
        raise ValueError("must be a number such as 12.5")
    return Decimal(value)


def double(value: str) -> float:
    """xs:double and xs:float; NaN is not accepted, since nothing can be compared with it."""
    if value in ("INF", "-INF"):
        return math.inf if value == "INF" else -math.inf
    if len(value) > MAX_DIGITS or not _DOUBLE.match(value):
        raise ValueError("must be a number such as 12.5 or 1.2e3")
    return float(value)


def boolean(value: str) -> bool:
    """xs:boolean."""
    if value not in ("0", "1", "false", "true"):
        raise ValueError("must be true or false")
    return value in ("1", "true")


def language(value: str) -> str:
    """xs:language."""
    if not _LANGUAGE.match(value):
        raise ValueError("must be a language such as en or pt-BR")
    return value.lower()


def any_uri(value: str) -> str:
    """xs:anyURI: an address, absolute or relative."""
    before = re.split("[/?#]", value, maxsplit=1)[0]
    scheme, colon, _rest = before.partition(":")
    if not value or not _URI.match(value) or (colon and not _SCHEME.match(scheme)):
        raise ValueError("must be an address such as https://example.org/")
    return value


def date(value: str) -> int:
    """xs:date; without a zone UTC is assumed where dates are compared. The key is seconds."""
    try:
        local, zone = _zone(value)
        return _days(local) * DAY - zone
    except ValueError:
        raise ValueError("must be a date such as 2026-03-31") from None


def date_time(value: str) -> Decimal:
    """xs:dateTime, see `date`."""
    try:
        local, zone = _zone(value)
        day, mark, clock = local.partition("T")
        if not mark:
            raise ValueError
        return _days(day) * DAY + _seconds(clock) - zone
    except ValueError:
        raise ValueError("must be a date and time such as 2026-03-31T14:05:00Z") from None


def time(value: str) -> Decimal:
    """xs:time, see `date`."""
    try:
        local, zone = _zone(value)
        return _seconds(local) - zone
    except ValueError:
        raise ValueError("must be a time such as 14:05:00") from None


def _zone(value: str) -> tuple[str, int]:
    """The local part, and how many seconds its zone is ahead of UTC."""
    if len(value) > 100:
        raise ValueError
    found = _ZONE.match(value)
    assert found is not None
    local, zone = found[1], found[2]
    if not zone or zone == "Z":
        return local, 0
    hours, minutes = int(zone[1:3]), int(zone[4:6])
    if minutes > 59 or hours * 60 + minutes > 14 * 60:
        raise ValueError
    seconds = hours * 3_600 + minutes * 60
    return local, -seconds if zone[0] == "-" else seconds


def _days(value: str) -> int:
    """Days since the first of January of the year 0 of the proleptic Gregorian calendar."""
    found = _DATE.match(value)
    if not found:
        raise ValueError
    year, month, day = int(found[2]), int(found[3]), int(found[4])
    if year == 0 or (len(found[2]) > 4 and found[2].startswith("0")) or not 1 <= month <= 12:
        raise ValueError
    # There is no year 0 in XML Schema 1.0: the year before 1 is -1.
    year = 1 - year if found[1] else year
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if not 1 <= day <= MONTHS[month - 1] + (leap and month == 2):
        raise ValueError
    before = year - 1
    days = 365 * year + before // 4 - before // 100 + before // 400
    return days + sum(MONTHS[: month - 1]) + (leap and month > 2) + day


def _seconds(value: str) -> Decimal:
    found = _TIME.match(value)
    if not found:
        raise ValueError
    hours, minutes, seconds = int(found[1]), int(found[2]), int(found[3])
    fraction = Decimal("0" + (found[4] or ".0"))
    midnight = hours == 24 and minutes == seconds == 0 and not fraction
    if (hours > 23 and not midnight) or minutes > 59 or seconds > 59:
        raise ValueError
    return hours * 3_600 + minutes * 60 + seconds + fraction


DATATYPES: Final[dict[str, Datatype]] = {
    "xs:string": text,
    "xs:anyURI": any_uri,
    "xs:boolean": boolean,
    "xs:date": date,
    "xs:dateTime": date_time,
    "xs:decimal": decimal,
    "xs:double": double,
    "xs:float": double,
    "xs:language": language,
    "xs:time": time,
    **{name: integer(*bounds) for name, bounds in INTEGERS.items()},
}
#: Those of which one value can be greater than another: only they have ranges (XEP-0122, 3.2.3).
ORDERED: Final = frozenset({"xs:date", "xs:dateTime", "xs:decimal", "xs:double", "xs:float", "xs:time", *INTEGERS})


def parse(datatype: str, value: str) -> Any:
    """The key of a value; raises ValueError with a sentence."""
    return DATATYPES.get(datatype, text)(collapsed(datatype, value))


def collapsed(datatype: str, value: str) -> str:
    """The value without the white space around it, except for texts, which keep it (XML Schema, 4.3.6)."""
    return value.strip(_SPACE) if DATATYPES.get(datatype, text) is not text else value
