"""The decision threshold of a model of two classes, tuned on out-of-fold probabilities."""

import numpy as np

from tabular.stats.metrics import METRICS

RESAMPLES = 25
MOST_DRAWN = 10  # times the rows, however much they weigh
CANDIDATES = np.linspace(0.02, 0.98, 97)  # quantiles of the probabilities


def tune(
    proba: np.ndarray,
    y_true: np.ndarray,
    sample_weight: np.ndarray | None = None,
    *,
    metric: str,
    seed: int,
) -> float:
    """The threshold above which to predict the second class, so that the metric is best.

    The best threshold of a sample jumps with single rows; this is the mean over bootstrap
    resamples (bagging, Breiman 1996, doi 10.1007/BF00058655).

    Args:
        proba: (n_rows,) probabilities of the second class.
        y_true: (n_rows,) classes, 0 or 1.
        sample_weight: (n_rows,) how often each row counts, and is drawn; None for once.
        metric: a key of `METRICS` that is tunable.
        seed: of the resamples.
    """
    by_counts = METRICS[metric].by_counts
    assert by_counts is not None
    rng = np.random.default_rng(seed)
    weights = np.ones(len(proba)) if sample_weight is None else sample_weight
    candidates = np.unique(_quantiles(proba, weights))
    order = np.argsort(proba)
    places = np.searchsorted(proba[order], candidates, side="right")
    to = weights.cumsum()
    draws = int(np.clip(round(to[-1]), 1, MOST_DRAWN * len(proba)))
    best = []
    for _ in range(RESAMPLES):
        drawn = rng.integers(0, draws, draws)
        if sample_weight is not None:
            drawn = np.searchsorted(to, drawn * (to[-1] / draws), side="right")
        times = np.bincount(np.minimum(drawn, len(proba) - 1), minlength=len(proba))[order]
        below = np.concatenate([[0], times.cumsum()])[places]
        of_second = np.concatenate([[0], (times * y_true[order]).cumsum()])
        fn, positive = of_second[places], np.full(len(places), of_second[-1])
        correct, true, pred = (
            np.column_stack(counts)
            for counts in (
                (below - fn, positive - fn),
                (draws - positive, positive),
                (below, draws - below),
            )
        )
        scores = by_counts(correct, true, pred)
        best.append(float(np.median(candidates[scores == scores.max()])))
    return float(np.mean(best))


def _quantiles(proba: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """`np.quantile` of the rows as often as they count."""
    order = np.argsort(proba)
    values, to = proba[order], weights[order].cumsum()
    place = (to[-1] - 1) * CANDIDATES

    def at(places: np.ndarray) -> np.ndarray:
        return values[np.minimum(np.searchsorted(to, places, side="right"), len(values) - 1)]

    low, high = at(np.floor(place)), at(np.ceil(place))
    return np.asarray(low + (place - np.floor(place)) * (high - low))
