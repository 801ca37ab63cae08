"""The rows of a table by the values of a column: a level, or a range of numbers or dates."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from custom_model.served.columns import Column

BANDS = 4  # of a number or date, by quantiles
MOST_LEVELS = 50  # of a category, the most frequent ones


def parts_of(cells: pd.Series, column: Column) -> Iterator[tuple[str, np.ndarray]]:
    """The values in words, and which rows have them, (n_rows,) bool; a text only where it is absent.

    Args:
        cells: (n_rows,) typed.
        column: what they are of.
    """
    absent = cells.isna().to_numpy()
    if absent.any():
        yield "missing", absent
    if column.kind in ("category", "boolean"):
        texts = cells.astype("str")
        for level in texts[~absent].value_counts().index[:MOST_LEVELS]:
            yield f"= {level}", (texts == level).to_numpy(dtype=bool, na_value=False) & ~absent
    elif column.kind in ("number", "date") and not absent.all():
        values = cells if column.kind == "number" else cells.dt.as_unit("us")
        numbers = values.to_numpy()
        order = numbers[~absent].astype(np.float64 if column.kind == "number" else np.int64)
        cuts = np.unique(np.quantile(order, np.arange(1, BANDS) / BANDS))
        band = np.full(len(cells), -1)
        band[~absent] = np.searchsorted(cuts, order, side="left")
        for number in range(len(cuts) + 1):
            inside = band == number
            if inside.any():
                yield _between(values[inside].min(), values[inside].max(), column), inside


def _between(low: object, high: object, column: Column) -> str:
    if column.kind == "date":
        return f"{str(low)[:10]} to {str(high)[:10]}"
    return f"= {low:g}" if low == high else f"{low:g} to {high:g}"
