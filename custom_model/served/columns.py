"""What a column is, the spellings of its cells, and what the pipeline sees of it."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

import numpy as np
import pandas as pd

Kind = Literal["number", "category", "boolean", "date", "text"]
Label = str | int | float | bool

LARGEST = float(np.finfo(np.float32).max)
"""Numbers beyond this are refused: forests compute in float32, and squares must stay finite."""

NULL_SPELLINGS = frozenset(
    {"", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"}
    | {"<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"}
)
"""What pandas, and so MLflow's server, reads as "no value" in CSV: `NA`, `None`, `null`, ..."""

ISO_DATE = (
    r"\d{4}-\d{2}-\d{2}"
    r"(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?\s?(?:Z|[+-]\d{2}:?\d{2})?)?"
)
PLAIN_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
EXACT_INTEGER = 2**53
READ_OF_TEXT = 5_000
"""Characters of a text that the pipeline reads; what follows is not read."""


@dataclass(frozen=True)
class Column:
    """One feature of the table, as it was found in training.

    Args:
        name: heading of the column.
        kind: how its cells are read.
        required: no cell was missing in training, so a missing one cannot be scored.
        missing: spellings, other than an empty cell, that stood for "no value" (numbers, dates).
        text: numbers stood as text in a typed file, or beside words that a CSV reader takes for
            text; a text is read as a number then.
        null_level: the category that an absent value stands for, where the training table used a
            word such as `None` as a value; a CSV request cannot tell the two apart.
        time: dates carry a time of day.
        notation: how the training table writes its cells, "" for plain numbers and ISO dates. Of a
            number, how 1234.5 is written (`1.234,5 €`), or `%H:%M:%S` for times of day and
            durations, which are read as seconds; of a date, its format for `strptime`, or `s` or
            `ms` for seconds or milliseconds since 1970.
    """

    name: str
    kind: Kind
    required: bool = True
    missing: tuple[str, ...] = ()
    null_level: str | None = None
    time: bool = False
    text: bool = False
    notation: str = ""


def canonical(cell: Any) -> str:
    """The one spelling of a category, whatever form it arrived in: 1, 1.0, "1" and "01" are "1".

    A CSV reader turns codes into numbers and words into booleans, so they must not differ. It also
    ends a text at the character NUL, so that all formats do.

    Raises:
        ValueError: a float too large to be an exact code.
    """
    if isinstance(cell, str):
        text = cell.partition("\0")[0].strip()
        if PLAIN_NUMBER.fullmatch(text) and len(text) <= 40:
            if text.lstrip("+-").isdigit():
                return str(int(text))
            if abs(number := float(text)) < EXACT_INTEGER:
                return canonical(number)
        return text.capitalize() if text.lower() in ("true", "false") else text
    if isinstance(cell, (bool, np.bool_)):
        return str(bool(cell))
    if isinstance(cell, (int, np.integer)):
        return str(int(cell))
    if isinstance(cell, (float, np.floating, Decimal)):
        number = float(cell)
        if not math.isfinite(number) or abs(number) > EXACT_INTEGER:
            raise ValueError("not an exact code")
        return str(int(number)) if number.is_integer() else repr(number)
    if isinstance(cell, (datetime, date)):
        return cell.isoformat()
    raise TypeError("not a single value")


def expanded_names(column: Column) -> list[str]:
    """Names of the columns that `expand` makes of one feature."""
    if column.kind != "date":
        return [column.name]
    parts = ["day", "month", "weekday", *(["hour"] if column.time else [])]
    return [f"{column.name} ({part})" for part in parts]


def expand(typed: pd.DataFrame, columns: Sequence[Column]) -> pd.DataFrame:
    """Turns a frame typed by `conform` into what the pipeline is fitted on: numbers and strings.

    A boolean becomes 0.0 or 1.0, a date its days since 1970 and its month, weekday and hour.

    Returns:
        (n_rows, at least n_columns), float64 and str; missing values are NaN, in texts "".
        Of a text the first 5,000 characters.
    """
    if all(column.kind in ("number", "category") for column in columns):
        return typed[[column.name for column in columns]]
    parts: dict[str, Any] = {}
    for column in columns:
        cells = typed[column.name]
        if column.kind == "date":
            microseconds = cells.to_numpy("datetime64[us]").astype(np.int64)
            days = pd.Series(microseconds / 86.4e9).mask(cells.isna().to_numpy())
            calendar = [days, cells.dt.month, cells.dt.day_of_week, cells.dt.hour]
            for name, part in zip(expanded_names(column), calendar, strict=False):
                parts[name] = part.to_numpy(dtype=np.float64, na_value=np.nan)
        elif column.kind == "boolean":
            parts[column.name] = cells.to_numpy(dtype=np.float64, na_value=np.nan)
        else:
            text = column.kind == "text"
            parts[column.name] = cells.fillna("").str[:READ_OF_TEXT] if text else cells
    return pd.DataFrame(parts, index=typed.index)
