"""Metrics computed: of predictions as they are, and as a function of the rows' weights."""

import math
from collections.abc import Callable

import numpy as np

from custom_model.served.sets import decide_classes, threshold_of
from tabular.stats.formulas import (
    Counts,
    Weighted,
    mean_of_ranks,
    rank_classes,
    weigh_classes,
)
from tabular.stats.metrics import METRICS, OF_LABELS, OF_RANKS


def predicted(
    proba: np.ndarray, threshold: float | None = None, costs: np.ndarray | None = None
) -> np.ndarray:
    """The class of each row, (n_rows,): the most probable, or that of least expected cost.

    Args:
        proba: (n_rows, n_classes) probabilities.
        threshold: of two classes, see `decide_classes`; None for that of the costs.
        costs: (n_classes, n_classes) of predicting column for row; None for the most probable one.
    """
    return decide_classes(proba, threshold_of(costs) if threshold is None else threshold, costs)


def compute_metrics(
    y_true: np.ndarray,
    proba: np.ndarray,
    y_pred: np.ndarray | None = None,
    *,
    costs: np.ndarray | None = None,
    sample_weight: np.ndarray | None = None,
) -> dict[str, float]:
    """Value by name; a metric that is undefined on these rows is left out.

    Args:
        y_true: (n_rows,) true classes, 0 to n_classes - 1.
        proba: (n_rows, n_classes) probabilities, rows sum to 1.
        y_pred: (n_rows,) predicted classes; None for `predicted` by the costs.
        costs: (n_classes, n_classes) of predicting column for row.
        sample_weight: (n_rows,) how often each row counts; None for once.
    """
    y_pred = predicted(proba, costs=costs) if y_pred is None and len(y_true) else y_pred
    options = {"costs": costs, "sample_weight": sample_weight}
    one_by_one = set(METRICS) - set(OF_RANKS)
    values = {n: compute_metric(n, y_true, proba, y_pred, **options) for n in one_by_one}
    if len(y_true) and math.isfinite(values["log_loss"]):
        ranks = all_of_ranks(y_true, proba)(_as_one(y_true, sample_weight))
        values |= {name: float(value[0]) for name, value in ranks.items()}
    return {name: values[name] for name in METRICS if math.isfinite(values.get(name, math.nan))}


def compute_metric(
    name: str,
    y_true: np.ndarray,
    proba: np.ndarray,
    y_pred: np.ndarray | None = None,
    *,
    costs: np.ndarray | None = None,
    sample_weight: np.ndarray | None = None,
) -> float:
    """One metric, NaN where it is undefined.

    Args:
        name: a key of `METRICS`.
        y_true: (n_rows,) true classes.
        proba: (n_rows, n_classes) probabilities.
        y_pred: (n_rows,) predicted classes; None for `predicted` by the costs.
        costs: (n_classes, n_classes) of predicting column for row.
        sample_weight: (n_rows,) how often each row counts; None for once.
    """
    metric = METRICS[name]
    if not len(y_true) or (sample_weight is not None and not sample_weight.any()):
        return math.nan
    if name in OF_LABELS:
        y_pred = predicted(proba, costs=costs) if y_pred is None else y_pred
    if metric.by_cost:
        return (
            math.nan
            if costs is None
            else float(np.average(costs[y_true, y_pred], weights=sample_weight))
        )
    if metric.by_counts:
        assert y_pred is not None
        return float(metric.by_counts(*counted(y_true, y_pred, proba.shape[1], sample_weight))[0])
    if not ((proba >= 0) & (proba <= 1)).all():
        return math.nan
    if metric.per_row:
        return float(np.average(metric.per_row(y_true, proba), weights=sample_weight))
    of_weights = weighted(name, y_true, proba, proba.shape[1])
    return float(of_weights(_as_one(y_true, sample_weight))[0])


def _as_one(y_true: np.ndarray, sample_weight: np.ndarray | None) -> np.ndarray:
    """The rows as they are as the only resample, (1, n_rows)."""
    return (np.ones(len(y_true)) if sample_weight is None else sample_weight)[None]


def counted(
    y_true: np.ndarray,
    y_pred: np.ndarray,
    n_classes: int,
    sample_weight: np.ndarray | None = None,
) -> list[Counts]:
    """Weight of the correct rows, the rows and the predictions of each class, (1, n_classes) each.

    Args:
        y_true: (n_rows,) true classes.
        y_pred: (n_rows,) predicted classes.
        n_classes: number of classes.
        sample_weight: (n_rows,) how often each row counts; None for once.
    """
    right = y_true == y_pred
    weights = sample_weight
    columns = (
        (y_true[right], None if weights is None else weights[right]),
        (y_true, weights),
        (y_pred, weights),
    )
    return [np.bincount(column, of, minlength=n_classes)[None] for column, of in columns]


def combinations(n_classes: int, *columns: np.ndarray) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """The combinations of classes that occur in the rows of some columns, and how often each does.

    Args:
        n_classes: number of classes.
        columns: (n_rows,) classes each.
    """
    shape = (n_classes,) * len(columns)
    cells, times = np.unique(np.ravel_multi_index(columns, shape), return_counts=True)
    return np.unravel_index(cells, shape), times


def place_in(combined: tuple[np.ndarray, ...], n_classes: int, *columns: np.ndarray) -> np.ndarray:
    """The place of each row among the combinations of `combinations`, (n_rows,).

    Args:
        combined: of `combinations`.
        n_classes: number of classes.
        columns: (n_rows,) classes each.
    """
    shape = (n_classes,) * len(columns)
    known, cells = (np.ravel_multi_index(part, shape) for part in (combined, columns))
    return np.asarray(np.searchsorted(known, cells))


def weighted(
    name: str,
    y_true: np.ndarray,
    predictions: np.ndarray,
    n_classes: int,
    *,
    costs: np.ndarray | None = None,
) -> Weighted:
    """A metric as a function of the rows' weights, which gives NaN where it is undefined.

    Args:
        name: a key of `METRICS`.
        y_true: (n_rows,) true classes.
        predictions: (n_rows,) classes for a metric of `OF_LABELS`, (n_rows, n_classes)
            probabilities for any other.
        n_classes: number of classes.
        costs: (n_classes, n_classes) of predicting column for row.
    """
    metric = METRICS[name]
    if by_counts := metric.by_counts:
        return lambda weights: by_counts(*weigh_classes(weights, y_true, predictions, n_classes))
    if metric.by_cost or metric.per_row:
        if metric.per_row:
            rows = metric.per_row(y_true, predictions)
        else:
            rows = np.full(len(y_true), np.nan) if costs is None else costs[y_true, predictions]
        return lambda weights: np.asarray(weights @ rows / weights.sum(axis=1))
    assert metric.by_rank
    curves, formulas = rank_classes(y_true, predictions), [metric.by_rank]
    return lambda weights: mean_of_ranks(formulas, curves(weights))[0]


def all_of_ranks(
    y_true: np.ndarray, proba: np.ndarray
) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """All metrics of ranks as a function of the rows' weights, by name; they share the sorting.

    Args:
        y_true: (n_rows,) true classes.
        proba: (n_rows, n_classes) probabilities.
    """
    curves = rank_classes(y_true, proba)
    formulas = [by_rank for metric in METRICS.values() if (by_rank := metric.by_rank)]
    return lambda weights: dict(
        zip(OF_RANKS, mean_of_ranks(formulas, curves(weights)), strict=True)
    )
