"""Labels that came later than their rows: a table of labels, joined to another one by a key.

A key is read as a category of a model is, so that 7, 7.0 and "7" are one, or as a date where one of
the two columns holds dates. Where texts are not all numbers, as with hexadecimal ones, none is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from custom_model.served.cells import describe, read_cells
from custom_model.served.columns import NULL_SPELLINGS, PLAIN_NUMBER, Column, Label
from tabular.errors import BadInput, choices
from tabular.models.classes import key as key_of_class
from tabular.store.artifacts import download
from tabular.table.addresses import without_password
from tabular.table.columns import infer_columns, is_text
from tabular.table.files import RawTable, read_table
from tabular.table.labels import true_labels


@dataclass(frozen=True)
class LateLabels:
    """The labels of a table's rows.

    Args:
        target: what they are called.
        labels: (n_rows,) object, None for a row that has no label.
        notes: how they were joined, a sentence each.
        metrics: how many rows and labels had no partner, by name as a metric of a run.
    """

    target: str
    labels: np.ndarray
    notes: list[str]
    metrics: dict[str, float]


def join_labels(
    table: RawTable,
    data: str,
    labels: str,
    key: Sequence[str],
    target: str,
    classes: Sequence[Label],
) -> LateLabels | None:
    """Joins a table of labels to a table; None where neither labels nor a key are given.

    Args:
        table: without the target.
        data: where it came from.
        labels: path or URI of the table of labels.
        key: columns of both tables; rows with equal values in all of them belong together.
        target: column of the labels; where the table of labels has no such column, the only one
            that is not of the key. "" for that one.
        classes: of the model, see `read_labels`.

    Raises:
        BadInput: the two cannot be joined, or a row has two labels.
    """
    if not labels and not key:
        return None
    data, name = without_password(data), without_password(labels)
    if not labels or not key:
        have, lack = ("labels", "key") if labels else ("key", "labels")
        raise BadInput(
            f"{have} is given without {lack}; labels=<table> and key=<its columns that {data} has "
            "too> go together"
        )
    late = read_table(labels, download)
    for place, frame in ((data, table.frame), (name, late.frame)):
        for column in key:
            if column not in frame:
                possible = choices(column, frame.columns)
                raise BadInput(f"key column {column!r} not found in {place}; {possible}")
    own = _target(late, name, key, target)
    if (target or own) in table.frame:
        raise BadInput(
            f"{data} has the column {target or own!r} itself; leave labels and key out, or leave "
            "that column out of it"
        )
    y = true_labels(late, own, name, classes)
    here, there = _number_keys(table, late, key)
    given = pd.DataFrame({"key": there, "label": y, "class": [key_of_class(one) for one in y]})
    given["row"] = np.arange(len(given))
    given = given[given["label"].notna()]
    lost = int((given["key"] < 0).sum())
    given = given[given["key"] >= 0].drop_duplicates(["key", "class"])
    if (twice := given["key"].duplicated()).any():
        again = given[twice].iloc[0]
        first = given[given["key"] == again["key"]].iloc[0]
        raise BadInput(
            f"{name} has two labels for {_shown(late, key, int(again['row']))}: "
            f"{first['label']!r} and {again['label']!r}; give one"
        )
    if not given["key"].isin(here).any():
        raise BadInput(
            f"no row of {data} has a key of {name}: {_shown(table, key, 0)} in the first row here, "
            f"{_shown(late, key, 0)} there"
        )
    of_key = np.full(1 + max(here.max(), there.max()), None, dtype=object)
    of_key[given["key"]] = given["label"]
    joined = of_key[here]
    joined[here < 0] = None
    known = np.array([label is not None for label in joined])
    unused = lost + int((~given["key"].isin(here)).sum())
    notes = [*late.notes]
    notes.append(
        f"{known.sum()} of {len(known)} rows have a label in {name} by {', '.join(key)}; "
        f"{unused} of {len(given) + lost} labels belong to no row."
    )
    if shared := int(pd.Series(here[known]).duplicated(keep=False).sum()):
        notes.append(f"{shared} of these rows share a key, and so its label, with other rows.")
    metrics = {"rows_without_label": float((~known).sum()), "labels_without_row": float(unused)}
    return LateLabels(target or own, joined, notes, metrics)


def _target(late: RawTable, name: str, key: Sequence[str], target: str) -> str:
    """The column that holds the labels."""
    others = [str(column) for column in late.frame.columns if column not in key]
    if target in others:
        return target
    if len(others) == 1:
        return others[0]
    found = f"its others are {', '.join(others[:12])}" if others else "it has no other column"
    raise BadInput(
        f"{name} has no column {target!r}, and {found}; give it the key ({', '.join(key)}) and "
        "one column of labels"
    )


def _number_keys(
    table: RawTable, late: RawTable, key: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """A number for the key of each row of two tables, equal for equal keys; -1 without a key."""
    read = [_read_keys((table, late), name) for name in key]
    both = pd.DataFrame({n: pd.concat(two, ignore_index=True) for n, two in enumerate(read)})
    numbers = both.groupby([*both], sort=False).ngroup().fillna(-1).to_numpy(dtype=np.int64)
    return numbers[: len(table.frame)], numbers[len(table.frame) :]


def _read_keys(tables: Sequence[RawTable], name: str) -> list[pd.Series]:
    """A column of two tables in one notation; missing where a cell is."""
    dates = [_as_dates(one, name) for one in tables]
    date = next((one for one in dates if one), None)
    words = not all(_are_numbers(one.frame[name]) for one in tables)
    read = []
    for table, own in zip(tables, dates, strict=True):
        cells = table.frame[name]
        if words and not date and is_text(cells):  # 12e4 is an identifier here, and no 120000
            texts = cells.astype("str").str.strip()
            read.append(texts.mask(texts.isin(NULL_SPELLINGS)))
        else:
            column = own or date or Column(name, "category", required=False)
            read.append(read_cells(cells.to_frame(), [column], as_text=table.as_text).typed[name])
    return read


def _as_dates(table: RawTable, name: str) -> Column | None:
    """What training would read a column as, if it holds dates."""
    cells = table.frame[[name]]
    if pd.api.types.is_datetime64_any_dtype(cells[name].dtype):
        return Column(name, "date", required=False)
    column = None
    for part in (cells[:1000], cells):
        try:
            (column,), _ = infer_columns(part, as_text=table.as_text)
        except BadInput:  # an identifier, or one value
            return None
        if column.kind != "date":
            return None
    return column


def _are_numbers(cells: pd.Series) -> bool:
    """Whether no text of a column is anything else than a number or a truth value."""
    if not is_text(cells):
        return True
    texts = cells.dropna().astype("str").str.strip()
    pattern = f"{PLAIN_NUMBER.pattern}|true|false|True|False|"
    return bool(texts.str.fullmatch(pattern).all())


def _shown(table: RawTable, key: Sequence[str], row: int) -> str:
    """The key of a row in words."""
    return ", ".join(f"{name} {describe(table.frame[name].iloc[row])}" for name in key)
