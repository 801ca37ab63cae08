"""How sure a difference between two classifiers on the same rows is.

A resample is a weight for each row. Metrics of labels depend only on how often each triple (true
class, label of one, label of the other) occurs, so there the rows are those triples.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from tabular.stats.metrics import log_losses, predicted, sign

EXCEEDED = 20  # draws beyond the gain, expected where the p-value is just the level
CELLS = 200_000  # of a matrix of draws, to stay in the processor's cache


@dataclass(frozen=True)
class Paired:
    """Two classifiers' predictions for the same rows.

    Args:
        y_true: (n_rows,) true classes, 0 to n_classes - 1.
        champion: (n_rows, n_classes) probabilities.
        challenger: (n_rows, n_classes) probabilities.
        champion_pred: (n_rows,) predicted classes; None for the most probable ones.
        challenger_pred: likewise.
    """

    y_true: np.ndarray
    champion: np.ndarray
    challenger: np.ndarray
    champion_pred: np.ndarray | None = None
    challenger_pred: np.ndarray | None = None

    @property
    def proba(self) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities of the champion and of the challenger, (n_rows, n_classes) each."""
        return self.champion, self.challenger

    @property
    def y_pred(self) -> tuple[np.ndarray, np.ndarray]:
        """Predicted classes of the champion and of the challenger, (n_rows,) each."""
        first, second = self.champion_pred, self.challenger_pred
        return (
            predicted(self.champion) if first is None else first,
            predicted(self.challenger) if second is None else second,
        )


@dataclass(frozen=True)
class Gain:
    """How much better the challenger is by a metric; below 0 it is worse, also by a loss.

    Args:
        value: on the rows as they are; NaN where the metric is undefined.
        resampled: (n_resamples,) under the paired bootstrap.
        p_value: one-sided, of a gain at least as high if the two were exchangeable.
    """

    value: float
    resampled: np.ndarray
    p_value: float

    def bound(self, confidence: float) -> float:
        """Lower end of the one-sided interval, by percentiles of the bootstrap."""
        if not len(self.resampled):
            return float("nan")
        return float(np.quantile(self.resampled, 1 - confidence))


def gain(
    paired: Paired, metric: str, *, resamples: int, seed: int, level: float | None = None
) -> Gain:
    """Paired bootstrap (Efron & Tibshirani 1993, ch. 16) and randomisation test (Edgington 1995).

    The randomisation test swaps the two predictions of a row with probability one half; it is exact
    for any metric, also on few rows, where a bootstrap interval is too short.

    Args:
        paired: the predictions.
        metric: a key of `METRICS`.
        resamples: of the bootstrap, and random swaps of the test.
        seed: of both.
        level: of the test. More resamples are drawn where they are needed to resolve so small a
            p-value, for as long as it may still be reached (Besag & Clifford 1991).
    """
    rng = np.random.default_rng(seed)
    better = sign(metric)
    value, width, draw = _of_means(paired, metric) if metric in PER_ROW else _of(paired, metric)
    if np.isnan(value):
        return Gain(value, np.empty(0), 1.0)
    wanted = max(resamples, round(EXCEEDED / level)) if level else resamples
    drawn: list[np.ndarray] = []
    done = at_least = 0
    while done < resamples or (level and done < wanted and (at_least + 1) / (wanted + 1) <= level):
        size = min(resamples, wanted - done, max(1, CELLS // width))
        resampled, by_chance = draw(size, rng)
        drawn.append(better * resampled)
        at_least += int((better * (by_chance - value) >= -1e-12).sum())
        done += size
    resampled = np.concatenate(drawn)
    return Gain(better * value, resampled[np.isfinite(resampled)], (at_least + 1) / (done + 1))


def mcnemar(paired: Paired) -> float:
    """Exact two-sided p-value that one is right as often as the other (McNemar 1947)."""
    right = [y_pred == paired.y_true for y_pred in paired.y_pred]
    gained, lost = int((~right[0] & right[1]).sum()), int((right[0] & ~right[1]).sum())
    return float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0


# The challenger's metric minus the champion's: bootstrapped, and with swapped predictions.
Draw = Callable[[int, np.random.Generator], tuple[np.ndarray, np.ndarray]]
# The same on the rows as they are, the numbers that one draw takes, and how to draw.
Difference = tuple[float, int, Draw]


def _of(paired: Paired, metric: str) -> Difference:
    """Of a metric of labels or ranks. A draw is a weight for each row."""
    if metric in OF_LABELS:
        rows = np.stack([paired.y_true, *paired.y_pred])
        (y_true, one, other), counts = np.unique(rows, axis=1, return_counts=True)
    else:
        y_true, one, other = paired.y_true, paired.champion, paired.challenger
        counts = np.ones(len(y_true), dtype=int)
    n_classes = paired.champion.shape[1]

    def scorer(y_true: np.ndarray, predictions: np.ndarray) -> Weighted:
        if metric in OF_LABELS:
            return _of_labels(OF_LABELS[metric], y_true, predictions, n_classes)
        return _area(y_true, predictions)

    champion, challenger = scorer(y_true, one), scorer(y_true, other)
    both = scorer(np.concatenate([y_true, y_true]), np.concatenate([one, other]))
    frequencies = counts / counts.sum()

    def draw(size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        weights = rng.multinomial(counts.sum(), frequencies, size=size).astype(float)
        swapped = rng.binomial(counts, 0.5, size=(size, len(counts))).astype(float)
        kept = counts - swapped
        by_chance = both(np.hstack([swapped, kept])) - both(np.hstack([kept, swapped]))
        return challenger(weights) - champion(weights), by_chance

    as_is = counts[None].astype(float)
    return float((challenger(as_is) - champion(as_is))[0]), 2 * len(counts), draw


def _of_means(paired: Paired, metric: str) -> Difference:
    """Of a metric that is a mean over the rows."""
    before, after = (PER_ROW[metric](paired.y_true, proba) for proba in paired.proba)
    gaps = after - before

    def draw(size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        rows = rng.integers(0, len(gaps), (size, len(gaps)))
        swapped = rng.integers(0, 2, (size, len(gaps)), dtype=np.int8).astype(float)
        return gaps[rows].mean(axis=1), gaps.mean() - 2 * (swapped @ gaps) / len(gaps)

    return float(gaps.mean()), 2 * len(gaps), draw


# --- metrics of labels --------------------------------------------------------------------------

Table = np.ndarray  # (n_resamples, n_classes) of counts
OfLabels = Callable[[Table, Table, Table], np.ndarray]
Weighted = Callable[[np.ndarray], np.ndarray]  # weights (n_resamples, n_rows) to (n_resamples,)


def _f1(hits: Table, true: Table, pred: Table) -> np.ndarray:
    # as scikit-learn: the mean over the classes that occur or were predicted
    return _mean(_ratio(2 * hits, true + pred), true + pred > 0)


def _recall(hits: Table, true: Table, pred: Table) -> np.ndarray:
    return _mean(_ratio(hits, true), true + pred > 0)


def _balanced(hits: Table, true: Table, pred: Table) -> np.ndarray:
    return _mean(_ratio(hits, true), true > 0)


def _precision(hits: Table, true: Table, pred: Table) -> np.ndarray:
    return _mean(_ratio(hits, pred), true + pred > 0)


def _weighted(hits: Table, true: Table, pred: Table) -> np.ndarray:
    frequencies = true / true.sum(axis=1, keepdims=True)
    return np.asarray((_ratio(2 * hits, true + pred) * frequencies).sum(axis=1))


def _accuracy(hits: Table, true: Table, pred: Table) -> np.ndarray:
    return np.asarray(hits.sum(axis=1) / true.sum(axis=1))


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.zeros(above.shape, dtype=float), where=below > 0)


def _mean(values: np.ndarray, counted: np.ndarray) -> np.ndarray:
    return np.asarray((values * counted).sum(axis=1) / counted.sum(axis=1))


def _of_labels(
    metric: OfLabels, y_true: np.ndarray, y_pred: np.ndarray, n_classes: int
) -> Weighted:
    true, pred = np.eye(n_classes)[y_true], np.eye(n_classes)[y_pred]
    return lambda weights: metric(weights @ (true * pred), weights @ true, weights @ pred)


OF_LABELS: dict[str, OfLabels] = {
    "f1_macro": _f1,
    "f1_weighted": _weighted,
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced,
    "precision_macro": _precision,
    "recall_macro": _recall,
}


# --- metrics that are means over the rows -------------------------------------------------------

PerRow = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _briers(y_true: np.ndarray, proba: np.ndarray) -> np.ndarray:
    squares = ((proba - np.eye(proba.shape[1])[y_true]) ** 2).sum(axis=1)
    return np.asarray(squares / 2 if proba.shape[1] == 2 else squares)


PER_ROW: dict[str, PerRow] = {"log_loss": log_losses, "brier": _briers}


# --- the area under the ROC curve ---------------------------------------------------------------


def _area(y_true: np.ndarray, proba: np.ndarray) -> Weighted:
    """One-vs-rest macro, by the ranks of the rows (Mann & Whitney 1947); NaN if undefined."""
    true = np.eye(proba.shape[1])[y_true]
    if proba.shape[1] == 2:
        true, proba = true[:, 1:], proba[:, 1:]
    curves = []
    for inside, scores in zip(true.T, proba.T, strict=True):
        order = np.argsort(scores)
        new = np.diff(scores[order], prepend=-np.inf) > 0  # a score is equal to the one before
        curves.append((inside[order], order, np.flatnonzero(new)))

    def areas(weights: np.ndarray) -> np.ndarray:
        total = np.zeros(len(weights))
        for inside, order, starts in curves:
            ranked = weights[:, order]
            positive = np.add.reduceat(ranked * inside, starts, axis=1)
            negative = np.add.reduceat(ranked, starts, axis=1) - positive
            below = np.cumsum(negative, axis=1) - negative / 2
            pairs = positive.sum(axis=1) * negative.sum(axis=1)
            with np.errstate(invalid="ignore"):
                total += np.einsum("ij,ij->i", positive, below) / pairs
        return total / len(curves)

    return areas
