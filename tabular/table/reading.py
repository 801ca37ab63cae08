"""A raw table, read for a model: what it holds, what the model would refuse, the true labels."""

import numpy as np
import pandas as pd

from tabular.errors import BadInput
from tabular.table.columns import missing_markers
from tabular.table.dataset import BUILT_IN, load_built_in, read_table
from tabular.table.labels import read_labels


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
