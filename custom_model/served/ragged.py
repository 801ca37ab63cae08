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
from pathlib import Path
from types import FrameType

import pandas as pd

from .requests import Refusal

_PARSER = "mlflow.pyfunc.scoring_server"
_ADVICE = "quote a cell that holds a comma, and write decimals with a point"


def refuse_ragged(frame: pd.DataFrame) -> None:
    """Refuses a frame that was made of a ragged CSV; any other passes.

    Raises:
        Refusal: a row has more or fewer cells than the heading, or repeats it.
    """
    caller = _caller()
    if caller is None or "csv" not in str(caller.f_locals.get("content_type")):
        return
    # a first row that is too long makes an index, one that is too short a missing value at its end
    suspicious = frame.iloc[:, -1:].isna().to_numpy().any()
    _refuse_widths(_text(caller), rows=None if suspicious else 1)
    if not frame.index.equals(pd.RangeIndex(len(frame))):
        raise Refusal(f"a row has more cells than the heading; {_ADVICE}")
    for row in (
        (frame.iloc[:, :1].astype(object) == list(frame.columns[:1])).to_numpy().nonzero()[0]
    ):
        if frame.iloc[row].tolist() == frame.columns.tolist():
            raise Refusal(f"row {row + 1} repeats the heading; leave it out")


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


def _refuse_widths(text: str, rows: int | None) -> None:
    """Refuses a row among the first ones that is wider or narrower than the heading."""
    widths = (
        len(cells)
        for cells in csv.reader(io.StringIO(text, newline=""))
        if len(cells) > 1 or "".join(cells).strip()  # pandas leaves blank lines out
    )
    try:
        heading = next(widths, 0)
        for row, width in enumerate(itertools.islice(widths, rows), start=1):
            if width != heading:
                raise Refusal(
                    f"row {row}: found {width} cells, the heading has {heading}; {_ADVICE}"
                )
    except csv.Error:  # a cell of more than 128 KB
        return
