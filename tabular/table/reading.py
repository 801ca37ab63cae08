"""A raw table, read for a model: what it holds, what the model would refuse, the true labels."""

import numpy as np
import pandas as pd

from tabular.table.columns import missing_markers
from tabular.table.labels import read_labels


def true_labels(raw: pd.DataFrame, target: str, *, as_text: bool | None = None) -> pd.Series:
    """The labels of a table, (n_rows,) object, None where there is none.

    Args:
        raw: (n_rows, n_columns) the table as it stands.
        target: heading of the labels.
        as_text: its cells are uninterpreted text; None for so if all of them are text.
    """
    if as_text is None:
        as_text = all(isinstance(raw[name].dtype, pd.StringDtype) for name in raw)
    return read_labels(raw[target], missing_markers(raw.drop(columns=target)), spelled=as_text)


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
