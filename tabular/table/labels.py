"""The classes of a table: labels in their own type, and a code for each row."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from custom_model.served.columns import ISO_DATE, NULL_SPELLINGS, Label
from tabular.errors import BadInput, choices
from tabular.table.columns import COMMA_NUMBER, OTHER_DATE, is_text, missing_markers
from tabular.table.files import RawTable

MOST_CLASSES = 1000


def read_labels(
    cells: pd.Series, markers: frozenset[str] = frozenset(), *, spelled: bool = True
) -> pd.Series:
    """Reads a target column; labels keep their type and spelling.

    In a CSV a text becomes an integer, a boolean or a float only where it is written as Python
    writes one, in all rows.

    Args:
        cells: (n_rows,) raw.
        markers: words that stand for a missing value elsewhere in the table.
        spelled: the table is a CSV, whose every cell is text.

    Returns:
        (n_rows,) object: str, int, bool or float; None where there is no label.
    """
    cells = cells.astype(object) if isinstance(cells.dtype, pd.CategoricalDtype) else cells
    if not is_text(cells):
        cells = cells.astype(object)
        return cells.map(lambda c: c.item() if isinstance(c, np.generic) else c).where(
            cells.notna(), None
        )
    texts = cells.astype(object).where(cells.notna(), "")
    stripped = texts.str.strip()
    texts = texts.mask((stripped == "") | stripped.isin(markers & NULL_SPELLINGS | markers & {"?"}))
    distinct = texts.dropna().unique()
    for read in (_as_int, _as_bool, _as_float) if spelled else ():
        known: dict[Any, Any] = {text: read(text) for text in distinct}
        if all(value is not None for value in known.values()):
            return texts.map(known).astype(object).where(texts.notna(), None)
    return texts.where(texts.notna(), None)


def true_labels(table: RawTable, target: str, data: str) -> np.ndarray:
    """The labels of a table, (n_rows,) object, None where there is none.

    Args:
        table: as it stands.
        target: heading of the labels.
        data: where the table came from.

    Raises:
        BadInput: there is no such column, or no label in it.
    """
    frame = table.frame
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


def _as_int(text: str) -> int | None:
    return int(text) if re.fullmatch(r"0|-?[1-9]\d{0,17}", text) else None


def _as_bool(text: str) -> bool | None:
    return {"True": True, "False": False, "true": True, "false": False}.get(text)


def _as_float(text: str) -> float | None:
    try:
        return float(text) if repr(float(text)) == text and np.isfinite(float(text)) else None
    except ValueError:
        return None


def classes_of(labels: pd.Series, target: str, source: str) -> tuple[tuple[Label, ...], np.ndarray]:
    """Sorts the classes and gives each row the code of its own.

    Args:
        labels: (n_rows,) from `read_labels`, without missing ones.
        target: heading of the column.
        source: where the table came from.

    Returns:
        The classes, and (n_rows,) int64 codes.

    Raises:
        BadInput: there are too few or too many classes, or they are quantities.
    """
    types = {type(label) for label in labels}
    if not types <= {str, int, bool, float}:
        kind = ", ".join(sorted(t.__name__ for t in types))
        raise BadInput(f"target {target!r} of {source} holds {kind}; classes are words or numbers")
    if len(types) > 1:
        labels = labels.map(str)
    codes, classes = pd.factorize(labels, sort=True)
    if len(classes) < 2:
        found = f"one class only ({classes[0]!r})" if len(classes) else "no labels"
        raise BadInput(f"target {target!r} of {source} has {found}; a classifier needs two classes")
    if len(classes) > MOST_CLASSES or (
        len(classes) > 20 and (_are_quantities(classes.tolist()) or len(classes) > len(codes) / 2)
    ):
        raise BadInput(
            f"target {target!r} of {source} has {len(classes)} different values in {len(codes)} "
            "rows, which is a quantity or an identifier, not a class; choose another target"
        )
    if len(classes) == len(codes):
        raise BadInput(f"every row of {source} has a class of its own; give several rows per class")
    return tuple(classes.tolist()), codes.astype(np.int64)


def _are_quantities(classes: Sequence[Label]) -> bool:
    """Whether all are numbers and some have a fraction, also after a comma, or all are dates."""
    if isinstance(classes[0], float):
        return not all(float(label).is_integer() for label in classes)
    texts = pd.Series(list(classes)).astype("str")
    fractions = texts.str.fullmatch(COMMA_NUMBER).all() and texts.str.contains(",").any()
    dates = texts.str.fullmatch(f"{ISO_DATE}|{OTHER_DATE}").all()
    return bool(fractions or dates)
