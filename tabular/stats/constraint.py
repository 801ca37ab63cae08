"""A rate that a decision of two classes is to hold, and the thresholds that surely hold it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import binom, binomtest

from tabular.stats.intervals import Estimate

if TYPE_CHECKING:  # stats needs no MLflow
    from custom_model.served.columns import Label

RATES = ("precision", "recall", "specificity")
SYNTAX = re.compile(r"(\w+)(?:\[(.+)\])?:([\d.]+)")
CONFIDENCE = 0.95  # with which a chosen threshold holds it on fresh rows
LEVEL = (
    0.025  # of the test: half of the rest, as the model that is fitted is not those of the folds
)
STARTS = (0.05, 0.15, 0.3)  # shares of the rows predicted as the class, for precision


@dataclass(frozen=True)
class Constraint:
    """A rate of one of two classes that is at least a value.

    Args:
        rate: precision: share of the predictions of the class that are right; recall: share of its
            rows that are predicted as it; specificity: share of the other rows that are not.
        y: code of the class, 0 or 1.
        label: of the class.
        value: above 0 and below 1.
    """

    rate: str
    y: int
    label: str
    value: float

    def __str__(self) -> str:
        return f"{self.rate}[{self.label}]:{self.value:g}"

    def counts(self, y_true: np.ndarray, y_pred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows that count, and those among which they do.

        Args:
            y_true: (n_rows,) true classes.
            y_pred: (..., n_rows) predicted classes.
        """
        true, pred = y_true == self.y, y_pred == self.y
        if self.rate == "precision":
            return (true & pred).sum(axis=-1), pred.sum(axis=-1)
        if self.rate == "recall":
            return (true & pred).sum(axis=-1), np.broadcast_to(true.sum(), pred.shape[:-1])
        return (~true & ~pred).sum(axis=-1), np.broadcast_to((~true).sum(), pred.shape[:-1])

    def estimate(self, y_true: np.ndarray, y_pred: np.ndarray, confidence: float) -> Estimate:
        """The rate with its exact interval (Clopper & Pearson 1934), NaN without rows.

        Args:
            y_true: (n_rows,) true classes.
            y_pred: (n_rows,) predicted classes.
            confidence: of each of the two one-sided bounds.
        """
        hits, of = (int(part) for part in self.counts(y_true, y_pred))
        if not of:
            return Estimate(float("nan"))
        ends = binomtest(hits, of).proportion_ci(2 * confidence - 1, method="exact")
        return Estimate(hits / of, float(ends.low), float(ends.high))


def read_constraint(text: str, labels: "Sequence[Label]") -> Constraint:
    """Reads `precision:0.9`, of the second class, or `recall[no]:0.8`, of a named one.

    Args:
        text: as written.
        labels: the two classes.

    Raises:
        ValueError: it is none; the message says why, and what is possible.
    """
    found = SYNTAX.fullmatch(text.strip())
    if not found or found[1] not in RATES:
        raise ValueError(
            f"expected precision, recall or specificity and a number, such as precision:0.9 or "
            f"recall[{labels[0]}]:0.8, found {text!r}"
        )
    names = [str(label) for label in labels]
    if len(names) != 2:
        raise ValueError(f"it is for two classes, and there are {len(names)}")
    label = found[2] or names[1]
    if label not in names:
        raise ValueError(f"{label!r} is no class; possible: {', '.join(names)}")
    try:
        value = float(found[3])
    except ValueError:
        value = 1.0
    if not 0 < value < 1:
        raise ValueError(f"expected a number above 0 and below 1, found {found[3]!r}")
    return Constraint(found[1], names.index(label), label, value)


def holding(
    constraint: Constraint, proba: np.ndarray, y_true: np.ndarray, thresholds: np.ndarray
) -> np.ndarray:
    """Which thresholds hold a constraint; that one of them does not has at most the level `LEVEL`.

    Each is tested by the exact binomial test, from the safest on, by the fallback procedure (Wiens
    2003, doi 10.1002/pst.64), as in Learn then Test (Angelopoulos et al. 2021, arXiv 2110.01052):
    a threshold that holds hands its level on to the next. Recall and specificity only fall on the
    way, so the first has the whole level; precision does not, and the level is divided.

    Args:
        constraint: to be held.
        proba: (n_rows,) probabilities of the second class, out of fold.
        y_true: (n_rows,) classes, 0 or 1.
        thresholds: (n_thresholds,) rising, chosen without `y_true`.

    Returns:
        (n_thresholds,) bool.
    """
    y_pred = (proba > thresholds[:, None]).astype(np.intp)
    hits, of = constraint.counts(y_true, y_pred)
    p_values = np.where(of > 0, binom.sf(hits - 1, of, constraint.value), 1.0)
    rising = (constraint.rate == "recall") == (constraint.y == 1)  # the lowest is the safest
    order = np.arange(len(thresholds))[:: 1 if rising else -1]
    levels = np.zeros(len(thresholds))
    if constraint.rate == "precision":
        share = (y_pred[order] == constraint.y).mean(axis=1)
        starts = np.searchsorted(share, STARTS).clip(max=len(order) - 1)
    else:
        starts = np.zeros(1, dtype=np.intp)
    np.add.at(levels, order[starts], LEVEL / len(starts))
    held, handed = np.zeros(len(thresholds), dtype=bool), 0.0
    for place in order:
        level = levels[place] + handed
        held[place] = level > 0 and p_values[place] <= level
        handed = level if held[place] else 0.0
    return held
