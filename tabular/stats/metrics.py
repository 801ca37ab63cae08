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
    average_precision,
    briers,
    cohen_kappa,
    f1_by_class,
    kolmogorov_smirnov_gap,
    lift,
    log_losses,
    mcc,
    mean_of,
    ratio,
    roc_auc,
)


@dataclass(frozen=True)
class Metric:
    """What a metric is called, which way is better, and how it is computed.

    A metric has one of `by_counts`, `per_row`, `by_rank` and `by_cost`.

    Args:
        name: that versions carry.
        meaning: in a few words; a class that is never predicted has precision 0.
        by_counts: takes the correct rows, the rows and the predictions of each class,
            (n_resamples, n_classes) each, and gives (n_resamples,).
        per_row: takes the true classes (n_rows,) and the probabilities (n_rows, n_classes), and
            gives (n_rows,), of which the metric is the mean.
        by_rank: takes what `rank_classes` gives for one class against the rest, and gives
            (n_resamples,); the metric is the mean over the classes, of two that of the second.
        by_cost: the metric is the mean of what the predicted classes cost by a matrix.
        range: the lowest and the highest value there can be.
        lower_is_better: as of a loss.
        tunable: may choose the threshold of two classes: both kinds of error count in it.
    """

    name: str
    meaning: str
    by_counts: Callable[[Counts, Counts, Counts], np.ndarray] | None = None
    per_row: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None
    by_rank: Ranked | None = None
    by_cost: bool = False
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
        Metric(
            "cost",
            "mean cost of a row by the matrix of `cost=`, in its unit; only where there is one",
            by_cost=True,
            range=(-math.inf, math.inf),
            lower_is_better=True,
        ),
    )
}
OF_LABELS = tuple(name for name, one in METRICS.items() if one.by_counts or one.by_cost)
"""Names of the metrics of predicted classes, which need no probabilities."""
OF_RANKS = tuple(name for name, metric in METRICS.items() if metric.by_rank)
"""Names of the metrics of ranks, which need rows of every class."""


def sign(metric: str) -> int:
    """1 where higher is better and -1 where lower is: `sign(metric) * value` is to be high."""
    return -1 if METRICS[metric].lower_is_better else 1


def tunes_threshold(metric: str, n_classes: int, costs: np.ndarray | None) -> bool:
    """Whether the threshold is chosen for a metric: of two classes, where no costs decide."""
    return METRICS[metric].tunable and n_classes == 2 and costs is None


def rank_key(metric: str, metrics: Mapping[str, float], prefix: str = "") -> tuple[float, float]:
    """Sorts the best first: by the metric, equals by log loss; what is undefined comes last."""
    value = -sign(metric) * metrics.get(prefix + metric, math.nan)
    loss = metrics.get(f"{prefix}log_loss", math.inf)
    return (math.inf if math.isnan(value) else value), loss
