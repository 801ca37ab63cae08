"""From the trials of a search to what is fitted and registered: the recipe."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.calibration import CalibratedClassifierCV

from custom_model.served.sets import calibrate, threshold_of
from tabular.search.cross_validation import Trial


@dataclass(frozen=True)
class Recipe:
    """What is fitted on the whole training side and registered.

    Args:
        members: the trials.
        weights: of their probabilities, summing to 1.
        metrics: cross-validated, by name.
        spread: standard deviation of the objective over the folds.
        method: of the calibration, "" for none.
        calibrator: learned on out-of-fold probabilities.
        threshold: of the second of two classes.
        costs: (n_classes, n_classes) of predicting column for row, by which it decides; or None.
        at_least: the constraint that its threshold holds, "" for none.
        sets: of `served.sets.calibrate`, None where there are no out-of-fold probabilities.
    """

    members: tuple[Trial, ...]
    weights: tuple[float, ...]
    metrics: dict[str, float]
    spread: float = 0.0
    method: str = ""
    calibrator: CalibratedClassifierCV | None = None
    threshold: float = 0.5
    costs: np.ndarray | None = field(default=None, compare=False)
    at_least: str = ""
    sets: dict[str, Any] | None = None

    @property
    def classifier(self) -> str:
        """Name for people: the classifier's, or `ensemble`."""
        return self.members[0].classifier if len(self.members) == 1 else "ensemble"

    @property
    def bare(self) -> bool:
        """Whether it is nothing but one trial."""
        plain = self.threshold == 0.5 or self.costs is not None  # then its trial decides by them
        return len(self.members) == 1 and not self.method and not self.at_least and plain

    @property
    def name(self) -> str:
        """What it is made of, in words."""
        parts = [
            f"{weight:.2f} t{trial.number:03d} {trial.classifier}"
            for trial, weight in zip(self.members, self.weights, strict=True)
        ]
        made = " + ".join(parts) if len(parts) > 1 else self.classifier
        made += f", {self.method} calibration" if self.method else ""
        made += f", threshold {self.threshold:.3f}" if self.threshold != 0.5 else ""
        made += ", least cost" if self.costs is not None else ""
        return made + (f", {self.at_least}" if self.at_least else "")

    @property
    def key(self) -> str:
        """Tells the recipes of one sweep apart."""
        return f"t{self.members[0].number:03d}: {self.name}"


def as_it_is(
    trial: Trial, y_true: np.ndarray | None = None, *, costs: np.ndarray | None = None
) -> Recipe:
    """One trial and nothing else.

    Args:
        trial: with its out-of-fold probabilities where prediction sets are wanted.
        y_true: (n_rows,) classes in the order of these.
        costs: by which it decides.
    """
    sets = None if y_true is None or trial.oof is None else calibrate(y_true, trial.oof)
    made = (trial,), (1.0,), trial.metrics, trial.spread
    return Recipe(*made, threshold=threshold_of(costs), costs=costs, sets=sets)
