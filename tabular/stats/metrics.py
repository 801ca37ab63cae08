"""Metrics of classifiers: one record for each, under the name that versions carry.

The values are scikit-learn's. They are computed here because scikit-learn computes one sample at a
time, while intervals and tests need thousands of resamples. A resample is a weight for each row.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from tabular.stats.formulas import (
    Counts,
    Ranked,
    Weighted,
    average_precision,
    briers,
    cohen_kappa,
    f1_by_class,
    kolmogorov_smirnov_gap,
    lift,
    log_losses,
    mcc,
    mean_of,
    mean_of_ranks,
    rank_classes,
    ratio,
    roc_auc,
    weigh_classes,
)


@dataclass(frozen=True)
class Metric:
    """What a metric is called, which way is better, and how it is computed.

    A metric has one of `by_counts`, which needs no probabilities, `per_row` and `by_rank`.

    Args:
        name: that versions carry.
        meaning: in a few words; a class that is never predicted has precision 0.
        by_counts: takes the correct rows, the rows and the predictions of each class,
            (n_resamples, n_classes) each, and gives (n_resamples,).
        per_row: takes the true classes (n_rows,) and the probabilities (n_rows, n_classes), and
            gives (n_rows,), of which the metric is the mean.
        by_rank: takes what `rank_classes` gives for one class against the rest, and gives
            (n_resamples,); the metric is the mean over the classes, of two that of the second.
        range: the lowest and the highest value there can be.
        lower_is_better: as of a loss.
        tunable: may choose the threshold of two classes: both kinds of error count in it.
    """

    name: str
    meaning: str
    by_counts: Callable[[Counts, Counts, Counts], np.ndarray] | None = None
    per_row: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None
    by_rank: Ranked | None = None
    range: tuple[float, float] = (0, 1)
    lower_is_better: bool = False
    tunable: bool = False


METRICS = {
    metric.name: metric
    for metric in (
        Metric(
            "f1_macro",
            "mean over the classes of F1, the harmonic mean of precision and recall",
            lambda c, t, p: mean_of(f1_by_class(c, t, p), t + p > 0),
            tunable=True,
        ),
        Metric(
            "f1_weighted",
            "the same mean, each class weighted by its rows",
            lambda c, t, p: (f1_by_class(c, t, p) * (t / t.sum(axis=1, keepdims=True))).sum(axis=1),
            tunable=True,
        ),
        Metric(
            "accuracy",
            "share of rows whose predicted class is the true one",
            lambda c, t, p: c.sum(axis=1) / t.sum(axis=1),
            tunable=True,
        ),
        Metric(
            "balanced_accuracy",
            "mean recall of the classes that have rows",
            lambda c, t, p: mean_of(ratio(c, t), t > 0),
            tunable=True,
        ),
        Metric(
            "precision_macro",
            "mean over the classes of precision: the share of a class's predictions that are right",
            lambda c, t, p: mean_of(ratio(c, p), t + p > 0),
        ),
        Metric(
            "recall_macro",
            "mean over the classes of recall: the share of a class's rows that are predicted as it",
            lambda c, t, p: mean_of(ratio(c, t), t + p > 0),
        ),
        Metric(
            "log_loss",
            "mean of -log of the probability of the true class",
            per_row=log_losses,
            range=(0, math.inf),
            lower_is_better=True,
        ),
        Metric(
            "roc_auc",
            "area under the ROC curve; of more than two classes the mean of each against the rest",
            by_rank=roc_auc,
        ),
        Metric(
            "brier",
            "mean squared distance of the probabilities from the truth; of two classes at most 1",
            per_row=briers,
            range=(0, 2),
            lower_is_better=True,
        ),
        Metric(
            "average_precision",
            "area under the curve of precision and recall, as a sum of steps; the mean likewise",
            by_rank=average_precision,
        ),
        Metric(
            "mcc",
            "Matthews' correlation of the predicted and the true classes; 0 for chance",
            mcc,
            range=(-1, 1),
            tunable=True,
        ),
        Metric(
            "cohen_kappa",
            "Cohen's kappa: how much more often than by chance the predicted class is the true one",
            cohen_kappa,
            range=(-1, 1),
            tunable=True,
        ),
        Metric(
            "ks",
            "Kolmogorov-Smirnov statistic: the largest true positive rate less false positive rate "
            "of any threshold; the mean likewise",
            by_rank=kolmogorov_smirnov_gap,
        ),
        Metric(
            "lift_10",
            "how many times as frequent a class is in the tenth of the rows where it is most "
            "probable; the mean likewise",
            by_rank=lift,
            range=(0, 10),
        ),
    )
}
OF_LABELS = tuple(name for name, metric in METRICS.items() if metric.by_counts)
"""Names of the metrics of predicted classes, which need no probabilities."""
OF_RANKS = tuple(name for name, metric in METRICS.items() if metric.by_rank)
"""Names of the metrics of ranks, which need rows of every class."""


def sign(metric: str) -> int:
    """1 where higher is better and -1 where lower is: `sign(metric) * value` is to be high."""
    return -1 if METRICS[metric].lower_is_better else 1


def rank_key(metric: str, metrics: Mapping[str, float], prefix: str = "") -> tuple[float, float]:
    """Sorts the best first: by the metric, equals by log loss; what is undefined comes last.

    Args:
        metric: a key of `METRICS`.
        metrics: value by name.
        prefix: of the names in `metrics`.
    """
    value = -sign(metric) * metrics.get(prefix + metric, math.nan)
    loss = metrics.get(f"{prefix}log_loss", math.inf)
    return (math.inf if math.isnan(value) else value), loss


def predicted(proba: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    """The class of each row, (n_rows,): the most probable, the first of equals.

    Args:
        proba: (n_rows, n_classes) probabilities.
        threshold: of two classes, the second is predicted where its probability is above this.
    """
    if threshold != 0.5:
        return (proba[:, 1] > threshold).astype(np.intp)
    return np.asarray(proba.argmax(axis=1))


def compute_metrics(
    y_true: np.ndarray, proba: np.ndarray, y_pred: np.ndarray | None = None
) -> dict[str, float]:
    """Value by name; a metric that is undefined on these rows is left out.

    Args:
        y_true: (n_rows,) true classes, 0 to n_classes - 1.
        proba: (n_rows, n_classes) probabilities, rows sum to 1.
        y_pred: (n_rows,) predicted classes; None for the most probable ones.
    """
    one_by_one = set(METRICS) - set(OF_RANKS)
    values = {name: compute_metric(name, y_true, proba, y_pred) for name in one_by_one}
    if len(y_true) and math.isfinite(values["log_loss"]):
        ranks = all_of_ranks(y_true, proba)(np.ones((1, len(y_true))))
        values |= {name: float(value[0]) for name, value in ranks.items()}
    return {name: values[name] for name in METRICS if math.isfinite(values.get(name, math.nan))}


def compute_metric(
    name: str, y_true: np.ndarray, proba: np.ndarray, y_pred: np.ndarray | None = None
) -> float:
    """One metric, NaN where it is undefined.

    Args:
        name: a key of `METRICS`.
        y_true: (n_rows,) true classes.
        proba: (n_rows, n_classes) probabilities.
        y_pred: (n_rows,) predicted classes; None for the most probable ones.
    """
    metric = METRICS[name]
    if not len(y_true):
        return math.nan
    if metric.by_counts:
        y_pred = predicted(proba) if y_pred is None else y_pred
        return float(metric.by_counts(*counted(y_true, y_pred, proba.shape[1]))[0])
    if not ((proba >= 0) & (proba <= 1)).all():
        return math.nan
    if metric.per_row:
        return float(metric.per_row(y_true, proba).mean())
    return float(weighted(name, y_true, proba, proba.shape[1])(np.ones((1, len(y_true))))[0])


def counted(y_true: np.ndarray, y_pred: np.ndarray, n_classes: int) -> list[Counts]:
    """Correct rows, rows and predictions of each class, (1, n_classes) each.

    Args:
        y_true: (n_rows,) true classes.
        y_pred: (n_rows,) predicted classes.
        n_classes: number of classes.
    """
    columns = (y_true[y_true == y_pred], y_true, y_pred)
    return [np.bincount(column, minlength=n_classes)[None] for column in columns]


def combinations(n_classes: int, *columns: np.ndarray) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """The combinations of classes that occur in the rows of some columns, and how often each does.

    Args:
        n_classes: number of classes.
        columns: (n_rows,) classes each.
    """
    shape = (n_classes,) * len(columns)
    cells, times = np.unique(np.ravel_multi_index(columns, shape), return_counts=True)
    return np.unravel_index(cells, shape), times


def weighted(name: str, y_true: np.ndarray, predictions: np.ndarray, n_classes: int) -> Weighted:
    """A metric as a function of the rows' weights, which gives NaN where it is undefined.

    Args:
        name: a key of `METRICS`.
        y_true: (n_rows,) true classes.
        predictions: (n_rows,) classes for a metric of `OF_LABELS`, (n_rows, n_classes)
            probabilities for any other.
        n_classes: number of classes.
    """
    metric = METRICS[name]
    if by_counts := metric.by_counts:
        return lambda weights: by_counts(*weigh_classes(weights, y_true, predictions, n_classes))
    if metric.per_row:
        rows = metric.per_row(y_true, predictions)
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
