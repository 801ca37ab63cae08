"""The decision threshold of a model of two classes, tuned on out-of-fold probabilities."""

import numpy as np

from tabular.stats.paired import OF_LABELS

TUNABLE = ("f1_macro", "f1_weighted", "accuracy", "balanced_accuracy")
"""Objectives of decisions in which both errors count."""

RESAMPLES = 25
CANDIDATES = np.linspace(0.02, 0.98, 97)  # quantiles of the probabilities


def tune(proba: np.ndarray, y_true: np.ndarray, metric: str, *, seed: int) -> float:
    """The threshold above which to predict the second class, so that the metric is best.

    The best threshold of a sample jumps with single rows; this is the mean over bootstrap
    resamples (bagging, Breiman 1996, doi 10.1007/BF00058655).

    Args:
        proba: (n_rows,) probabilities of the second class.
        y_true: (n_rows,) classes, 0 or 1.
        metric: one of `TUNABLE`.
        seed: of the resamples.
    """
    rng = np.random.default_rng(seed)
    candidates = np.unique(np.quantile(proba, CANDIDATES))
    best = []
    for _ in range(RESAMPLES):
        rows = rng.integers(0, len(proba), len(proba))
        order = np.argsort(proba[rows])
        negative = np.searchsorted(proba[rows][order], candidates, side="right")
        false_negative = np.concatenate([[0], np.cumsum(y_true[rows][order])])[negative]
        positives = np.full(len(candidates), y_true[rows].sum())
        hits = np.stack([negative - false_negative, positives - false_negative], axis=1)
        true = np.stack([len(rows) - positives, positives], axis=1)
        pred = np.stack([negative, len(rows) - negative], axis=1)
        scores = OF_LABELS[metric](hits, true, pred)
        best.append(float(np.median(candidates[scores == scores.max()])))
    return float(np.mean(best))
