"""The decision threshold of a model of two classes, tuned on out-of-fold probabilities."""

import numpy as np

from tabular.stats.metrics import METRICS

RESAMPLES = 25
CANDIDATES = np.linspace(0.02, 0.98, 97)  # quantiles of the probabilities


def tune(proba: np.ndarray, y_true: np.ndarray, metric: str, *, seed: int) -> float:
    """The threshold above which to predict the second class, so that the metric is best.

    The best threshold of a sample jumps with single rows; this is the mean over bootstrap
    resamples (bagging, Breiman 1996, doi 10.1007/BF00058655).

    Args:
        proba: (n_rows,) probabilities of the second class.
        y_true: (n_rows,) classes, 0 or 1.
        metric: a key of `METRICS` that is tunable.
        seed: of the resamples.
    """
    by_counts = METRICS[metric].by_counts
    assert by_counts is not None
    rng = np.random.default_rng(seed)
    candidates = np.unique(np.quantile(proba, CANDIDATES))
    best = []
    for _ in range(RESAMPLES):
        rows = rng.integers(0, len(proba), len(proba))
        order = np.argsort(proba[rows])
        below = np.searchsorted(proba[rows][order], candidates, side="right")
        fn = np.concatenate([[0], np.cumsum(y_true[rows][order])])[below]
        positive = np.full_like(fn, y_true[rows].sum())
        correct, true, pred = (
            np.column_stack(counts)
            for counts in (
                (below - fn, positive - fn),
                (len(rows) - positive, positive),
                (below, len(rows) - below),
            )
        )
        scores = by_counts(correct, true, pred)
        best.append(float(np.median(candidates[scores == scores.max()])))
    return float(np.mean(best))
