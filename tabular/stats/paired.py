"""How sure a difference between two classifiers on the same rows is.

A resample is a weight for each row. Metrics of labels depend only on how often each triple (true
class, label of one, label of the other) occurs, so there the rows are those triples.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from tabular.stats.compute import combinations, place_in, predicted, weighted
from tabular.stats.formulas import Weighted
from tabular.stats.metrics import METRICS, OF_LABELS, sign
from tabular.stats.units import Units, units_of

EXCEEDED = 20  # draws beyond the gain, expected where the p-value is just the level
CELLS = 200_000  # of a matrix of draws, to stay in the processor's cache
FLIPPED = 16  # groups whose changes of sign are all counted
FLIPS = 20_000  # random changes of sign of more groups


@dataclass(frozen=True)
class Paired:
    """Two classifiers' predictions for the same rows.

    Args:
        y_true: (n_rows,) true classes, 0 to n_classes - 1.
        champion: (n_rows, n_classes) probabilities.
        challenger: (n_rows, n_classes) probabilities.
        champion_pred: (n_rows,) predicted classes; None for the most probable ones.
        challenger_pred: likewise.
        costs: (n_classes, n_classes) of predicting column for row; None without.
        groups: (n_rows,) of rows that belong together; None for each by itself.
        sample_weight: (n_rows,) how often each row counts; None for once.
    """

    y_true: np.ndarray
    champion: np.ndarray
    challenger: np.ndarray
    champion_pred: np.ndarray | None = None
    challenger_pred: np.ndarray | None = None
    costs: np.ndarray | None = None
    groups: np.ndarray | None = None
    sample_weight: np.ndarray | None = None

    @property
    def units(self) -> Units | None:
        """What is drawn and swapped whole; None where each row is one and counts once."""
        return units_of(len(self.y_true), self.groups, self.sample_weight)

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
    for any metric, also on few rows, where a bootstrap interval is too short. With groups all rows
    of one are drawn together (Davison & Hinkley 1997, section 3.8) and swapped together, which is
    exact whatever the rows of a group have in common: the groups are then what is exchangeable. A
    weighted row is drawn and swapped as one, and counts as often as it weighs.

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
    difference = _of_means if METRICS[metric].per_row else _of_weights
    value, width, draw = difference(paired, metric)
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
    """Exact two-sided p-value that one is right as often as the other (McNemar 1947).

    With groups or weights: the test of the signs of each group's difference (Fisher 1935, section
    21), in which whole groups change sides. All changes are counted where `FLIPPED` groups or fewer
    differ, else `FLIPS` random ones and the observed (Phipson & Smyth 2010). For groups of one row
    of weight 1 it is McNemar's.
    """
    right = [y_pred == paired.y_true for y_pred in paired.y_pred]
    if units := paired.units:
        differences = right[1].astype(float) - right[0]
        gaps = np.bincount(units.of_row, units.sample_weight * differences)
        return _sign_flips(gaps[np.abs(gaps) > 1e-12])
    gained, lost = int((~right[0] & right[1]).sum()), int((right[0] & ~right[1]).sum())
    return float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0


def _sign_flips(gaps: np.ndarray) -> float:
    """Two-sided p-value of the sum of (n,) differences under changes of their signs."""
    if not len(gaps):
        return 1.0
    if every := len(gaps) <= FLIPPED:
        bits = np.arange(2 ** len(gaps))[:, None] >> np.arange(len(gaps))
        sums = (1 - 2 * (bits & 1)) @ gaps
    else:
        rng = np.random.default_rng(0)
        size = max(1, CELLS // len(gaps))
        parts = [min(size, FLIPS - start) for start in range(0, FLIPS, size)]
        sums = np.concatenate(
            [
                (1 - 2 * rng.integers(0, 2, (many, len(gaps)), dtype=np.int8)) @ gaps
                for many in parts
            ]
        )
    reached = int((np.abs(sums) >= abs(gaps.sum()) - 1e-9).sum())
    return reached / len(sums) if every else (reached + 1) / (FLIPS + 1)


# The challenger's metric minus the champion's: bootstrapped, and with swapped predictions.
Draw = Callable[[int, np.random.Generator], tuple[np.ndarray, np.ndarray]]
# The same on the rows as they are, the numbers that one draw takes, and how to draw.
Difference = tuple[float, int, Draw]


def _of_weights(paired: Paired, metric: str) -> Difference:
    """Of a metric of labels or ranks. A draw is a weight for each row."""
    n_classes, units = paired.champion.shape[1], paired.units
    if metric in OF_LABELS:
        rows = paired.y_true, *paired.y_pred
        (y_true, one, other), counts = combinations(n_classes, *rows)
    else:
        y_true, one, other = paired.y_true, paired.champion, paired.challenger
        counts = np.ones(len(y_true), dtype=int)
    champion, challenger, both = (
        weighted(metric, rows, part, n_classes, costs=paired.costs)
        for rows, part in (
            (y_true, one),
            (y_true, other),
            (np.concatenate([y_true, y_true]), np.concatenate([one, other])),
        )
    )
    if units:
        if metric in OF_LABELS:
            cells = place_in((y_true, one, other), n_classes, *rows)
            weigh = units.by_cell(cells, len(y_true))
        else:
            weigh = units.by_row
        return _of_units(units, weigh, champion, challenger, both)
    frequencies = counts / counts.sum()

    def draw(size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        weights = rng.multinomial(counts.sum(), frequencies, size=size).astype(float)
        swapped = rng.binomial(counts, 0.5, size=(size, len(counts))).astype(float)
        kept = counts - swapped
        by_chance = both(np.hstack([swapped, kept])) - both(np.hstack([kept, swapped]))
        return challenger(weights) - champion(weights), by_chance

    as_is = counts[None].astype(float)
    return float((challenger(as_is) - champion(as_is))[0]), 2 * len(counts), draw


def _of_units(
    units: Units,
    weigh: Callable[[np.ndarray], np.ndarray],
    champion: Weighted,
    challenger: Weighted,
    both: Weighted,
) -> Difference:
    """As `_of_weights`, of weights that `weigh` makes of how often each unit counts."""
    every = np.ones((1, units.n))
    as_is = weigh(every)

    def draw(size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        times = rng.multinomial(units.n, every[0] / units.n, size=size).astype(float)
        swapped = weigh(rng.integers(0, 2, (size, units.n)).astype(float))
        kept = as_is - swapped
        by_chance = both(np.hstack([swapped, kept])) - both(np.hstack([kept, swapped]))
        weights = weigh(times)
        return challenger(weights) - champion(weights), by_chance

    value = float((challenger(as_is) - champion(as_is))[0])
    return value, max(units.n, 2 * as_is.shape[1]), draw


def _of_means(paired: Paired, metric: str) -> Difference:
    """Of a metric that is a mean over the rows."""
    per_row = METRICS[metric].per_row
    assert per_row is not None
    before, after = (per_row(paired.y_true, proba) for proba in paired.proba)
    gaps = after - before
    if units := paired.units:
        return _of_unit_means(units, gaps)

    def draw(size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        rows = rng.integers(0, len(gaps), (size, len(gaps)))
        swapped = rng.integers(0, 2, (size, len(gaps)), dtype=np.int8).astype(float)
        return gaps[rows].mean(axis=1), gaps.mean() - 2 * (swapped @ gaps) / len(gaps)

    return float(gaps.mean()), 2 * len(gaps), draw


def _of_unit_means(units: Units, gaps: np.ndarray) -> Difference:
    """As `_of_means`, of whole units: the mean is a ratio of the units' sums."""
    sums = np.bincount(units.of_row, units.sample_weight * gaps)
    sizes = np.bincount(units.of_row, units.sample_weight)
    value = float(sums.sum() / sizes.sum())

    def draw(size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        drawn = rng.integers(0, units.n, (size, units.n))
        swapped = rng.integers(0, 2, (size, units.n), dtype=np.int8).astype(float)
        resampled = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
        return resampled, value - 2 * (swapped @ sums) / sizes.sum()

    return value, 2 * units.n, draw
