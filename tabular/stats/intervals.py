"""How sure each metric of one classifier is: bootstrap intervals over the rows it predicted.

The percentile bootstrap (Efron & Tibshirani 1993, ch. 13) draws as many rows as there are, with
replacement. Metrics of predicted classes depend on the counts of (true, predicted) alone, so their
resamples are multinomial draws; the others weight each row by how often it was drawn. A share has
Wilson's interval (1927), which also holds where no row or every row is wrong; there the resamples
do not differ, and any other metric gets no interval.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from tabular.stats.compute import (
    all_of_ranks,
    combinations,
    compute_metrics,
    place_in,
    weighted,
)
from tabular.stats.formulas import f1_by_class, weigh_classes
from tabular.stats.metrics import METRICS, OF_LABELS
from tabular.stats.units import Units, draw_times, units_of

MOST_CELLS = 200_000_000  # weighted in all, before fewer resamples are drawn
FEWEST_RESAMPLES = 200  # with fewer than these there is no interval


def describe_method(drawn: str) -> str:
    """How the intervals are computed, in words.

    Args:
        drawn: what a resample draws: rows, weighted rows or groups.
    """
    effective = "" if drawn == "rows" else " by the effective number of rows"
    return f"percentile bootstrap of the {drawn}; accuracy and shares: Wilson{effective}"


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

    def between(self, form: str) -> str:
        """The interval in words, its ends in a format such as ".4f"; "" where there is none."""
        return "" if math.isnan(self.low) else f"{self.low:{form}} to {self.high:{form}}"

    def named(self, name: str) -> dict[str, float]:
        """The numbers that are defined, as the metrics `<name>`, `<name>_low`, `<name>_high`."""
        numbers = {name: self.value, f"{name}_low": self.low, f"{name}_high": self.high}
        return {name: number for name, number in numbers.items() if math.isfinite(number)}


@dataclass(frozen=True)
class GainEstimate(Estimate):
    """How much better one model is than another on the same rows; below 0 it is worse.

    Args:
        p_value: one-sided, of a gain at least as high by chance.
    """

    p_value: float = math.nan


@dataclass(frozen=True)
class ClassEstimates:
    """How well one class is predicted.

    Args:
        rows: that are of this class.
        predicted: rows for which it was predicted.
        precision: share of its predictions that are right, NaN without any.
        recall: share of its rows that are predicted as it, NaN without any.
        f1: their harmonic mean, NaN without a row.
    """

    rows: int
    predicted: int
    precision: Estimate
    recall: Estimate
    f1: Estimate


def wilson(count: float, rows: float, confidence: float) -> Estimate:
    """A share with Wilson's score interval (Wilson 1927, doi 10.2307/2276774).

    Args:
        count: of `rows`.
        rows: 0 gives NaN; an effective number need not be whole.
        confidence: two-sided.
    """
    if not rows:
        return Estimate(math.nan)
    share = count / rows
    z2 = float(norm.isf((1 - confidence) / 2)) ** 2
    middle, scale = share + z2 / (2 * rows), 1 + z2 / rows
    half = math.sqrt(z2 * (share * (1 - share) / rows + z2 / (4 * rows**2)))
    low = (middle - half) / scale if share > 0 else 0.0
    return Estimate(share, low, (middle + half) / scale if share < 1 else 1.0)


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
    y_true: np.ndarray,
    y_pred: np.ndarray,
    proba: np.ndarray | None,
    n_classes: int,
    *,
    confidence: float,
    resamples: int,
    seed: int,
    costs: np.ndarray | None = None,
    sample_weight: np.ndarray | None = None,
    groups: np.ndarray | None = None,
) -> tuple[dict[str, Estimate], list[ClassEstimates]]:
    """All metrics that are defined, and each class, with their intervals.

    Args:
        y_true: (n_rows,) true classes, 0 to n_classes - 1.
        y_pred: (n_rows,) predicted classes.
        proba: (n_rows, n_classes) probabilities; None where the model gives labels only.
        n_classes: number of classes.
        confidence: two-sided.
        resamples: fewer are drawn from very many rows.
        seed: of the draws.
        costs: (n_classes, n_classes) of predicting column for row; None without.
        sample_weight: (n_rows,) how often each row counts; None for once.
        groups: (n_rows,) of rows that are drawn together; None for one by one.

    Returns:
        The estimates by metric, and one for each class.
    """
    rng = np.random.default_rng(seed)
    units = units_of(len(y_true), groups, sample_weight)
    (true, pred), counts = combinations(n_classes, y_true, y_pred)
    if units is None:
        weights = rng.multinomial(counts.sum(), counts / counts.sum(), size=resamples)
    else:
        cells = place_in((true, pred), n_classes, y_true, y_pred)
        weigh = units.by_cell(cells, len(true))
        counts = weigh(np.ones((1, units.n)))[0]
        weights = np.concatenate([weigh(n) for n in draw_times(units.n, resamples, rng)])
    # the first row is that of the rows as they are
    weights = np.concatenate([counts[None], weights]).astype(float)
    tables = weigh_classes(weights, true, pred, n_classes)
    metrics = {}
    for name, metric in METRICS.items():
        if metric.by_counts:
            values = metric.by_counts(*tables)
            if math.isfinite(values[0]):
                metrics[name] = interval(float(values[0]), values[1:], confidence)
    if costs is not None:
        values = weighted("cost", true, pred, n_classes, costs=costs)(weights)
        metrics["cost"] = interval(float(values[0]), values[1:], confidence)
    metrics["accuracy"] = _share(
        y_true == y_pred, np.ones(len(y_true), dtype=bool), units, confidence
    )
    if proba is not None:
        drawn = _resampled(y_true, proba, resamples, rng, units)
        for name, value in compute_metrics(y_true, proba, sample_weight=sample_weight).items():
            if name not in OF_LABELS:
                metrics[name] = interval(value, drawn.get(name, np.empty(0)), confidence)
    f1 = f1_by_class(*tables)
    classes = []
    for y in range(n_classes):
        of_class, of_pred = y_true == y, y_pred == y
        rows, predictions = int(of_class.sum()), int(of_pred.sum())
        classes.append(
            ClassEstimates(
                rows,
                predictions,
                precision=_share(of_class, of_pred, units, confidence),
                recall=_share(of_pred, of_class, units, confidence),
                f1=interval(float(f1[0, y]), f1[1:, y], confidence) if rows else Estimate(math.nan),
            )
        )
    return {name: metrics[name] for name in METRICS if name in metrics}, classes


def _share(hits: np.ndarray, among: np.ndarray, units: Units | None, confidence: float) -> Estimate:
    """Wilson's interval of a share of the rows; of units by their effective number of rows."""
    if units is None or not among.any():
        return wilson(int((hits & among).sum()), int(among.sum()), confidence)
    share, rows = units.effective_rows(hits, among)
    return wilson(share * rows, rows, confidence)


def _resampled(
    y_true: np.ndarray,
    proba: np.ndarray,
    resamples: int,
    rng: np.random.Generator,
    units: Units | None = None,
) -> dict[str, np.ndarray]:
    """Resamples of the metrics of probabilities, by name."""
    n_rows, n_classes = proba.shape
    cells = n_rows * (1 if n_classes == 2 else n_classes)
    times = min(resamples, max(FEWEST_RESAMPLES, MOST_CELLS // cells))
    means = [name for name, metric in METRICS.items() if metric.per_row]
    metrics = {name: weighted(name, y_true, proba, n_classes) for name in means}
    ranks = None
    if len(np.unique(y_true)) == n_classes and cells * times <= 2 * MOST_CELLS:
        ranks = all_of_ranks(y_true, proba)
    drawn = []
    for drawn_times in draw_times(units.n if units else n_rows, times, rng, n_rows):
        weights = units.by_row(drawn_times) if units else drawn_times
        values = {name: metric(weights) for name, metric in metrics.items()}
        drawn.append(values | (ranks(weights) if ranks else {}))
    return {name: np.concatenate([part[name] for part in drawn]) for name in drawn[0]}
