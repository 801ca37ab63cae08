"""How each metric is computed, for one sample or for thousands of resamples at once.

A resample is a weight for each row. Metrics of predicted classes depend on three numbers of each
class alone: the weight of its rows that are predicted correctly, of its rows, and of its
predictions, (n_resamples, n_classes) each. Log loss and Brier score are means over the rows.
Metrics of ranks depend on the weight of the rows with each probability, of a class and of the rest.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

Counts = np.ndarray  # (n_resamples, n_classes)
Weighted = Callable[[np.ndarray], np.ndarray]  # weights (n_resamples, n_rows) to (n_resamples,)
Ranked = Callable[["Ranks"], np.ndarray]  # to (n_resamples,)


def weigh_classes(
    weights: np.ndarray, y_true: np.ndarray, y_pred: np.ndarray, n_classes: int
) -> tuple[Counts, Counts, Counts]:
    """Weight of the correct rows, the rows and the predictions of each class.

    Args:
        weights: (n_resamples, n_rows).
        y_true: (n_rows,) true classes.
        y_pred: (n_rows,) predicted classes.
        n_classes: number of classes.
    """
    true, pred = np.eye(n_classes)[y_true], np.eye(n_classes)[y_pred]
    return weights @ (true * pred), weights @ true, weights @ pred


def f1_by_class(correct: Counts, true: Counts, pred: Counts) -> Counts:
    """F1 of each class, 0 where it neither has rows nor is predicted."""
    return ratio(2 * correct, true + pred)


def ratio(above: Counts, below: Counts) -> Counts:
    """One divided by the other, 0 where that is undefined."""
    return np.divide(above, below, out=np.zeros(above.shape), where=below > 0)


def mean_of(values: Counts, counted: np.ndarray) -> np.ndarray:
    """Mean over the classes that are counted, (n_resamples,)."""
    return np.asarray((values * counted).sum(axis=1) / counted.sum(axis=1))


def log_losses(y_true: np.ndarray, proba: np.ndarray) -> np.ndarray:
    """Log loss of each row, (n_rows,); as scikit-learn, a probability of 0 counts as the least.

    Args:
        y_true: (n_rows,) true classes, 0 to n_classes - 1.
        proba: (n_rows, n_classes) probabilities.
    """
    eps = np.finfo(proba.dtype).eps
    return np.asarray(-np.log(np.clip(proba[np.arange(len(y_true)), y_true], eps, 1 - eps)))


def briers(y_true: np.ndarray, proba: np.ndarray) -> np.ndarray:
    """Brier score of each row, (n_rows,): 0 to 1 of two classes, else 0 to 2; as `log_losses`."""
    squares = ((proba - np.eye(proba.shape[1])[y_true]) ** 2).sum(axis=1)
    return np.asarray(squares / 2 if proba.shape[1] == 2 else squares)


def mcc(correct: Counts, true: Counts, pred: Counts) -> np.ndarray:
    """Matthews' correlation, (n_resamples,), of any number of classes (Gorodkin 2004).

    As scikit-learn's it is 0 where every row is predicted as one class; NaN where all are of one.
    """
    rows = true.sum(axis=1)
    spread = [rows**2 - (counts**2).sum(axis=1) for counts in (true, pred)]
    both = correct.sum(axis=1) * rows - (true * pred).sum(axis=1)
    correlation = ratio(both, np.sqrt(spread[0]) * np.sqrt(spread[1]))
    return np.where(spread[0] > 0, np.clip(correlation, -1, 1), np.nan)


def cohen_kappa(correct: Counts, true: Counts, pred: Counts) -> np.ndarray:
    """Cohen's kappa, (n_resamples,); NaN where all rows are and are predicted as one class."""
    rows = true.sum(axis=1)
    by_chance = (true * pred).sum(axis=1)
    apart = rows**2 - by_chance
    both = correct.sum(axis=1) * rows - by_chance
    return np.where(apart > 0, ratio(both, apart), np.nan)


class Ranks(NamedTuple):
    """The rows by the probability of a class, (n_resamples, n_scores) each, from the lowest.

    Args:
        positive: weight of the rows of the class with each probability.
        negative: of the others.
        positive_to: weight of the rows of the class with at most this probability.
        negative_to: of the others.
    """

    positive: np.ndarray
    negative: np.ndarray
    positive_to: np.ndarray
    negative_to: np.ndarray

    @property
    def totals(self) -> tuple[np.ndarray, np.ndarray]:
        """Weight of all rows of the class, and of all others, (n_resamples,) each."""
        return self.positive_to[:, -1], self.negative_to[:, -1]


def rank_classes(y_true: np.ndarray, proba: np.ndarray) -> Callable[[np.ndarray], Iterator[Ranks]]:
    """What the metrics of ranks are computed from, for each class against the rest.

    Args:
        y_true: (n_rows,) true classes.
        proba: (n_rows, n_classes) probabilities; of two classes the second alone is ranked.

    Returns:
        A function of weights, (n_resamples, n_rows).
    """
    curves = []
    for c in range(1 if proba.shape[1] == 2 else 0, proba.shape[1]):
        scores, inside = proba[:, c], y_true == c
        order = np.argsort(scores)
        new = np.diff(scores[order], prepend=-np.inf) > 0  # a score is equal to the one before
        curves.append((inside[order], order, np.flatnonzero(new)))

    def weigh(weights: np.ndarray) -> Iterator[Ranks]:
        for inside, order, starts in curves:
            ranked = weights[:, order]
            positive = np.add.reduceat(ranked * inside, starts, axis=1)
            negative = np.add.reduceat(ranked, starts, axis=1) - positive
            yield Ranks(positive, negative, positive.cumsum(axis=1), negative.cumsum(axis=1))

    return weigh


def mean_of_ranks(metrics: Sequence[Ranked], curves: Iterator[Ranks]) -> list[np.ndarray]:
    """Each metric of ranks, (n_resamples,): mean over the classes; NaN where one has no rows."""
    totals, n_curves = [np.zeros(1)] * len(metrics), 0
    for ranks in curves:
        n_curves += 1
        defined = np.minimum(*ranks.totals) > 0
        with np.errstate(invalid="ignore", divide="ignore"):
            values = [np.where(defined, metric(ranks), np.nan) for metric in metrics]
        totals = [total + value for total, value in zip(totals, values, strict=True)]
    return [total / n_curves for total in totals]


def roc_auc(ranks: Ranks) -> np.ndarray:
    """Area under the ROC curve by the ranks of the rows (Mann & Whitney 1947)."""
    below = ranks.negative_to - ranks.negative / 2
    positive, negative = ranks.totals
    return np.asarray(np.einsum("ij,ij->i", ranks.positive, below) / (positive * negative))


def average_precision(ranks: Ranks) -> np.ndarray:
    """Mean over the rows of a class of the precision of all that are ranked as high or higher."""
    positive, negative = (total[:, None] for total in ranks.totals)
    hits = positive - ranks.positive_to + ranks.positive
    others = negative - ranks.negative_to + ranks.negative
    precision = hits / np.maximum(hits + others, 1e-300)
    return np.asarray(np.einsum("ij,ij->i", ranks.positive, precision) / positive[:, 0])


def kolmogorov_smirnov_gap(ranks: Ranks) -> np.ndarray:
    """Largest true positive rate less false positive rate, over all thresholds; at least 0."""
    positive, negative = (total[:, None] for total in ranks.totals)
    gaps = ranks.negative_to / negative - ranks.positive_to / positive
    return np.maximum(gaps.max(axis=1), 0)


def lift(ranks: Ranks, share: float = 0.1) -> np.ndarray:
    """How many times as frequent a class is among the highest ranked rows as among all.

    Of rows with the same probability at the edge, a part counts: what they have on average.

    Args:
        ranks: of one class.
        share: of all rows that are the highest ranked.
    """
    positive, negative = ranks.totals
    to = ranks.positive_to + ranks.negative_to
    below = (1 - share) * (positive + negative)
    edge = (to <= below[:, None]).sum(axis=1)  # the probability up to which not all rows are taken
    at = np.arange(len(edge)), np.minimum(edge, to.shape[1] - 1)
    part = (to[at] - below) / (ranks.positive[at] + ranks.negative[at])
    hits = positive - ranks.positive_to[at] + part * ranks.positive[at]
    return np.asarray(hits / positive / share)
