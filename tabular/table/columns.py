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
from dataclasses import dataclass

import numpy as np
import pandas as pd

from custom_model.served.columns import ISO_DATE, NULL_SPELLINGS, Column, expanded_names
from tabular.errors import BadInput

NULL_WORDS = frozenset(
    {"?", "-", "--", ".", "na", "n/a", "nan", "null", "none", "nil", "missing", "unknown", "<na>"}
    | {"#n/a", "#na", "#value!", "#div/0!", "inf", "-inf", "+inf", "infinity", "-infinity"}
)
"""Words that mean "no number" in a column of numbers, in lower case."""

STRAY_SHARE = 0.05  # other words are read as missing if they are at most so many of the cells
STRAY_SPELLINGS = 3
UNIQUE_SHARE = 0.9  # a text column with more distinct values than this is an identifier
WORDS_OF_TEXT = 3.0  # free text has on average at least so many words
CODES_AT_MOST = 20  # an integer-coded category has few codes, each of them in many rows
ROWS_PER_CODE = 10

COMMA_NUMBER = r"[+-]?[\d.]*,\d+|[+-]?\d+"
OTHER_DATE = r"\d{1,2}[./]\d{1,2}[./]\d{4}"

_LEADING_ZERO = r"0\d+"


@dataclass(frozen=True)
class LeftOut:
    """A column that is not a feature, and why.

    Args:
        name: heading of the column.
        reason: what follows its name in a sentence: "is an identifier (240 values in 240 rows)".
    """

    name: str
    reason: str


def infer_columns(frame: pd.DataFrame) -> tuple[list[Column], list[LeftOut]]:
    """Finds the features of a table.

    Args:
        frame: (n_rows, n_columns) without the target; cells of a CSV are uninterpreted text.

    Returns:
        The features in the table's order, and the columns that are left out.

    Raises:
        BadInput: no feature is left, or a heading is the name of a part of a date column.
    """
    markers = missing_markers(frame)
    typed = not all(is_text(frame[name]) for name in frame.columns)
    columns: list[Column] = []
    left_out: list[LeftOut] = []
    for name in frame.columns:
        found = _infer(str(name), frame[name], markers, typed)
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
    found: set[str] = set()
    for name in frame.columns:
        if is_text(frame[name]):
            found |= _number_spellings(_stripped(frame[name])) or set()
    return frozenset(found)


def is_text(cells: pd.Series) -> bool:
    """Whether every cell is a text or missing."""
    return isinstance(cells.dtype, pd.StringDtype) or _types(cells) == {str}


def _types(cells: pd.Series) -> set[type]:
    return {type(cell) for cell in cells.dropna()} if cells.dtype == object else set()


def _stripped(cells: pd.Series) -> pd.Series:
    """The distinct, non-empty texts of a column with their numbers of rows."""
    texts = cells.dropna().astype("str").str.strip()
    return texts[texts != ""].value_counts()


def _number_spellings(counts: pd.Series) -> set[str] | None:
    """Spellings of "no number" in a column of numbers; None if it is not one."""
    texts = counts.index.to_series()
    if texts.str.fullmatch(_LEADING_ZERO).any():
        return None  # written like codes
    parsed = pd.to_numeric(texts, errors="coerce").to_numpy(dtype=np.float64)
    spelled = counts[~np.isfinite(parsed)]
    strays = spelled[~spelled.index.str.lower().isin(NULL_WORDS)]
    if len(spelled) == len(counts) or len(strays) > STRAY_SPELLINGS:
        return None
    return set(spelled.index) if strays.sum() <= STRAY_SHARE * counts.sum() else None


def _infer(name: str, cells: pd.Series, markers: frozenset[str], typed: bool) -> Column | LeftOut:
    if cells.isna().all():
        return LeftOut(name, "is empty")
    if is_text(cells):
        return _infer_text(name, cells, markers, typed)
    dtype, types = cells.dtype, _types(cells)
    required = not cells.isna().any()
    if types and not all(issubclass(t, _SCALARS) for t in types):
        return LeftOut(name, "holds lists, objects or bytes")
    if required and cells.nunique() == 1:
        return LeftOut(name, f"has one value only ({cells.iloc[0]})")
    if isinstance(dtype, pd.CategoricalDtype) or len(types) > 1:
        return _category(name, cells.astype(object).where(cells.notna(), ""), markers)
    if pd.api.types.is_bool_dtype(dtype) or types == {bool}:
        return Column(name, "boolean", required)
    if pd.api.types.is_datetime64_any_dtype(dtype) or (
        types and all(issubclass(t, datetime.date) for t in types)
    ):
        moments = pd.to_datetime(cells, utc=True)
        return Column(name, "date", required, time=bool((moments != moments.dt.normalize()).any()))
    if pd.api.types.is_numeric_dtype(dtype) or (types and types <= _NUMBERS):
        values = cells.dropna().astype(np.float64)
        if np.isinf(values).any():
            return Column(name, "number", required=False, missing=("inf",))
        if pd.api.types.is_integer_dtype(dtype):
            return _infer_integers(name, values, required)
        return Column(name, "number", required)
    return LeftOut(name, f"holds values of type {dtype}, which is not supported")


_NUMBERS = {int, float, decimal.Decimal}
_SCALARS = (str, bool, int, float, decimal.Decimal, datetime.date)


def _infer_text(
    name: str, cells: pd.Series, markers: frozenset[str], typed: bool
) -> Column | LeftOut:
    counts = _stripped(cells)
    n_cells = int(counts.sum())
    required = n_cells == len(cells)
    if counts.empty:
        return LeftOut(name, "is empty")
    if required and len(counts) == 1:
        return LeftOut(name, f"has one value only ({counts.index[0]!r})")
    spellings = _number_spellings(counts)
    if spellings is not None:
        values = pd.to_numeric(counts.index.to_series(), errors="coerce")
        values = values[np.isfinite(values)].repeat(counts[np.isfinite(values)])
        if all(re.fullmatch(r"[+-]?\d+", text) for text in set(counts.index) - spellings):
            found = _infer_integers(name, values, required and not spellings)
            if not isinstance(found, Column) or found.kind == "category":
                return found
        # what a CSV reader does not take for a missing number makes it read the column as text
        odd = not spellings <= NULL_SPELLINGS or bool(cells.astype("str").str.isspace().any())
        return Column(
            name, "number", required and not spellings, tuple(sorted(spellings)), text=odd or typed
        )
    texts = counts.index.to_series()
    if set(texts.str.lower()) == {"true", "false"}:
        return Column(name, "boolean", required)
    if texts.str.fullmatch(ISO_DATE).all():
        moments = pd.to_datetime(texts, format="ISO8601", utc=True, errors="coerce")
        if moments.notna().all():
            time = bool((moments != moments.dt.normalize()).any())
            return Column(name, "date", required, time=time)
    dates = texts.str.fullmatch(OTHER_DATE).all()
    if dates and len(counts) > CODES_AT_MOST:
        return LeftOut(name, "holds dates that are not written as year-month-day")
    distinct = len(counts) / n_cells
    words = float((texts.str.count(r"\s+") + 1).mean())
    written = texts.str.contains(r"\w").all()
    if words >= WORDS_OF_TEXT and len(counts) > CODES_AT_MOST and distinct > 0.1 and written:
        return Column(name, "text", required and not texts.isin(NULL_SPELLINGS).any())
    if distinct > UNIQUE_SHARE and len(counts) > CODES_AT_MOST:
        return LeftOut(name, f"is an identifier ({len(counts)} values in {n_cells} rows)")
    if texts.str.fullmatch(COMMA_NUMBER).all() and texts.str.contains(",").any():
        return LeftOut(name, "holds numbers with a comma; write them as 1234.5")
    return _category(name, cells.fillna(""), markers)


def _category(name: str, cells: pd.Series, markers: Iterable[str]) -> Column:
    """A category; the most frequent word that a CSV request cannot tell from "no value" is one."""
    texts = cells.astype("str").str.strip()
    words = texts[texts.isin(NULL_SPELLINGS - set(markers) - {""})]
    level = str(words.mode()[0]) if len(words) else None
    absent = texts.isin({""} if level else NULL_SPELLINGS & {"", *markers})
    return Column(name, "category", not absent.any(), null_level=level)


def _infer_integers(name: str, values: pd.Series, required: bool) -> Column | LeftOut:
    """Integers are numbers, unless they are row numbers, identifiers or codes."""
    distinct = np.unique(values)
    if len(distinct) == len(values) > CODES_AT_MOST:
        counted = distinct[-1] - distinct[0] == len(values) - 1
        if counted or re.search(r"(?:^|[^a-z])id$", name, re.IGNORECASE) or name.endswith("Id"):
            return LeftOut(name, f"is an identifier ({len(values)} values in {len(values)} rows)")
    if required and len(distinct) == 1:
        return LeftOut(name, f"has one value only ({distinct[0]:g})")
    return Column(name, "category" if _are_codes(values, distinct) else "number", required)


def _are_codes(values: pd.Series, distinct: np.ndarray) -> bool:
    """Few integers, each in many rows, none of them zero, far apart: codes, not counts."""
    if not 3 <= len(distinct) <= CODES_AT_MOST or distinct[0] <= 0:
        return False
    step = math.gcd(*(int(value) for value in distinct))
    span = (distinct[-1] - distinct[0]) / step + 1
    frequent = values.value_counts().min() >= ROWS_PER_CODE
    return bool(frequent and span > 3 * len(distinct))
