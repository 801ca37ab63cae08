"""Models on a labelled table: which rows count, which classes there are, and what must be said."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from custom_model.served.cells import read_cells
from custom_model.served.columns import Column, Label
from tabular.errors import BadInput
from tabular.models.classes import key
from tabular.models.model import LoadedModel, PredictedRows, ReadTable
from tabular.store.artifacts import read_of_run
from tabular.table.columns import infer_columns
from tabular.table.files import RawTable
from tabular.table.split import GROUP_HASH, ROW_HASH, hash_rows
from tabular.table.structure import Roles, Structure, hash_groups, read_moments, read_roles


def without_labels(
    raw: pd.DataFrame, target: str, key: Sequence[str], models: Sequence[LoadedModel]
) -> pd.DataFrame:
    """The features of a table: not its labels, nor their key unless a model reads it by name."""
    read = {name for model in models for name in model.inputs or ()}
    return raw.drop(columns=[n for n in raw if n == target or (n in key and n not in read)])


def features_of(
    model: LoadedModel, cells: ReadTable, features: pd.DataFrame, *, as_text: bool
) -> tuple[pd.DataFrame, tuple[Column, ...]]:
    """Typed features, by which the rows are divided into slices, and their columns.

    Args:
        model: first of those that are evaluated.
        cells: of the table, as it reads them.
        features: (n_rows, n_columns) the table without its labels.
        as_text: its cells are uninterpreted text.

    Returns:
        (n_rows, n_columns) and the columns: the model's own; for a model of another maker those
        that training would find in this table.
    """
    if model.columns:
        return cells.typed, model.columns
    columns = tuple(infer_columns(features, as_text=as_text)[0])
    return read_cells(features, columns, as_text=as_text).typed, columns


def seen_rows(model: LoadedModel, raw: pd.DataFrame) -> np.ndarray | None:
    """Which rows the model was trained on, (n_rows,) bool; None where that is not known."""
    if not model.columns or not set(model.table_columns) <= set(raw.columns):
        return None
    trained_on = read_of_run(model.run_id, "training_rows.parquet") if model.run_id else None
    if trained_on is None or ROW_HASH not in trained_on:
        return None
    hashes = hash_rows(raw[list(model.table_columns)], model.columns)
    seen = np.isin(hashes, trained_on[ROW_HASH].to_numpy())
    if GROUP_HASH in trained_on:
        groups = hash_groups(raw, model.structure, hashes)
        seen |= np.isin(groups, trained_on[GROUP_HASH].unique())
    return seen


def structured(models: Sequence[LoadedModel]) -> LoadedModel:
    """The model whose groups, time and weights count: one of this project, if there is one.

    Raises:
        BadInput: two were made with different ones.
    """
    made = [model for model in models if model.columns]
    if len({model.structure for model in made}) > 1:
        raise BadInput(
            f"{made[0].uri} was made with {made[0].structure}, {made[1].uri} with "
            f"{made[1].structure}: they cannot be compared; evaluate one at a time"
        )
    return made[0] if made else models[0]


def roles_in(
    model: LoadedModel, table: RawTable, rows: np.ndarray, data: str
) -> tuple[Roles, list[str]]:
    """Groups and weights of the rows of a table, and what to say of those it has no column for.

    Args:
        model: whose structure counts.
        table: as it stands.
        rows: (n_rows,) bool, those that are wanted.
        data: name of the table, for a message.

    Raises:
        BadInput: a weight cannot be read.
    """
    group, weight = model.structure.group, model.structure.weight
    cautions = []
    if absent := [name for name in group if name not in table.frame]:
        cautions.append(
            f"Rows with equal {', '.join(group)} belong together for {model.uri}, and {data} has "
            f"no column {absent[0]!r}: each row counts as independent, which makes intervals and "
            "p-values too small if rows do belong together."
        )
    if weight and weight not in table.frame:
        cautions.append(
            f"Rows count by {weight!r} for {model.uri}, and {data} has no such column: each row "
            "counts once."
        )
    structure = Structure(() if absent else group, weight=weight if weight in table.frame else "")
    raw = table.frame[rows].reset_index(drop=True)
    hashes = np.arange(len(raw), dtype=np.uint64)
    return read_roles(raw, structure, hashes, data, as_text=table.as_text), cautions


def moments_in(
    model: LoadedModel, table: RawTable, rows: np.ndarray, data: str
) -> tuple[np.ndarray | None, list[str]]:
    """When each row was, and what to say of moments that cannot be read.

    They are of the column that says so for the model, or else of a column `time`, as a log of
    requests has it.

    Args:
        model: that is watched.
        table: as it stands.
        rows: (n_rows,) bool, those that are wanted.
        data: name of the table, for a message.

    Returns:
        (n_wanted,) datetime64, or float64 where the model's column holds numbers; None for none.
    """
    name = model.structure.time or "time"
    if name not in table.frame or (not model.structure.time and name in (model.inputs or ())):
        return None, []
    cells = table.frame[name][rows].reset_index(drop=True)
    if cells.nunique() < 2:
        return None, []
    try:
        moments = read_moments(cells, data, as_text=table.as_text)
    except BadInput as error:
        return None, [f"There is no metric over time: {error}."]
    return (moments if model.structure.time or moments.dtype.kind == "M" else None), []


def describe_seen(model: LoadedModel, seen: np.ndarray | None, kept: np.ndarray) -> str:
    """What to say of rows that the model was trained on, "" where there are none."""
    if seen is None:
        return (
            f"Whether {model.uri} was trained on rows of this table is not known; on such rows its "
            "metrics flatter."
        )
    if not (times := int((seen & kept).sum())):
        return ""
    among = "belong to groups" if model.structure.group else "are among those"
    return (
        f"{times} of {kept.sum()} rows {among} that {model.uri} was trained on, so these "
        "metrics flatter; evaluate on the others with -P rows=unseen."
    )


def classes_of_models(
    models: Sequence[LoadedModel],
    predictions: Sequence[PredictedRows],
    y_true: Sequence[Label],
    data: str,
    target: str,
) -> tuple[tuple[Label, ...], str]:
    """The classes of the models, then those that only the table has, and what to say of these.

    Args:
        models: that were asked.
        predictions: of each of them for the rows.
        y_true: (n_rows,) labels.
        data: name of the table, for a message.
        target: heading of the labels, for a message.

    Raises:
        BadInput: no class is the table's and a model's.
    """
    of_models: dict[str, Label] = {}
    for model, predicted in zip(models, predictions, strict=True):
        proba = predicted.proba
        seen = {*predicted.y_pred, *(() if proba is None else proba.columns)}
        for label in model.classes or sorted(seen, key=str):
            of_models.setdefault(key(label), label)
    of_table = {key(label): label for label in y_true}
    new = sorted(set(of_table) - set(of_models))
    if not set(of_table) & set(of_models):
        raise BadInput(
            f"{models[0].uri} predicts {', '.join(list(of_models)[:5])}, and {target!r} of {data} "
            f"holds {', '.join(sorted(of_table)[:5])}: they have no class in common; choose "
            "another target or model"
        )
    classes = [*(of_table.get(name, label) for name, label in of_models.items())]
    classes += [of_table[name] for name in new]
    if len({type(label) for label in classes}) > 1:
        classes = [str(label) for label in classes]
    if not new:
        return tuple(classes), ""
    rows = sum(key(label) in set(new) for label in y_true)
    return tuple(classes), (
        f"{rows} rows are of classes that no model has: {', '.join(new[:10])}; every prediction "
        "for them is wrong."
    )
