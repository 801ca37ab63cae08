"""The threshold of two classes that is best by a metric among those that hold a constraint."""

from contextlib import suppress
from dataclasses import replace

import numpy as np

from tabular.errors import BadInput
from tabular.recipe.cross_fitting import cross_fitted
from tabular.stats.compute import compute_metric
from tabular.stats.constraint import CONFIDENCE, Constraint, holding
from tabular.stats.metrics import OF_LABELS, sign

CANDIDATES = np.linspace(0.01, 0.99, 99)  # quantiles of the probabilities
STEP = 0.01  # of the values that are tried where the one asked for cannot be reached


def best_threshold(
    constraint: Constraint,
    proba: np.ndarray,
    y_true: np.ndarray,
    metric: str,
    costs: np.ndarray | None = None,
) -> float:
    """The threshold above which to predict the second class.

    Args:
        constraint: to be held, with confidence, see `holding`.
        proba: (n_rows, 2) probabilities, out of fold.
        y_true: (n_rows,) classes, 0 or 1.
        metric: to be best; f1_macro instead of one that does not depend on the threshold.
        costs: (2, 2) of predicting column for row; None without.

    Raises:
        BadInput: no threshold holds the constraint; the message says what can be held.
    """
    thresholds = np.unique(np.quantile(proba[:, 1], CANDIDATES))
    held = thresholds[holding(constraint, proba[:, 1], y_true, thresholds)]
    if not len(held):
        raise BadInput(_unreachable(constraint, proba[:, 1], y_true, thresholds))
    metric = metric if metric in OF_LABELS else "f1_macro"
    scores = [
        sign(metric)
        * compute_metric(metric, y_true, proba, (proba[:, 1] > t).astype(np.intp), costs=costs)
        for t in held
    ]
    return float(held[int(np.argmax(scores))])


def decide_within(
    constraint: Constraint,
    proba: np.ndarray,
    oof: np.ndarray,
    y_true: np.ndarray,
    folds: np.ndarray,
    *,
    metric: str,
    costs: np.ndarray | None,
) -> tuple[float, np.ndarray]:
    """The threshold, and decisions by thresholds that are chosen without the row's fold.

    Args:
        constraint: to be held.
        proba: (n_rows, 2) probabilities of the recipe as it is fitted.
        oof: (n_rows, 2) probabilities, each made without the row's fold.
        y_true: (n_rows,) classes, 0 or 1.
        folds: (n_rows,) number of the fold.
        metric: see `best_threshold`.
        costs: see `best_threshold`.

    Raises:
        BadInput: no threshold holds the constraint.
    """
    best = best_threshold(constraint, proba, y_true, metric, costs)

    def predict(inside: np.ndarray, outside: np.ndarray) -> np.ndarray:
        threshold = best
        with suppress(BadInput):  # fewer rows can hold less
            threshold = best_threshold(constraint, oof[inside], y_true[inside], metric, costs)
        return (oof[outside, 1] > threshold).astype(np.intp)

    return best, cross_fitted(folds, predict)


def _unreachable(
    constraint: Constraint, proba: np.ndarray, y_true: np.ndarray, thresholds: np.ndarray
) -> str:
    lower = np.arange(round(constraint.value - STEP, 2), 0, -STEP)
    reached = next(
        (
            value
            for value in lower
            if holding(replace(constraint, value=float(value)), proba, y_true, thresholds).any()
        ),
        None,
    )
    can = "no value can" if reached is None else f"{reached:.2f} can"
    return (
        f"at_least={constraint} cannot be held with {CONFIDENCE:.0%} confidence on {len(y_true)} "
        f"rows; {can}. Ask for less, search longer or add rows. Nothing is registered"
    )
