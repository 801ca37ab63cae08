"""The decision threshold of a model of two classes, tuned on out-of-fold probabilities."""

from collections.abc import Callable

import numpy as np

# Each takes the counts of true positives, false negatives, false positives and true negatives of
# the second class, for many thresholds at once. Objectives of decisions in which both errors count.
Counts = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]
TUNABLE: dict[str, Counts] = {
    "f1_macro": lambda tp, fn, fp, tn: (_f1(tp, fn, fp) + _f1(tn, fp, fn)) / 2,
    "f1_weighted": lambda tp, fn, fp, tn: (
        ((tp + fn) * _f1(tp, fn, fp) + (tn + fp) * _f1(tn, fp, fn)) / (tp + fn + fp + tn)
    ),
    "accuracy": lambda tp, fn, fp, tn: (tp + tn) / (tp + fn + fp + tn),
    "balanced_accuracy": lambda tp, fn, fp, tn: (_rate(tp, fn) + _rate(tn, fp)) / 2,
}

RESAMPLES = 25
CANDIDATES = np.linspace(0.02, 0.98, 97)  # quantiles of the probabilities


def _f1(tp: np.ndarray, fn: np.ndarray, fp: np.ndarray) -> np.ndarray:
    return _rate(2 * tp, fn + fp)


def _rate(part: np.ndarray, rest: np.ndarray) -> np.ndarray:
    return np.asarray(part / np.maximum(part + rest, 1))


def tune(proba: np.ndarray, y_true: np.ndarray, metric: str, *, seed: int) -> float:
    """The threshold above which to predict the second class, so that the metric is best.

    The best threshold of a sample jumps with single rows; this is the mean over bootstrap
    resamples (bagging, Breiman 1996, doi 10.1007/BF00058655).

    Args:
        proba: (n_rows,) probabilities of the second class.
        y_true: (n_rows,) classes, 0 or 1.
        metric: a key of `TUNABLE`.
        seed: of the resamples.
    """
    rng = np.random.default_rng(seed)
    candidates = np.unique(np.quantile(proba, CANDIDATES))
    best = []
    for _ in range(RESAMPLES):
        rows = rng.integers(0, len(proba), len(proba))
        order = np.argsort(proba[rows])
        below = np.searchsorted(proba[rows][order], candidates, side="right")
        fn = np.concatenate([[0], np.cumsum(y_true[rows][order])])[below]
        tp = y_true[rows].sum() - fn
        fp = len(rows) - below - tp
        scores = TUNABLE[metric](tp, fn, fp, below - fn)
        best.append(float(np.median(candidates[scores == scores.max()])))
    return float(np.mean(best))


def cross_fitted(
    proba: np.ndarray, y_true: np.ndarray, folds: np.ndarray, metric: str, *, seed: int
) -> np.ndarray:
    """Decisions, each by a threshold that was tuned without its fold.

    Args:
        proba: (n_rows,) probabilities of the second class.
        y_true: (n_rows,) classes, 0 or 1.
        folds: (n_rows,) number of the fold that each row is in.
        metric: a key of `TUNABLE`.
        seed: of the resamples.

    Returns:
        (n_rows,) classes.
    """
    y_pred = np.empty(len(proba), dtype=np.intp)
    for fold in np.unique(folds):
        inside = folds != fold
        y_pred[~inside] = proba[~inside] > tune(proba[inside], y_true[inside], metric, seed=seed)
    return y_pred
