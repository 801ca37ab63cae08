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
import pyarrow as pa
import pyarrow.compute as pc

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
        blank: a cell holds nothing but spaces.
        digits: there are any; without them no text is a number or a date.
        numbers: what they are as plain numbers, see `read_plain`.
    """

    counts: pd.Series
    blank: bool
    digits: bool
    numbers: Reading | str | None


def _texts(cells: pd.Series) -> _Texts:
    values, n_rows = pc.value_counts(pa.array(cells, pa.large_string(), from_pandas=True)).flatten()
    known = pc.and_(pc.is_valid(values), pc.not_equal(values, ""))
    values, n_rows = values.filter(known), n_rows.filter(known).to_numpy()
    order = np.argsort(-n_rows, kind="stable")
    values = values.take(pa.array(order))
    texts = pc.utf8_trim_whitespace(values)
    counts = pd.Series(n_rows[order], index=pd.Index(texts, dtype="str"))
    blank = False
    if not texts.equals(values):
        counts = counts.groupby(counts.index, sort=False).sum()
        blank = "" in counts.index
        counts = counts.drop("") if blank else counts
    digits = bool(pc.any(pc.match_substring_regex(texts, r"\p{Nd}")).as_py())
    return _Texts(counts, blank, digits, read_plain(counts) if digits else None)


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
        counts = _texts(cells.dropna().astype(object).astype("str")).counts
        return _category(name, counts, int(counts.sum()) == len(cells), markers)
    if pd.api.types.is_bool_dtype(dtype) or types == {bool}:
        return Column(name, "boolean", required)
    if pd.api.types.is_datetime64_any_dtype(dtype) or (
        types and all(issubclass(t, datetime.date) for t in types)
    ):
        return _date(name, required, pd.to_datetime(cells, utc=True).dropna())
    if pd.api.types.is_numeric_dtype(dtype) or (types and types <= _NUMBERS):
        values = cells.to_numpy(np.float64, na_value=np.nan)
        values = values if required else values[~np.isnan(values)]
        infinite = np.unique(values[np.abs(values) > LARGEST])
        if len(infinite) > STRAY_SPELLINGS:
            return LeftOut(name, TOO_LARGE)
        if len(infinite):
            return Column(name, "number", False, tuple(str(value) for value in infinite))
        whole = pd.api.types.is_integer_dtype(dtype) or (
            types == {decimal.Decimal} and bool((values == np.round(values)).all())
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
        values = numbers.values[known].repeat(counts.to_numpy()[known])
        whole = bool(counts.index[known].str.fullmatch(r"[+-]?\d+").all())
        found = _infer_numbers(name, values, required and not numbers.missing, whole=whole)
        if not isinstance(found, Column) or found.kind == "category":
            return found
        # what a CSV reader does not take for a missing number makes it read the column as text
        odd = texts.blank or not numbers.missing <= NULL_SPELLINGS
        return replace(found, missing=tuple(sorted(numbers.missing)), text=odd or typed)
    return _infer_words(name, texts, required, markers)


def _infer_words(
    name: str, texts: _Texts, required: bool, markers: frozenset[str]
) -> Column | LeftOut:
    """The kind of a column of texts that are not plain numbers."""
    counts, found = texts.counts, texts.numbers
    if len(counts) <= _HEAD and {word.lower() for word in counts.index} == {"true", "false"}:
        return Column(name, "boolean", required)
    if texts.digits:
        found = found or read_format(counts) or read_seconds(counts) or read_notation(counts)
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
    if len(counts) > CODES_AT_MOST and distinct > 0.1 and _are_sentences(counts.index):
        return Column(name, "text", required and not counts.index.isin(NULL_SPELLINGS).any())
    if distinct > UNIQUE_SHARE and len(counts) > CODES_AT_MOST:
        return LeftOut(name, f"is an identifier ({len(counts)} values in {n_cells} rows)")
    return _category(name, counts, required, markers)


def _are_sentences(texts: pd.Index) -> bool:
    words = texts.str.count(r"\s+") + 1
    return bool(words.to_numpy().mean() >= WORDS_OF_TEXT and texts.str.contains(r"\w").all())


def _category(name: str, counts: pd.Series, required: bool, markers: frozenset[str]) -> Column:
    """A category; the most frequent word that a CSV request cannot tell from "no value" is one.

    Args:
        name: heading.
        counts: rows of each text, stripped, but for the empty one.
        required: no cell is empty.
        markers: see `missing_markers`.
    """
    null_words = counts[counts.index.isin(NULL_SPELLINGS)]
    levels = sorted((-n_rows, word) for word, n_rows in null_words.items() if word not in markers)
    if levels:
        return Column(name, "category", required, null_level=str(levels[0][1]))
    return Column(name, "category", required and null_words.empty)


def _date(name: str, required: bool, moments: pd.Series) -> Column:
    """A date; `moments` are those that are there."""
    return Column(name, "date", required, time=bool((moments != moments.dt.normalize()).any()))


def _infer_numbers(
    name: str, values: np.ndarray, required: bool, *, whole: bool
) -> Column | LeftOut:
    """Numbers, unless they are dates, or whole and row numbers, identifiers or codes."""
    if required and values.min() == values.max():
        return LeftOut(name, f"has one value only ({values.min():g})")
    if notation := number_format(name, values):
        dates = pd.Series(np.unique(values))
        moments = np.unique(read_dates(dates, Column("", "date", notation=notation), False)[0])
        return replace(_date(name, required, pd.Series(moments)), notation=notation)
    if not whole:
        return Column(name, "number", required)
    distinct, n_rows = np.unique(values, return_counts=True)
    if NO_HEADING.fullmatch(name) and len(distinct) > ROW_SHARE * len(values):
        return LeftOut(name, "has no heading and numbers the rows")
    if len(distinct) == len(values) > CODES_AT_MOST:
        counted = distinct[-1] - distinct[0] == len(values) - 1
        if counted or _OF_ROWS.fullmatch(name):
            return LeftOut(name, f"is an identifier ({len(values)} values in {len(values)} rows)")
    return Column(name, "category" if _are_codes(distinct, n_rows) else "number", required)


def _are_codes(distinct: np.ndarray, n_rows: np.ndarray) -> bool:
    """Few integers, each in many rows, none of them zero, far apart: codes, not counts."""
    if not 3 <= len(distinct) <= CODES_AT_MOST or distinct[0] <= 0:
        return False
    step = math.gcd(*(int(value) for value in distinct))
    span = (distinct[-1] - distinct[0]) / step + 1
    return bool(n_rows.min() >= ROWS_PER_CODE and span > 3 * len(distinct))
