"""A few rows of plain cells, read without a frame."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from .columns import (
    EXACT_INTEGER,
    LARGEST,
    NULL_SPELLINGS,
    READ_OF_TEXT,
    Column,
    Kind,
    canonical,
    expanded_names,
)
from .numbers import groups_by_point
from .requests import plain

FEW_ROWS = 1000
"""Up to here cell by cell is faster than columns at once (`python -m benchmarks.serving`)."""

_PLAIN_DATE = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?Z?)?"
)
_EPOCH = datetime(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)


class Unsure(Exception):
    """These rows are for `conform`: too many, or a cell that is not plain."""


def read_few(
    data: Any, columns: Sequence[Column], table_columns: Sequence[str], target: str
) -> Any:
    """Reads a few rows of plain cells to what `expand` would make of them.

    Args:
        data: what MLflow hands over: a frame, a list of dicts, a dict of arrays or an array.
        columns: the features.
        table_columns: headings of the training table without the target, in its order.
        target: heading of the predicted column.

    Returns:
        The n values of each expanded column by its name: floats (missing is NaN), categories
        (missing is None), texts (missing is "").

    Raises:
        Unsure: anything else than what is surely right.
    """
    known = {*table_columns, target}
    doubled = {mark for column in columns if (mark := f"{column.name}.1") not in known}
    cells, n_rows = _plain_cells(data, columns, table_columns, doubled)
    table: dict[str, list[Any]] = {}
    for column in columns:
        found = cells.get(column.name)
        if found is None:
            if column.required:
                raise Unsure
            found = [None] * n_rows
        if column.kind == "number" and groups_by_point(column.notation):
            raise Unsure
        read = [_SURE_READERS[column.kind](cell) for cell in found]
        if None in read:
            if column.kind == "category" and column.null_level is not None:
                read = [column.null_level if value is None else value for value in read]
            elif column.required:
                raise Unsure
        table |= _expand_few(read, column)
    return table


def _plain_cells(
    data: Any, columns: Sequence[Column], table_columns: Sequence[str], doubled: set[str]
) -> tuple[Mapping[str, list[Any]], int]:
    """The cells of each column as Python objects, and how many rows there are."""
    if not isinstance(data, (list, dict, np.ndarray, pd.DataFrame)) or len(data) == 0:
        raise Unsure
    if isinstance(data, list):
        if len(data) > FEW_ROWS:
            raise Unsure
        for row in data:
            if type(row) is not dict or set(map(type, row)) != {str} or not doubled.isdisjoint(row):
                raise Unsure
        found = {}
        for column in columns:
            name, required = column.name, column.required
            try:
                found[name] = [plain(row[name] if required else row.get(name)) for row in data]
            except KeyError:
                raise Unsure from None
        return found, len(data)
    arrays: dict[str, np.ndarray]
    if isinstance(data, dict):
        arrays = data
    elif isinstance(data, np.ndarray):
        features = [column.name for column in columns]
        if data.ndim != 2 or any(column.kind != "number" for column in columns):
            raise Unsure
        width = data.shape[1]
        names = next((n for n in (list(table_columns), features) if len(n) == width), [])
        arrays = dict(zip(names, data.T, strict=False))
    else:
        names = data.columns.tolist()
        if len(data) > FEW_ROWS or len(set(names)) != len(names):
            raise Unsure
        arrays = dict(zip(names, data.to_numpy().T, strict=True))
    if not arrays or set(map(type, arrays)) != {str} or not doubled.isdisjoint(arrays):
        raise Unsure
    n_rows = -1
    for cells in arrays.values():
        if type(cells) is not np.ndarray or cells.ndim != 1 or cells.dtype.kind not in "fiubUO":
            raise Unsure
        n_rows = len(cells) if n_rows < 0 else n_rows
        if len(cells) != n_rows or n_rows > FEW_ROWS:
            raise Unsure
    wanted = [column.name for column in columns if column.name in arrays]
    return {name: list(map(plain, arrays[name].tolist())) for name in wanted}, n_rows


# Each of these takes one cell and returns its value, None for a missing one.


def _absent(cell: Any) -> bool:
    return cell is None or (type(cell) is float and cell != cell)


def _sure_number(cell: Any) -> float | None:
    if _absent(cell):
        return None
    if type(cell) not in (float, int) or not -LARGEST <= cell <= LARGEST:
        raise Unsure
    return float(cell)


def _sure_category(cell: Any) -> str | None:
    if _absent(cell):
        return None
    if type(cell) is str:
        if not cell.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in cell):
            raise Unsure  # half a character
    elif type(cell) is not bool and not (
        type(cell) in (float, int) and -EXACT_INTEGER < cell < EXACT_INTEGER
    ):
        raise Unsure
    word = canonical(cell)
    return None if word in NULL_SPELLINGS else word


def _sure_text(cell: Any) -> str | None:
    if type(cell) is not str and not _absent(cell):
        raise Unsure
    return _sure_category(cell)


def _sure_boolean(cell: Any) -> float | None:
    if _absent(cell):
        return None
    if type(cell) not in (bool, int, float) or cell not in (0, 1):
        raise Unsure
    return float(cell)


def _sure_date(cell: Any) -> datetime | None:
    if _absent(cell):
        return None
    if type(cell) is not str or not _PLAIN_DATE.fullmatch(cell):
        raise Unsure
    try:
        return datetime.fromisoformat(cell).replace(tzinfo=None)
    except ValueError:  # 2024-02-30
        raise Unsure from None


_SURE_READERS: dict[Kind, Callable[[Any], Any]] = {
    "number": _sure_number,
    "category": _sure_category,
    "boolean": _sure_boolean,
    "date": _sure_date,
    "text": _sure_text,
}


def _expand_few(values: list[Any], column: Column) -> dict[str, list[Any]]:
    if column.kind == "category":
        return {column.name: values}
    if column.kind == "text":
        return {column.name: [(value or "")[:READ_OF_TEXT] for value in values]}
    if column.kind != "date":
        return {column.name: [math.nan if value is None else value for value in values]}
    parts: list[Callable[[datetime], float]] = [
        lambda moment: (moment - _EPOCH) // _MICROSECOND / 86.4e9,
        lambda moment: moment.month,
        lambda moment: moment.weekday(),
        lambda moment: moment.hour,
    ]
    return {
        name: [math.nan if moment is None else part(moment) for moment in values]
        for name, part in zip(expanded_names(column), parts, strict=False)
    }
