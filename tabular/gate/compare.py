"""What two versions answered on rows that neither was trained on."""

import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException

from custom_model.served.columns import Label
from custom_model.served.requests import Refusal
from tabular.errors import BadInput
from tabular.gate.decide import Predictions
from tabular.store.registry import Candidate
from tabular.table.split import ROW_HASH

FEWEST_ROWS = 10
TIMED_ROWS = 20


@dataclass(frozen=True)
class Loaded:
    """A version with its held-out rows.

    Args:
        candidate: from the registry.
        path: of its artifact on disk.
        model: of `mlflow.pyfunc`.
        labels: its classes.
        target: heading of the predicted column.
        holdout: typed held-out rows, indexed by row hash.
        trained_on: (n,) hashes of the rows it was trained on.
    """

    candidate: Candidate
    path: Path
    model: Any
    labels: tuple[Label, ...]
    target: str
    holdout: pd.DataFrame
    trained_on: np.ndarray


def load(candidate: Candidate, path: Path) -> Loaded:
    """Loads a fetched version and the rows it was not trained on.

    Args:
        candidate: from the registry.
        path: of its artifact.

    Raises:
        BadInput: a file that a comparison needs is gone, or its holdout is not one.
    """
    model = mlflow.pyfunc.load_model(str(path))
    bundle = model.unwrap_python_model()
    with tempfile.TemporaryDirectory() as folder:
        try:
            holdout, rows = (
                pd.read_parquet(
                    mlflow.artifacts.download_artifacts(
                        run_id=candidate.run_id, artifact_path=name, dst_path=folder
                    )
                )
                for name in ("holdout.parquet", "training_rows.parquet")
            )
        except (MlflowException, OSError):
            raise BadInput(
                f"version {candidate.version} cannot be compared: its held-out rows are gone"
            ) from None
    trained_on = rows[ROW_HASH].to_numpy()
    if np.isin(holdout.index.to_numpy(), trained_on).any():
        raise BadInput(f"version {candidate.version} was trained on rows of its own holdout")
    target = [name for name in holdout.columns if name not in bundle.table_columns]
    return Loaded(candidate, path, model, tuple(bundle.labels), target[0], holdout, trained_on)


def common_rows(challenger: Loaded, champion: Loaded | None) -> pd.DataFrame:
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
        versions = f"versions {challenger.candidate.version} and {champion.candidate.version}"
        if challenger.target != champion.target:
            raise BadInput(
                f"{versions} cannot be compared: one predicts {challenger.target!r}, the other "
                f"{champion.target!r}"
            )
        rows = rows[~np.isin(rows.index.to_numpy(), champion.trained_on)]
        if len(rows) < FEWEST_ROWS:
            raise BadInput(
                f"{versions} cannot be compared: only {len(rows)} rows are new to both, "
                f"{FEWEST_ROWS} are needed; train both with one seed"
            )
    return rows


def answers(loaded: Loaded, rows: pd.DataFrame, labels: tuple[Label, ...]) -> Predictions:
    """Asks a version for probabilities, and times single rows.

    Args:
        loaded: the version.
        rows: (n_rows, n_columns) typed, with or without the target.
        labels: the classes of both versions; one that this version does not know has probability 0.

    Raises:
        BadInput: the version cannot score these rows.
    """
    features = rows.drop(columns=loaded.target, errors="ignore").reset_index(drop=True)
    try:
        answer = loaded.model.predict(features)
        seconds = []
        for row in range(min(TIMED_ROWS, len(features))):
            one = features.iloc[row : row + 1]
            started = time.perf_counter()
            loaded.model.predict(one)
            seconds.append(time.perf_counter() - started)
    except Refusal as refusal:
        raise BadInput(
            f"version {loaded.candidate.version} cannot score the common rows: {refusal.message}"
        ) from None
    shares = np.zeros((len(rows), len(labels)))
    for column, label in enumerate(labels):
        if label in loaded.labels:
            shares[:, column] = answer[f"probability_{label}"].to_numpy()
    said = np.array([labels.index(label) for label in answer["prediction"]], dtype=np.intp)
    return Predictions(shares, statistics.median(seconds), said)
