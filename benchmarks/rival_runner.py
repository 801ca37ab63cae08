"""One rival on one table, as its documentation tells a user who wants quality within a budget.

    <venv of the rival>/bin/python rival_runner.py flaml f1_macro FOLDER 60 42

FOLDER has `train.parquet` (features and the column `__class__`, 0 to n_classes - 1) and
`holdout.parquet` (features). Written there are `answers.parquet` (the rival's own prediction and
a probability per class, a row per held-out row) and `facts.json`. Imports nothing of the project:
it runs where only the rival is installed.
"""

import importlib.metadata
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

CLASS = "__class__"
CORES = 2

Fitted = tuple[Callable[[pd.DataFrame], np.ndarray], Callable[[pd.DataFrame], np.ndarray]]


def flaml(X: pd.DataFrame, y: pd.Series, metric: str, budget: int, seed: int, _: Path) -> Fitted:
    """FLAML with its defaults: https://microsoft.github.io/FLAML/docs/Use-Cases/Task-Oriented-AutoML."""
    from flaml import AutoML

    model = AutoML()
    model.fit(
        X,
        y,
        task="classification",
        metric={"f1_macro": "macro_f1"}.get(metric, metric),
        time_budget=budget,
        n_jobs=CORES,
        seed=seed,
        verbose=0,
    )
    return model.predict, model.predict_proba


def mljar(
    X: pd.DataFrame, y: pd.Series, metric: str, budget: int, seed: int, folder: Path
) -> Fitted:
    """mljar-supervised in the mode for "maximum performance": https://supervised.mljar.com/api/.

    Its own `f1` is of one class, or micro-averaged; macro-F1 is given in the way that it documents
    for other metrics.
    """
    from supervised.automl import AutoML

    model = AutoML(
        results_path=str(folder / "mljar"),
        mode="Compete",
        total_time_limit=budget,
        eval_metric={"f1_macro": negative_macro_f1, "log_loss": "logloss"}[metric],
        n_jobs=CORES,
        random_state=seed,
        verbose=0,
    )
    model.fit(X, y)
    return model.predict, model.predict_proba


def negative_macro_f1(
    y_true: Any, y_predicted: Any, sample_weight: np.ndarray | None = None
) -> float:
    """What mljar minimises.

    Args:
        y_true: (n_rows,) codes, also one-hot.
        y_predicted: (n_rows,) or (n_rows, 1) probabilities of class 1, or (n_rows, n_classes).
        sample_weight: (n_rows,).
    """
    from sklearn.metrics import f1_score

    true, shares = (np.squeeze(np.asarray(values)) for values in (y_true, y_predicted))
    if true.ndim == 2:
        true = true.argmax(axis=1)
    codes = shares.argmax(axis=1) if shares.ndim == 2 else (shares > 0.5).astype(int)
    return -float(f1_score(true, codes, average="macro", sample_weight=sample_weight))


def autogluon(
    X: pd.DataFrame, y: pd.Series, metric: str, budget: int, _: int, folder: Path
) -> Fitted:
    """AutoGluon's preset for "the most accurate overall predictor" without a GPU.

    https://auto.gluon.ai/stable/api/autogluon.tabular.TabularPredictor.fit.html. Its seed is its
    own. Two settings help it in a minute on two cores: folds one after another, as starting Ray's
    workers left time for a single model where this has fifteen, and no trial fit to decide on
    stacking, which found no time for any model and took a quarter of the budget.
    """
    from autogluon.tabular import TabularPredictor

    model = TabularPredictor(
        label=CLASS, eval_metric=metric, path=str(folder / "autogluon"), verbosity=1
    )
    model.fit(
        X.assign(**{CLASS: y}),
        presets="best_quality",
        time_limit=budget,
        num_cpus=CORES,
        num_gpus=0,
        dynamic_stacking=False,
        ag_args_ensemble={"fold_fitting_strategy": "sequential_local"},
    )
    return model.predict, model.predict_proba


RIVALS: dict[str, tuple[Callable[..., Fitted], str]] = {
    "flaml": (flaml, "FLAML"),
    "mljar": (mljar, "mljar-supervised"),
    "autogluon": (autogluon, "autogluon.tabular"),
}
"""What fits, and the package whose version is told."""


def read(file: Path) -> pd.DataFrame:
    """Numbers as float64, dates as dates, texts as object: the dtypes that each rival documents."""
    frame = pd.read_parquet(file)
    for name, cells in frame.items():
        if pd.api.types.is_string_dtype(cells.dtype):
            frame[name] = cells.astype(object).where(cells.notna(), np.nan)
    return frame


def main(rival: str, metric: str, folder: Path, budget: int, seed: int) -> None:
    train, holdout = read(folder / "train.parquet"), read(folder / "holdout.parquet")
    fit, package = RIVALS[rival]
    started = time.monotonic()
    predict, predict_proba = fit(
        train.drop(columns=CLASS), train[CLASS].astype(int), metric, budget, seed, folder
    )
    seconds = time.monotonic() - started
    answers = pd.DataFrame(np.asarray(predict_proba(holdout), dtype=np.float64))
    answers.columns = answers.columns.map(str)
    answers["prediction"] = np.asarray(predict(holdout)).ravel().astype(int)
    answers.to_parquet(folder / "answers.parquet", index=False)
    facts = {"fit_seconds": seconds, "version": importlib.metadata.version(package)}
    (folder / "facts.json").write_text(json.dumps(facts), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
