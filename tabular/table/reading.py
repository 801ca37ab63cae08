"""A table as it stands, for models that read it in their own way; and the labels in it."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from tabular.errors import BadInput, choices
from tabular.table.columns import missing_markers
from tabular.table.dataset import BUILT_IN, load_built_in, read_table
from tabular.table.labels import read_labels


@dataclass(frozen=True)
class RawTable:
    """A table as it stands.

    Args:
        source: what the user gave: a built-in name, a path or a URI.
        frame: (n_rows, n_columns).
        as_text: it is a CSV, whose cells are uninterpreted text.
        target: heading of the labels of a built-in set, "" for any other table.
    """

    source: str
    frame: pd.DataFrame
    as_text: bool
    target: str = ""


def read_raw(data: str) -> RawTable:
    """Reads a table as it stands.

    Args:
        data: see `load_dataset`.

    Raises:
        BadInput: it cannot be read, has no rows, or a heading twice.
    """
    frame, target = load_built_in(data) if data in BUILT_IN else (read_table(data), "")
    frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
    if frame.columns.duplicated().any():
        name = frame.columns[frame.columns.duplicated()][0]
        raise BadInput(f"column {name!r} is in {data} more than once; rename one of them")
    if frame.empty:
        raise BadInput(f"{data} has no rows")
    as_text = data.lower().removesuffix(".gz").endswith((".csv", ".tsv"))
    return RawTable(data, frame.reset_index(drop=True), as_text, target)


def true_labels(table: RawTable, target: str) -> np.ndarray:
    """The labels of a table, (n_rows,) object, None where there is none.

    Args:
        table: as it stands.
        target: heading of the labels.

    Raises:
        BadInput: there is no such column, or no label in it.
    """
    frame, data = table.frame, table.source
    if not target:
        raise BadInput(
            f"no target given for {data}; say which column has the labels with "
            f"-P target=<column>, one of: {', '.join(frame.columns[:30])}"
        )
    if target not in frame:
        raise BadInput(
            f"target column {target!r} not found in {data}; {choices(target, frame.columns)}"
        )
    markers = missing_markers(frame.drop(columns=target))
    labels = read_labels(frame[target], markers, spelled=table.as_text)
    if not labels.notna().any():
        raise BadInput(f"target {target!r} of {data} has no labels")
    return labels.to_numpy(dtype=object)
