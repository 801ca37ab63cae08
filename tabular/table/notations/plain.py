"""Columns of text whose cells are plain numbers, read at once.

Most columns of a large CSV are such. `tabular/table/columns.py` reads a column by its distinct
texts, which is slow where almost every text is another one. What needs a closer look stays text.
"""

from collections.abc import Collection

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from custom_model.served.columns import LARGEST
from tabular.table.notations.dates import number_format

_HEAD = 100
_MAYBE_GROUPED = r"^[1-9]\d{0,2}([.]\d{3})?$"
_WHOLE = r"^[-+]?\d+$"


def with_numbers(frame: pd.DataFrame, others: Collection[str]) -> pd.DataFrame:
    """A table of uninterpreted text with its columns of plain numbers as int64, Int64 or float64.

    What such a column is taken for, its values and its hashes are those of its texts.

    Args:
        frame: (n_rows, n_columns) of texts.
        others: headings of columns that stay as they are.
    """
    columns = {}
    for name, cells in frame.items():
        values = None if name in others else _numbers(str(name), cells)
        columns[name] = cells if values is None else values
    return pd.DataFrame(columns, index=frame.index, columns=frame.columns, copy=False)


def _numbers(name: str, cells: pd.Series) -> pd.Series | np.ndarray | None:
    """The numbers of a column; None where its texts may mean something else."""
    if not isinstance(cells.dtype, pd.StringDtype):
        return None
    texts = pa.array(cells, from_pandas=True)
    if isinstance(texts, pa.ChunkedArray):
        texts = texts.combine_chunks()
    lengths = pc.binary_length(texts)
    if empty := bool(texts.null_count) or not pc.min(lengths).as_py():
        texts = pc.if_else(pc.greater(lengths, 0), texts, None)
    dtype = _dtype(texts[:_HEAD])  # to try one on all texts in vain would be slow
    if dtype is None or (numbers := _cast(texts, dtype)) is None:
        return None
    low, high = pc.min_max(numbers).as_py().values()
    if low is None or not -LARGEST <= low < high <= LARGEST:
        return None
    if _are_codes_or_grouped(texts, lengths, numbers.type):
        return None
    values = numbers.to_numpy(zero_copy_only=False)
    if number_format(name, values[~np.isnan(values)].astype(np.float64)):
        return None
    if not empty or pa.types.is_floating(numbers.type):
        return values
    return pd.Series(numbers.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get))


def _dtype(texts: pa.Array) -> pa.DataType | None:
    """Of whole numbers or floats; None for other texts."""
    return next((t for t in (pa.int64(), pa.float64()) if _cast(texts, t) is not None), None)


def _cast(texts: pa.Array, dtype: pa.DataType) -> pa.Array | None:
    """Numbers, exactly as pandas reads them; None where a text is none."""
    try:
        return texts.cast(dtype)
    except pa.ArrowInvalid:
        if pa.types.is_integer(dtype) and len(texts) > _HEAD:  # not all are whole
            return _cast(texts, pa.float64())
        return None


def _are_codes_or_grouped(texts: pa.Array, lengths: pa.Array, dtype: pa.DataType) -> bool:
    """Whether there may be codes (007, -0), points between thousands, or larger whole numbers."""
    zero = pc.and_(pc.starts_with(texts, "0"), pc.greater(lengths, 1))
    if (
        pc.any(zero).as_py()
        and pc.any(pc.match_substring_regex(texts.filter(zero), _WHOLE)).as_py()
    ):
        return True
    if pa.types.is_integer(dtype):
        return bool(pc.any(pc.starts_with(texts, "-0")).as_py())
    return any(
        pc.all(pc.match_substring_regex(texts[:_HEAD], pattern)).as_py() is not False
        and pc.all(pc.match_substring_regex(texts, pattern)).as_py()
        for pattern in (_WHOLE, _MAYBE_GROUPED)
    )
