"""Cells read one by one."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

Read = tuple[Any, "np.ndarray[Any, np.dtype[np.bool_]]"]
"""Typed values of a raw column and, for every row, whether the cell could not be read.

Such a one is missing among the values. A missing cell is not a bad one; an empty text is one only
where no cell was missing in training.
"""


def each(cells: pd.Series, read: Callable[[Any], Any], missing: Any) -> tuple[list[Any], Any]:
    """Reads cell by cell; `read` raises an error of Python's own on a bad one."""
    values, bad = [], np.zeros(len(cells), dtype=bool)
    for row, cell in enumerate(cells.array):
        try:
            if isinstance(cell, (list, tuple, dict, np.ndarray)):
                raise TypeError("not a single value")
            values.append(missing if _is_missing(cell) else read(cell))
        except (ValueError, TypeError, AttributeError, LookupError, ArithmeticError):
            values.append(missing)
            bad[row] = True
    return values, bad


def _is_missing(value: Any) -> bool:
    return value is None or value is pd.NaT or value is pd.NA or value != value
