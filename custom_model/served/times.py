"""Times of day and durations, as seconds."""

import datetime
import re

import numpy as np
import pandas as pd

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


def parse_seconds(texts: pd.Series) -> np.ndarray:
    """Reads 07:30, 7:30:15.5, 7:30 pm, 26:10:00, 1 days 02:30:00, PT1H30M, 1h 30min, 90 s.

    Returns:
        (n,) float64 seconds; NaN for what is none of these.
    """
    codes, distinct = pd.factorize(texts, use_na_sentinel=True)
    seconds = np.array([_seconds(str(text)) for text in distinct] + [np.nan])
    return seconds[codes]


def seconds_of(cell: datetime.time | datetime.timedelta) -> float:
    """Seconds since midnight of a time of day, or of a duration."""
    if isinstance(cell, datetime.timedelta):
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
