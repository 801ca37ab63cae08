"""The classes of a table: labels in their own type, and a code for each row."""

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

from custom_model.served.columns import ISO_DATE, NULL_SPELLINGS, Label
from tabular.errors import BadInput, choices
from tabular.table.columns import COMMA_NUMBER, OTHER_DATE, is_text, missing_markers
from tabular.table.files import RawTable

MOST_CLASSES = 1000
MANY_CLASSES = 20  # with more, numbers may be quantities
ROWS_PER_CLASS = 10  # of many whole numbers, if they are classes

TOTAL = r"(grand |sub)?totals?|sums?|summe|gesamt|insgesamt|somme|suma|totale|average|mean"


def read_labels(
    frame: pd.DataFrame,
    target: str,
    source: str,
    *,
    as_text: bool,
    classes: Sequence[Label] = (),
) -> tuple[pd.Series, list[str]]:
    """Reads a target column; labels keep their type, and their spelling but for blanks around.

    Of texts, numbers and booleans are read only from a table whose cells are all text, and only if
    the whole column is spelled so.

    Args:
        frame: (n_rows, n_columns) the table as it stands.
        target: heading of the column.
        source: where the table came from.
        as_text: its cells are uninterpreted text.
        classes: those of a model, which are classes here too, whatever their spelling.

    Returns:
        (n_rows,) object: str, int, bool or float, None where there is no label; and what to say of
        the reading, a sentence each.

    Raises:
        BadInput: there is no such column.
    """
    names = [str(name) for name in frame.columns]
    if not target:
        raise BadInput(
            f"no target given for {source}; say which column has the labels with "
            f"-P target=<column>, one of: {', '.join(names[:30])}"
        )
    if target not in names:
        raise BadInput(f"target column {target!r} not found in {source}; {choices(target, names)}")
    cells, notes = frame[target], list[str]()
    if found := _total(frame, target):
        notes.append(f"The last row is a total ({found}): left out.")
        cells = cells.mask(np.arange(len(cells)) == len(cells) - 1)
    if isinstance(cells.dtype, pd.CategoricalDtype):
        cells = cells.astype(object)
    if not is_text(cells):
        cells = cells.astype(object)
        if {type(cell) for cell in cells.dropna()} == {Decimal}:
            whole = all(cell == int(cell) for cell in cells.dropna())
            cells = cells.map(int if whole else float, na_action="ignore")
        cells = cells.map(lambda c: c.item() if isinstance(c, np.generic) else c)
        return cells.where(cells.notna(), None), notes
    codes, distinct = pd.factorize(cells)  # -1 is none
    spelled = pd.Series([*distinct, ""], dtype=object).str.strip()
    texts = pd.Series(spelled.to_numpy()[codes], index=cells.index)
    absent, own = _spellings_of_none(texts, frame.drop(columns=target), {*map(str, classes)})
    notes += [f"{word!r} in {target!r} is no label." for word in absent]
    notes += [
        f"{word!r} in {target!r} is as frequent as a class, and taken for one." for word in own
    ]
    spelled = spelled.mask(spelled.isin({"", *absent}))
    labels: list[Any] = [None if pd.isna(text) else text for text in spelled]
    if as_text and (values := _values(spelled.dropna().unique().tolist())):
        labels = [values.get(text) for text in labels]
    of_rows = np.fromiter(labels, dtype=object, count=len(labels))[codes]
    return pd.Series(of_rows, index=cells.index, dtype=object), notes


def _total(frame: pd.DataFrame, target: str) -> str:
    """The cell that makes the last row a total, whose label is no other row's; "" if it is none."""
    last = frame[target].iloc[-1:]
    if len(frame) < 3 or (frame[target] == last.item()).sum() > 1:
        return ""
    for name in frame.columns:
        cell = frame[name].iloc[-1]
        words = str(cell).strip(" :").lower()
        if name != target and re.fullmatch(TOTAL, words) and (frame[name] == cell).sum() == 1:
            return f"{cell!r} in {name!r}"
    return ""


def _spellings_of_none(
    texts: pd.Series, others: pd.DataFrame, classes: set[str]
) -> tuple[list[str], list[str]]:
    """Spellings of "no value" among labels: those that are none, and those that are classes.

    One is a class where a model has it, or where no class has fewer rows.
    """
    counts = texts[texts != ""].value_counts()
    spelled = counts.index.isin({*NULL_SPELLINGS, "?"} - classes)
    fewest = counts[~spelled].min() if not spelled.all() else 0
    absent, own = list[str](), list[str]()
    markers = missing_markers(others) if spelled.any() else frozenset()
    for word, times in counts[spelled].items():
        (absent if word in markers or times < fewest else own).append(str(word))
    return absent, own


def true_labels(
    table: RawTable, target: str, source: str, classes: Sequence[Label] = ()
) -> np.ndarray:
    """The labels of a table, (n_rows,) object, None where there is none; see `read_labels`.

    Raises:
        BadInput: there is no such column, or no label in it.
    """
    labels, _ = read_labels(table.frame, target, source, as_text=table.as_text, classes=classes)
    if not labels.notna().any():
        raise BadInput(f"target {target!r} of {source} has no labels")
    return labels.to_numpy(dtype=object)


def _values(texts: Sequence[str]) -> dict[str, Any]:
    """The values that all of some texts are spellings of, by text; empty if they stay texts."""
    for read in (_as_int, _as_bool, _as_float):
        values: dict[str, Any] = {text: read(text) for text in texts}
        if None not in values.values():
            return values
    # numbers that are not spelled as Python does stay text, unless two are one class: 1 and 1.0
    if all(re.fullmatch(r"-?(0|[1-9]\d{0,14})(\.\d+)?", text) for text in texts):
        values = {text: float(text) for text in texts}
        if len(set(values.values())) < len(texts):
            whole = all(value.is_integer() for value in values.values())
            return {text: int(value) if whole else value for text, value in values.items()}
    return {}


def _as_int(text: str) -> int | None:
    return int(text) if re.fullmatch(r"0|-?[1-9]\d{0,17}", text) else None


def _as_bool(text: str) -> bool | None:
    return {"True": True, "False": False, "true": True, "false": False}.get(text)


def _as_float(text: str) -> float | None:
    try:
        return float(text) if repr(float(text)) == text and np.isfinite(float(text)) else None
    except ValueError:
        return None


def classes_of(
    labels: pd.Series, target: str, source: str
) -> tuple[tuple[Label, ...], np.ndarray, list[str]]:
    """Sorts the classes and gives each row the code of its own.

    Args:
        labels: (n_rows,) from `read_labels`, without missing ones.
        target: heading of the column.
        source: where the table came from.

    Returns:
        The classes, (n_rows,) int64 codes, and what to say of them, a sentence each.

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
    many = len(classes) > MANY_CLASSES
    quantity = many and _are_quantities(classes.tolist(), np.bincount(codes))
    if len(classes) > MOST_CLASSES or quantity or (many and len(classes) > len(codes) / 2):
        raise BadInput(
            f"target {target!r} of {source} has {len(classes)} different values in {len(codes)} "
            "rows, which is a quantity or an identifier, not a class; choose another target"
        )
    if len(classes) == len(codes):
        raise BadInput(f"every row of {source} has a class of its own; give several rows per class")
    notes = []
    if many and isinstance(classes[0], int | float):
        notes.append(
            f"{target!r} has {len(classes)} numbers as classes; a quantity is better predicted by "
            "regression."
        )
    return tuple(classes.tolist()), codes.astype(np.int64), notes


def _are_quantities(classes: Sequence[Label], counts: np.ndarray) -> bool:
    """Whether many values are numbers of few rows each, numbers with a fraction, or dates."""
    if isinstance(classes[0], int | float) and np.median(counts) < ROWS_PER_CLASS:
        return True
    if isinstance(classes[0], float):
        return not all(float(label).is_integer() for label in classes)
    texts = pd.Series(list(classes)).astype("str")
    fractions = texts.str.fullmatch(COMMA_NUMBER).all() and texts.str.contains(",").any()
    dates = texts.str.fullmatch(f"{ISO_DATE}|{OTHER_DATE}").all()
    return bool(fractions or dates)
