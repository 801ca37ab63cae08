"""How sure a difference between two classifiers on the same rows is.

Metrics of labels depend only on how often each triple (true class, label of one, label of the
other) occurs, so thousands of resamples are a few matrix products over those counts. The other
metrics are resampled by rows.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest, rankdata

from tabular.stats.metrics import LOWER_IS_BETTER, predicted

RESAMPLES_OF_RANKS = 500  # each sorts the rows anew


@dataclass(frozen=True)
class Paired:
    """Two classifiers' answers to the same rows.

    Args:
        codes: (n_rows,) true classes, 0 to n_classes - 1.
        champion: (n_rows, n_classes) probabilities.
        challenger: (n_rows, n_classes) probabilities.
        champion_said: (n_rows,) predicted classes; None for the most probable ones.
        challenger_said: likewise.
    """

    codes: np.ndarray
    champion: np.ndarray
    challenger: np.ndarray
    champion_said: np.ndarray | None = None
    challenger_said: np.ndarray | None = None

    @property
    def said(self) -> tuple[np.ndarray, np.ndarray]:
        """Predicted classes of the champion and of the challenger.

        Returns:
            (n_rows,) codes of each.
        """
        first, second = self.champion_said, self.challenger_said
        return (
            predicted(self.champion) if first is None else first,
            predicted(self.challenger) if second is None else second,
        )


@dataclass(frozen=True)
class Gain:
    """How much better the challenger is by a metric; below 0 it is worse, also by a loss.

    Args:
        value: on the rows as they are.
        resampled: (n_resamples,) under the paired bootstrap.
        p_value: one-sided, of a gain at least as high if the two were exchangeable.
    """

    value: float
    resampled: np.ndarray
    p_value: float

    def bound(self, confidence: float) -> float:
        """Lower end of the one-sided interval, by percentiles of the bootstrap."""
        return float(np.quantile(self.resampled, 1 - confidence))


def gain(paired: Paired, metric: str, *, resamples: int, seed: int) -> Gain:
    """Paired bootstrap (Efron & Tibshirani 1993, ch. 16) and randomisation test (Edgington 1995).

    The randomisation test swaps the two answers of a row with probability one half; it is exact for
    any metric, also on few rows, where a bootstrap interval is too short.

    Args:
        paired: the answers.
        metric: a key of `METRICS`.
        resamples: of the bootstrap, and random swaps of the test.
        seed: of both.
    """
    rng = np.random.default_rng(seed)
    if metric in OF_LABELS:
        value, drawn, by_chance = _of_labels(paired, OF_LABELS[metric], resamples, rng)
    elif metric in PER_ROW:
        value, drawn, by_chance = _per_row(paired, PER_ROW[metric], resamples, rng)
    else:
        fewer = min(resamples, RESAMPLES_OF_RANKS)
        value, drawn, by_chance = _by_ranks(paired, fewer, rng)
    sign = -1.0 if metric in LOWER_IS_BETTER else 1.0
    at_least = int((sign * by_chance >= sign * value - 1e-12).sum())
    p_value = (at_least + 1) / (len(by_chance) + 1)
    return Gain(sign * value, sign * drawn[np.isfinite(drawn)], p_value)


def mcnemar(paired: Paired) -> float:
    """Exact two-sided p-value that one is right as often as the other (McNemar 1947)."""
    right = [said == paired.codes for said in paired.said]
    gained, lost = int((~right[0] & right[1]).sum()), int((right[0] & ~right[1]).sum())
    return float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0


# --- metrics of labels --------------------------------------------------------------------------

Table = np.ndarray  # (n_resamples, n_classes) of counts
OfLabels = Callable[[Table, Table, Table], np.ndarray]


def _f1(hits: Table, true: Table, said: Table) -> np.ndarray:
    # as scikit-learn: the mean over the classes that occur or were predicted
    occurs = true + said > 0
    return _mean(_ratio(2 * hits, true + said), occurs)


def _recall(hits: Table, true: Table, said: Table) -> np.ndarray:
    return _mean(_ratio(hits, true), true + said > 0)


def _balanced(hits: Table, true: Table, said: Table) -> np.ndarray:
    return _mean(_ratio(hits, true), true > 0)


def _precision(hits: Table, true: Table, said: Table) -> np.ndarray:
    return _mean(_ratio(hits, said), true + said > 0)


def _weighted(hits: Table, true: Table, said: Table) -> np.ndarray:
    shares = true / true.sum(axis=1, keepdims=True)
    return np.asarray((_ratio(2 * hits, true + said) * shares).sum(axis=1))


def _accuracy(hits: Table, true: Table, said: Table) -> np.ndarray:
    return np.asarray(hits.sum(axis=1) / true.sum(axis=1))


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.zeros(above.shape, dtype=float), where=below > 0)


def _mean(values: np.ndarray, counted: np.ndarray) -> np.ndarray:
    return np.asarray((values * counted).sum(axis=1) / counted.sum(axis=1))


OF_LABELS: dict[str, OfLabels] = {
    "f1_macro": _f1,
    "f1_weighted": _weighted,
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced,
    "precision_macro": _precision,
    "recall_macro": _recall,
}


# The challenger's metric minus the champion's: as it is, bootstrapped, and with swapped answers.
Differences = tuple[float, np.ndarray, np.ndarray]


def _of_labels(
    paired: Paired, metric: OfLabels, resamples: int, rng: np.random.Generator
) -> Differences:
    answers = [paired.codes, *paired.said]
    kinds, counts = np.unique(np.stack(answers), axis=1, return_counts=True)
    true, one, other = np.eye(paired.champion.shape[1])[kinds]  # each (n_kinds, n_classes)

    def score(said: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return metric(weights @ (truth * said), weights @ truth, weights @ said)

    drawn = rng.multinomial(counts.sum(), counts / counts.sum(), size=resamples).astype(float)
    swapped = rng.binomial(counts, 0.5, size=(resamples, len(counts))).astype(float)
    both = np.concatenate([counts - swapped, swapped], axis=1)
    truth, first, second = (
        np.concatenate(pair) for pair in ((true, true), (one, other), (other, one))
    )
    as_is = counts[None].astype(float)
    return (
        float((score(other, true, as_is) - score(one, true, as_is))[0]),
        score(other, true, drawn) - score(one, true, drawn),
        score(second, truth, both) - score(first, truth, both),
    )


# --- metrics that are means over the rows -------------------------------------------------------

PerRow = Callable[[np.ndarray, np.ndarray], np.ndarray]


def log_losses(codes: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Log loss of each row, (n_rows,).

    Args:
        codes: (n_rows,) true classes.
        shares: (n_rows, n_classes) probabilities.
    """
    eps = np.finfo(shares.dtype).eps
    true = np.clip(shares, eps, 1 - eps)[np.arange(len(codes)), codes]
    return np.asarray(-np.log(true))


def _briers(codes: np.ndarray, shares: np.ndarray) -> np.ndarray:
    squares = ((shares - np.eye(shares.shape[1])[codes]) ** 2).sum(axis=1)
    return np.asarray(squares / 2 if shares.shape[1] == 2 else squares)


PER_ROW: dict[str, PerRow] = {"log_loss": log_losses, "brier": _briers}


def _per_row(
    paired: Paired, metric: PerRow, resamples: int, rng: np.random.Generator
) -> Differences:
    gaps = metric(paired.codes, paired.challenger) - metric(paired.codes, paired.champion)
    drawn, by_chance = np.empty(resamples), np.empty(resamples)
    for number in range(resamples):  # one at a time: flat memory for many rows
        drawn[number] = gaps[rng.integers(0, len(gaps), len(gaps))].mean()
        by_chance[number] = (gaps * rng.choice((-1.0, 1.0), len(gaps))).mean()
    return float(gaps.mean()), drawn, by_chance


# --- the area under the ROC curve ---------------------------------------------------------------


def _area(codes: np.ndarray, shares: np.ndarray) -> float:
    """One-vs-rest macro, by the ranks of the rows (Mann & Whitney 1947); NaN if undefined."""
    true = np.eye(shares.shape[1])[codes]
    if shares.shape[1] == 2:
        true, shares = true[:, 1:], shares[:, 1:]
    inside = true.sum(axis=0)
    outside = len(codes) - inside
    if not (inside * outside).all():
        return float("nan")
    ranks = (rankdata(shares, axis=0) * true).sum(axis=0)
    return float(((ranks - inside * (inside + 1) / 2) / (inside * outside)).mean())


def _by_ranks(paired: Paired, resamples: int, rng: np.random.Generator) -> Differences:
    codes, one, other = paired.codes, paired.champion, paired.challenger
    drawn, by_chance = np.empty(resamples), np.empty(resamples)
    for number in range(resamples):
        rows = rng.integers(0, len(codes), len(codes))
        drawn[number] = _area(codes[rows], other[rows]) - _area(codes[rows], one[rows])
        swap = rng.random(len(codes))[:, None] < 0.5
        by_chance[number] = _area(codes, np.where(swap, one, other)) - _area(
            codes, np.where(swap, other, one)
        )
    return _area(codes, other) - _area(codes, one), drawn, by_chance
