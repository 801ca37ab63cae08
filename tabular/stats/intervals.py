"""How sure each metric of one classifier is: bootstrap intervals over the rows it was asked.

The percentile bootstrap (Efron & Tibshirani 1993, ch. 13) draws as many rows as there are, with
replacement. Metrics of labels depend on the counts of (true, said) alone, so their resamples are
multinomial draws; the others weight each row by how often it was drawn. The share of right answers
has Wilson's interval (1927), which also holds where no row or every row is wrong; there the
bootstrap cannot tell anything, and a metric gets no interval.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from tabular.stats.metrics import METRICS, evaluate_one
from tabular.stats.paired import OF_LABELS, PER_ROW

METHOD = "percentile bootstrap of the rows; accuracy and shares: Wilson"
CHUNK = 4_000_000  # cells of the matrix of weights that are held at once
MOST_CELLS = 200_000_000  # weighted in all, before fewer resamples are drawn
FEWEST_RESAMPLES = 200  # with fewer than these there is no interval


@dataclass(frozen=True)
class Estimate:
    """A value with its two-sided interval, whose ends are NaN where none can be given.

    Args:
        value: on the rows as they are.
        low: lower end.
        high: upper end.
    """

    value: float
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class ClassEstimates:
    """What a classifier does with one class.

    Args:
        rows: that are of this class.
        said: rows for which it was predicted.
        precision: share of the predictions of this class that are right, NaN without any.
        recall: share of its rows that were found, NaN without any.
        f1: their harmonic mean.
    """

    rows: int
    said: int
    precision: Estimate
    recall: Estimate
    f1: Estimate


def wilson(hits: int, rows: int, confidence: float) -> Estimate:
    """A share with Wilson's score interval (Wilson 1927, doi 10.2307/2276774).

    Args:
        hits: of `rows`.
        rows: 0 gives NaN.
        confidence: two-sided.
    """
    if not rows:
        return Estimate(math.nan)
    z = float(norm.ppf((1 + confidence) / 2))
    share, width = hits / rows, z * z / rows
    middle = (share + width / 2) / (1 + width)
    half = z / (1 + width) * math.sqrt(share * (1 - share) / rows + width / (4 * rows))
    return Estimate(share, max(0.0, middle - half), min(1.0, middle + half))


def interval(value: float, drawn: np.ndarray, confidence: float) -> Estimate:
    """A value with the percentiles of its resamples.

    Args:
        value: on the rows as they are.
        drawn: (n_resamples,), NaN where a resample leaves the metric undefined.
        confidence: two-sided.
    """
    kept = drawn[np.isfinite(drawn)]
    if len(kept) < max(2, len(drawn) / 2) or np.ptp(kept) < 1e-12:
        return Estimate(value)
    low, high = np.quantile(kept, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Estimate(value, float(low), float(high))


def estimates(
    codes: np.ndarray,
    said: np.ndarray,
    probabilities: np.ndarray | None,
    n_classes: int,
    *,
    confidence: float,
    resamples: int,
    seed: int,
) -> tuple[dict[str, Estimate], list[ClassEstimates]]:
    """All metrics that are defined, and each class, with their intervals.

    Args:
        codes: (n_rows,) true classes, 0 to n_classes - 1.
        said: (n_rows,) predicted classes.
        probabilities: (n_rows, n_classes); None where the model gives labels only.
        n_classes: number of classes.
        confidence: two-sided.
        resamples: fewer are drawn from very many rows.
        seed: of the draws.

    Returns:
        The estimates by metric, and one for each class.
    """
    rng = np.random.default_rng(seed)
    hits, true, named = _counted(codes, said, n_classes, resamples, rng)
    found = {}
    for name, metric in OF_LABELS.items():
        drawn = metric(hits, true, named)
        found[name] = interval(float(drawn[0]), drawn[1:], confidence)
    found["accuracy"] = wilson(int((codes == said).sum()), len(codes), confidence)
    if probabilities is not None:
        drawn_by_name = _weighted(codes, probabilities, resamples, rng)
        for name in (*PER_ROW, "roc_auc"):
            value = evaluate_one(name, codes, probabilities)
            if math.isfinite(value):
                drawn = drawn_by_name.get(name, np.empty(0))
                found[name] = interval(value, drawn, confidence)
    f1 = np.divide(2 * hits, true + named, out=np.zeros_like(hits), where=true + named > 0)
    classes = []
    for code in range(n_classes):
        right, rows, times = (int(table[0, code]) for table in (hits, true, named))
        classes.append(
            ClassEstimates(
                rows,
                times,
                wilson(right, times, confidence),
                wilson(right, rows, confidence),
                interval(float(f1[0, code]), f1[1:, code], confidence)
                if rows
                else Estimate(math.nan),
            )
        )
    return {name: found[name] for name in METRICS if name in found}, classes


def _counted(
    codes: np.ndarray, said: np.ndarray, n_classes: int, resamples: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Right answers, rows and predictions of each class, (1 + n_resamples, n_classes) each.

    The first row is that of the rows as they are.
    """
    kinds, counts = np.unique(np.stack([codes, said]), axis=1, return_counts=True)
    drawn = rng.multinomial(counts.sum(), counts / counts.sum(), size=resamples)
    weights = np.concatenate([counts[None], drawn]).astype(float)
    every = np.eye(n_classes)
    truth, answer = every[kinds[0]], every[kinds[1]]
    return weights @ (truth * answer), weights @ truth, weights @ answer


def _weighted(
    codes: np.ndarray, probabilities: np.ndarray, resamples: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Resamples of the metrics of probabilities, by name."""
    n_rows, n_classes = probabilities.shape
    curves = 1 if n_classes == 2 else n_classes
    losses = {name: metric(codes, probabilities) for name, metric in PER_ROW.items()}
    drawn: dict[str, list[np.ndarray]] = {name: [] for name in losses}
    times = min(resamples, max(FEWEST_RESAMPLES, MOST_CELLS // (n_rows * curves)))
    with_area = len(np.unique(codes)) == n_classes and n_rows * curves * times <= 2 * MOST_CELLS
    if with_area:
        drawn["roc_auc"] = []
        scores = probabilities[:, 1:] if n_classes == 2 else probabilities
        sorted_by = [_sorted(scores[:, c], codes == c + n_classes - curves) for c in range(curves)]
    for weights in _weights(n_rows, times, rng):
        for name, loss in losses.items():
            drawn[name].append(weights @ loss / n_rows)
        if with_area:
            areas = [_areas(weights, *curve) for curve in sorted_by]
            drawn["roc_auc"].append(np.mean(areas, axis=0))
    return {name: np.concatenate(parts) for name, parts in drawn.items()}


def _weights(n_rows: int, resamples: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """How often each row is drawn, (some resamples, n_rows) at a time."""
    at_once = max(1, CHUNK // n_rows)
    for start in range(0, resamples, at_once):
        many = min(at_once, resamples - start)
        rows = rng.integers(0, n_rows, (many, n_rows)) + np.arange(many)[:, None] * n_rows
        times = np.bincount(rows.ravel(), minlength=many * n_rows)
        yield times.reshape(many, n_rows).astype(np.float64)


def _sorted(scores: np.ndarray, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows by falling score, where each run of equal scores starts, and which are of the class."""
    order = np.argsort(-scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=np.inf) != 0)
    return order, starts, inside[order]


def _areas(
    weights: np.ndarray, order: np.ndarray, starts: np.ndarray, inside: np.ndarray
) -> np.ndarray:
    """Area under the ROC curve for each row of weights, by trapezoids; NaN where undefined."""
    sorted_weights = weights[:, order]
    hits = np.add.reduceat(sorted_weights * inside, starts, axis=1)
    misses = np.add.reduceat(sorted_weights, starts, axis=1) - hits
    found = hits.cumsum(axis=1)
    wide, high = misses.sum(axis=1), found[:, -1]
    below = (misses * (found - hits / 2)).sum(axis=1)
    return np.divide(below, wide * high, out=np.full(len(weights), np.nan), where=wide * high > 0)
