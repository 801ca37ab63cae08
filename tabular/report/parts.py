"""The rows of a table by the values of a column: a level, or a range of numbers or dates."""

from collections.abc import Iterator, Sequence
from contextlib import suppress

import numpy as np
import pandas as pd

from custom_model.served.cells import read_cells
from custom_model.served.columns import Column
from tabular.errors import BadInput, choices
from tabular.table.columns import infer_columns

BANDS = 4  # of a number or date, by quantiles
MOST_LEVELS = 50  # of a category, the most frequent ones


def parts_of(cells: pd.Series, column: Column) -> Iterator[tuple[str, np.ndarray]]:
    """The values in words, and which rows, (n_rows,) bool, have them; of a text only absent ones.

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
        cuts = np.unique(order)
        if len(cuts) > BANDS:
            cuts = np.unique(np.quantile(order, np.arange(1, BANDS) / BANDS))
        band = np.full(len(cells), -1)
        band[~absent] = np.searchsorted(cuts, order, side="left")
        for number in range(len(cuts) + 1):
            inside = band == number
            if inside.any():
                yield _between(numbers[inside].min(), numbers[inside].max(), column), inside


def _between(low: object, high: object, column: Column) -> str:
    if column.kind == "date":
        return f"{str(low)[:10]} to {str(high)[:10]}"
    return f"= {low:g}" if low == high else f"{low:g} to {high:g}"


def name_groups(
    typed: pd.DataFrame, columns: Sequence[Column], raw: pd.DataFrame, by: Sequence[str], data: str
) -> np.ndarray:
    """The group of each row by its values in some columns, (n_rows,) of text.

    Args:
        typed: (n_rows, n_columns) features.
        columns: what they are.
        raw: (n_rows, any columns) the same rows as they stand, for columns that are no features.
        by: headings.
        data: where the rows are from, for a message.

    Raises:
        BadInput: there is no such column, or all rows are in one group.
    """
    known = {column.name: column for column in columns if column.kind != "text"}
    names = np.full(len(raw), "", dtype=object)
    for name in by:
        if name in known and name in typed:
            cells, column = typed[name], known[name]
        elif name in raw:
            cells, column = _as_read(raw[name])
        else:
            raise BadInput(f"column {name!r} is not in {data}; {choices(name, raw.columns)}")
        values = np.full(len(raw), "another value", dtype=object)
        for words, rows in parts_of(cells, column):
            values[rows] = words
        names += [f"{', ' if name != by[0] else ''}{name} {value}" for value in values]
    if len(set(names)) < 2:
        raise BadInput(f"all rows of {data} are in one group by {', '.join(by)}; take another")
    return names


def _as_read(cells: pd.Series) -> tuple[pd.Series, Column]:
    """A column that is no feature: as training would read it, or else each value by itself."""
    name = str(cells.name)
    if cells.nunique() > BANDS:
        with suppress(BadInput):
            columns, _ = infer_columns(cells.to_frame())
            if columns[0].kind != "text":
                return read_cells(cells.to_frame(), columns).typed[name], columns[0]
    texts = cells.astype("str")
    return texts.where(cells.notna() & (texts != "")), Column(name, "category")
