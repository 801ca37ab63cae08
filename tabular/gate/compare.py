"""What two versions predict for rows that neither was trained on."""

import statistics
import time
from dataclasses import dataclass

import numpy as np
import pandas as pd

from custom_model.served.columns import Label
from tabular.errors import BadInput
from tabular.gate.decide import Predictions
from tabular.models.classes import align, key
from tabular.models.load import load_model
from tabular.models.model import Model
from tabular.store.artifacts import read_of_run
from tabular.store.registry import Version
from tabular.table.split import ROW_HASH

FEWEST_ROWS = 10
TIMED_ROWS = 20


@dataclass(frozen=True)
class Contender:
    """A version that is compared, with the rows to compare it on.

    Args:
        version: from the registry.
        model: that was loaded of it.
        holdout: typed held-out rows with the target, indexed by row hash.
        trained_on: (n,) hashes of the rows it was trained on.
    """

    version: Version
    model: Model
    holdout: pd.DataFrame
    trained_on: np.ndarray


def load_contender(version: Version, folder: str) -> Contender:
    """Loads a version and the rows it was not trained on.

    Args:
        version: from the registry.
        folder: to keep its files in.

    Raises:
        BadInput: a file that a comparison needs is gone or was changed, or its holdout is not one.
    """
    model = load_model(f"models:/{version.name}/{version.number}", folder)
    holdout, rows = (
        read_of_run(version.run_id, file) for file in ("holdout.parquet", "training_rows.parquet")
    )
    if holdout is None or rows is None:
        raise BadInput(f"version {version.number} cannot be compared: its held-out rows are gone")
    trained_on = rows[ROW_HASH].to_numpy()
    if np.isin(holdout.index.to_numpy(), trained_on).any():
        raise BadInput(f"version {version.number} was trained on rows of its own holdout")
    return Contender(version, model, holdout, trained_on)


def common_rows(challenger: Contender, champion: Contender | None) -> pd.DataFrame:
    """Held-out rows of the challenger that the champion was not trained on either.

    Args:
        challenger: the version that would replace the champion.
        champion: the version in production, None if there is none.

    Returns:
        (n_rows, n_columns + 1): typed, with the target, indexed by the rows' hashes.

    Raises:
        BadInput: there are too few, or the two predict different columns.
    """
    rows = challenger.holdout
    if champion is not None:
        versions = f"versions {challenger.version.number} and {champion.version.number}"
        if challenger.model.target != champion.model.target:
            raise BadInput(
                f"{versions} cannot be compared: one predicts {challenger.model.target!r}, the "
                f"other {champion.model.target!r}"
            )
        rows = rows[~np.isin(rows.index.to_numpy(), champion.trained_on)]
        if len(rows) < FEWEST_ROWS:
            raise BadInput(
                f"{versions} cannot be compared: only {len(rows)} rows are new to both, "
                f"{FEWEST_ROWS} are needed; train both with one seed"
            )
    return rows


def ask_version(
    contender: Contender, rows: pd.DataFrame, target: str, classes: tuple[Label, ...]
) -> Predictions:
    """Asks a version, and times single rows.

    Args:
        contender: the version.
        rows: (n_rows, n_columns + 1) typed, with the target.
        target: heading of the true labels, which the version is not shown.
        classes: of both versions; one that this version does not know has probability 0.

    Raises:
        BadInput: the version cannot score these rows.
    """
    model, number = contender.model, contender.version.number
    features = rows.drop(columns=target).reset_index(drop=True)
    cells = model.read(features, False)
    predicted = model.ask(cells)
    for row, reason in predicted.reasons.items():
        raise BadInput(
            f"version {number} cannot score the common rows; the first: row {row + 1}, {reason}"
        )
    known = {key(label) for label in classes}
    if others := sorted({key(label) for label in predicted.y_pred} - known):
        raise BadInput(f"version {number} predicts {others[0]!r}, which is not among the classes")
    y_pred, proba = align(predicted.y_pred, predicted.proba, classes)
    # a version of this project as a server asks it, by the short way for a few rows
    ask = model.pyfunc.predict if model.columns else model.predict
    seconds = []
    for row in range(min(TIMED_ROWS, len(features))):
        one = cells.typed.iloc[row : row + 1]
        started = time.perf_counter()
        ask(one)
        seconds.append(time.perf_counter() - started)
    latency = statistics.median(seconds)
    if proba is None:
        return Predictions(np.eye(len(classes))[y_pred], latency, y_pred, labels_only=True)
    return Predictions(proba, latency, y_pred)
