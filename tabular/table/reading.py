"""A raw table, read for a model: what it holds, what the model would refuse, the true labels."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from custom_model.bundle import _READERS, Column
from tabular.errors import BadInput
from tabular.table.columns import missing_markers
from tabular.table.dataset import BUILT_IN, load_built_in, read_table
from tabular.table.labels import read_labels


@dataclass(frozen=True)
class Typed:
    """A raw table as a bundle reads it, with what it cannot read.

    Args:
        frame: (n_rows, n_columns) from `conform`; unreadable cells are missing in it.
        unreadable: (n_rows, n_columns) bool.
        absent: columns that the table does not have.
        refused: (n_rows,) bool, rows that the model refuses to score.
        reason: why the first of them is refused, "" if none is.
    """

    frame: pd.DataFrame
    unreadable: pd.DataFrame
    absent: tuple[str, ...]
    refused: np.ndarray
    reason: str


def read_raw(data: str) -> tuple[pd.DataFrame, str]:
    """Reads a table as it stands.

    Args:
        data: see `load_dataset`.

    Returns:
        The raw frame, and the target that a built-in set has ("" for any other table).

    Raises:
        BadInput: it cannot be read, has no rows, or a heading twice.
    """
    frame, target = load_built_in(data) if data in BUILT_IN else (read_table(data), "")
    frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
    if frame.columns.duplicated().any():
        name = frame.columns[frame.columns.duplicated()][0]
        raise BadInput(f"column {name!r} is in {data} more than once; rename one of them")
    if frame.empty:
        raise BadInput(f"{data} has no rows")
    return frame.reset_index(drop=True), target


def read_for(columns: Sequence[Column], raw: pd.DataFrame) -> Typed:
    """Reads a table as a bundle does, but for what it would refuse, which is told apart.

    Args:
        columns: the features.
        raw: (n_rows, any columns).
    """
    typed, unreadable, absent, problems = {}, {}, [], []
    refused = np.zeros(len(raw), dtype=bool)
    for column in columns:
        if column.name not in raw:
            absent.append(column.name)
            cells = pd.Series([None] * len(raw), dtype=object)
        else:
            cells = raw[column.name]
        lenient = dataclasses.replace(column, required=False)
        read, _ = _READERS[column.kind]
        cells_read, bad = read(cells, lenient, True)
        values = pd.Series(cells_read).mask(bad) if bad.any() else pd.Series(cells_read)
        lacking = values.isna().to_numpy(dtype=bool) & ~bad & column.required
        if (stopped := bad | lacking).any():
            row = int(stopped.argmax())
            wrong = f"found {str(cells.iloc[row])[:40]!r}" if bad[row] else "no value found"
            problems.append((row, f"row {row + 1}, column {column.name!r}: {wrong}"))
        refused |= stopped
        typed[column.name], unreadable[column.name] = values, bad
    return Typed(
        pd.DataFrame(typed),
        pd.DataFrame(unreadable),
        tuple(absent),
        refused,
        min(problems, key=lambda problem: problem[0])[1] if problems else "",
    )


def true_labels(raw: pd.DataFrame, target: str) -> pd.Series:
    """The labels of a table, (n_rows,) object, None where there is none.

    Args:
        raw: (n_rows, n_columns) the table as it stands.
        target: heading of the labels.
    """
    spelled = all(isinstance(raw[name].dtype, pd.StringDtype) for name in raw)
    return read_labels(raw[target], missing_markers(raw.drop(columns=target)), spelled=spelled)


def as_pandas_reads(raw: pd.DataFrame) -> pd.DataFrame:
    """A raw table with the types that `pandas.read_csv` or `read_parquet` give by default.

    Args:
        raw: (n_rows, n_columns).

    Returns:
        (n_rows, n_columns) with the same headings and index.
    """
    columns = {}
    for name in raw.columns:
        cells = raw[name]
        if isinstance(cells.dtype, pd.StringDtype) or cells.dtype == object:
            texts = cells.astype(object).where(cells.notna() & (cells != ""), None)
            try:
                cells = pd.to_numeric(texts)
            except (ValueError, TypeError):
                cells = texts
        elif pd.api.types.is_bool_dtype(cells.dtype):
            cells = cells.astype(bool) if not cells.isna().any() else cells.astype(object)
        elif pd.api.types.is_extension_array_dtype(cells.dtype) and pd.api.types.is_numeric_dtype(
            cells.dtype
        ):
            whole = pd.api.types.is_integer_dtype(cells.dtype) and not cells.isna().any()
            cells = cells.astype(np.int64 if whole else np.float64)
        columns[name] = cells
    return pd.DataFrame(columns, index=raw.index)
