"""Cross-validation of one configuration on the training side."""

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from custom_model.bundle import Column
from custom_model.pipeline import TREES, make_classifier, make_preprocessor
from tabular.errors import BadInput
from tabular.metrics import evaluate, evaluate_one

Fold = tuple[np.ndarray, np.ndarray]
Matrices = list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Trial:
    """One configuration, evaluated on all folds.

    Args:
        number: from 0, in the order of asking.
        classifier: a key of `CLASSIFIERS`.
        params: its hyperparameters.
        metrics: by name, over the out-of-fold predictions of all training rows.
        spread: standard deviation over the folds of the metric that was searched for.
        seconds: wall time of the fits.
        error: why it failed, "" if it did not.
    """

    number: int
    classifier: str
    params: dict[str, Any]
    metrics: dict[str, float] = field(default_factory=dict)
    spread: float = 0.0
    seconds: float = 0.0
    error: str = ""


def fold_matrices(
    features: pd.DataFrame,
    codes: np.ndarray,
    columns: Sequence[Column],
    folds: Sequence[Fold],
    for_trees: bool,
) -> Matrices:
    """Preprocesses each fold once, for all configurations that share the preprocessing."""
    matrices = []
    for fitted, validated in folds:
        preprocessor = make_preprocessor(columns, for_trees=for_trees)
        try:
            inside = preprocessor.fit_transform(features.iloc[fitted])
            outside = preprocessor.transform(features.iloc[validated])
        except ValueError as error:
            reason = str(error).strip().splitlines()[0]
            raise BadInput(f"the columns cannot be prepared: {reason}") from None
        matrices.append((inside, codes[fitted], outside, codes[validated]))
    return matrices


def evaluate_configuration(
    number: int,
    classifier: str,
    params: dict[str, Any],
    matrices: Matrices,
    *,
    n_classes: int,
    metric: str,
    seed: int,
    n_categories: int,
) -> Trial:
    """Cross-validates one configuration; a failure is a result, not an exception.

    Args:
        number: of the trial.
        classifier: a key of `CLASSIFIERS`.
        params: hyperparameters.
        matrices: per fold the preprocessed rows and classes, fitted on and validated on.
        n_classes: number of classes of the whole table; a fold may lack one.
        metric: whose spread over the folds is wanted.
        seed: of the fit.
        n_categories: first columns of the matrices that hold ordinal codes.
    """
    started = time.monotonic()
    truth, probabilities, per_fold = [], [], []
    try:
        with threadpool_limits(1), warnings.catch_warnings():
            # a configuration that has not converged is only a worse one
            warnings.simplefilter("ignore", ConvergenceWarning)
            for inside, inside_codes, outside, outside_codes in matrices:
                model = make_classifier(classifier, params, seed=seed, n_categories=n_categories)
                model.fit(inside, inside_codes)
                aligned = np.zeros((len(outside), n_classes))
                aligned[:, model.classes_] = model.predict_proba(outside)
                truth.append(outside_codes)
                probabilities.append(aligned)
                per_fold.append(evaluate_one(metric, outside_codes, aligned))
    except Exception as error:  # whatever a configuration does wrong, the sweep goes on
        reason = f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
        return Trial(number, classifier, params, error=reason, seconds=time.monotonic() - started)
    metrics = evaluate(np.concatenate(truth), np.concatenate(probabilities))
    undefined = "" if metric in metrics else f"{metric} is undefined on this table"
    spread = float(np.nanstd(per_fold)) if np.isfinite(per_fold).any() else 0.0
    return Trial(number, classifier, params, metrics, spread, time.monotonic() - started, undefined)


def cross_validate(
    features: pd.DataFrame,
    codes: np.ndarray,
    columns: Sequence[Column],
    folds: Sequence[Fold],
    *,
    classifier: str,
    params: dict[str, Any],
    metric: str,
    seed: int,
) -> Trial:
    """Cross-validates one configuration that the user chose; see `evaluate_configuration`."""
    for_trees = classifier in TREES
    return evaluate_configuration(
        0,
        classifier,
        params,
        fold_matrices(features, codes, columns, folds, for_trees),
        n_classes=int(codes.max()) + 1,
        metric=metric,
        seed=seed,
        n_categories=sum(c.kind == "category" for c in columns) * for_trees,
    )
