"""Rows of a CSV that have more or fewer cells than its heading.

MLflow parses CSV by `pandas.read_csv`. If the first row has a cell too many, pandas takes its first
cell for an index, and each value moves on by a column; a row with a cell too few ends in a missing
value. The frame does not show it: JSON and Parquet may bring an index, and a missing value may be
meant. What MLflow has parsed stands in the variables of the function that calls the model.
"""

import csv
import io
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import pandas as pd

from .requests import Refusal

_PARSER = "mlflow.pyfunc.scoring_server"
SHORT = 100_000  # characters that are read once more in less than a millisecond
_ADVICE = "quote a cell that holds a comma, and write decimals with a point"


def refuse_ragged(frame: pd.DataFrame, features: Sequence[str]) -> None:
    """Refuses a frame that was made of a ragged CSV; any other, or one without a feature, passes.

    Raises:
        Refusal: a row has more or fewer cells than the heading, or repeats it.
    """
    caller = _caller()
    if caller is None or "csv" not in str(caller.f_locals.get("content_type")):
        return
    if not any(name in frame for name in features):
        return  # no heading, which is refused elsewhere
    text = _text(caller)
    heading = text[: text.find("\n", 1)]
    # without reading all rows: a short one leaves a missing value at its end, a long one that is
    # not the first is MLflow's to refuse
    whole = len(text) <= SHORT or heading in text[len(heading) :]
    whole = whole or bool(len(frame) and frame.iloc[:, -1].isna().any())
    _refuse_rows(text, rows=None if whole else 1)
    if not isinstance(frame.index, pd.RangeIndex):
        raise Refusal(f"a row has more cells than the heading; {_ADVICE}")


def _caller() -> FrameType | None:
    """The function of MLflow that has parsed the request, None without one."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_globals.get("__name__") != _PARSER:
        frame = frame.f_back
    return frame


def _text(caller: FrameType) -> str:
    """The CSV, "" where it cannot be read again."""
    source, path = caller.f_locals.get("csv_input"), caller.f_locals.get("input_path")
    if isinstance(source, io.StringIO):  # of the server
        return source.getvalue()
    return Path(path).read_text("utf-8-sig") if path else ""  # of `mlflow models predict`


def _refuse_rows(text: str, rows: int | None) -> None:
    """Refuses one of the first rows that does not fit the heading."""
    lines = (
        cells
        for cells in csv.reader(io.StringIO(text, newline=""))
        if len(cells) > 1 or "".join(cells).strip()  # pandas leaves blank lines out
    )
    try:
        heading = next(lines, [])
        for row, cells in enumerate(itertools.islice(lines, rows), start=1):
            if len(cells) != len(heading):
                raise Refusal(
                    f"row {row}: found {len(cells)} cells, the heading has {len(heading)}; "
                    f"{_ADVICE}"
                )
            if cells == heading:
                raise Refusal(f"row {row} repeats the heading; leave it out")
    except csv.Error:  # a cell of more than 128 KB
        return
