"""Numbers, also as people write them: 1.234,5 and $1,234.50 and (12) and 12 % and 07:30."""

import datetime
import math
import numbers
import re
from decimal import Decimal
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from .columns import LARGEST, Column
from .dates import CLOCK, parse_seconds, seconds_of
from .each import Read, each

_EXAMPLE = re.compile(r"(?P<before>\D*)1(?P<grouping>\D?)234(?P<decimal>\D)5(?P<after>\D*)")
_SPELLED = (
    ("\u2212\u2012\u2013\ufe63\uff0d", "-"),
    ("\u00a0\u202f\u2009\u2007", " "),
    ("\u2019\u2018\u02bc\u00b4`", "'"),
)
"""Letters that are written for a minus, a blank and an apostrophe."""


def read_numbers(cells: pd.Series, column: Column, as_text: bool) -> Read:
    """Reads a raw column of numbers; where every cell is text, a text may be one."""
    dtype = cells.dtype
    if pd.api.types.is_bool_dtype(dtype) or pd.api.types.is_complex_dtype(dtype):
        return np.full(len(cells), np.nan), cells.notna().to_numpy()
    if column.notation == CLOCK and pd.api.types.is_timedelta64_dtype(dtype):
        return cells.dt.total_seconds().to_numpy(), np.zeros(len(cells), dtype=bool)
    if pd.api.types.is_numeric_dtype(dtype):
        values = cells.to_numpy(dtype=np.float64, na_value=np.nan)
        return _bounded(values, _mistaken(values, column), column)
    if isinstance(dtype, pd.StringDtype):
        is_text = cells.notna().to_numpy(dtype=bool)
    else:
        is_text = np.array([isinstance(cell, str) for cell in cells.array], dtype=bool)
    texts = (cells if is_text.all() else cells[is_text]).astype("str").str.strip()
    blank = [""] if as_text or not column.required else []
    absent = texts.isin([*column.missing, *blank]).to_numpy(dtype=bool)
    values, bad = np.full(len(cells), np.nan), is_text.copy()
    bad[is_text] = ~absent
    if as_text or column.text:
        values[is_text] = np.where(absent, np.nan, parse_numbers(texts, column.notation))
        bad[is_text] &= np.isnan(values[is_text])
    if isinstance(dtype, pd.StringDtype) or is_text.all():
        return _bounded(values, bad, column)

    def read(cell: Any) -> float:
        if column.notation == CLOCK and isinstance(cell, (datetime.time, datetime.timedelta)):
            return seconds_of(cell)
        if isinstance(cell, (bool, np.bool_)) or not isinstance(cell, (numbers.Real, Decimal)):
            raise TypeError("not a number")
        return float(cell)

    values[~is_text], bad[~is_text] = each(cells[~is_text], read, math.nan)
    bad |= _mistaken(values, column) & ~is_text
    return _bounded(values, bad, column)


def _bounded(values: np.ndarray, bad: np.ndarray, column: Column) -> Read:
    """Numbers beyond `LARGEST` are bad, or missing where some were so in training."""
    if (large := np.abs(values) > LARGEST).any():
        values = np.where(large, np.nan, values)
        if not any(abs(number) > LARGEST for number in map(_plain_number, column.missing)):
            bad = bad | large
    return values, bad


def _mistaken(values: np.ndarray, column: Column) -> np.ndarray:
    """(n_rows,) bool, numbers such as 1.234 where a point stands between thousands.

    A CSV reader has made such a number of the text, which means 1234.
    """
    if column.kind != "number" or not groups_by_point(column.notation):
        return np.zeros(len(values), dtype=bool)
    with np.errstate(invalid="ignore", over="ignore"):
        thousandths, hundredths = values * 1000, values * 100
        near = np.isclose(thousandths, np.round(thousandths), rtol=0, atol=1e-9)
        return near & (np.abs(hundredths - np.round(hundredths)) > 0.05) & (np.abs(values) < 1000)


def groups_by_point(notation: str) -> bool:
    """Whether 1.234 is 1234 in a notation."""
    return bool(notation) and notation != CLOCK and _form(notation)[1] == "."


def _plain_number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return 0.0


def parse_numbers(texts: pd.Series, notation: str) -> np.ndarray:
    """Reads stripped texts as numbers.

    Returns:
        (n,) float64; NaN for what is not a number in this notation.
    """
    if notation == CLOCK:
        return parse_seconds(texts)
    if notation:
        spelled = as_plain_letters(pa.array(texts, pa.string(), from_pandas=True))
        pattern, grouping, decimal = _form(notation)
        parts = pc.extract_regex(spelled, pattern)
        number = pc.struct_field(parts, "number")
        if grouping:
            number = pc.replace_substring(number, grouping, "")
        if decimal != ".":
            number = pc.replace_substring(number, decimal, ".")
        before = pc.binary_join_element_wise(
            *(pc.struct_field(parts, sign) for sign in ("open", "first", "second")), ""
        )
        signs = pc.count_substring_regex(before, "[-(]")
        texts = pd.Series(number.to_numpy(zero_copy_only=False), dtype="str")
        negative = pc.fill_null(pc.greater(signs, 0), False).to_numpy(zero_copy_only=False)
        halves = pc.not_equal(
            *(pc.equal(pc.struct_field(parts, half), "") for half in ("open", "close"))
        )
        wrong = pc.or_(pc.greater(signs, 1), halves)
        wrong = pc.fill_null(wrong, False).to_numpy(zero_copy_only=False)
        values = pd.to_numeric(texts, errors="coerce").to_numpy(np.float64, na_value=np.nan)
        return np.where(wrong, np.nan, np.where(negative, -values, values))
    parsed = pd.to_numeric(texts, errors="coerce")
    return np.asarray(parsed.to_numpy(dtype=np.float64, na_value=np.nan))


def as_plain_letters(texts: pa.Array) -> pa.Array:
    """Texts with the minus, blank and apostrophe of a keyboard instead of a typesetter's."""
    if pc.all(pc.string_is_ascii(texts)).as_py() is not False:
        return texts
    for letters, letter in _SPELLED:
        texts = pc.replace_substring_regex(texts, f"[{letters}]", letter)
    return texts


def number_pattern(grouping: str, decimal: str) -> str:
    """A regular expression of a number with these marks between thousands and before decimals."""
    g, d = re.escape(grouping), re.escape(decimal)
    whole = r"\d+"
    if grouping:  # in threes, in India in twos before the last
        whole = rf"[1-9]\d{{0,2}}(?:{g}\d{{3}})+|[1-9]\d?(?:{g}\d\d)+{g}\d{{3}}|\d+"
    return rf"(?:(?:{whole})(?:{d}\d*)?|{d}\d+)(?:[eE][-+]?\d+)?"


@lru_cache(maxsize=256)
def _form(notation: str) -> tuple[str, str, str]:
    """A regular expression of the whole text, then the grouping and the decimal mark."""
    example = _EXAMPLE.fullmatch(notation)
    if example is None:
        raise ValueError(f"unknown notation {notation!r}")
    grouping, decimal = example["grouping"], example["decimal"]
    unit = re.escape((example["before"] + example["after"]).strip())
    number = number_pattern(grouping, decimal)
    pattern = (
        rf"^(?P<open>\(?)(?P<first>[-+]?) ?(?:{unit})? ?(?P<second>[-+]?) ?"
        rf"(?P<number>{number}) ?(?:{unit})?(?P<close>\)?)$"
    )
    return pattern, grouping, decimal
