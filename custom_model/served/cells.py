"""The one reader of cells: what a raw table holds for a model, in training as in serving.

raw frame --read_cells--> one typed column per feature --expand--> what the pipeline takes
"""

import numbers
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from .columns import NULL_SPELLINGS, Column, Kind, canonical
from .dates import CLOCK, date_example, read_dates
from .each import Read, each
from .numbers import read_numbers


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
        if not self.refused.any():
            return reasons
        for column in self.columns:
            for row in np.flatnonzero(self._spoils(column)).tolist():
                if row not in reasons:
                    reasons[row] = self._reason(column, row)
        return dict(sorted(reasons.items()))

    def problems(self) -> list[str]:
        """What is wrong, a sentence for each column: that it is absent, or its first such cell."""
        problems: list[str] = []
        if not self.refused.any() and not self.absent:
            return problems
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
            return f"column {name!r}: expected {expected(column)}, found {found}"
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
        typed[name], unreadable[name] = _READERS[column.kind](cells, column, as_text)
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


def _read_categories(cells: pd.Series, column: Column, as_text: bool) -> Read:
    plain = isinstance(cells.dtype, pd.StringDtype) or pd.api.types.is_numeric_dtype(cells.dtype)
    if isinstance(cells.dtype, pd.CategoricalDtype):
        cells, plain = cells.astype(object), False
    codes = None
    if plain:  # all cells of one type: read each distinct one once, and a missing one
        codes, distinct = pd.factorize(cells, use_na_sentinel=True)
        cells = pd.Series([*distinct, None], dtype=object)
    values, bad = each(cells, canonical, None)
    values = [None if value in NULL_SPELLINGS else value for value in values]
    if (level := column.null_level) is not None:
        values = [
            level if value is None and not wrong else value
            for value, wrong in zip(values, bad, strict=True)
        ]
    read = pd.array(values, dtype="str")
    return (read, bad) if codes is None else (read.take(codes), bad[codes])


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
    values, bad = each(cells, read, None)
    return pd.array(values, dtype="boolean"), bad


def _read_texts(cells: pd.Series, column: Column, as_text: bool) -> Read:
    def read(cell: Any) -> str | None:
        text = canonical(cell)
        return None if text in NULL_SPELLINGS else text

    values, bad = each(cells, read, None)
    return pd.array(values, dtype="str"), bad


_READERS: dict[Kind, Callable[[pd.Series, Column, bool], Read]] = {
    "number": read_numbers,
    "category": _read_categories,
    "boolean": _read_booleans,
    "date": read_dates,
    "text": _read_texts,
}


def expected(column: Column) -> str:
    """What a cell of a column has to be, in words."""
    if column.kind == "date":
        unit = {"s": "in seconds since 1970 ", "ms": "in milliseconds since 1970 "}
        return f"a date {unit.get(column.notation, '')}such as {date_example(column.notation)}"
    if column.notation == CLOCK:
        return "a time such as 13:30:00 or 1 days 02:30:00, or a number of seconds"
    if column.kind == "number":
        return f"a number such as {column.notation}" if column.notation else "a finite number"
    return "true or false" if column.kind == "boolean" else f"a {column.kind}"


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
