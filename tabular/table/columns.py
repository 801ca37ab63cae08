"""What kind each column of a table is, decided once, from the column itself.

A CSV cell is text. Whether "NA" is a missing value or a region, "007" a code or a number, is read
from the whole column and from the rest of the table, never from a list of words alone.
"""

import datetime
import decimal
import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from custom_model.served.columns import LARGEST, NULL_SPELLINGS, Column, expanded_names
from custom_model.served.dates import CLOCK, read_dates
from tabular.errors import BadInput
from tabular.table.notations.dates import number_format, read_format
from tabular.table.notations.numbers import TOO_LARGE, read_notation, read_plain, read_seconds
from tabular.table.notations.words import STRAY_SPELLINGS, Reading

ROW_SHARE = 0.5  # a column without a heading has more values than this if it names the rows
UNIQUE_SHARE = 0.9  # a text column with more distinct values than this is an identifier
WORDS_OF_TEXT = 3.0  # free text has on average at least so many words
_HEAD = 100  # rows that tell in most cases that values differ
CODES_AT_MOST = 20  # an integer-coded category has few codes, each of them in many rows
ROWS_PER_CODE = 10

COMMA_NUMBER = r"[+-]?[\d.]*,\d+|[+-]?\d+"
OTHER_DATE = r"\d{1,2}[./]\d{1,2}[./]\d{4}"

NO_HEADING = re.compile(r"|Unnamed: \d+|__index_level_\d+__")
_OF_ROWS = re.compile(
    r".*(?:^|[^a-z])id|.*Id|row[._ ]?names?|row[._ ]?(?:no|nr|number|index)|index|idx|obs",
    re.IGNORECASE,
)
_LEADING_ZERO = r"0\d+"


@dataclass(frozen=True)
class LeftOut:
    """A column that is not a feature; the reason follows its name in a sentence."""

    name: str
    reason: str


def infer_columns(
    frame: pd.DataFrame, *, as_text: bool | None = None
) -> tuple[list[Column], list[LeftOut]]:
    """Finds the features of a table.

    Args:
        frame: (n_rows, n_columns) without the target.
        as_text: its cells are uninterpreted text, as those of a CSV; None for so if all are text.

    Returns:
        The features in the table's order, and the columns that are left out.

    Raises:
        BadInput: no feature is left, or a heading is the name of a part of a date column.
    """
    texts = {str(name): _texts(frame[name]) for name in frame.columns if is_text(frame[name])}
    markers = _markers(texts.values())
    typed = len(texts) < len(frame.columns) if as_text is None else not as_text
    columns: list[Column] = []
    left_out: list[LeftOut] = []
    for name in map(str, frame.columns):
        if name in texts:
            found = _infer_text(name, frame[name], texts[name], markers, typed)
        else:
            found = _infer(name, frame[name], markers)
        (columns if isinstance(found, Column) else left_out).append(found)  # type: ignore[arg-type]
    if not columns:
        why = "; ".join(f"{left.name!r} {left.reason}" for left in left_out[:5]) or "no others"
        raise BadInput(f"no column is left to predict from ({why}); add columns to the table")
    names = [name for column in columns for name in expanded_names(column)]
    if clash := [name for name, times in Counter(names).items() if times > 1]:
        raise BadInput(f"column {clash[0]!r} has the name of a part of a date; rename it")
    return columns, left_out


def missing_markers(frame: pd.DataFrame) -> frozenset[str]:
    """Words that stand for "no number" in some column of numbers of this table.

    Whoever wrote the table marked missing values with them, so they mean the same in its other
    columns too.
    """
    return _markers(_texts(frame[name]) for name in frame.columns if is_text(frame[name]))


def _markers(columns: Iterable["_Texts"]) -> frozenset[str]:
    numbers = [column.numbers for column in columns]
    return frozenset().union(*(one.missing for one in numbers if isinstance(one, Reading)))


def is_text(cells: pd.Series) -> bool:
    """Whether every cell is a text or missing."""
    return isinstance(cells.dtype, pd.StringDtype) or _types(cells) == {str}


def _types(cells: pd.Series) -> set[type]:
    return {type(cell) for cell in cells.dropna()} if cells.dtype == object else set()


@dataclass(frozen=True)
class _Texts:
    """The distinct, non-empty texts of a column.

    Args:
        counts: rows of each, stripped.
        numbers: what they are as plain numbers, see `read_plain`.
    """

    counts: pd.Series
    numbers: Reading | str | None


def _texts(cells: pd.Series) -> _Texts:
    counts = cells.value_counts()
    texts = counts.index.astype("str").str.strip()
    if not texts.equals(counts.index):
        counts = counts.groupby(texts, sort=False).sum()
    counts = counts[counts.index != ""]
    return _Texts(counts, read_plain(counts))


def _infer(name: str, cells: pd.Series, markers: frozenset[str]) -> Column | LeftOut:
    """The kind of a column that a file has types for."""
    if cells.isna().all():
        return LeftOut(name, "is empty")
    dtype, types = cells.dtype, _types(cells)
    required = not cells.isna().any()
    if types and not all(issubclass(t, _SCALARS) for t in types):
        return LeftOut(name, "holds lists, objects or bytes")
    if required and cells[:_HEAD].nunique() == 1 and cells.nunique() == 1:
        return LeftOut(name, f"has one value only ({cells.iloc[0]})")
    if pd.api.types.is_timedelta64_dtype(dtype) or (
        types and (types <= {datetime.time} or types <= {datetime.timedelta})
    ):
        return Column(name, "number", required, text=True, notation=CLOCK)
    if isinstance(dtype, pd.CategoricalDtype) or len(types) > 1:
        return _category(name, cells.astype(object).where(cells.notna(), ""), markers)
    if pd.api.types.is_bool_dtype(dtype) or types == {bool}:
        return Column(name, "boolean", required)
    if pd.api.types.is_datetime64_any_dtype(dtype) or (
        types and all(issubclass(t, datetime.date) for t in types)
    ):
        return _date(name, required, pd.to_datetime(cells, utc=True).dropna())
    if pd.api.types.is_numeric_dtype(dtype) or (types and types <= _NUMBERS):
        values = cells.dropna().astype(np.float64)
        infinite = np.unique(values[np.abs(values) > LARGEST])
        if len(infinite) > STRAY_SPELLINGS:
            return LeftOut(name, TOO_LARGE)
        if len(infinite):
            return Column(name, "number", False, tuple(str(value) for value in infinite))
        whole = pd.api.types.is_integer_dtype(dtype) or (
            types == {decimal.Decimal} and bool((values == values.round()).all())
        )
        return _infer_numbers(name, values, required, whole=whole)
    return LeftOut(name, f"holds values of type {dtype}, which is not supported")


_TIMES = (datetime.date, datetime.time, datetime.timedelta)
_NUMBERS = {int, float, decimal.Decimal}
_SCALARS = (str, bool, int, float, decimal.Decimal, *_TIMES)


def _infer_text(
    name: str, cells: pd.Series, texts: _Texts, markers: frozenset[str], typed: bool
) -> Column | LeftOut:
    """The kind of a column of texts."""
    counts, numbers = texts.counts, texts.numbers
    n_cells = int(counts.sum())
    required = n_cells == len(cells)
    if counts.empty:
        return LeftOut(name, "is empty")
    if required and len(counts) == 1:
        return LeftOut(name, f"has one value only ({counts.index[0]!r})")
    if isinstance(numbers, Reading):
        known = ~counts.index.isin(numbers.missing)
        values = pd.Series(numbers.values[known].repeat(counts[known]))
        whole = bool(counts.index[known].str.fullmatch(r"[+-]?\d+").all())
        found = _infer_numbers(name, values, required and not numbers.missing, whole=whole)
        if not isinstance(found, Column) or found.kind == "category":
            return found
        # what a CSV reader does not take for a missing number makes it read the column as text
        odd = not numbers.missing <= NULL_SPELLINGS or bool(cells.astype("str").str.isspace().any())
        return replace(found, missing=tuple(sorted(numbers.missing)), text=odd or typed)
    return _infer_words(name, cells, texts, required, markers)


def _infer_words(
    name: str, cells: pd.Series, texts: _Texts, required: bool, markers: frozenset[str]
) -> Column | LeftOut:
    """The kind of a column of texts that are not plain numbers."""
    counts = texts.counts
    words = pd.Series(counts.index, dtype="str")
    if set(words.str.lower()) == {"true", "false"}:
        return Column(name, "boolean", required)
    found = texts.numbers or read_format(counts) or read_seconds(counts) or read_notation(counts)
    if isinstance(found, str):
        return LeftOut(name, found)
    if isinstance(found, Reading):
        required, missing = required and not found.missing, tuple(sorted(found.missing))
        if found.values.dtype.kind == "M":
            column = _date(name, required, pd.Series(found.values).dropna())
        else:
            column = Column(name, "number", required, text=True)
        return replace(column, missing=missing, notation=found.notation)
    n_cells = counts.sum()
    distinct = len(counts) / n_cells
    if NO_HEADING.fullmatch(name) and distinct > ROW_SHARE:
        return LeftOut(name, "has no heading and names the rows")
    length = float((words.str.count(r"\s+") + 1).mean())
    written = words.str.contains(r"\w").all()
    if length >= WORDS_OF_TEXT and len(counts) > CODES_AT_MOST and distinct > 0.1 and written:
        return Column(name, "text", required and not words.isin(NULL_SPELLINGS).any())
    if distinct > UNIQUE_SHARE and len(counts) > CODES_AT_MOST:
        return LeftOut(name, f"is an identifier ({len(counts)} values in {n_cells} rows)")
    return _category(name, cells.fillna(""), markers)


def _category(name: str, cells: pd.Series, markers: Iterable[str]) -> Column:
    """A category; the most frequent word that a CSV request cannot tell from "no value" is one."""
    texts = cells.astype("str").str.strip()
    words = texts[texts.isin(NULL_SPELLINGS - set(markers) - {""})]
    level = str(words.mode()[0]) if len(words) else None
    absent = texts.isin({""} if level else NULL_SPELLINGS & {"", *markers})
    return Column(name, "category", not absent.any(), null_level=level)


def _date(name: str, required: bool, moments: pd.Series) -> Column:
    """A date; `moments` are those that are there."""
    return Column(name, "date", required, time=bool((moments != moments.dt.normalize()).any()))


def _infer_numbers(
    name: str, values: pd.Series, required: bool, *, whole: bool
) -> Column | LeftOut:
    """Numbers, unless they are dates, or whole and row numbers, identifiers or codes."""
    if required and values.min() == values.max():
        return LeftOut(name, f"has one value only ({values.min():g})")
    if notation := number_format(name, values.to_numpy()):
        dates = pd.Series(np.unique(values.to_numpy()))
        moments = np.unique(read_dates(dates, Column("", "date", notation=notation), False)[0])
        return replace(_date(name, required, pd.Series(moments)), notation=notation)
    if not whole:
        return Column(name, "number", required)
    distinct = np.unique(values.to_numpy())
    if NO_HEADING.fullmatch(name) and len(distinct) > ROW_SHARE * len(values):
        return LeftOut(name, "has no heading and numbers the rows")
    if len(distinct) == len(values) > CODES_AT_MOST:
        counted = distinct[-1] - distinct[0] == len(values) - 1
        if counted or _OF_ROWS.fullmatch(name):
            return LeftOut(name, f"is an identifier ({len(values)} values in {len(values)} rows)")
    return Column(name, "category" if _are_codes(values, distinct) else "number", required)


def _are_codes(values: pd.Series, distinct: np.ndarray) -> bool:
    """Few integers, each in many rows, none of them zero, far apart: codes, not counts."""
    if not 3 <= len(distinct) <= CODES_AT_MOST or distinct[0] <= 0:
        return False
    step = math.gcd(*(int(value) for value in distinct))
    span = (distinct[-1] - distinct[0]) / step + 1
    frequent = values.value_counts().min() >= ROWS_PER_CODE
    return bool(frequent and span > 3 * len(distinct))
