"""The one reader of cells: what a raw table holds for a model, in training as in serving.

raw frame --read_cells--> one typed column per feature --expand--> what the pipeline takes
"""

import math
import numbers
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

from .columns import ISO_DATE, LARGEST, NULL_SPELLINGS, Column, Kind, canonical


class DoubledColumn(ValueError):
    """A heading that a model reads is in the table more than once."""


@dataclass(frozen=True)
class Cells:
    """A raw table as a model reads it, with what it cannot read.

    Args:
        typed: (n_rows, n_columns) float64, str, boolean, datetime64[us] (UTC) or str, by kind;
            unreadable cells are missing.
        unreadable: (n_rows, n_columns) bool, cells that are not what the column holds.
        absent: columns that the table lacks.
        refused: (n_rows,) bool, rows that the model does not score: a cell is unreadable, or is
            missing in a column that was never empty in training.
        columns: the features.
        raw: (n_rows, any columns) the table.
    """

    typed: pd.DataFrame
    unreadable: pd.DataFrame
    absent: tuple[str, ...]
    refused: np.ndarray
    columns: tuple[Column, ...]
    raw: pd.DataFrame

    def reasons(self) -> dict[int, str]:
        """Why each refused row is: a sentence about its first such column, by position from 0."""
        reasons: dict[int, str] = {}
        for column in self.columns:
            for row in np.flatnonzero(self._spoils(column)).tolist():
                if row not in reasons:
                    reasons[row] = self._reason(column, row)
        return dict(sorted(reasons.items()))

    def first_reason(self) -> str:
        """Number and reason of the first refused row, "" if none is."""
        if not self.refused.any():
            return ""
        row = int(self.refused.argmax())
        column = next(column for column in self.columns if self._spoils(column)[row])
        return f"row {row + 1}, {self._reason(column, row)}"

    def problems(self) -> list[str]:
        """What is wrong, a sentence for each column: that it is absent, or its first such cell."""
        problems = []
        for column in self.columns:
            if column.required and column.name in self.absent:
                names = listed(list(self.raw.columns))
                problems.append(f"column {column.name!r} is missing; found {names}")
            elif (rows := self._spoils(column)).any():
                row = int(rows.argmax())
                problems.append(f"row {row + 1}, {self._reason(column, row)}")
        return problems

    def _spoils(self, column: Column) -> np.ndarray:
        """(n_rows,) bool, rows that are refused because of a column."""
        unreadable = self.unreadable[column.name].to_numpy()
        if not column.required:
            return unreadable
        if column.name in self.absent:
            return np.ones(len(unreadable), dtype=bool)
        return unreadable | self.typed[column.name].isna().to_numpy(dtype=bool)

    def _reason(self, column: Column, row: int) -> str:
        name = column.name
        if name in self.absent:
            return f"column {name!r}: the table lacks it"
        if self.unreadable[name].iloc[row]:
            found = describe(self.raw[name].iloc[row])
            return f"column {name!r}: expected {_READERS[column.kind][1]}, found {found}"
        return (
            f"column {name!r}: no value found, and this column needs one (it was never empty in "
            "training)"
        )


def read_cells(frame: pd.DataFrame, columns: Sequence[Column], *, as_text: bool = False) -> Cells:
    """Reads a raw table for a model.

    Args:
        frame: (n_rows, any columns); columns that are not asked for are ignored.
        columns: the features, as inferred in training.
        as_text: every cell is text, as a CSV file read without interpretation has it; then "5.1"
            is a number and an empty cell is a missing value.

    Raises:
        DoubledColumn: a feature's heading is there more than once.
    """
    if not all(isinstance(name, str) for name in frame.columns):
        frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
    present, doubled = set(frame.columns), set(frame.columns[frame.columns.duplicated()])
    typed: dict[str, Any] = {}
    unreadable: dict[str, np.ndarray] = {}
    absent = []
    refused = np.zeros(len(frame), dtype=bool)
    for column in columns:
        name = column.name
        if name in doubled:
            raise DoubledColumn(f"column {name!r} is there more than once; send it once")
        if name not in present:
            absent.append(name)
            refused |= column.required
        cells = frame[name] if name in present else pd.Series([None] * len(frame), dtype=object)
        typed[name], unreadable[name] = _READERS[column.kind][0](cells, column, as_text)
        refused |= unreadable[name]
        if column.required:
            refused |= np.asarray(pd.isna(typed[name]), dtype=bool)
    names, rows = [column.name for column in columns], pd.RangeIndex(len(frame))
    return Cells(
        pd.DataFrame(typed, index=rows, columns=names),
        pd.DataFrame(unreadable, index=rows, columns=names),
        tuple(absent),
        refused,
        tuple(columns),
        frame,
    )


def _is_missing(value: Any) -> bool:
    return value is None or value is pd.NaT or value is pd.NA or value != value


# Each reader below takes one raw column and returns its typed values and, for every row, whether
# the cell could not be read; such a one is missing among the values. A missing cell is not a bad
# one; an empty text is one only where no cell was missing in training.
Read = tuple[Any, "np.ndarray[Any, np.dtype[np.bool_]]"]


def _each(cells: pd.Series, read: Callable[[Any], Any], missing: Any) -> tuple[list[Any], Any]:
    """Reads cell by cell; `read` raises an error of Python's own on a bad one."""
    values, bad = [], np.zeros(len(cells), dtype=bool)
    for row, cell in enumerate(cells.array):
        try:
            if isinstance(cell, (list, tuple, dict, np.ndarray)):
                raise TypeError("not a single value")
            values.append(missing if _is_missing(cell) else read(cell))
        except (ValueError, TypeError, AttributeError, LookupError, OverflowError):
            values.append(missing)
            bad[row] = True
    return values, bad


def _read_numbers(cells: pd.Series, column: Column, as_text: bool) -> Read:
    dtype = cells.dtype
    if pd.api.types.is_bool_dtype(dtype) or pd.api.types.is_complex_dtype(dtype):
        return np.full(len(cells), np.nan), cells.notna().to_numpy()
    if pd.api.types.is_numeric_dtype(dtype):
        values = cells.to_numpy(dtype=np.float64, na_value=np.nan)
        if any("inf" in word.lower() for word in column.missing):
            values = np.where(np.isinf(values), np.nan, values)
        return _bounded(values, np.zeros(len(cells), dtype=bool))
    is_text = np.array([isinstance(cell, str) for cell in cells.array], dtype=bool)
    texts = cells[is_text].astype("str").str.strip()
    absent = texts.isin(column.missing) | ((texts == "") & (as_text or not column.required))
    values, bad = np.full(len(cells), np.nan), is_text.copy()
    bad[is_text] = ~absent
    if as_text or column.text:
        parsed = pd.to_numeric(texts.mask(absent), errors="coerce")
        values[is_text] = parsed.to_numpy(dtype=np.float64, na_value=np.nan)
        bad[is_text] = np.isnan(values[is_text]) & ~absent.to_numpy(dtype=bool)

    def read(cell: Any) -> float:
        if isinstance(cell, (bool, np.bool_)) or not isinstance(cell, (numbers.Real, Decimal)):
            raise TypeError("not a number")
        return float(cell)

    values[~is_text], bad[~is_text] = _each(cells[~is_text], read, math.nan)
    return _bounded(values, bad)


def _bounded(values: np.ndarray, bad: np.ndarray) -> Read:
    if (large := np.abs(values) > LARGEST).any():
        values, bad = np.where(large, np.nan, values), bad | large
    return values, bad


def _read_categories(cells: pd.Series, column: Column, as_text: bool) -> Read:
    plain = isinstance(cells.dtype, pd.StringDtype) or pd.api.types.is_numeric_dtype(cells.dtype)
    if isinstance(cells.dtype, pd.CategoricalDtype):
        cells, plain = cells.astype(object), False
    if plain:  # all cells of one type: read each distinct one once
        codes, distinct = pd.factorize(cells, use_na_sentinel=True)
        levels, bad_levels = _each(pd.Series(distinct, dtype=object), canonical, None)
        values = pd.Series(np.asarray([*levels, None], dtype=object)[codes], dtype=object)
        bad = np.append(bad_levels, False)[codes]
    else:
        listed, bad = _each(cells, canonical, None)
        values = pd.Series(listed, dtype=object)
    values = values.mask(values.isin(NULL_SPELLINGS) | (values == ""))
    if column.null_level is not None:
        values = values.where(values.notna() | bad, column.null_level)
    return values.astype("str").array, bad


def _read_booleans(cells: pd.Series, column: Column, as_text: bool) -> Read:
    words = {"true": True, "false": False, "1": True, "0": False}
    blank_is_missing = as_text or not column.required

    def read(cell: Any) -> bool | None:
        if isinstance(cell, str):
            word = cell.strip().lower()
            return None if not word and blank_is_missing else words[word]
        if isinstance(cell, (bool, np.bool_, numbers.Real)) and cell in (0, 1):
            return bool(cell)
        raise TypeError("not a truth value")

    if pd.api.types.is_bool_dtype(cells.dtype):
        return cells.astype("boolean").array, np.zeros(len(cells), dtype=bool)
    values, bad = _each(cells, read, None)
    return pd.array(values, dtype="boolean"), bad


def _read_dates(cells: pd.Series, column: Column, as_text: bool) -> Read:
    """ISO dates and date-times, as UTC without a zone."""
    if pd.api.types.is_datetime64_any_dtype(cells.dtype):
        moments = pd.to_datetime(cells, utc=True)
        bad = np.zeros(len(cells), dtype=bool)
    else:

        def read(cell: Any) -> str | None:
            if isinstance(cell, (datetime, date)):
                return cell.isoformat()
            text = cell.strip()
            if not text and (as_text or not column.required):
                return None
            if not re.fullmatch(ISO_DATE, text):
                raise ValueError("not an ISO date")
            return text

        texts, bad = _each(cells, read, None)
        moments = pd.to_datetime(
            pd.Series(texts, dtype=object), format="ISO8601", utc=True, errors="coerce"
        )
        bad |= moments.isna().to_numpy() & np.array([text is not None for text in texts], bool)
    return moments.dt.tz_localize(None).dt.as_unit("us").array, bad


def _read_texts(cells: pd.Series, column: Column, as_text: bool) -> Read:
    def read(cell: Any) -> str | None:
        text = canonical(cell)
        return None if text in NULL_SPELLINGS else text

    values, bad = _each(cells, read, None)
    return pd.array(values, dtype="str"), bad


_READERS: dict[Kind, tuple[Callable[[pd.Series, Column, bool], Read], str]] = {
    "number": (_read_numbers, "a finite number"),
    "category": (_read_categories, "a category"),
    "boolean": (_read_booleans, "true or false"),
    "date": (_read_dates, "a date such as 2024-01-31 or 2024-01-31T08:00:00Z"),
    "text": (_read_texts, "a text"),
}


def describe(value: Any) -> str:
    """A cell in words, for a sentence; at most 40 characters of it."""
    if isinstance(value, (bool, np.bool_)):
        return str(value).lower()
    if isinstance(value, str):
        return f"the text {value[:40]!r}" if value.strip() else "an empty text"
    if isinstance(value, (list, tuple, np.ndarray)):
        return "a list"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, int) and abs(value) > 10**40:
        return "a number of more than 40 digits"
    return str(value)[:40]


def listed(names: list[str]) -> str:
    """The first eight names, for a sentence."""
    shown = ", ".join(repr(name[:40]) for name in names[:8])
    return f"{shown} and {len(names) - 8} more" if len(names) > 8 else shown or "no columns"
