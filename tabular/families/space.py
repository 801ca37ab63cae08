"""What a search space is made of: ranges, sized by the shape of the table.

Worker processes of a search import this file, so it does without Optuna.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

RARE_ROWS = 20  # a class with fewer rows is rare
IMBALANCE = 1.5  # of the most frequent class to the rarest, from where weights are worth trying


@dataclass(frozen=True)
class Shape:
    """What the spaces are sized by.

    Args:
        n_rows: rows that each fold fits on.
        n_classes: number of classes.
        rarest: rows of the rarest class, of all training rows.
        imbalanced: whether the classes differ enough for weights to matter.
    """

    n_rows: int
    n_classes: int
    rarest: int
    imbalanced: bool

    @property
    def rare_class(self) -> bool:
        """Whether a class is rare."""
        return self.rarest < RARE_ROWS


def shape_of(y: np.ndarray, n_rows: int) -> Shape:
    """The shape of a training side with classes `y`, whose folds fit on `n_rows` rows each."""
    counts = np.bincount(y)
    rarest = int(counts[counts > 0].min())
    return Shape(n_rows, len(counts), rarest, bool(counts.max() > IMBALANCE * rarest))


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high` on a logarithmic scale, whole ones where `first` is an `int`.

    Args:
        low: least value, above 0.
        high: greatest value; below `low` it counts as `low`.
        first: the value tried first.
    """

    low: float
    high: float
    first: float

    def suggest(self, trial: "BaseTrial", name: str) -> float:
        """Asks Optuna for a value."""
        low, high = self.low, max(self.low, self.high)
        if isinstance(self.first, int):
            return trial.suggest_int(name, int(low), int(high), log=True)
        return trial.suggest_float(name, low, high, log=True)

    def nearest(self, value: Any) -> float:
        """The value of the range that is nearest to another one; `first` for what is no number."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return self.first
        inside = min(max(value, self.low), max(self.low, self.high))
        return round(inside) if isinstance(self.first, int) else float(inside)


class OneOf:
    """One of a few values; `first` is tried first, else the first of them."""

    def __init__(self, *options: Any, first: Any = None) -> None:
        self.options, self.first = options, options[0] if first is None else first

    def suggest(self, trial: "BaseTrial", name: str) -> Any:
        """Asks Optuna for a value."""
        return trial.suggest_categorical(name, self.options)

    def nearest(self, value: Any) -> Any:
        """The option that equals a value; `first` where none does."""
        return next((option for option in self.options if option == value), self.first)


Space = dict[str, Range | OneOf]
"""Ranges by scikit-learn's names of the hyperparameters."""
