"""Dates, also as people write them: 31.01.2024, 1/31/24 3:05 PM, 31 Jan 2024, 1706659200.

Also times of day and durations, which are read as seconds: 07:30, PT1H30M, 90 s.
"""

import re
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from .columns import ISO_DATE, Column
from .each import Read, each

EPOCHS = ("s", "ms")
"""Notations of numbers: seconds and milliseconds since 1970."""

COMPACT = "%Y%m%d"
"""Notation of a number: 20240131."""

CLOCK = "%H:%M:%S"
"""The notation of a column of numbers whose texts are times of day or durations."""

_CLOCK_TEXT = re.compile(
    r"(?P<sign>-?)(?P<hours>[0-9]{1,3}):(?P<minutes>[0-5][0-9])"
    r"(?::(?P<seconds>[0-5][0-9](?:\.[0-9]{1,9})?))? ?(?P<half>[ap]\.?m\.?)?",
    re.IGNORECASE,
)
_DURATION_TEXT = re.compile(
    r"-?P(?=.)(?:[0-9]+D)?(?:T(?=.)(?:[0-9]+H)?(?:[0-9]+M)?(?:[0-9]+(?:\.[0-9]+)?S)?)?"
    r"|-?[0-9]+ days?,? \+?[0-9]{1,2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?"
    r"|-?(?:[0-9]+(?:\.[0-9]+)? ?"
    r"(?:days?|d|hours?|hrs?|h|minutes?|mins?|m|seconds?|secs?|s|ms)(?: |$|(?=[0-9])))+"
)
_METRES = re.compile(r"[^a-z]*m")

_LONG = ("january", "february", "march", "april", "may", "june", "july", "august", "september")
_MONTHS = {name: n for n, name in enumerate((*_LONG, "october", "november", "december"), start=1)}
_MONTHS |= {"sept": 9} | {name[:3]: n for name, n in _MONTHS.items()}

_PARTS = {
    "%Y": r"(?P<year>[0-9]{4})",
    "%y": r"(?P<short>[0-9]{2})",
    "%m": r"(?P<month>[0-9]{1,2})",
    "%d": r"(?P<day>[0-9]{1,2})(?:st|nd|rd|th)?",
    "%b": r"(?P<name>[a-z]{3,9})\.?",
}
_WEEKDAY = r"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*[.,]* )?"
_TIME = (
    r"(?:(?:t|,? |,? at )(?P<hour>[0-9]{1,2})"
    r"(?::(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2}(?:\.[0-9]{1,9})?))?)?"
    r" ?(?P<half>[ap]\.?m\.?)?)?"
    r" ?(?P<zone>z|utc|gmt|[+-][0-9]{2}(?::?[0-9]{2})?)?"
)
_FURTHEST = 2.5e17  # microseconds from 1970 to the last year that is a date
_CENTURY = 2069  # two-digit years are before it where the notation names no other year, as in POSIX
_EXAMPLE = {"%Y": "2024", "%y": "24", "%m": "01", "%d": "31", "%b": "Jan"}


def read_dates(cells: pd.Series, column: Column, as_text: bool) -> Read:
    """Reads a raw column of dates and date-times, as UTC without a zone.

    ISO dates are read whatever the notation of the column.
    """
    notation, blank_is_missing = column.notation, as_text or not column.required

    def read(cell: Any) -> str | None:
        if isinstance(cell, (datetime, date)):
            return cell.isoformat()
        text = _as_written(cell, notation) if notation else cell.strip()
        if text in column.missing or (not text and blank_is_missing):
            return None
        if re.fullmatch(ISO_DATE, text):
            return str(text)
        if not notation:
            raise ValueError("not an ISO date")
        return iso_date(text, notation)

    if pd.api.types.is_datetime64_any_dtype(cells.dtype):
        moments = pd.to_datetime(cells, utc=True)
        bad = np.zeros(len(cells), dtype=bool)
    elif notation in EPOCHS and pd.api.types.is_numeric_dtype(cells.dtype):
        values = cells.to_numpy(dtype=np.float64, na_value=np.nan)
        values = np.round(values * (1e6 if notation == "s" else 1e3))
        bad = np.abs(values) > _FURTHEST
        known = ~(np.isnan(values) | bad)
        moments = pd.Series(np.where(known, values, 0).astype("datetime64[us]")).where(known)
        return moments.array, bad
    else:
        codes, distinct = _distinct(cells)
        texts, bad = each(distinct, read, None)
        moments = pd.to_datetime(
            pd.Series(texts, dtype=object), format="ISO8601", utc=True, errors="coerce"
        )
        bad |= moments.isna().to_numpy() & np.array([text is not None for text in texts], bool)
        moments, bad = moments.take(codes), bad[codes]
    return moments.dt.tz_localize(None).dt.as_unit("us").array, bad


def _distinct(cells: pd.Series) -> tuple[np.ndarray, pd.Series]:
    """Positions among the distinct cells, and these; each cell alone where they are mixed."""
    if not isinstance(cells.dtype, pd.StringDtype):
        return np.arange(len(cells)), cells
    codes, distinct = pd.factorize(cells, use_na_sentinel=False)
    return codes, pd.Series(distinct)


def _as_written(cell: Any, notation: str) -> str:
    """A cell as text; a number is one where dates are written as numbers."""
    if isinstance(cell, str):
        return cell.strip()
    if isinstance(cell, (bool, np.bool_)) or notation not in (*EPOCHS, COMPACT):
        raise TypeError("no date")
    return str(int(cell)) if cell == int(cell) else repr(float(cell))


def iso_date(text: str, notation: str) -> str:
    """A stripped text in a notation as an ISO date-time, which may be one that does not exist.

    Raises:
        ValueError: it is not written so.
    """
    if notation in EPOCHS:
        microseconds = round(Decimal(text) * (1_000_000 if notation == "s" else 1000))
        return str(np.datetime64(microseconds, "us"))
    pattern, century = _form(notation)
    parts = pattern.fullmatch(text.lower())
    if parts is None:
        raise ValueError(f"not written as {notation}")
    found = parts.groupdict()
    year = int(found.get("year") or 1900 + int(found.get("short") or 0))
    year += 100 if not found.get("year") and year + 100 < century else 0
    name = found.get("name")
    month = _MONTHS.get(name, 0) if name else int(found["month"])
    iso = f"{year:04}-{month:02}-{int(found.get('day') or 1):02}"
    if found["hour"] is None:
        return iso + ("T00:00" + _zone(found["zone"]) if found["zone"] else "")
    hour, half = int(found["hour"]), found["half"]
    if half:
        if not 1 <= hour <= 12:
            raise ValueError("no such hour")
        hour = hour % 12 + (12 if half.startswith("p") else 0)
    elif found["minute"] is None:
        raise ValueError("an hour alone")
    seconds = found["second"]
    return f"{iso}T{hour:02}:{found['minute'] or '00'}{f':{seconds}' if seconds else ''}" + _zone(
        found["zone"]
    )


def _zone(zone: str | None) -> str:
    if not zone or zone in ("z", "utc", "gmt"):
        return "Z"
    return f"{zone[:3]}:{zone[-2:] if len(zone) > 3 else '00'}"


@lru_cache(maxsize=256)
def _form(notation: str) -> tuple[re.Pattern[str], int]:
    """A regular expression, and the year before which two-digit years are."""
    layout, _, century = notation.partition("<")
    pieces = re.split(r"(%[Yymdb])", layout)
    if "".join(pieces[::2]):
        parts = [_PARTS.get(piece, r"[-/., ]+" if piece else "") for piece in pieces]
    else:  # nothing stands between the parts
        parts = [re.sub(r"\{1,2\}", "{2}", _PARTS.get(piece, "")) for piece in pieces]
    return re.compile(_WEEKDAY + "".join(parts) + _TIME), int(century or _CENTURY)


def date_example(notation: str) -> str:
    """The last of January 2024 in a notation."""
    if not notation:
        return "2024-01-31 or 2024-01-31T08:00:00Z"
    if notation in EPOCHS:
        return "1706659200" + "000" * (notation == "ms")
    example = notation.partition("<")[0]
    for part, value in _EXAMPLE.items():
        example = example.replace(part, value)
    return example


def parse_seconds(texts: pd.Series) -> np.ndarray:
    """Reads 07:30, 7:30:15.5, 7:30 pm, 26:10:00, 1 days 02:30:00, PT1H30M, 1h 30min, 90 s.

    Returns:
        (n,) float64 seconds; NaN for what is none of these.
    """
    codes, distinct = pd.factorize(texts, use_na_sentinel=True)
    seconds = np.array([_seconds(str(text)) for text in distinct] + [np.nan])
    return seconds[codes]


def seconds_of(cell: time | timedelta) -> float:
    """Seconds since midnight of a time of day, or of a duration."""
    if isinstance(cell, timedelta):
        return cell.total_seconds()
    return cell.hour * 3600 + cell.minute * 60 + cell.second + cell.microsecond / 1e6


def _seconds(text: str) -> float:
    if clock := _CLOCK_TEXT.fullmatch(text):
        hours = int(clock["hours"])
        if half := clock["half"]:
            if not 1 <= hours <= 12:
                return np.nan
            hours = hours % 12 + (12 if half[0] in "pP" else 0)
        seconds = hours * 3600 + int(clock["minutes"]) * 60 + float(clock["seconds"] or 0)
        return -seconds if clock["sign"] else seconds
    if _DURATION_TEXT.fullmatch(text) and not _METRES.fullmatch(text):
        text = re.sub(r"(?<=r|n|c)s\b", "", text.replace(",", ""))  # hrs, mins, secs
        return float(pd.to_timedelta(text, errors="coerce").total_seconds())
    return np.nan
