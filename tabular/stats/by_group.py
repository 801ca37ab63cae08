"""A classifier by groups of rows, such as those of each sex, and the gaps between the groups.

The rates and the differences are those of fairlearn (Bird et al. 2020; Hardt et al. 2016, arXiv
1610.02413): of two classes those of the second, of more than two those of the class with the
largest gap. A rate of fewer than `FEWEST_ROWS` rows moves by more than a tenth with one row; it
counts in no gap.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tabular.stats.by_class import metric_names
from tabular.stats.intervals import Estimate, estimates, interval, wilson

if TYPE_CHECKING:  # stats needs no MLflow
    from custom_model.served.columns import Label

FEWEST_ROWS = 10
SMALL = 30  # a group of fewer rows is said to be small
MOST_CELLS = 20_000_000  # of all draws at once; more have no interval

DIFFERENCES = {
    "demographic_parity": ("selection_rate",),
    "equal_opportunity": ("recall",),
    "false_positive_rate": ("false_positive_rate",),
    "equalized_odds": ("recall", "false_positive_rate"),
}
"""Rates of which each difference is the largest gap."""


@dataclass(frozen=True)
class GroupEstimates:
    """One group of rows.

    Args:
        name: of the group.
        rows: how many.
        metrics: those that are defined, then `selection_rate`, `recall` and `false_positive_rate`
            of the second of two classes; of more with `_<class>` at the end, for each of them.
    """

    name: str
    rows: int
    metrics: dict[str, Estimate]

    @property
    def small(self) -> bool:
        """Whether its figures are little more than noise."""
        return self.rows < SMALL


@dataclass(frozen=True)
class Gap(Estimate):
    """The difference of a rate between two groups, the largest there is.

    Args:
        rate: with the class, as `GroupEstimates` has it.
        highest: name of the group with the highest rate.
        lowest: of the group with the lowest one.
    """

    rate: str = ""
    highest: str = ""
    lowest: str = ""

    @property
    def where(self) -> str:
        """Between which groups it is, in words."""
        return f"{self.rate} is highest where {self.highest}, lowest where {self.lowest}"


def by_group(
    y_true: np.ndarray,
    y_pred: np.ndarray,
    proba: np.ndarray | None,
    groups: np.ndarray,
    labels: "Sequence[Label]",
    *,
    confidence: float,
    resamples: int,
    seed: int,
    costs: np.ndarray | None = None,
) -> list[GroupEstimates]:
    """All metrics of each group with intervals, the largest group first.

    Args:
        y_true: (n_rows,) true classes, 0 to n_classes - 1.
        y_pred: (n_rows,) predicted classes.
        proba: (n_rows, n_classes) probabilities; None where the model gives labels only.
        groups: (n_rows,) name of each row's group.
        labels: the classes.
        confidence: of the two-sided intervals; those of rates are Wilson's.
        resamples: of the bootstrap.
        seed: of the bootstrap.
        costs: (n_classes, n_classes) of predicting column for row; None without.
    """
    names, tables = _tables(y_true, y_pred, groups, len(labels))
    rates = _rates(tables)
    of_groups = []
    for place, name in enumerate(names):
        rows = groups == name
        metrics, _ = estimates(
            y_true[rows], y_pred[rows], None if proba is None else proba[rows], len(labels),
            confidence=confidence, resamples=resamples, seed=seed, costs=costs,
        )  # fmt: skip
        for rate, (hits, of) in rates.items():
            for c, suffix in enumerate(_suffixes(labels)):
                if of[place, c]:
                    metrics[rate + suffix] = wilson(
                        int(hits[place, c]), int(of[place, c]), confidence
                    )
        of_groups.append(GroupEstimates(name, int(rows.sum()), metrics))
    return of_groups


def gaps(
    y_true: np.ndarray,
    y_pred: np.ndarray,
    groups: np.ndarray,
    labels: "Sequence[Label]",
    *,
    confidence: float,
    resamples: int,
    seed: int,
) -> dict[str, Gap]:
    """The differences between the groups, by name; those that are undefined are left out.

    Their intervals are of the bootstrap within each group (Efron & Tibshirani 1993, ch. 13). The
    gap of a sample is on average larger than that of all rows, the more so the smaller the groups.

    Args:
        y_true: (n_rows,) true classes, 0 to n_classes - 1.
        y_pred: (n_rows,) predicted classes.
        groups: (n_rows,) name of each row's group.
        labels: the classes.
        confidence: of the two-sided intervals.
        resamples: of the bootstrap.
        seed: of the bootstrap.
    """
    names, tables = _tables(y_true, y_pred, groups, len(labels))
    as_is = _rates(tables)
    drawn: Mapping[str, tuple[np.ndarray, np.ndarray]] | None = None
    if tables.size * resamples <= MOST_CELLS:
        rng = np.random.default_rng(seed)
        cells = tables.reshape(len(names), -1)
        draws = [rng.multinomial(row.sum(), row / row.sum(), size=resamples) for row in cells]
        drawn = _rates(np.stack(draws, axis=1).reshape(resamples, *tables.shape))
    differences = {}
    for name, rates in DIFFERENCES.items():
        values, best = [], Gap(-1.0)
        for rate in rates:
            hits, of = as_is[rate]
            for c, suffix in enumerate(_suffixes(labels)):
                known = np.flatnonzero(of[:, c] >= FEWEST_ROWS)
                if len(known) < 2:
                    continue
                share = hits[known, c] / of[known, c]
                high, low = known[share.argmax()], known[share.argmin()]
                if (value := float(np.ptp(share))) > best.value:
                    best = Gap(value, rate=rate + suffix, highest=names[high], lowest=names[low])
                if drawn is not None:
                    hits_drawn, of_drawn = (part[:, known, c] for part in drawn[rate])
                    with np.errstate(invalid="ignore"):
                        values.append(np.ptp(hits_drawn / of_drawn, axis=1))
        if best.rate:
            ends = interval(
                best.value, np.max(values, axis=0) if values else np.empty(0), confidence
            )
            differences[name] = Gap(
                best.value, ends.low, ends.high, best.rate, best.highest, best.lowest
            )
    return differences


def _tables(
    y_true: np.ndarray, y_pred: np.ndarray, groups: np.ndarray, n_classes: int
) -> tuple[list[str], np.ndarray]:
    """The groups, largest first, and their rows by true and predicted class."""
    names, codes, rows = np.unique(groups, return_inverse=True, return_counts=True)
    order = np.argsort(-rows, kind="stable")
    shape = (len(names), n_classes, n_classes)
    cells = np.ravel_multi_index((codes, y_true, y_pred), shape)
    return names[order].tolist(), np.bincount(cells, minlength=np.prod(shape)).reshape(shape)[order]


def _rates(tables: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Of each rate the rows that count and those among which they do, (..., n_groups, n_classes).

    Args:
        tables: (..., n_groups, n_classes, n_classes) rows by true and predicted class.
    """
    classes = slice(1 if tables.shape[-1] == 2 else 0, None)
    selected, true = (tables.sum(axis=axis)[..., classes] for axis in (-2, -1))
    hits = np.diagonal(tables, axis1=-2, axis2=-1)[..., classes]
    rows = tables.sum(axis=(-2, -1))[..., None]
    return {
        "selection_rate": (selected, np.broadcast_to(rows, selected.shape)),
        "recall": (hits, true),
        "false_positive_rate": (selected - hits, rows - true),
    }


def _suffixes(labels: "Sequence[Label]") -> list[str]:
    return [""] if len(labels) == 2 else [f"_{name}" for name in metric_names(labels)]
