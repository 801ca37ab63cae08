"""What in a table may not mean what it looks like; said, and changed by nobody but its owner."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from custom_model.served.columns import Column

_FEWEST_ROWS = 20


def describe_suspicious(typed: pd.DataFrame, columns: Sequence[Column]) -> list[str]:
    """Numbers that may be markers or only count the rows of the file, a sentence each."""
    sentences = []
    for column in columns:
        if column.kind != "number" or len(typed) < _FEWEST_ROWS:
            continue
        values = typed[column.name].to_numpy(dtype=np.float64)
        values = values[~np.isnan(values)]
        if not len(values):
            continue
        if len(values) == len(typed) and _counts_rows(values):
            sentences.append(
                f"Column {column.name!r} grows from row to row in the order of the file; if it "
                "only numbers the rows, remove it."
            )
        for marker in (values.min(), values.max()):
            if _is_marker(marker, values):
                times = int((values == marker).sum())
                sentences.append(
                    f"Column {column.name!r} is {marker:g} in {times} rows, far from all others; "
                    "if it means a missing value, leave those cells empty."
                )
    return sentences


def _counts_rows(values: np.ndarray) -> bool:
    """Whether these are integers, each greater than the one before."""
    return bool((np.diff(values[:_FEWEST_ROWS]) > 0).all()) and bool(
        (np.diff(values) > 0).all() and (values == np.round(values)).all()
    )


def _is_marker(value: float, values: np.ndarray) -> bool:
    """Whether a value such as -1, -999 or 9999 is there again and again, far from all others."""
    nines = set(f"{abs(value):g}".removesuffix(".0")) == {"9"}
    if value >= 0 and not nines:
        return False
    others = values[values != value]
    if not len(others) or len(values) - len(others) < 2:
        return False
    low, high = others.min(), others.max()
    return bool(min(abs(value - low), abs(value - high)) > high - low and (nines or low >= 0))
