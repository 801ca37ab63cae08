"""A labelled table as models are evaluated on it: rows, classes, and what must be said of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from custom_model.served.cells import read_cells
from custom_model.served.columns import Column, Label
from tabular.errors import BadInput, choices
from tabular.models.load import Subject, key, seen_rows
from tabular.table.columns import infer_columns
from tabular.table.reading import as_pandas_reads, true_labels


@dataclass(frozen=True)
class Labelled:
    """The rows of a table that have a label, as one model reads them.

    Args:
        raw: (n_rows, any columns).
        labels: (n_rows,) true ones.
        typed: (n_rows, n_columns).
        columns: the features: the model's own, or those found in the table.
        scorable: (n_rows,) bool, rows that the model does not refuse.
        notes: what was left out, a sentence each.
    """

    raw: pd.DataFrame
    labels: list[Label]
    typed: pd.DataFrame
    columns: tuple[Column, ...]
    scorable: np.ndarray
    notes: tuple[str, ...]


def read_labelled(subject: Subject, raw: pd.DataFrame, target: str, data: str) -> Labelled:
    """Reads a labelled table for a model.

    Args:
        subject: the model.
        raw: (n_rows, any columns).
        target: column of the labels.
        data: where the table came from.

    Raises:
        BadInput: there are no labels, or a column that the model needs is missing.
    """
    if not target:
        raise BadInput(
            f"no target given for {data}; say which column has the labels with "
            f"-P target=<column>, one of: {', '.join(raw.columns[:30])}"
        )
    if target not in raw:
        raise BadInput(
            f"target column {target!r} not found in {data}; {choices(target, raw.columns)}"
        )
    features = raw.drop(columns=target)
    labels = true_labels(raw, target)
    known = labels.notna().to_numpy()
    if not known.any():
        raise BadInput(f"target {target!r} of {data} has no labels")
    raw, features = (part[known].reset_index(drop=True) for part in (raw, features))
    notes = []
    if not known.all():
        notes.append(f"{(~known).sum()} rows have no {target!r} and are left out.")
    if subject.columns:
        read = read_cells(raw, subject.columns, as_text=True)
        if needed := [c.name for c in subject.columns if c.required and c.name in read.absent]:
            raise BadInput(
                f"column {needed[0]!r} is missing in {data}, and {subject.uri} needs it; "
                f"{choices(needed[0], raw.columns)}"
            )
        if read.refused.any():
            notes.append(
                f"{read.refused.sum()} of {len(raw)} rows cannot be scored and are left out; the "
                f"first: {read.first_reason()}."
            )
        typed, columns, scorable = read.typed, subject.columns, ~read.refused
    else:
        columns = tuple(infer_columns(features)[0])
        typed = read_cells(features, columns, as_text=True).typed
        scorable = np.ones(len(raw), dtype=bool)
    return Labelled(raw, labels[known].tolist(), typed, columns, scorable, tuple(notes))


def features_for(subject: Subject, table: Labelled, target: str) -> pd.DataFrame:
    """What the model is asked with: typed for a bundle, for another model as pandas reads it.

    Args:
        subject: the model.
        table: read for it.
        target: heading of the true labels, which the model is not shown.

    Returns:
        (n_rows, n_columns), a row for each of the table.
    """
    if subject.columns:
        return table.typed
    return as_pandas_reads(table.raw.drop(columns=target))


def say_seen(
    subject: Subject, raw: pd.DataFrame, kept: np.ndarray, rows: str
) -> tuple[str, np.ndarray | None]:
    """What to say of rows that the model was trained on, and which they are.

    Args:
        subject: the model.
        raw: (n_rows, n_columns) the table as it stands.
        kept: (n_rows,) bool: the rows that would be evaluated on.
        rows: `all` or `unseen`.

    Returns:
        A sentence, "" for none, and (n_rows,) bool: seen in training; None where it cannot be told.
    """
    seen = seen_rows(subject, raw) if subject.columns else None
    if seen is None:
        return (
            f"Whether {subject.uri} was trained on rows of this table cannot be told; on such rows "
            "its metrics flatter.",
            None,
        )
    times = int((seen & kept).sum())
    if rows == "unseen" or not times:
        return "", seen
    return (
        f"{times} of {kept.sum()} rows are among those that {subject.uri} was trained on, so these "
        "metrics flatter; evaluate on the others with -P rows=unseen.",
        seen,
    )


def all_labels(
    subjects: Sequence[Subject],
    truth: Sequence[Label],
    answers: Sequence[tuple[list[Label], pd.DataFrame | None]],
    data: str,
    target: str,
) -> tuple[tuple[Label, ...], list[str]]:
    """The classes of the models, then those that only the table has, and what to say of these.

    Args:
        subjects: the models.
        truth: label of each row.
        answers: labels and probabilities of each model, these by class.
        data: name of the table, for a complaint.
        target: heading of the true labels, for a complaint.

    Raises:
        BadInput: no class is the table's and a model's.
    """
    ordered: dict[str, Label] = {}
    for subject, (said, shares) in zip(subjects, answers, strict=True):
        names = list(shares.columns) if shares is not None else []
        own = [*subject.labels, *(() if subject.labels else sorted({*names, *said}, key=str))]
        for label in own:
            ordered.setdefault(key(label), label)
    known = dict(ordered)
    by_key = {key(label): label for label in truth}
    new = sorted(set(by_key) - set(known))
    if not set(by_key) & set(known):
        raise BadInput(
            f"{subjects[0].uri} predicts {', '.join(list(known)[:5])}, and {target!r} of {data} "
            f"holds {', '.join(sorted(by_key)[:5])}: they have no class in common; choose another "
            "target or model"
        )
    ordered |= {name: by_key[name] for name in new}
    notes = []
    if new:
        rows = sum(key(label) in set(new) for label in truth)
        notes.append(
            f"{rows} rows are of classes that no model knows: {', '.join(new[:10])}; every answer "
            "to them is wrong."
        )
    labels = [by_key.get(name, label) for name, label in ordered.items()]
    if len({type(label) for label in labels}) > 1:
        labels = [str(label) for label in labels]
    return tuple(labels), notes
