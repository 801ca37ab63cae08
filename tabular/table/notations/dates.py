"""How a column of dates is written: decided from all of its cells."""

import datetime
import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from custom_model.served.columns import Column
from custom_model.served.dates import COMPACT, EPOCHS, read_dates
from tabular.table.notations.words import Reading, strays

_PART = r"[0-9]{1,4}(?:st|nd|rd|th)?|(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_DATE = re.compile(
    r"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*[.,]* )?"
    rf"(?P<first>{_PART})(?P<one>[-/., ]+)(?P<second>{_PART})"
    r"(?:(?P<two>[-/., ]+)(?P<third>[0-9]{4}|[0-9]{1,2}))?(?:[ t,].*|z|[+-][0-9:]+)?",
    re.IGNORECASE,
)
_LIKE_A_DATE = f"(?i)^(?:{re.sub(r'[?]P<[a-z]+>', '', _DATE.pattern)})$"
_LIKE_ENOUGH = 0.8  # of the distinct texts
_HEAD = 50  # texts that tell which orders are possible

_ORDERS = (
    *("Ymd", "Ydm", "dmY", "mdY", "dmy", "mdy", "ymd", "dbY", "bdY", "Ybd", "dby", "bdy"),
    *("Ym", "mY", "bY", "Yb"),
)
_MANY = 20  # dates of which the days differ more than the years
_YEARS_AHEAD = 10  # a two-digit year further away is one of the last century

_TIME_WORDS = frozenset(
    {"time", "timestamp", "date", "datetime", "epoch", "unix", "ts", "dt", "when", "moment", "on"}
    | {"at", "created", "updated", "modified", "seen", "since", "start", "end", "logged", "joined"}
)
_PLAUSIBLE = ("1990-01-01", "2040-01-01")  # dates of a column with a heading that says so
_RECENT = ("2010-01-01", "2030-01-01")  # of another one
_FEWEST, _NOT_BY_CHANCE = 5, 20  # different numbers
_FIRST = 19000101  # the least number that is a date in any notation
_LAST = 1000 * pd.Timestamp(_PLAUSIBLE[1]).timestamp()  # the largest


def read_format(counts: pd.Series) -> Reading | str | None:
    """Finds how a column of texts writes its dates.

    Returns:
        How it is read; a reason for leaving it out; None where it is no column of dates.
    """
    texts = pd.Series(counts.index, dtype="str")
    like = pc.match_substring_regex(pa.array(texts, pa.string()), _LIKE_A_DATE)
    if pc.mean(like).as_py() < _LIKE_ENOUGH:
        return None
    rows = counts.to_numpy()
    possible = _possible(texts[:_HEAD])
    year_first = any(notation.startswith("%Y") for notation in possible)
    read = {one: _moments(texts, one) for one in ([""] if year_first else []) + possible}
    if not read:
        return None
    n_rows = {notation: rows[~np.isnat(moments)].sum() for notation, moments in read.items()}
    most = max(n_rows.values())
    turned = _moments(texts.str.replace("-", "/"), "%Y/%d/%m") if year_first else None
    if turned is not None and most < rows[~np.isnat(turned)].sum():
        return "holds dates that are written as year-day-month; write them as 2024-01-31"
    best = [notation for notation, n in n_rows.items() if n == most]
    if most == 0:
        return None
    if len(best) > 1:
        best = _preferred(best, read)
    notation = best[0]
    if len(best) > 1:
        example = texts[int(np.argmin(np.isnat(read[notation])))]
        return (
            f"holds dates such as {example!r}, in which day, month and year cannot be told apart; "
            "write them as 2024-01-31"
        )
    if notation.startswith("%Y") and "%d" not in notation and _are_terms(texts):
        return None
    ahead = datetime.date.today().year + _YEARS_AHEAD
    if "%y" in notation and (read[notation] >= np.datetime64(f"{ahead}-01-01")).any():
        notation += f"<{ahead}"
        read[notation] = _moments(texts, notation)
    missing = strays(counts, np.isnat(read[notation]))
    return None if missing is None else Reading(notation, read[notation], missing)


def _possible(head: pd.Series) -> list[str]:
    """Formats by the shape of most of the first texts."""
    shapes: list[tuple[str, ...]] = []
    for text in head:
        if parts := _DATE.fullmatch(text):
            pieces = [piece for piece in parts.group("first", "second", "third") if piece]
            named = [
                "b" if p[0].isalpha() else "Y" if re.match(r"\d{4}", p) else "." for p in pieces
            ]
            if len(pieces) == 3 or "b" in named or parts["one"] in "-/":  # 10,2023 is a number
                shapes.append((*named, parts["one"][:2], (parts["two"] or "")[:2]))
    *shape, one, two = max(shapes, key=shapes.count) if shapes else ("", "", "")
    pattern = "".join("[dmy]" if piece == "." else piece for piece in shape)
    marks = [one, two, ""]
    return [
        "".join(f"%{part}{mark}" for part, mark in zip(order, marks, strict=False))
        for order in _ORDERS
        if re.fullmatch(pattern, order)
    ]


def _are_terms(texts: pd.Series) -> bool:
    """Whether these are terms such as 2024-1, or seasons such as 2010-11, rather than months."""
    parts = texts.str.extract(r"^(\d{4})\D+(\d{1,2})$").dropna().astype(int)
    one_digit = texts.str.fullmatch(r"\d{4}\D+\d").any() and parts[1].nunique() < 10
    return bool(one_digit or (len(parts) and (parts[1] == (parts[0] + 1) % 100).all()))


def _moments(texts: pd.Series, notation: str) -> np.ndarray:
    column = Column("", "date", required=False, notation=notation)
    return np.asarray(read_dates(texts, column, True)[0].to_numpy("datetime64[us]"))


def _preferred(notations: list[str], read: dict[str, np.ndarray]) -> list[str]:
    """Formats that are as likely as any other of some that fit alike."""
    orders = {notation: re.sub(r"[^YymdbB]", "", notation) for notation in notations}
    for order, other in (("", "Ymd"), ("Ymd", "Ydm"), ("dby", "bdy")):  # which nobody writes
        if order in orders.values():
            notations = [n for n in notations if orders[n] != other]
    if len(notations) > 1 and any("%y" in notation for notation in notations):
        moments = [read[notation][~np.isnat(read[notation])] for notation in notations]
        if len(moments[0]) >= _MANY:  # then there are more days than years
            spreads = [
                (pd.Series(m).dt.day.nunique(), pd.Series(m).dt.year.nunique()) for m in moments
            ]
            notations = [
                n for n, (days, years) in zip(notations, spreads, strict=True) if days >= years
            ]
    return notations


def number_format(name: str, values: np.ndarray) -> str:
    """The notation of numbers that are plainly dates, "" where they are numbers.

    Seconds and milliseconds since 1970 are told by the heading and their range, without such a
    heading only where all are of the last years; 20240131 by being a date in every row.
    """
    if not (values.min() >= _FIRST and values.max() <= _LAST):
        return ""  # in no notation
    values = np.unique(values)
    if len(values) < _FEWEST:
        return ""
    words = {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)}
    of_time = bool(words & _TIME_WORDS) or any(w.endswith(("time", "date", "stamp")) for w in words)
    low, high = _PLAUSIBLE if of_time else _RECENT
    many = len(values) >= _NOT_BY_CHANCE
    for unit in EPOCHS:
        first, last = (pd.Timestamp(day).timestamp() for day in (low, high))
        seconds = values / (1 if unit == "s" else 1000)
        if (of_time or many) and first <= seconds.min() and seconds.max() < last:
            return unit
    first, last = _FIRST, 21001231
    if (of_time or many) and first <= values.min() and values.max() <= last:
        texts = pd.Series(values.astype(str), dtype="str").str.removesuffix(".0")
        if not np.isnat(_moments(texts, COMPACT)).any():
            return COMPACT
    return ""
