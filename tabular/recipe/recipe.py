"""From the trials of a search to what is fitted and registered: the recipe.

An ensemble where it is better than the best trial, calibration where it lowers the log loss, a
threshold where there are two classes and the objective is one of decisions. Each is chosen on
out-of-fold probabilities and judged on answers that were made without the fold they are judged on,
so that a recipe's metrics are as honest as a trial's.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.calibration import CalibratedClassifierCV

from tabular.recipe import calibration, ensemble, threshold
from tabular.recipe.ensemble import log_losses
from tabular.search.cross_validation import Trial
from tabular.search.folds import Folds
from tabular.search.loop import ranked
from tabular.stats.metrics import LOWER_IS_BETTER, evaluate, evaluate_one

POOL = 8  # trials that an ensemble may take: the best by the objective, and by log loss


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
    """

    members: tuple[Trial, ...]
    weights: tuple[float, ...]
    metrics: dict[str, float]
    spread: float = 0.0
    method: str = ""
    calibrator: CalibratedClassifierCV | None = None
    threshold: float = 0.5

    @property
    def classifier(self) -> str:
        """Name for people: the classifier's, or `ensemble`."""
        return self.members[0].classifier if len(self.members) == 1 else "ensemble"

    @property
    def bare(self) -> bool:
        """Whether it is nothing but one trial."""
        return len(self.members) == 1 and not self.method and self.threshold == 0.5

    @property
    def name(self) -> str:
        """What it is made of, in words."""
        parts = [
            f"{weight:.2f} t{trial.number:03d} {trial.classifier}"
            for trial, weight in zip(self.members, self.weights, strict=True)
        ]
        made = " + ".join(parts) if len(parts) > 1 else self.classifier
        made += f", {self.method} calibration" if self.method else ""
        return made + (f", threshold {self.threshold:.3f}" if self.threshold != 0.5 else "")

    @property
    def key(self) -> str:
        """Tells the recipes of one sweep apart."""
        return f"t{self.members[0].number:03d}: {self.name}"


def as_it_is(trial: Trial) -> Recipe:
    """One trial and nothing else."""
    return Recipe((trial,), (1.0,), trial.metrics, trial.spread)


def pool(trials: Sequence[Trial], metric: str) -> list[Trial]:
    """The trials that a recipe may be made of, best by the objective first.

    Args:
        trials: of the sweep, at least one of them evaluated on every fold.
        metric: the objective.
    """
    best = ranked(trials, metric)
    likely = ranked(trials, "log_loss") if "log_loss" in best[0].metrics else []
    chosen = {trial.number for trial in [*best[:POOL], *likely[:POOL]]}
    return [trial for trial in best if trial.number in chosen]


def finish(trials: Sequence[Trial], folds: Folds, metric: str, *, seed: int) -> list[Recipe]:
    """The recipes, best first: an ensemble if it is better than every trial, then each trial.

    Args:
        trials: with their probabilities, best first; see `pool`.
        folds: that they were evaluated on.
        metric: the objective.
        seed: of the resamples for the threshold.
    """
    rows = _Rows(folds.truth, folds.fold_of_row, metric, seed)
    recipes = []
    first = rows.tuned(as_it_is(trials[0]), trials[0].probabilities)
    if len(trials) > 1:
        stacked = np.stack([np.asarray(trial.probabilities) for trial in trials])
        weights = ensemble.select(stacked, rows.truth)
        if (weights > 0).sum() > 1:
            honest = ensemble.cross_fitted(stacked, rows.truth, rows.folds)
            taken = np.flatnonzero(weights)
            mixed = Recipe(tuple(trials[int(i)] for i in taken), tuple(weights[taken].tolist()), {})
            whole = rows.tuned(mixed, honest, np.tensordot(weights, stacked, axes=1))
            if rows.better(whole, honest, first, trials[0]):
                recipes.append(whole)
    recipes.append(first)
    return recipes + [rows.tuned(as_it_is(trial), trial.probabilities) for trial in trials[1:]]


@dataclass(frozen=True)
class _Rows:
    """The training side in the order of the out-of-fold probabilities."""

    truth: np.ndarray
    folds: np.ndarray
    metric: str
    seed: int

    def tuned(
        self, recipe: Recipe, honest: np.ndarray | None, chosen: np.ndarray | None = None
    ) -> Recipe:
        """The recipe with calibration and threshold where they help.

        Args:
            recipe: without them.
            honest: (n_rows, n_classes) out of fold, to judge by.
            chosen: what to learn from, where that is not the same.
        """
        assert honest is not None
        chosen = honest if chosen is None else chosen
        method, answers = self._calibrated(honest)
        calibrator = None
        if method:
            calibrator = calibration.learn(method, chosen, self.truth)
            chosen = calibrator.predict_proba(chosen)
        said, cut = None, 0.5
        if answers.shape[1] == 2 and self.metric in threshold.TUNABLE:
            tuned = threshold.cross_fitted(
                answers[:, 1], self.truth, self.folds, self.metric, seed=self.seed
            )
            if evaluate_one(self.metric, self.truth, answers, tuned) > evaluate_one(
                self.metric, self.truth, answers
            ):
                said = tuned
                cut = threshold.tune(chosen[:, 1], self.truth, self.metric, seed=self.seed)
        return dataclasses.replace(
            recipe,
            metrics=evaluate(self.truth, answers, said),
            spread=self._spread(answers, said),
            method=method,
            calibrator=calibrator,
            threshold=cut,
        )

    def _spread(self, answers: np.ndarray, said: np.ndarray | None) -> float:
        scores = []
        for fold in np.unique(self.folds):
            rows = self.folds == fold
            decided = None if said is None else said[rows]
            scores.append(evaluate_one(self.metric, self.truth[rows], answers[rows], decided))
        return float(np.nanstd(scores)) if np.isfinite(scores).any() else 0.0

    def _calibrated(self, answers: np.ndarray) -> tuple[str, np.ndarray]:
        """The method whose answers have a lower log loss by more than noise, "" for none."""
        best, lowest = "", answers
        for method in calibration.methods(len(answers)):
            found = calibration.cross_fitted(method, answers, self.truth, self.folds)
            if found is not None and self._surely_lower(found, lowest):
                best, lowest = method, found
        return best, lowest

    def _surely_lower(self, one: np.ndarray, other: np.ndarray) -> bool:
        """Whether a log loss is lower by more than one standard error of the paired rows."""
        gains = log_losses(other, self.truth) - log_losses(one, self.truth)
        return bool(gains.mean() > gains.std(ddof=1) / np.sqrt(len(gains)))

    def better(self, mixed: Recipe, honest: np.ndarray, single: Recipe, trial: Trial) -> bool:
        """Whether the ensemble's loss is surely lower, and its objective no worse than by noise."""
        assert trial.probabilities is not None
        sign = -1 if self.metric in LOWER_IS_BETTER else 1
        gain = sign * (mixed.metrics[self.metric] - single.metrics[self.metric])
        noise = single.spread / np.sqrt(len(np.unique(self.folds)))
        return self._surely_lower(honest, trial.probabilities) and gain > -noise
